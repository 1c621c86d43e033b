//! Secrets that were made anew. A site's Postgres gives its roles their passwords when it starts: where somebody deletes a role's Secret, the
//! operator makes another with a password that no database knows, and the Postgres has to start once more. Pure, from metadata alone.
//!
//! Which Secrets a database was started with is kept in an annotation of its StatefulSet, which is written together with the pod template that
//! follows from it, so that there is no crash between the two. A Secret of a role that is not in there is no reason to start: it came with a
//! template that mounts it, and the pod that is made from that has it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use synccluster_protocol::{ClusterName, Site};

use crate::names::{self, CLUSTER_LABEL, PASSWORDS_ANNOTATION, Role, SECRETS_ANNOTATION, SITE_LABEL};
use crate::plan::hash;

/// So far may the clocks of several API servers be apart: Secrets are made just before the StatefulSet that uses them.
const CLOCKS_APART_SECONDS: i64 = 10;

/// What is to be written of the passwords of a site's Postgres.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passwords {
    /// UIDs of the roles' Secrets by name. One that is missing at the moment stays: whatever is made in its place is another.
    pub secrets: BTreeMap<String, String>,
    /// What the pod template says of them: the Postgres starts again when it changes. Absent until a Secret was made anew.
    pub mark: Option<String>,
}

impl Passwords {
    /// The StatefulSet's annotations, which the next look reads: of a StatefulSet it sees metadata only, so that what the pod template says has
    /// to stand there once more.
    pub fn annotations(&self) -> impl Iterator<Item = (&'static str, String)> {
        let secrets = (!self.secrets.is_empty()).then(|| (SECRETS_ANNOTATION, json!(self.secrets).to_string()));
        let mark = self.mark.clone().map(|mark| (PASSWORDS_ANNOTATION, mark));
        secrets.into_iter().chain(mark)
    }
}

/// Those of the databases that are there.
pub fn passwords<'a>(
    secrets: impl Iterator<Item = &'a ObjectMeta>,
    databases: impl Iterator<Item = &'a ObjectMeta>,
) -> BTreeMap<Site, Passwords> {
    let secrets: BTreeMap<&str, &ObjectMeta> = secrets
        .filter_map(|secret| Some((secret.name.as_deref()?, secret)))
        .collect();
    databases
        .filter_map(|database| {
            let (cluster, site) = whose(database)?;
            let names = Role::ALL.map(|role| names::of_site(&cluster, site, role.suffix()));
            let of_roles = names.iter().filter_map(|name| secrets.get(name.as_str()).copied());
            Some((site, of(database, &of_roles.collect::<Vec<_>>())))
        })
        .collect()
}

fn whose(database: &ObjectMeta) -> Option<(ClusterName, Site)> {
    let labels = database.labels.as_ref()?;
    Some((
        labels.get(CLUSTER_LABEL)?.parse().ok()?,
        labels.get(SITE_LABEL)?.parse().ok()?,
    ))
}

fn of(database: &ObjectMeta, secrets: &[&ObjectMeta]) -> Passwords {
    let said = |annotation: &str| database.annotations.as_ref()?.get(annotation).cloned();
    let mark = said(PASSWORDS_ANNOTATION);
    let known = said(SECRETS_ANNOTATION).and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(&text).ok());
    // What is written first is all of them: one that was missing just then would count as a new role's.
    if known.is_none() && secrets.len() < Role::ALL.len() {
        return Passwords {
            secrets: BTreeMap::new(),
            mark,
        };
    }
    let there = secrets
        .iter()
        .filter_map(|secret| Some((secret.name.as_ref()?, secret.uid.as_ref()?)));
    let is_anew = match &known {
        Some(known) => there
            .clone()
            .any(|(name, uid)| known.get(name).is_some_and(|had| had != uid)),
        // Nothing has been written yet: the first ones are as old as the database.
        None => secrets.iter().any(|secret| is_younger(secret, database)),
    };
    let mut secrets = known.unwrap_or_default();
    secrets.extend(there.map(|(name, uid)| (name.clone(), uid.clone())));
    Passwords {
        mark: if is_anew { Some(hash(&secrets)) } else { mark },
        secrets,
    }
}

fn is_younger(secret: &ObjectMeta, database: &ObjectMeta) -> bool {
    let second = |meta: &ObjectMeta| Some(meta.creation_timestamp.as_ref()?.0.as_second());
    second(secret)
        .zip(second(database))
        .is_some_and(|(secret, database)| secret > database + CLOCKS_APART_SECONDS)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::fixture::after;

    const ONE: Site = Site::Client(1);
    const ROLES: [&str; 5] = ["app", "admin", "connector", "sink", "gateway"];

    /// A site's Secrets and its database, as the API server has them.
    struct World {
        secrets: BTreeMap<String, ObjectMeta>,
        database: ObjectMeta,
    }

    impl World {
        /// Made just now, Secrets first.
        fn new() -> Self {
            let labels = [(CLUSTER_LABEL, "demo"), (SITE_LABEL, "client-1")];
            let mut world = Self {
                secrets: BTreeMap::new(),
                database: ObjectMeta {
                    labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
                    creation_timestamp: Some(Time(after(0))),
                    ..ObjectMeta::default()
                },
            };
            for role in ROLES {
                world.make(role, "first", -1);
            }
            world
        }

        fn make(&mut self, role: &str, uid: &str, second: i64) {
            let secret = ObjectMeta {
                name: Some(format!("demo-client-1-{role}")),
                uid: Some(format!("{role}-{uid}")),
                creation_timestamp: Some(Time(after(second))),
                ..ObjectMeta::default()
            };
            self.secrets.insert(role.to_owned(), secret);
        }

        /// A look: what is planned is written. Returns what the pod template says.
        fn look(&mut self) -> Option<String> {
            let all = passwords(self.secrets.values(), std::iter::once(&self.database));
            let written = all[&ONE].annotations().map(|(name, text)| (name.to_owned(), text));
            self.database.annotations.get_or_insert_default().extend(written);
            all[&ONE].mark.clone()
        }
    }

    #[test]
    fn a_database_starts_once_for_each_secret_that_is_made_anew() {
        let mut world = World::new();
        assert_eq!([world.look(), world.look()], [None, None]);
        let mut before = None;
        for (uid, second) in [("second", 60), ("third", 90)] {
            world.secrets.remove("app");
            assert_eq!(world.look(), before, "missing: the pod would start without it");
            world.make("app", uid, second);
            let mark = world.look();
            assert!(mark.is_some() && mark != before, "{uid}");
            assert_eq!(world.look(), mark, "once");
            before = mark;
        }
    }

    #[test]
    fn the_secret_of_a_role_that_is_new_comes_with_a_pod_of_its_own() {
        let mut world = World::new();
        world.secrets.remove("gateway");
        // As a release left it that did not have the role.
        let known = world
            .secrets
            .values()
            .map(|secret| (secret.name.clone(), secret.uid.clone()));
        let known = Passwords {
            secrets: known.filter_map(|(name, uid)| name.zip(uid)).collect(),
            mark: None,
        };
        let written = known.annotations().map(|(name, text)| (name.to_owned(), text));
        world.database.annotations = Some(written.collect());
        assert_eq!(world.look(), None, "the look that makes it");
        world.make("gateway", "first", 5000);
        assert_eq!(world.look(), None);
        world.make("gateway", "second", 6000);
        assert!(world.look().is_some());
    }

    #[test]
    fn what_was_made_anew_while_nobody_looked_is_told_by_its_age() {
        let mut world = World::new();
        world.make("sink", "first", 2);
        assert_eq!(
            world.look(),
            None,
            "made with it, by an API server whose clock is ahead"
        );

        let mut world = World::new();
        world.secrets.clear();
        assert_eq!(world.look(), None);
        for role in ROLES {
            assert_eq!(world.look(), None, "not all of them are there");
            world.make(role, "second", 60);
        }
        let mark = world.look();
        assert!(mark.is_some());
        assert_eq!(world.look(), mark);
    }

    #[test]
    fn only_secrets_of_the_sites_roles_count() {
        let mut world = World::new();
        world.look();
        for stranger in ["backup", "app-2"] {
            world.make(stranger, "first", 60);
            world.look();
            world.make(stranger, "second", 90);
            assert_eq!(world.look(), None, "{stranger}");
        }
        let no_database = passwords(world.secrets.values(), std::iter::empty());
        assert!(no_database.is_empty(), "it is still to be made");
    }
}
