//! The sites, and connections to them as the application.

use std::{collections::BTreeMap, path::Path, time::Duration};

use synccluster_protocol::{Site, codec::SESSION_SETTINGS};
use synccluster_runtime::{
    postgres::{self, PostgresSecret, connect_once, describe},
    sites,
};
use tokio_postgres::Client;

/// What Postgres shows of these connections.
const APPLICATION: &str = "synccluster-seeder";
/// How long a site that does not answer is tried.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody knows it.
    #[error("there is no site {site}; the sites are {sites}")]
    NoSite {
        /// Who was named.
        site: Site,
        /// Who there is.
        sites: String,
    },
    /// It does not answer.
    #[error("{site}'s database cannot be reached: {reason}")]
    Unreachable {
        /// The site.
        site: Site,
        /// Why.
        reason: postgres::Error,
    },
    /// It does not take what every session sets.
    #[error("{site}'s database refuses the session: {reason}")]
    Refused {
        /// The site.
        site: Site,
        /// Why.
        reason: String,
    },
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Sites(BTreeMap<Site, PostgresSecret>);

impl Sites {
    /// From a folder with one folder a site.
    pub fn read(folder: &Path) -> Result<Self, sites::Error> {
        Ok(Self(sites::read(folder)?))
    }

    /// From Secrets that were read already.
    pub fn new(secrets: BTreeMap<Site, PostgresSecret>) -> Self {
        Self(secrets)
    }

    /// The server first, then the clients.
    pub fn names(&self) -> Vec<Site> {
        self.0.keys().copied().collect()
    }

    /// A connection whose texts are the same at every site. Tries for a while, since a site may be starting.
    pub async fn connect(&self, site: Site) -> Result<Client, Error> {
        let Some(secret) = self.0.get(&site) else {
            let names: Vec<String> = self.0.keys().map(ToString::to_string).collect();
            return Err(Error::NoSite {
                site,
                sites: names.join(", "),
            });
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let client = loop {
            match connect_once(secret, APPLICATION).await {
                Ok(client) => break client,
                Err(reason) if tokio::time::Instant::now() > deadline => {
                    return Err(Error::Unreachable { site, reason });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        };
        let settings = SESSION_SETTINGS.map(|(name, value)| format!("set {name} = '{value}'"));
        client
            .batch_execute(&settings.join(";"))
            .await
            .map_err(|error| Error::Refused {
                site,
                reason: describe(&error),
            })?;
        Ok(client)
    }
}
