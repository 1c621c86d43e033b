//! Credentials of the roles of each site, and the tokens of gateway and seeder. They are created once and never changed. A database that is kept is lost
//! with its password: so, like the volume they open, passwords stay when the site is scaled away and, unless `whenDeleted: Delete`, when the
//! SyncCluster is deleted. Tokens open nothing that stays.

use serde_json::{Value, json};
use synccluster_protocol::Site;

use super::clickhouse::{ADMIN, DATABASE as ANALYTICS};
use super::{CLICKHOUSE_PORT, POSTGRES_PORT};
use crate::api::Retention;
use crate::names::{self, Component, Role};
use crate::validate::{Analytics, ClickHouse, ValidatedCluster};

/// The database every site has.
pub const DATABASE: &str = "app";

/// A Secret that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it opens.
    pub opens: Opens,
}

/// What a Secret opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// A site's database.
    Database {
        /// The site.
        site: Site,
        /// As whom.
        role: Role,
    },
    /// The gateway: to change things, and to look.
    Gateway,
    /// A ClickHouse that the operator runs.
    ClickHouse,
    /// The seeder: to change things, and to look.
    Seeder,
    /// Superset: its administrator, and the sessions of all its people.
    Superset,
    /// JupyterLab: whoever has its token.
    Notebooks,
}

/// The Secrets that have to be created.
pub fn missing(cluster: &ValidatedCluster) -> Vec<Wanted> {
    // An external Postgres has an owner, whose Secret is copied for the application and used for migrations.
    let is_made =
        |(site, role): &(Site, Role)| cluster.external_postgres(*site).is_none() || Role::MADE_OUTSIDE.contains(role);
    let all = cluster.sites().flat_map(|site| Role::ALL.map(|role| (site, role)));
    let databases = all.filter(is_made).map(|(site, role)| Wanted {
        name: names::of_site(&cluster.name, site, role.suffix()),
        opens: Opens::Database { site, role },
    });
    let gateway = cluster.gateway.iter().map(|_| Wanted {
        name: names::gateway(&cluster.name),
        opens: Opens::Gateway,
    });
    let managed = |analytics: &&Analytics| matches!(analytics.clickhouse, ClickHouse::Managed { .. });
    let clickhouse = cluster.analytics.iter().filter(managed).map(|_| Wanted {
        name: names::clickhouse(&cluster.name),
        opens: Opens::ClickHouse,
    });
    let seeder = cluster.seeder.iter().map(|_| Wanted {
        name: names::seeder(&cluster.name),
        opens: Opens::Seeder,
    });
    let superset = cluster.superset.iter().map(|_| Wanted {
        name: names::superset(&cluster.name),
        opens: Opens::Superset,
    });
    let notebooks = cluster.notebooks.iter().map(|_| Wanted {
        name: names::notebooks(&cluster.name),
        opens: Opens::Notebooks,
    });
    databases
        .chain(gateway)
        .chain(clickhouse)
        .chain(seeder)
        .chain(superset)
        .chain(notebooks)
        .filter(|wanted| !cluster.secrets.contains(&wanted.name))
        .collect()
}

/// The Secret. `random` gives another word each time, of letters and digits alone so that it can stand in a URI.
pub fn secret(cluster: &ValidatedCluster, wanted: &Wanted, random: &mut dyn FnMut() -> String) -> Value {
    match wanted.opens {
        Opens::Database { site, role } => database(cluster, &wanted.name, site, role, &random()),
        Opens::ClickHouse => clickhouse(cluster, &wanted.name, &random()),
        Opens::Gateway => tokens(cluster, &wanted.name, Component::Gateway, random),
        Opens::Seeder => tokens(cluster, &wanted.name, Component::Seeder, random),
        Opens::Superset => {
            let keys = json!({ "admin-password": random(), "secret-key": random() });
            of_people(cluster, &wanted.name, Component::Superset, keys)
        }
        Opens::Notebooks => of_people(
            cluster,
            &wanted.name,
            Component::Notebooks,
            json!({ "token": random() }),
        ),
    }
}

/// One token to change things, one to look.
fn tokens(cluster: &ValidatedCluster, name: &str, of: Component, random: &mut dyn FnMut() -> String) -> Value {
    let tokens = json!({ "token": random(), "viewer-token": random() });
    of_people(cluster, name, of, tokens)
}

/// What opens nothing that stays goes with the SyncCluster.
fn of_people(cluster: &ValidatedCluster, name: &str, of: Component, data: Value) -> Value {
    let labels = names::labels(&cluster.name, None, Some(of));
    whole(cluster, name, labels.into(), json!([cluster.owner]), "Opaque", data)
}

fn database(cluster: &ValidatedCluster, name: &str, site: Site, role: Role, password: &str) -> Value {
    let user = role.user();
    let host = format!("{}.{}.svc", names::site(&cluster.name, site), cluster.namespace);
    let owners = match cluster.postgres.storage.when_deleted {
        Retention::Retain => json!([]),
        Retention::Delete => json!([cluster.owner]),
    };
    let labels = names::labels(&cluster.name, Some(site), Some(Component::Postgres));
    if cluster.external_postgres(site).is_some() {
        // Where it is says the Secret of its owner, who may change it.
        let data = json!({ "username": user, "password": password });
        return whole(cluster, name, labels.into(), owners, "kubernetes.io/basic-auth", data);
    }
    let data = json!({
        "username": user,
        "password": password,
        "host": host,
        "port": POSTGRES_PORT.to_string(),
        "dbname": DATABASE,
        "uri": format!("postgresql://{user}:{password}@{host}:{POSTGRES_PORT}/{DATABASE}"),
    });
    whole(cluster, name, labels.into(), owners, "kubernetes.io/basic-auth", data)
}

fn clickhouse(cluster: &ValidatedCluster, name: &str, password: &str) -> Value {
    let kept = cluster
        .analytics
        .as_ref()
        .is_some_and(|analytics| match &analytics.clickhouse {
            ClickHouse::Managed { storage, .. } => storage.when_deleted == Retention::Retain,
            ClickHouse::External { .. } => false,
        });
    let owners = if kept { json!([]) } else { json!([cluster.owner]) };
    let labels = names::labels(&cluster.name, None, Some(Component::ClickHouse));
    let data = json!({
        "url": format!("http://{}.{}.svc:{CLICKHOUSE_PORT}", names::clickhouse(&cluster.name), cluster.namespace),
        "username": ADMIN,
        "password": password,
        "database": ANALYTICS,
    });
    whole(cluster, name, labels.into(), owners, "Opaque", data)
}

fn whole(cluster: &ValidatedCluster, name: &str, labels: Value, owners: Value, kind: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": cluster.namespace, "labels": labels, "ownerReferences": owners },
        "type": kind,
        "stringData": data,
    })
}
