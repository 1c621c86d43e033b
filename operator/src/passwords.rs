//! Secrets that were made anew. A site's Postgres gives its roles their passwords when it starts: where somebody deletes a role's Secret, the
//! operator makes another with a password that no database knows, and the Postgres has to start once more. Pure, from metadata alone.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use synccluster_protocol::Site;

use crate::names::SITE_LABEL;

/// So far may the clocks of several API servers be apart: Secrets are made just before the StatefulSet that uses them.
const CLOCKS_APART_SECONDS: i64 = 10;

/// The UIDs of Secrets that are younger than the StatefulSet of their site's Postgres, by site. Of those it was made with nothing is said: so
/// neither the first look nor a new operator restarts a Postgres.
pub fn made_anew<'a>(
    secrets: impl Iterator<Item = &'a ObjectMeta>,
    databases: impl Iterator<Item = &'a ObjectMeta>,
) -> BTreeMap<Site, BTreeSet<String>> {
    let databases: BTreeMap<Site, i64> = databases.filter_map(born).collect();
    let mut anew: BTreeMap<Site, BTreeSet<String>> = BTreeMap::new();
    for secret in secrets {
        if let Some((site, second)) = born(secret)
            && let Some(uid) = &secret.uid
            && databases
                .get(&site)
                .is_some_and(|database| second > database + CLOCKS_APART_SECONDS)
        {
            anew.entry(site).or_default().insert(uid.clone());
        }
    }
    anew
}

/// Whose it is, and when it was made.
fn born(meta: &ObjectMeta) -> Option<(Site, i64)> {
    let site = meta.labels.as_ref()?.get(SITE_LABEL)?.parse().ok()?;
    Some((site, meta.creation_timestamp.as_ref()?.0.as_second()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::fixture::after;

    fn made(uid: &str, site: &str, second: i64) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.to_owned()),
            labels: Some(BTreeMap::from([(SITE_LABEL.to_owned(), site.to_owned())])),
            creation_timestamp: Some(Time(after(second))),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_what_came_after_the_database_is_new() {
        let database = [made("set", "client-1", 0)];
        let seen = |secrets: &[ObjectMeta]| made_anew(secrets.iter(), database.iter());
        let first = [made("a", "client-1", -1), made("b", "client-1", 2)];
        assert!(
            seen(&first).is_empty(),
            "made with it, by an API server whose clock is ahead"
        );
        let later = [
            made("a", "client-1", -1),
            made("c", "client-1", 60),
            made("d", "client-1", 90),
        ];
        let uids = BTreeSet::from(["c".to_owned(), "d".to_owned()]);
        assert_eq!(seen(&later), BTreeMap::from([(Site::Client(1), uids)]));
        assert!(
            seen(&[made("e", "client-2", 60)]).is_empty(),
            "its database is still to be made"
        );
        let of_the_cluster = ObjectMeta {
            labels: None,
            ..made("f", "client-1", 60)
        };
        assert!(seen(&[of_the_cluster]).is_empty());
    }
}
