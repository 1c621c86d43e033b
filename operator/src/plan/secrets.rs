//! Credentials of the roles of each site. They are created once and never changed: a database that is kept is lost with its password.
//! So, like the volume they open, they stay when the site is scaled away and, unless `whenDeleted: Delete`, when the SyncCluster is deleted.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::POSTGRES_PORT;
use crate::api::Retention;
use crate::names::{self, Component, Role};
use crate::validate::ValidatedCluster;

/// The database every site has.
pub const DATABASE: &str = "app";

/// A Secret that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The site it opens.
    pub site: Site,
    /// As whom.
    pub role: Role,
}

/// The Secrets that have to be created.
pub fn missing(cluster: &ValidatedCluster) -> Vec<Wanted> {
    let all = cluster.sites().flat_map(|site| Role::ALL.map(|role| (site, role)));
    all.map(|(site, role)| Wanted {
        name: names::of_site(&cluster.name, site, role.suffix()),
        site,
        role,
    })
    .filter(|wanted| !cluster.secrets.contains(&wanted.name))
    .collect()
}

/// The Secret with this password, which must consist of letters and digits so that it can stand in a URI.
pub fn secret(cluster: &ValidatedCluster, wanted: &Wanted, password: &str) -> Value {
    let user = wanted.role.user();
    let host = format!("{}.{}.svc", names::site(&cluster.name, wanted.site), cluster.namespace);
    let owners = match cluster.postgres.storage.when_deleted {
        Retention::Retain => json!([]),
        Retention::Delete => json!([cluster.owner]),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": wanted.name,
            "namespace": cluster.namespace,
            "labels": names::labels(&cluster.name, Some(wanted.site), Some(Component::Postgres)),
            "ownerReferences": owners,
        },
        "type": "kubernetes.io/basic-auth",
        "stringData": {
            "username": user,
            "password": password,
            "host": host,
            "port": POSTGRES_PORT.to_string(),
            "dbname": DATABASE,
            "uri": format!("postgresql://{user}:{password}@{host}:{POSTGRES_PORT}/{DATABASE}"),
        },
    })
}
