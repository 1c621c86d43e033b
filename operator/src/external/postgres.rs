//! The server's Postgres where it is somebody else's: whether it can be used, what was made in it; a copy of its Secret for applications; and
//! the removal of what was made.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use synccluster_protocol::{ClusterName, Site};
use synccluster_runtime::postgres::secret::Hosting;
use synccluster_runtime::postgres::{self, Login};
use synccluster_schema::external;
use tokio::time::timeout;

use super::say;
use crate::api::{ExternalPostgres, ExternalServer, SyncCluster};
use crate::names::{self, Component, MANAGER, Role};
use crate::observe::Problem;
use crate::validate::{ValidatedCluster, server::External};
use crate::whose;

/// How long it may take to answer; the sites that are well wait for it.
const LIMIT: Duration = Duration::from_secs(4);
/// How long removal may take: tables are altered.
const REMOVAL_LIMIT: Duration = Duration::from_mins(1);
/// How often one that is well is looked at.
const LOOK_SECONDS: i64 = 8;
const APPLICATION: &str = "synccluster-operator";

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerFact {
    /// What keeps it from being used.
    pub problem: Option<Problem>,
    /// What was made in it; absent if it could not be seen.
    pub holds: Option<ExternalPostgres>,
}

struct Seen {
    uid: String,
    generation: i64,
    at: Timestamp,
    fact: ServerFact,
    /// What the copy for applications says.
    copied: Option<Login>,
}

/// Remembers what was seen, so that one that is well is left alone.
#[derive(Default)]
pub struct Servers(Mutex<HashMap<(String, String), Seen>>);

impl Servers {
    /// Looks at the server's Postgres, if it is somebody else's.
    pub async fn look(&self, client: &Client, cluster: &ValidatedCluster, now: Timestamp) -> Option<ServerFact> {
        let external = cluster.server.as_ref()?;
        let key = (cluster.namespace.clone(), cluster.name.to_string());
        let copied = {
            let memory = self.memory();
            let seen = memory.get(&key).filter(|seen| seen.uid == cluster.uid);
            if let Some(seen) = seen
                && seen.generation == cluster.generation
                && seen.fact.problem.is_none()
                && now.as_second() - seen.at.as_second() < LOOK_SECONDS
            {
                return Some(seen.fact.clone());
            }
            seen.and_then(|seen| seen.copied.clone())
        };
        let (fact, copied) = look(client, cluster, external, copied).await;
        let seen = Seen {
            uid: cluster.uid.clone(),
            generation: cluster.generation,
            at: now,
            fact: fact.clone(),
            copied,
        };
        self.memory().insert(key, seen);
        Some(fact)
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<(String, String), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(
    client: &Client,
    cluster: &ValidatedCluster,
    external: &External,
    copied: Option<Login>,
) -> (ServerFact, Option<Login>) {
    let problem = |problem| ServerFact {
        problem: Some(problem),
        holds: None,
    };
    let login = match login(client, &cluster.namespace, external).await {
        Ok(login) => login,
        Err(met) => return (problem(met), copied),
    };
    let name = names::of_site(&cluster.name, Site::Server, Role::App.suffix());
    let mut copy = copied.clone();
    if copied.as_ref() != Some(&login) || !cluster.secrets.contains(&name) {
        match copy_for_applications(client, cluster, &name, &login).await {
            Ok(()) => copy = Some(login.clone()),
            Err(met) => return (problem(met), copied),
        }
    }
    let fact = match timeout(LIMIT, see(cluster, &login)).await {
        Ok(Ok(fact)) => fact,
        Ok(Err(met)) => problem(met),
        Err(_) => problem(say::not_connected(&format!(
            "{login:?}: no answer within {} s",
            LIMIT.as_secs()
        ))),
    };
    (fact, copy)
}

/// What the Secret says.
async fn login(client: &Client, namespace: &str, external: &External) -> Result<Login, Problem> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get_opt(&external.secret).await.map_err(|error| Problem {
        reason: "ExternalSecretUnreadable",
        message: format!(
            "Secret {} cannot be read: {error}; may the operator get Secrets?",
            external.secret
        ),
    })?;
    let data = secret
        .ok_or_else(|| say::no_secret(external, namespace))?
        .data
        .unwrap_or_default();
    let text = |key: &'static str| String::from_utf8(data.get(key)?.0.clone()).ok();
    let login = Login::parse(Hosting::External, text).map_err(|error| say::bad_key(external, &error))?;
    if login.port == external.port {
        Ok(login)
    } else {
        Err(say::other_port(external, login.port))
    }
}

async fn see(cluster: &ValidatedCluster, login: &Login) -> Result<ServerFact, Problem> {
    let (owner, slot) = (
        owner(&cluster.namespace, cluster.name.as_str()),
        cluster.name.slot(Site::Server),
    );
    let connected = postgres::log_in(login, APPLICATION).await;
    let sql = connected.map_err(|error| say::not_connected(&error.to_string()))?;
    let broken =
        |error: tokio_postgres::Error| say::not_connected(&format!("{login:?}: {}", postgres::describe(&error)));
    let address = format!("{}:{}/{}", login.host, login.port, login.dbname);
    let obstacles = external::look(&sql, &owner, &slot).await.map_err(broken)?.obstacles();
    let made = external::made(&sql, &owner, &slot).await.map_err(broken)?;
    Ok(ServerFact {
        problem: (!obstacles.is_empty()).then(|| say::unfit(&address, &obstacles)),
        holds: Some(ExternalPostgres { address, made }),
    })
}

fn owner(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// `<cluster>-server-app`: where applications look at every site. It follows the owner's Secret.
async fn copy_for_applications(
    client: &Client,
    cluster: &ValidatedCluster,
    name: &str,
    login: &Login,
) -> Result<(), Problem> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let refused = |message: String| Problem {
        reason: "ObjectRefused",
        message: format!("Secret {name}, a copy of {}'s for applications: {message}", login.host),
    };
    if !cluster.secrets.contains(name) {
        let there = api
            .get_metadata_opt(name)
            .await
            .map_err(|error| refused(error.to_string()))?;
        if there.is_some_and(|there| !whose::is_ours(cluster, &there.metadata, None)) {
            return Err(refused(
                "one exists that is not this SyncCluster's: delete it, or name the SyncCluster differently".to_owned(),
            ));
        }
    }
    let Login {
        user,
        password,
        host,
        port,
        dbname,
        ..
    } = login;
    let bytes = |text: String| ByteString(text.into_bytes());
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": names::labels(&cluster.name, Some(Site::Server), Some(Component::Postgres)),
            "ownerReferences": [cluster.owner],
        },
        "type": "kubernetes.io/basic-auth",
        "data": {
            "username": bytes(user.clone()),
            "password": bytes(password.clone()),
            "host": bytes(host.clone()),
            "port": bytes(port.to_string()),
            "dbname": bytes(dbname.clone()),
            "uri": bytes(login.uri()),
        },
    });
    let force = PatchParams::apply(MANAGER).force();
    match api.patch_metadata(name, &force, &Patch::Apply(body)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Takes out what was made; the reason if that cannot be done now.
pub async fn remove(client: &Client, cluster: &SyncCluster, external: &ExternalServer) -> Result<(), String> {
    let namespace = cluster.namespace().unwrap_or_default();
    let external = External {
        secret: external.secret.clone(),
        port: u16::try_from(external.port).unwrap_or_default(),
        peers: Vec::new(),
    };
    let name: ClusterName = cluster.name_any().parse().map_err(|error| format!("{error}"))?;
    let login = login(client, &namespace, &external).await.map_err(|met| met.message)?;
    let sql = postgres::log_in(&login, APPLICATION)
        .await
        .map_err(|error| error.to_string())?;
    let (owner, slot) = (owner(&namespace, name.as_str()), name.slot(Site::Server));
    let removing = synccluster_schema::external::remove(&sql, &owner, &slot);
    match timeout(REMOVAL_LIMIT, removing).await {
        Ok(done) => done.map_err(|error| postgres::describe(&error)),
        Err(_) => Err(format!(
            "not done within {} s: is a table locked?",
            REMOVAL_LIMIT.as_secs()
        )),
    }
}
