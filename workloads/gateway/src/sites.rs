//! The sites the gateway speaks to, each with a few connections.

use std::{collections::BTreeMap, path::Path, time::Duration};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures::future::BoxFuture;
use synccluster_protocol::{Site, codec::SESSION_SETTINGS};
pub use synccluster_runtime::sites::Error;
use synccluster_runtime::{
    postgres::{self, PostgresSecret, tls},
    sites,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::problem::Problem;

/// Connections to one site at most.
const CONNECTIONS: usize = 4;
/// How long a request waits for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// A site's database.
pub struct Database {
    /// As whom, and where.
    pub secret: PostgresSecret,
    pool: Pool,
}

/// All of them, by site.
pub struct Sites(BTreeMap<Site, Database>);

impl Sites {
    /// From a folder with one folder a site, as the operator mounts their Secrets.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self::new(sites::read(folder)?))
    }

    /// From Secrets that were read already.
    pub fn new(secrets: BTreeMap<Site, PostgresSecret>) -> Self {
        let database = |secret: PostgresSecret| Database {
            pool: pool(secret.clone()),
            secret,
        };
        Self(
            secrets
                .into_iter()
                .map(|(site, secret)| (site, database(secret)))
                .collect(),
        )
    }

    /// The server first, then the clients.
    pub fn names(&self) -> impl Iterator<Item = Site> + '_ {
        self.0.keys().copied()
    }

    /// As whom, and where, to connect to each.
    pub fn secrets(&self) -> impl Iterator<Item = (Site, &PostgresSecret)> + '_ {
        self.0.iter().map(|(site, database)| (*site, &database.secret))
    }

    /// The site of this name; 404 if it takes no part.
    pub fn find(&self, name: &str) -> Result<Site, Problem> {
        let known = || self.names().map(|site| site.to_string()).collect::<Vec<_>>().join(", ");
        name.parse()
            .ok()
            .filter(|site| self.0.contains_key(site))
            .ok_or_else(|| {
                let detail = format!("there is no site `{name}`; the sites are {}", known());
                Problem::not_found("unknown-site", "Unknown site", detail)
            })
    }

    /// As whom, and where, to connect to a site.
    pub fn secret(&self, site: Site) -> Option<&PostgresSecret> {
        self.0.get(&site).map(|database| &database.secret)
    }

    /// A connection to a site's database; 503 if it cannot be reached.
    pub async fn connect(&self, site: Site) -> Result<Object, Problem> {
        let Some(database) = self.0.get(&site) else {
            let detail = format!("there is no site `{site}`");
            return Err(Problem::not_found("unknown-site", "Unknown site", detail));
        };
        database.pool.get().await.map_err(|error| {
            let error = usable(&database.secret).err().unwrap_or_else(|| error.to_string());
            let detail = format!("{site}'s database cannot be reached: {error}; its state is shown under components");
            Problem::unavailable("site-unreachable", "Site unreachable", detail)
        })
    }
}

/// Every connection is made from what the Secret says at that moment.
struct Fresh(PostgresSecret);

impl Connect for Fresh {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(async {
            let Ok((config, tls)) = usable(&self.0) else {
                // Fails for want of a host, and `Sites::connect` says what the Secret lacks.
                let nowhere = Config::new().connect(NoTls).await;
                return nowhere.map(|(client, _)| (client, tokio::spawn(async {})));
            };
            let (client, connection) = config.connect(tls).await?;
            let carried = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = postgres::describe(&error), "connection to Postgres ended");
                }
            });
            Ok((client, carried))
        })
    }
}

/// How to connect; or why there is no way to.
fn usable(secret: &PostgresSecret) -> Result<(Config, tls::Connector), String> {
    let login = secret.login().map_err(|error| error.to_string())?;
    // Values have one text at every site, and no request holds a connection for long.
    let settings = [SESSION_SETTINGS.as_slice(), &[("statement_timeout", "10s")]].concat();
    let config = login.config_with("synccluster-gateway", &settings);
    Ok((config, tls::connector(&login.tls)?))
}

fn pool(secret: PostgresSecret) -> Pool {
    let manager = Manager::from_connect(
        Config::new(),
        Fresh(secret),
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    let timeouts = Timeouts {
        wait: Some(PATIENCE),
        create: Some(PATIENCE),
        recycle: Some(PATIENCE),
    };
    // Building fails only for timeouts without a runtime.
    #[expect(clippy::expect_used, reason = "the runtime is given in the same expression")]
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with a runtime")
}
