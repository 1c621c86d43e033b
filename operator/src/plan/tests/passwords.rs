//! Passwords that changed under a database.

use super::*;

#[test]
fn a_database_starts_again_when_a_secret_of_its_site_was_made_anew_and_not_before() {
    let before = templates(&plan(&valid()));
    let with = |uids: &[&str]| {
        let mut cluster = valid();
        let uids: BTreeSet<String> = uids.iter().map(|uid| (*uid).to_owned()).collect();
        cluster.made_anew = BTreeMap::from([(Site::Client(1), uids)]);
        templates(&plan(&cluster))
    };
    let anew = with(&["c"]);
    for (name, template) in &before {
        assert_eq!(template != &anew[name], name == "demo-client-1", "{name}");
    }
    let said = |templates: &BTreeMap<String, Value>| {
        templates["demo-client-1"]["metadata"]["annotations"]["synccluster.dev/passwords"].clone()
    };
    assert_eq!(said(&before), Value::Null);
    assert_eq!(said(&anew).as_str().unwrap().len(), 16);
    assert_eq!(said(&anew), said(&with(&["c"])), "once");
    assert_ne!(said(&anew), said(&with(&["c", "d"])));
}
