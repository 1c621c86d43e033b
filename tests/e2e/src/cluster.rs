//! A SyncCluster under test, with methods that read like statements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use synccluster_operator::api::{Partition, SyncCluster};
use synccluster_operator::assess::condition;
use synccluster_operator::names::{self, Component, Role};
use synccluster_protocol::{ClusterName, Site};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use crate::pods::EXEC;
use crate::reach::Matrix;
use crate::{Namespace, PATIENCE, START, answered, eventually, stays, with_namespace};

const NAME: &str = "shop";
const SCHEMA: &str = include_str!("schema.sql");

/// A cluster in a namespace of its own.
#[derive(Clone)]
pub struct Cluster {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name.
    pub name: ClusterName,
}

/// Runs a test with a cluster that is Ready.
pub async fn with_cluster(purpose: &str, clients: u16, test: impl AsyncFnOnce(&Cluster) -> Result<()>) -> Result<()> {
    with_cluster_of(purpose, clients, &json!({}), test).await
}

/// The same with more in its spec.
pub async fn with_cluster_of(
    purpose: &str,
    clients: u16,
    more: &Value,
    test: impl AsyncFnOnce(&Cluster) -> Result<()>,
) -> Result<()> {
    with_namespace(purpose, async |namespace| {
        let cluster = Cluster::started_in(namespace, clients, more).await?;
        Box::pin(test(&cluster)).await
    })
    .await
}

/// The ConfigMap with the migrations.
pub fn migrations() -> &'static str {
    "shop-schema"
}

impl Cluster {
    /// One that is Ready, in this namespace.
    pub async fn started_in(namespace: &Namespace, clients: u16, more: &Value) -> Result<Self> {
        let cluster = Self {
            namespace: namespace.clone(),
            name: NAME.parse()?,
        };
        namespace
            .config_map(migrations(), &json!({ "V1__tables.sql": SCHEMA }))
            .await?;
        cluster.create_with(clients, more).await?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Applies it with this many clients. Sites are compared more often than usual, so that a test waits less.
    pub async fn create(&self, clients: u16) -> Result<()> {
        self.create_with(clients, &json!({})).await
    }

    /// The same with more in its spec.
    pub async fn create_with(&self, clients: u16, more: &Value) -> Result<()> {
        let mut spec = json!({
            "clients": clients,
            "schema": { "migrations": { "configMap": { "name": migrations() } } },
            "sync": { "digestInterval": "2s" },
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        self.namespace.apply(self.name.as_str(), &spec).await?;
        Ok(())
    }

    /// The resource as it is now.
    pub async fn get(&self) -> Result<SyncCluster> {
        let api = self.namespace.api::<SyncCluster>();
        Ok(answered(|| api.get(self.name.as_str())).await?)
    }

    /// The sites the resource asks for.
    pub async fn sites(&self) -> Result<Vec<Site>> {
        Ok(Site::all(u16::try_from(self.get().await?.spec.clients)?).collect())
    }

    /// Merges this into the spec.
    pub async fn patch(&self, spec: &Value) -> Result<(), kube::Error> {
        self.merge(&json!({ "spec": spec })).await
    }

    /// Merges an annotation into the resource.
    pub async fn annotate(&self, annotation: &str, value: &str) -> Result<()> {
        let annotations = json!({ annotation: value });
        Ok(self
            .merge(&json!({ "metadata": { "annotations": annotations } }))
            .await?)
    }

    async fn merge(&self, rest: &Value) -> Result<(), kube::Error> {
        let (api, as_asked) = (self.namespace.api::<SyncCluster>(), PatchParams::default());
        let patch = Patch::Merge(rest);
        answered(|| api.patch(self.name.as_str(), &as_asked, &patch))
            .await
            .map(drop)
    }

    /// Asks for a partition.
    pub async fn cut(&self, partition: &Partition) -> Result<()> {
        let Partition {
            clients,
            server,
            counters,
            link,
            heal_after,
        } = partition;
        let partition = json!({ "clients": clients, "server": server, "counters": counters, "link": link, "healAfter": heal_after });
        Ok(self.patch(&json!({ "partition": partition })).await?)
    }

    /// Asks for its end.
    pub async fn heal(&self) -> Result<()> {
        Ok(self.patch(&json!({ "partition": null })).await?)
    }

    /// `kubectl scale synccluster`.
    pub async fn scale(&self, clients: u16) -> Result<()> {
        let (api, as_asked) = (self.namespace.api::<SyncCluster>(), PatchParams::default());
        let patch = Patch::Merge(json!({ "spec": { "replicas": clients } }));
        answered(|| api.patch_scale(self.name.as_str(), &as_asked, &patch)).await?;
        Ok(())
    }

    /// Deletes the resource; does not wait.
    pub async fn delete(&self, how: &DeleteParams) -> Result<()> {
        let api = self.namespace.api::<SyncCluster>();
        match answered(|| api.delete(self.name.as_str(), how)).await {
            // It went at the first asking.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop).map_err(Into::into),
        }
    }

    /// Waits until a condition, said of the resource as it is now, has this status and reason; returns its message.
    pub async fn says(&self, limit: Duration, type_: &str, status: &str, reason: &str) -> Result<String> {
        eventually(limit, async || {
            let resource = self.get().await?;
            let said = resource
                .status
                .as_ref()
                .and_then(|status| condition(status, type_))
                .context("no status yet")?;
            ensure!(
                said.observed_generation == resource.metadata.generation,
                "{type_} is about an older generation"
            );
            ensure!(
                said.status == status && said.reason == reason,
                "{type_} is {} ({}: {}), not {status} ({reason})",
                said.status,
                said.reason,
                said.message
            );
            Ok(said.message.clone())
        })
        .await
    }

    /// Waits until everything runs.
    pub async fn ready(&self) -> Result<()> {
        self.says(START, "Ready", "True", "Running").await.map(drop)
    }

    /// Waits until the partition is measured to hold.
    pub async fn enforced(&self) -> Result<()> {
        self.says(PATIENCE, "PartitionEnforced", "True", "Verified")
            .await
            .map(drop)
    }

    /// Waits until the operator says that all sites are the same, and the sites agree.
    pub async fn converged(&self) -> Result<()> {
        // What is said may be from before the last write: what the databases say comes first.
        eventually(START, async || {
            let digests = self
                .everywhere("select digest || ' ' || rows from sync.digest()")
                .await?;
            let distinct: BTreeSet<&Vec<String>> = digests.values().collect();
            ensure!(distinct.len() == 1, "the sites differ: {digests:?}");
            Ok(())
        })
        .await?;
        self.says(START, "Converged", "True", "DigestsEqual").await.map(drop)
    }

    /// The lines psql prints at a site, as its superuser.
    pub async fn sql(&self, site: Site, statement: &str) -> Result<Vec<String>> {
        let pod = format!("{}-0", names::site(&self.name, site));
        let (sessions, pods) = (&self.namespace.sessions, self.namespace.api());
        let asked = sessions.ask(&pods, &pod, Component::Postgres.as_str(), statement);
        // In a pod that was killed it may never end.
        timeout(EXEC, asked)
            .await
            .with_context(|| format!("no end within {EXEC:?}"))
            .and_then(|asked| asked)
            .with_context(|| format!("{statement} in {pod}"))
    }

    /// The same at every site.
    pub async fn everywhere(&self, statement: &str) -> Result<BTreeMap<Site, Vec<String>>> {
        let ask = async |site| Ok::<_, anyhow::Error>((site, self.sql(site, statement).await?));
        Ok(try_join_all(self.sites().await?.into_iter().map(ask))
            .await?
            .into_iter()
            .collect())
    }

    /// Waits until a query prints these lines at a site.
    pub async fn shows(&self, site: Site, query: &str, expected: &[&str]) -> Result<()> {
        eventually(PATIENCE, async || {
            let seen = self.sql(site, query).await?;
            ensure!(seen == expected, "{site}: {query}: {seen:?} instead of {expected:?}");
            Ok(())
        })
        .await
    }

    /// Every site writes a row with this mark.
    pub async fn mark(&self, mark: &str) -> Result<()> {
        let write = async |site: Site| {
            self.sql(
                site,
                &format!("insert into notes (mark, site) values ('{mark}', '{site}')"),
            )
            .await
        };
        try_join_all(self.sites().await?.into_iter().map(write)).await.map(drop)
    }

    /// Who has whose marked rows.
    pub async fn matrix(&self, mark: &str) -> Result<Matrix> {
        let seen = self
            .everywhere(&format!("select site from notes where mark = '{mark}'"))
            .await?;
        let parse = |(site, lines): (Site, Vec<String>)| {
            let count = lines.len();
            let sources = lines
                .into_iter()
                .map(|line| Ok(line.parse()?))
                .collect::<Result<BTreeSet<Site>>>()?;
            ensure!(sources.len() == count, "{site} has a row twice");
            Ok((site, sources))
        };
        seen.into_iter().map(parse).collect()
    }

    /// Waits until the rows with this mark are exactly where they should be.
    pub async fn spreads(&self, mark: &str, expected: &Matrix) -> Result<()> {
        eventually(PATIENCE, async || is_spread(mark, &self.matrix(mark).await?, expected)).await
    }

    /// Looks for so long, and at least once: they have to be there, and nowhere else.
    pub async fn stays_spread(&self, time: Duration, mark: &str, expected: &Matrix) -> Result<()> {
        let is_right = |seen| is_spread(mark, &seen, expected);
        stays(time, async || self.matrix(mark).await, is_right).await
    }

    /// Who the application is at a site's database, wherever that is reached.
    pub async fn as_app(&self, site: Site) -> Result<Config> {
        let secret = names::of_site(&self.name, site, Role::App.suffix());
        let mut config = Config::new();
        config
            .user(Role::App.user())
            .dbname("app")
            .password(self.key_of(&secret, "password").await?);
        Ok(config)
    }

    /// A connection of the application to a site's database, through the API server.
    pub async fn app(&self, site: Site) -> Result<Client> {
        let pod = format!("{}-0", names::site(&self.name, site));
        let pods = self.namespace.api::<Pod>();
        let mut forward = answered(|| pods.portforward(&pod, &[5432])).await?;
        let stream = forward.take_stream(5432).context("no stream")?;
        let config = self.as_app(site).await?;
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        tokio::spawn(async move {
            // Ends with the client; the forwarding ends with it.
            let _ = connection.await;
            drop(forward);
        });
        Ok(client)
    }
}

fn is_spread(mark: &str, seen: &Matrix, expected: &Matrix) -> Result<()> {
    ensure!(seen == expected, "{mark}: {seen:?} instead of {expected:?}");
    Ok(())
}
