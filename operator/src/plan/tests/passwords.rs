//! Passwords that changed under a database.

use super::*;
use crate::passwords::Passwords;

#[test]
fn a_database_starts_again_when_a_secret_of_its_site_was_made_anew_and_not_before() {
    let before = templates(&plan(&valid()));
    let with = |uid: &str, mark: Option<&str>| {
        let mut cluster = valid();
        let passwords = Passwords {
            secrets: BTreeMap::from([("demo-client-1-app".to_owned(), uid.to_owned())]),
            mark: mark.map(str::to_owned),
        };
        cluster.passwords = BTreeMap::from([(Site::Client(1), passwords)]);
        plan(&cluster)
    };
    let first = with("a", None);
    assert_eq!(
        templates(&first),
        before,
        "what is written of the first ones restarts nothing"
    );
    let anew = with("c", Some("anew"));
    for (name, template) in &before {
        assert_eq!(template != &templates(&anew)[name], name == "demo-client-1", "{name}");
    }
    let said = |objects: &Objects| {
        let set = named(objects, Kind::StatefulSet, "demo-client-1").unwrap();
        let of_pod = set["spec"]["template"]["metadata"]["annotations"]["synccluster.dev/passwords"].clone();
        let annotations = &set["metadata"]["annotations"];
        [
            of_pod,
            annotations["synccluster.dev/passwords"].clone(),
            annotations["synccluster.dev/secrets"].clone(),
        ]
    };
    let uid = |uid: &str| json!({ "demo-client-1-app": uid }).to_string();
    assert_eq!(said(&first), [Value::Null, Value::Null, json!(uid("a"))]);
    assert_eq!(
        said(&anew),
        [json!("anew"), json!("anew"), json!(uid("c"))],
        "the next look reads it there"
    );
    assert_eq!(said(&plan(&valid())), [Value::Null, Value::Null, Value::Null]);
}
