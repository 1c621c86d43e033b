//! Names: a cluster, its sites, their topics.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The highest ordinal a client may have; versions keep ten bits for the node.
pub const MAX_CLIENTS: u16 = 1000;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS label of at most 32 characters.
    #[error(
        "`{0}` cannot name a cluster: use 1 to 32 lower-case letters, digits and dashes, beginning with a letter and ending with a letter or digit"
    )]
    Cluster(String),
    /// Neither `server` nor `client-<i>`.
    #[error("`{0}` is not a site: a site is `server` or `client-1` to `client-1000`")]
    Site(String),
}

/// The name of a SyncCluster: a DNS label of at most 32 characters, so that every name made from it (the longest is
/// `<cluster>-client-1000-connector` and what Kubernetes adds for a pod) stays within 63.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// The longest name a cluster may have.
    pub const MAX_LENGTH: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic a site's uplink writes: `<cluster>.<site>`.
    pub fn topic(&self, site: Site) -> String {
        format!("{self}.{site}")
    }

    /// The replication slot of a site's uplink: `<cluster>_<site>`, in the letters Postgres allows.
    pub fn slot(&self, site: Site) -> String {
        format!("{self}_{site}").replace('-', "_")
    }

    /// The site whose topic this is, if it is one of this cluster's.
    pub fn site_of_topic(&self, topic: &str) -> Option<Site> {
        topic.strip_prefix(self.as_str())?.strip_prefix('.')?.parse().ok()
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.chars().all(inner);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Cluster(text.to_owned()))
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl TryFrom<String> for ClusterName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// One Postgres database that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Site {
    /// Node 0, where concurrent writes meet.
    Server,
    /// Node i, 1 to [`MAX_CLIENTS`].
    Client(u16),
}

impl Site {
    /// The client with this ordinal.
    pub fn client(ordinal: u16) -> Result<Self, NameError> {
        if (1..=MAX_CLIENTS).contains(&ordinal) {
            Ok(Self::Client(ordinal))
        } else {
            Err(NameError::Site(format!("client-{ordinal}")))
        }
    }

    /// The site with this node number.
    pub fn from_node(node: u16) -> Result<Self, NameError> {
        if node == 0 {
            Ok(Self::Server)
        } else {
            Self::client(node)
        }
    }

    /// The number a site's versions carry.
    pub fn node(self) -> u16 {
        match self {
            Self::Server => 0,
            Self::Client(ordinal) => ordinal,
        }
    }

    /// The server and the clients 1 to `clients`, in node order.
    pub fn all(clients: u16) -> impl Iterator<Item = Self> {
        std::iter::once(Self::Server).chain((1..=clients.min(MAX_CLIENTS)).map(Self::Client))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Client(ordinal) => write!(f, "client-{ordinal}"),
        }
    }
}

impl FromStr for Site {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "server" {
            return Ok(Self::Server);
        }
        // `client-01` would be a second name for the same site.
        let ordinal = text
            .strip_prefix("client-")
            .filter(|digits| !digits.starts_with(['0', '+']));
        ordinal
            .and_then(|digits| digits.parse().ok())
            .and_then(|ordinal| Self::client(ordinal).ok())
            .ok_or_else(|| NameError::Site(text.to_owned()))
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.to_string()
    }
}

impl TryFrom<String> for Site {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_has_one_name_and_one_node() {
        for site in Site::all(MAX_CLIENTS) {
            assert_eq!(site.to_string().parse(), Ok(site));
            assert_eq!(Site::from_node(site.node()), Ok(site));
        }
        for wrong in [
            "",
            "client-",
            "client-0",
            "client-01",
            "client-1001",
            "client-+1",
            "Server",
            "client-99999999",
        ] {
            assert!(wrong.parse::<Site>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_leads_back_to_its_site() {
        let demo: ClusterName = "demo".parse().unwrap();
        assert_eq!(demo.topic(Site::Client(2)), "demo.client-2");
        assert_eq!(demo.site_of_topic("demo.client-2"), Some(Site::Client(2)));
        assert_eq!(demo.site_of_topic("demo2.client-2"), None);
        assert_eq!(demo.site_of_topic("demo.likes"), None);
    }

    #[test]
    fn a_cluster_name_is_a_short_dns_label() {
        for wrong in [
            "",
            "Demo",
            "1demo",
            "demo-",
            "de_mo",
            "a23456789012345678901234567890123",
        ] {
            assert!(wrong.parse::<ClusterName>().is_err(), "{wrong}");
        }
    }
}
