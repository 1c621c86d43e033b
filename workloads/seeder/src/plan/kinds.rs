//! The words of an order: kinds of writes, and how they are mixed, paired and held.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;

/// A kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WriteKind {
    /// A new row.
    Insert,
    /// Another value in a row.
    Update,
    /// A row less.
    Delete,
}

impl FromStr for WriteKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "insert" => Ok(Self::Insert),
            "update" => Ok(Self::Update),
            "delete" => Ok(Self::Delete),
            other => Err(format!("`{other}` is no kind of write: insert, update or delete")),
        }
    }
}

/// How many writes of a hundred are of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// New rows.
    #[serde(default)]
    pub insert: u8,
    /// Changed rows.
    #[serde(default)]
    pub update: u8,
    /// Deleted rows.
    #[serde(default)]
    pub delete: u8,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            insert: 30,
            update: 60,
            delete: 10,
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "insert={},update={},delete={}",
            self.insert, self.update, self.delete
        )
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no mix: write insert=30,update=60,delete=10");
        let mut mix = Self {
            insert: 0,
            update: 0,
            delete: 0,
        };
        for part in text.split(',') {
            let (kind, share) = part.split_once('=').ok_or_else(wrong)?;
            let share = share.parse().map_err(|_| wrong())?;
            match kind.trim().parse()? {
                WriteKind::Insert => mix.insert = share,
                WriteKind::Update => mix.update = share,
                WriteKind::Delete => mix.delete = share,
            }
        }
        Ok(mix)
    }
}

/// What is written to the same key at two sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// At the one.
    pub first: WriteKind,
    /// At the other.
    pub second: WriteKind,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, second) = text
            .split_once(',')
            .ok_or_else(|| format!("`{text}` is no pair: write delete,update"))?;
        Ok(Self {
            first: first.parse()?,
            second: second.parse()?,
        })
    }
}

/// A site whose transactions stay open for a while before they are committed: what it writes is old when it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The site.
    #[schema(value_type = String, example = "client-1")]
    pub site: Site,
    /// For how long, such as 5s.
    pub time: String,
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (site, time) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` holds nobody: write client-1=5s"))?;
        Ok(Self {
            site: site
                .parse()
                .map_err(|error: synccluster_protocol::site::NameError| error.to_string())?,
            time: time.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_written_in_words() {
        assert_eq!(Mix::default().to_string().parse(), Ok(Mix::default()));
        for wrong in ["", "insert", "insert=x", "upsert=3", "insert=300"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
