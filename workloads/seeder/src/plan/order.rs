//! What somebody asks for, on the command line and by REST alike.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use synccluster_runtime::config::parse_duration;

use super::{Hold, Mix, Pair, WriteKind};
use crate::values::Override;

/// The fastest that may be asked for.
const FASTEST: u32 = 100_000;
/// The most rows of one table.
const MOST_ROWS: u64 = 1_000_000_000;

/// Why it cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a whole.
    #[error("the mix must add up to 100: insert={0} update={1} delete={2} is {sum}", sum = u32::from(*.0) + u32::from(*.1) + u32::from(*.2))]
    Mix(u8, u8, u8),
    /// Nobody has such a site.
    #[error("there is no site {site}; the sites are {sites}")]
    NoSite {
        /// Who was named.
        site: Site,
        /// Who there is.
        sites: String,
    },
    /// A conflict takes two.
    #[error("{share} % of conflicting keys need two sites or more; name more with --site, or set conflicts to 0")]
    OneSite {
        /// What was asked for.
        share: u8,
    },
    /// Out of its range.
    #[error("{field} must be {range}, not {value}")]
    Range {
        /// Which.
        field: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        value: String,
    },
    /// Cannot be read.
    #[error("{0}")]
    Format(String),
}

fn range<T: PartialOrd + fmt::Display>(
    field: &'static str,
    value: &T,
    low: &T,
    high: &T,
    range: &'static str,
) -> Result<(), Error> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::Range {
        field,
        range,
        value: value.to_string(),
    })
}

/// A full load: so many new rows in each table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[group(id = "load-order")]
pub struct Load {
    /// The same seed gives the same rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Tables to fill, as schema.table; all enrolled ones unless it is told.
    #[arg(long = "table", value_name = "SCHEMA.TABLE")]
    pub tables: Vec<String>,
    /// Rows of each table.
    #[arg(long, default_value_t = 1000)]
    pub rows: u64,
    /// Another number of rows for one table, as schema.table=number.
    #[arg(long, value_name = "SCHEMA.TABLE=N")]
    pub rows_of: Vec<String>,
    /// Where the rows are written.
    #[arg(long, default_value_t = Site::Server)]
    #[schema(value_type = String, example = "server")]
    pub site: Site,
    /// Values of a column in place of those it would get, as schema.table.column=one|other.
    #[arg(long = "value", value_name = "SCHEMA.TABLE.COLUMN=ONE|OTHER")]
    pub values: Vec<String>,
    /// Number of the first row. Values that have to differ are made of a row's number; so it goes on after the rows this seeder made before, unless it is told.
    #[arg(long)]
    pub first_row: Option<u64>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            seed: 1,
            tables: Vec::new(),
            rows: 1000,
            rows_of: Vec::new(),
            site: Site::Server,
            values: Vec::new(),
            first_row: None,
        }
    }
}

impl Load {
    /// Whether it can be done with these sites.
    pub fn check(&self, sites: &[Site]) -> Result<Vec<Override>, Error> {
        known(self.site, sites)?;
        range("rows", &self.rows, &0, &MOST_ROWS, "between 0 and 1,000,000,000")?;
        for text in &self.rows_of {
            let (table, _) = rows_of(text)?;
            if !self.tables.is_empty() && !self.tables.contains(&table) {
                return Err(Error::Format(format!(
                    "rowsOf names {table}, which is not among the tables to fill: add it there too"
                )));
            }
        }
        overrides(&self.values)
    }

    /// How many rows a table gets.
    pub fn rows_of(&self, table: &str) -> u64 {
        let told = self.rows_of.iter().filter_map(|text| rows_of(text).ok());
        told.filter(|(name, _)| name == table)
            .map(|(_, rows)| rows)
            .next_back()
            .unwrap_or(self.rows)
    }
}

fn rows_of(text: &str) -> Result<(String, u64), Error> {
    let wrong = || {
        Error::Format(format!(
            "`{text}` is no number of rows of a table: write schema.table=number, such as public.todos=1000"
        ))
    };
    let (table, rows) = text.split_once('=').ok_or_else(wrong)?;
    let rows = rows.parse().ok().filter(|rows| *rows <= MOST_ROWS);
    Ok((table.to_owned(), rows.ok_or_else(wrong)?))
}

fn overrides(values: &[String]) -> Result<Vec<Override>, Error> {
    let read = values.iter().map(|text| text.parse());
    read.collect::<Result<_, _>>()
        .map_err(|error: crate::values::OverrideError| Error::Format(error.to_string()))
}

fn known(site: Site, sites: &[Site]) -> Result<(), Error> {
    if sites.contains(&site) {
        return Ok(());
    }
    let names: Vec<String> = sites.iter().map(ToString::to_string).collect();
    Err(Error::NoSite {
        site,
        sites: names.join(", "),
    })
}

/// Writes that go on: at a rate, at several sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[group(id = "deltas-order")]
pub struct Deltas {
    /// The same seed gives the same writes to the same rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Tables to write to, as schema.table; all enrolled ones unless it is told.
    #[arg(long = "table", value_name = "SCHEMA.TABLE")]
    pub tables: Vec<String>,
    /// Sites to write at; all unless it is told.
    #[arg(long = "site")]
    #[schema(value_type = Vec<String>, example = json!(["server", "client-1"]))]
    pub sites: Vec<Site>,
    /// Writes a second, all sites together.
    #[arg(long, default_value_t = 100)]
    pub rate: u32,
    /// How many writes in all; without it and a duration it goes on until it is stopped.
    #[arg(long)]
    pub operations: Option<u64>,
    /// For how long, such as 30s; pauses do not count.
    #[arg(long)]
    pub duration: Option<String>,
    /// How many of a hundred are inserts, updates and deletes.
    #[arg(long, default_value_t = Mix::default())]
    pub mix: Mix,
    /// How much more often some rows are written than others: 0 all alike, 1 the first twice as often as the second (Zipf's law), up to 3.
    #[arg(long, default_value_t = 0.0)]
    pub skew: f64,
    /// Share of updates and deletes, in a hundred, that are made at two sites at once.
    #[arg(long, default_value_t = 0)]
    pub conflicts: u8,
    /// What those two are; of the mix's kind unless it is told.
    #[arg(long, value_name = "KIND,KIND")]
    pub pair: Option<Pair>,
    /// A site that commits late.
    #[arg(long, value_name = "SITE=TIME")]
    pub hold: Option<Hold>,
    /// Values of a column in place of those it would get, as schema.table.column=one|other.
    #[arg(long = "value", value_name = "SCHEMA.TABLE.COLUMN=ONE|OTHER")]
    pub values: Vec<String>,
}

impl Default for Deltas {
    fn default() -> Self {
        Self {
            seed: 1,
            tables: Vec::new(),
            sites: Vec::new(),
            rate: 100,
            operations: None,
            duration: None,
            mix: Mix::default(),
            skew: 0.0,
            conflicts: 0,
            pair: None,
            hold: None,
            values: Vec::new(),
        }
    }
}

impl Deltas {
    /// The sites it writes at.
    pub fn at<'a>(&'a self, sites: &'a [Site]) -> &'a [Site] {
        if self.sites.is_empty() { sites } else { &self.sites }
    }

    /// Whether it can be done with these sites.
    pub fn check(&self, sites: &[Site]) -> Result<Vec<Override>, Error> {
        let Mix { insert, update, delete } = self.mix;
        if u32::from(insert) + u32::from(update) + u32::from(delete) != 100 {
            return Err(Error::Mix(insert, update, delete));
        }
        for &site in self.sites.iter().chain(self.hold.as_ref().map(|hold| &hold.site)) {
            known(site, sites)?;
        }
        range("rate", &self.rate, &1, &FASTEST, "between 1 and 100,000")?;
        range("skew", &self.skew, &0.0, &3.0, "between 0 and 3")?;
        range("conflicts", &self.conflicts, &0, &100, "between 0 and 100")?;
        let mut at = self.at(sites).to_vec();
        at.sort_unstable();
        at.dedup();
        if self.conflicts > 0 && at.len() < 2 {
            return Err(Error::OneSite { share: self.conflicts });
        }
        if self
            .pair
            .is_some_and(|pair| [pair.first, pair.second].contains(&WriteKind::Insert))
        {
            return Err(Error::Format(
                "a pair is of updates and deletes: two sites cannot insert one key that nobody knows".to_owned(),
            ));
        }
        self.lasts()?;
        self.holds()?;
        overrides(&self.values)
    }

    /// For how long it goes on.
    pub fn lasts(&self) -> Result<Option<Duration>, Error> {
        self.duration
            .as_deref()
            .map(parse_duration)
            .transpose()
            .map_err(Error::Format)
    }

    /// Who commits late, and how late.
    pub fn holds(&self) -> Result<Option<(Site, Duration)>, Error> {
        let Some(hold) = &self.hold else { return Ok(None) };
        let time = parse_duration(&hold.time).map_err(Error::Format)?;
        range(
            "hold.time",
            &time.as_secs_f64(),
            &0.0,
            &60.0,
            "60s at most: others wait for the rows meanwhile",
        )?;
        Ok(Some((hold.site, time)))
    }

    /// How many writes it makes at most; a million for one without an end, since something has to be known of the rows it inserts.
    pub fn most(&self) -> u64 {
        let by_time = self
            .lasts()
            .ok()
            .flatten()
            .map(|time| time.as_secs().saturating_add(1).saturating_mul(self.rate.into()));
        [self.operations, by_time]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: [Site; 2] = [Site::Server, Site::Client(1)];

    #[test]
    fn what_is_asked_for_is_checked() {
        let wrong = |spoil: fn(&mut Deltas)| {
            let mut deltas = Deltas::default();
            spoil(&mut deltas);
            deltas.check(&SITES).unwrap_err().to_string()
        };
        assert_eq!(
            wrong(|d| d.mix.update = 61),
            "the mix must add up to 100: insert=30 update=61 delete=10 is 101"
        );
        assert_eq!(
            wrong(|d| d.sites = vec![Site::Client(7)]),
            "there is no site client-7; the sites are server, client-1"
        );
        assert!(wrong(|d| (d.conflicts, d.sites) = (5, vec![Site::Server])).contains("need two sites"));
        assert!(wrong(|d| (d.conflicts, d.sites) = (5, vec![Site::Server; 2])).contains("need two sites"));
        assert!(wrong(|d| d.rate = 0).contains("rate must be between 1"));
        assert!(wrong(|d| d.skew = f64::NAN).contains("skew"));
        assert!(wrong(|d| d.duration = Some("soon".to_owned())).contains("`soon` is not a duration"));
        assert!(wrong(|d| d.hold = Some("client-1=10m".parse().unwrap())).contains("60s at most"));
        assert!(wrong(|d| d.values = vec!["state=a".to_owned()]).contains("`state=a`"));
        assert!(wrong(|d| d.pair = Some("insert,update".parse().unwrap())).contains("two sites cannot insert"));
        assert!(Deltas::default().check(&SITES).is_ok());
    }

    #[test]
    fn rows_of_one_table_may_differ() {
        let load = Load {
            rows_of: vec!["public.a=5".to_owned()],
            ..Load::default()
        };
        assert!(load.check(&SITES).is_ok());
        assert_eq!((load.rows_of("public.a"), load.rows_of("public.b")), (5, 1000));
        for wrong in ["public.a", "public.a=x", "public.a=2000000000"] {
            let load = Load {
                rows_of: vec![wrong.to_owned()],
                ..Load::default()
            };
            assert!(load.check(&SITES).is_err(), "{wrong}");
        }
    }
}
