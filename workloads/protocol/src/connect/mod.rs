//! Settings of Kafka Connect's connectors, from templates. Pure.
//!
//! A template is a properties file: `name=value` a line, `#` before a comment. `${name}` is a variable, `${secret:name/key}` a value of a Secret
//! that Connect reads by itself, so that it is in no setting, log or topic; `$` alone is itself. What the guarantees rest on comes from a
//! template of our own, by the same rules, and cannot be set otherwise.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ClusterName, Site,
    event::{Installation, SIGNALS, TableName},
};

const CONTRACT: &str = include_str!("contract.properties");
const DEFAULTS: &str = include_str!("defaults.properties");

/// The key of a ConfigMap that holds the template.
pub const TEMPLATE_KEY: &str = "connector.properties";
/// Keys of a site's Secret that say as whom; the others say where it is.
const WHO: [&str; 2] = ["username", "password"];
/// Settings a template may not have besides those the contract has: they choose, rename or reshape what is sent.
const REFUSED: [&str; 17] = [
    "name",
    "transforms",
    "predicates",
    "key.converter",
    "value.converter",
    "header.converter",
    "table.",
    "schema.",
    "column.",
    "message.key.",
    "topic.naming.",
    "snapshot.mode",
    "snapshot.select.",
    "flush.lsn.",
    "signal.",
    "slot.",
    "database.initial.",
];

/// Settings by name.
pub type Settings = BTreeMap<String, String>;

/// What is wrong with a template, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line is no setting.
    #[error("line {0} is no setting: write name=value, or # before a comment")]
    Line(usize),
    /// A setting comes twice.
    #[error("line {line}: {name} is set twice: remove one")]
    Twice {
        /// Where.
        line: usize,
        /// Which.
        name: String,
    },
    /// `${` without its `}`.
    #[error("line {0}: a `${{` has no `}}`: close it")]
    Open(usize),
    /// A variable nobody knows.
    #[error("line {line}: there is no variable ${{{name}}}: use one of {known}, or ${{secret:name/key}}")]
    Unknown {
        /// Where.
        line: usize,
        /// Which.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A secret that names no key.
    #[error(
        "line {line}: ${{secret:{text}}} is not ${{secret:name/key}}: name a Secret of this namespace and one of its keys"
    )]
    Secret {
        /// Where.
        line: usize,
        /// What it says.
        text: String,
    },
    /// What the guarantees rest on.
    #[error("line {line}: {name} cannot be set: topics, keys, values and positions rest on it; remove the line")]
    Fixed {
        /// Where.
        line: usize,
        /// Which.
        name: String,
    },
}

/// A value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// Its key.
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
    Secret(SecretKey),
    /// A key of the site's own Secret; only the contract has these.
    Postgres(String),
}

/// A template that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<(usize, String, Vec<Piece>)>);

impl Template {
    /// Reads one that somebody wrote; `${postgres:…}` is not theirs.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let template = Self::read(text)?;
        let fixed = Self::read(CONTRACT)?;
        for (line, name, pieces) in &template.0 {
            let line = *line;
            if fixed.0.iter().any(|(_, of_contract, _)| of_contract == name)
                || REFUSED.iter().any(|refused| {
                    name == refused.trim_end_matches('.')
                        || name.starts_with(&format!("{}.", refused.trim_end_matches('.')))
                })
            {
                let name = name.clone();
                return Err(Error::Fixed { line, name });
            }
            for piece in pieces {
                let unknown = match piece {
                    Piece::Variable(name) if !Variables::PUBLIC.contains(&&**name) => name.clone(),
                    Piece::Postgres(key) => format!("postgres:{key}"),
                    _ => continue,
                };
                let known = Variables::PUBLIC.map(|name| format!("${{{name}}}")).join(", ");
                return Err(Error::Unknown {
                    line,
                    name: unknown,
                    known,
                });
            }
        }
        Ok(template)
    }

    fn read(text: &str) -> Result<Self, Error> {
        let mut settings: Vec<(usize, String, Vec<Piece>)> = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let (line, content) = (index + 1, content.trim());
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (name, value) = content.split_once('=').ok_or(Error::Line(line))?;
            let name = name.trim().to_owned();
            if name.is_empty() {
                return Err(Error::Line(line));
            }
            if settings.iter().any(|(_, before, _)| *before == name) {
                return Err(Error::Twice { line, name });
            }
            settings.push((line, name, pieces(line, value.trim())?));
        }
        Ok(Self(settings))
    }

    /// The Secrets it takes values from.
    pub fn secrets(&self) -> BTreeSet<SecretKey> {
        let pieces = self.0.iter().flat_map(|(_, _, pieces)| pieces);
        pieces
            .filter_map(|piece| match piece {
                Piece::Secret(secret) => Some(secret.clone()),
                _ => None,
            })
            .collect()
    }

    fn settings<'a>(&'a self, variables: &'a Variables) -> impl Iterator<Item = (String, String)> + 'a {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => variables.get(name),
            Piece::Secret(SecretKey { name, key }) => format!("${{directory:{}/{name}:{key}}}", variables.secrets),
            Piece::Postgres(key) if WHO.contains(&&**key) => format!("${{directory:{}:{key}}}", variables.postgres),
            Piece::Postgres(key) => format!("${{directory:{}:{key}}}", variables.place),
        };
        self.0
            .iter()
            .map(move |(_, name, pieces)| (name.clone(), pieces.iter().map(text).collect()))
    }
}

fn pieces(line: usize, mut rest: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    while let Some((text, behind)) = rest.split_once("${") {
        let (name, behind) = behind.split_once('}').ok_or(Error::Open(line))?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(match name.split_once(':') {
            Some(("secret", text)) => match text.split_once('/') {
                Some((name, key)) if is_name(name) && is_name(key) => Piece::Secret(SecretKey {
                    name: name.to_owned(),
                    key: key.to_owned(),
                }),
                _ => {
                    return Err(Error::Secret {
                        line,
                        text: text.to_owned(),
                    });
                }
            },
            Some(("postgres", key)) => Piece::Postgres(key.to_owned()),
            _ => Piece::Variable(name.to_owned()),
        });
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// What names of Secrets and of their keys are made of; a name that leads to another folder is none.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain) && !text.starts_with('.')
}

/// What `${…}` stands for.
#[derive(Clone, Debug)]
pub struct Variables {
    /// The cluster.
    pub cluster: ClusterName,
    /// The site.
    pub site: Site,
    /// `host:port` of Kafka.
    pub bootstrap_servers: String,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Which of the site's databases it is.
    pub installation: Installation,
    /// The tables a snapshot sends; `None` where none is needed.
    pub snapshot: Option<Vec<TableName>>,
    /// Generated columns, with their tables.
    pub generated: Vec<(TableName, String)>,
    /// The folder with the site's own Secret.
    pub postgres: String,
    /// The folder that says where the site is: the same, but for a Postgres that is not ours.
    pub place: String,
    /// How it is spoken to, where that is not left to Debezium.
    pub tls: Settings,
    /// The folder with a folder for each Secret that templates name.
    pub secrets: String,
}

impl Variables {
    /// Those a template may use.
    pub const PUBLIC: [&str; 7] = [
        "cluster",
        "site",
        "node",
        "topic",
        "slot",
        "publication",
        "bootstrapServers",
    ];

    fn get(&self, name: &str) -> String {
        let topic = self.cluster.topic(self.site);
        match name {
            "cluster" => self.cluster.to_string(),
            "site" => self.site.to_string(),
            "node" => self.site.node().to_string(),
            "topicPattern" => topic.replace('.', "\\."),
            "topic" => topic,
            "slot" => self.slot.clone(),
            "publication" => self.publication.clone(),
            "bootstrapServers" => self.bootstrap_servers.clone(),
            // A client does not send back what its sink wrote; the server sends everything.
            "origins" => if self.site == Site::Server { "any" } else { "none" }.to_owned(),
            "snapshotMode" => if self.snapshot.is_some() { "initial" } else { "no_data" }.to_owned(),
            "snapshotTables" => {
                let tables = self.snapshot.iter().flatten();
                tables.map(table_pattern).collect::<Vec<_>>().join(",")
            }
            "generatedColumns" => {
                let columns = self.generated.iter();
                let columns =
                    columns.map(|(table, column)| [&*table.schema, &*table.table, &**column].map(pattern).join("\\."));
                columns.collect::<Vec<_>>().join(",")
            }
            "installation" => self.installation.to_string(),
            "signals" => signals().to_string(),
            "signalsPattern" => table_pattern(&signals()),
            _ => String::new(),
        }
    }
}

fn signals() -> TableName {
    TableName::new(SIGNALS.0, SIGNALS.1)
}

/// A table as a regular expression of Java's that nothing else fits.
pub fn table_pattern(table: &TableName) -> String {
    [&*table.schema, &*table.table].map(pattern).join("\\.")
}

/// A name as a regular expression of Java's that nothing else fits.
fn pattern(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars()
        .map(|c| if plain(c) { c.to_string() } else { format!("\\{c}") })
        .collect()
}

/// The settings of a site's connector: our defaults and the site's TLS, what `template` sets otherwise, and what the guarantees rest on.
pub fn settings(template: &Template, variables: &Variables) -> Result<Settings, Error> {
    let (defaults, contract) = (Template::read(DEFAULTS)?, Template::read(CONTRACT)?);
    let mut settings: Settings = defaults.settings(variables).collect();
    settings.extend(variables.tls.clone());
    settings.extend(template.settings(variables));
    settings.extend(contract.settings(variables));
    Ok(settings)
}

#[cfg(test)]
mod tests;
