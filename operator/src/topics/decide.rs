//! What is done about one topic. Pure.
//!
//! Only forgetting by time can take a change away from a site that has still to read it: compaction keeps the newest change of every row, and a
//! sink judges by version alone. So a change is refused if it makes Kafka forget sooner and a site, or ClickHouse, is behind by too much, or cannot be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use synccluster_protocol::Site;
use synccluster_protocol::status::Millis;

use crate::api::FORCE_TOPICS_ANNOTATION;
use crate::assess::list;
use crate::validate::ValidatedCluster;
use crate::validate::topics::{MANAGED, TopicPolicy};

/// How Kafka is told to decide itself on how many brokers a topic is.
pub const BROKERS_DEFAULT: i32 = -1;
/// The setting that says how long a topic keeps what is in it, in milliseconds.
pub const RETENTION: &str = "retention.ms";
/// A site that is behind gets as long again as it is behind to catch up.
const HEADROOM: u32 = 2;

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What a site sends: nobody else makes it, and all that we decide is decided here.
    Site(Site),
    /// The likes of the counter nodes. They make it; how long it keeps them is decided here.
    Likes,
    /// Their windows of one length; the same holds.
    Windows,
}

impl Purpose {
    /// The settings that are decided; every other one is left as it is.
    pub fn managed(self) -> &'static [&'static str] {
        match self {
            Self::Site(_) => &MANAGED,
            Self::Likes | Self::Windows => &[RETENTION],
        }
    }

    /// What a shorter retention may take from somebody who needs it yet. For a site's topic that is known; here it is not: what is committed can
    /// stand behind a transaction that is open, and open windows are in their topics and nowhere else.
    fn may_lose(self) -> Option<&'static str> {
        match self {
            Self::Site(_) => None,
            Self::Likes => Some("likes that are in no window yet"),
            Self::Windows => Some("windows that are still open or that ClickHouse lacks"),
        }
    }
}

/// What a topic is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is for.
    pub purpose: Purpose,
    /// Its name.
    pub name: String,
    /// Of the settings we decide, those that are not to have the brokers' default.
    pub settings: BTreeMap<String, String>,
    /// On how many brokers it is made; -1: on as many as the brokers do by default.
    pub replication: i32,
    /// After which time it forgets; absent if it does not.
    pub retention: Option<Duration>,
    /// Whether it is changed even if a site loses what it has still to read.
    pub force: bool,
    /// What the annotation has to be for that.
    pub generation: i64,
}

impl Wanted {
    /// Of a cluster's site.
    pub fn of(cluster: &ValidatedCluster, site: Site) -> Self {
        let policy: &TopicPolicy = cluster.kafka.topics.of(site);
        Self {
            purpose: Purpose::Site(site),
            name: cluster.name.topic(site),
            settings: policy.settings(),
            replication: cluster.kafka.topics.replication.map_or(BROKERS_DEFAULT, i32::from),
            retention: policy.retention,
            force: cluster.kafka.topics.force,
            generation: cluster.generation,
        }
    }
}

/// What Kafka says of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many partitions it has.
    pub partitions: usize,
    /// On how many brokers it is.
    pub replication: i32,
    /// The settings the topic itself has, ours and others.
    pub own: BTreeMap<String, String>,
    /// What holds for the settings we decide, the brokers' defaults included.
    pub effective: BTreeMap<String, String>,
}

impl Seen {
    /// Those of the topic's own settings that we decide.
    pub fn managed(&self, purpose: Purpose) -> BTreeMap<String, String> {
        let is_managed = |name: &str| purpose.managed().contains(&name);
        let managed = self.own.iter().filter(|(name, _)| is_managed(name));
        managed.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// After which time it forgets now; absent if it does not.
    fn retention(&self) -> Option<Duration> {
        let forgets = self.effective.get("cleanup.policy")?.contains("delete");
        // -1: never.
        let millis = self.effective.get(RETENTION)?.parse().ok()?;
        forgets.then(|| Duration::from_millis(millis))
    }
}

/// Who reads topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A site's sink.
    Site(Site),
    /// What fills ClickHouse.
    Analytics,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Analytics => f.write_str("ClickHouse"),
        }
    }
}

/// One that reads the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub who: Who,
    /// The next offset it applies; absent if it could not be asked.
    pub offset: Option<i64>,
    /// Since when it has not reached Kafka; absent while it does.
    pub cut_since: Option<Millis>,
}

/// What lies in a topic behind an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The end of the topic.
    pub end: i64,
    /// When the first record at or behind the offset was sent; absent if there is none.
    pub oldest: Option<Millis>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as wanted.
    Nothing,
    /// It is made.
    Create,
    /// It cannot be said before it is known what lies behind this offset.
    Measure(i64),
    /// It gets these settings, and has no others.
    Alter {
        /// All settings of its own, those we do not decide as they were.
        own: BTreeMap<String, String>,
        /// In words.
        change: String,
    },
    /// It is left as it is, because somebody would lose something; why, and what to do.
    Refuse(String),
    /// It cannot be made so while it lives; what to do.
    Impossible(String),
}

/// Decides. `now` in milliseconds since the Unix epoch.
pub fn decide(wanted: &Wanted, seen: Option<&Seen>, readers: &[Reader], backlog: Option<Backlog>, now: Millis) -> Step {
    let Some(seen) = seen else { return Step::Create };
    if matches!(wanted.purpose, Purpose::Site(_)) && seen.partitions != 1 {
        return Step::Impossible(format!(
            "{} has {} partitions, and a site's commit order is the order of one: delete the topic, and it is made anew; then ask for \
             its rows once more with the annotation synccluster.dev/resnapshot",
            wanted.name, seen.partitions
        ));
    }
    let managed = seen.managed(wanted.purpose);
    if managed != wanted.settings {
        if !wanted.force
            && sooner(wanted, seen)
            && let Some(step) = protect(wanted, readers, backlog, now)
        {
            return step;
        }
        let is_managed = |name: &str| wanted.purpose.managed().contains(&name);
        let others = seen.own.iter().filter(|(name, _)| !is_managed(name));
        let ours = wanted.settings.iter();
        return Step::Alter {
            own: others
                .chain(ours)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            change: change(&managed, &wanted.settings),
        };
    }
    if ![seen.replication, BROKERS_DEFAULT].contains(&wanted.replication) {
        return Step::Impossible(format!(
            "{} is on {} brokers and not on {}: move it with kafka-reassign-partitions.sh",
            wanted.name, seen.replication, wanted.replication
        ));
    }
    Step::Nothing
}

/// Whether Kafka would forget sooner than now.
fn sooner(wanted: &Wanted, seen: &Seen) -> bool {
    wanted
        .retention
        .is_some_and(|wanted| seen.retention().is_none_or(|now| wanted < now))
}

/// What stands against forgetting after the wanted retention.
fn protect(wanted: &Wanted, readers: &[Reader], backlog: Option<Backlog>, now: Millis) -> Option<Step> {
    let retention = wanted.retention?;
    let forced = format!(
        "or let it happen with the annotation {FORCE_TOPICS_ANNOTATION}: \"{}\"",
        wanted.generation
    );
    if let Some(lost) = wanted.purpose.may_lose() {
        return Some(Step::Refuse(format!(
            "{} is left as it is: a retention of {} takes away at once what is older, {lost}, too; look that there are none, {forced}",
            wanted.name,
            span(retention),
        )));
    }
    let unseen: Vec<String> = readers
        .iter()
        .filter(|reader| reader.offset.is_none())
        .map(|reader| reader.who.to_string())
        .collect();
    if !unseen.is_empty() {
        return Some(Step::Refuse(format!(
            "{} is left as it is, for nobody knows how far {} has read it: wait until its sink answers, {forced}",
            wanted.name,
            list(unseen)
        )));
    }
    // What is written from now on is not in the backlog yet, and a site that is cut will miss it all the same.
    let cut = readers
        .iter()
        .filter_map(|reader| Some((reader.cut_since?, reader.who)));
    if let Some((since, who)) = cut.min() {
        let away = Duration::from_millis(u64::try_from(now - since).unwrap_or_default());
        if retention < away * HEADROOM {
            return Some(Step::Refuse(format!(
                "{} is left as it is: {who} has not reached Kafka for {}, and would lose what it has to read to a retention of {}; heal it, choose \
                 a retention of {} or more, {forced}",
                wanted.name,
                span(away),
                span(retention),
                span(away * HEADROOM + Duration::from_secs(1)),
            )));
        }
    }
    let furthest = readers
        .iter()
        .filter_map(|reader| Some((reader.offset?, reader.who)))
        .min()?;
    let Some(backlog) = backlog else {
        return Some(Step::Measure(furthest.0));
    };
    let oldest = backlog.oldest.filter(|_| furthest.0 < backlog.end)?;
    let age = Duration::from_millis(u64::try_from(now - oldest).unwrap_or_default());
    let enough = age * HEADROOM;
    (retention < enough).then(|| {
        Step::Refuse(format!(
            "{} is left as it is: {} has still to read {} records of it, the oldest {} old, and would lose them to a retention of {}; let it catch \
             up, choose a retention of {} or more, {forced}",
            wanted.name,
            furthest.1,
            backlog.end - furthest.0,
            span(age),
            span(retention),
            span(enough + Duration::from_secs(1)),
        ))
    })
}

/// `retention.ms from 3600000 to 60000, segment.ms from the brokers' default to 1000`.
fn change(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> String {
    let shown = |settings: &BTreeMap<String, String>, name: &str| {
        settings
            .get(name)
            .cloned()
            .unwrap_or_else(|| "the brokers' default".to_owned())
    };
    let changed = MANAGED.iter().filter(|name| from.get(**name) != to.get(**name));
    let changed = changed.map(|name| format!("{name} from {} to {}", shown(from, name), shown(to, name)));
    changed.collect::<Vec<_>>().join(", ")
}

/// In the largest unit that does not hide half of it, rounded up.
fn span(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds.div_ceil(60)),
        _ => format!("{}h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests;
