//! Sinks as groups: each keeps its progress in `sync.progress` of the database it applies to.

use std::time::Duration;

use futures::future::join_all;
use synccluster_protocol::{ClusterName, Site};

use tokio::time::timeout;

use super::{Group, GroupKind, GroupLag, GroupProgress, Progress, Topic, groups::total};
use crate::{problem::Problem, sites::Sites};

/// As what a sink is connected to its database.
const APPLICATION: &str = "synccluster-sink";

/// How long a database may take to say how far its sink is, where all are asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sinks of a cluster.
#[derive(Clone, Copy)]
pub struct Sinks<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// Their databases.
    pub sites: &'a Sites,
}

impl Sinks<'_> {
    /// The site whose sink has this group's name.
    pub fn site(self, group: &str) -> Option<Site> {
        self.sites.names().find(|site| self.name(*site) == group)
    }

    fn name(self, site: Site) -> String {
        format!("{}.{site}-sink", self.cluster)
    }

    /// Every sink, with how far it is behind in these topics; one whose database does not answer is said to be unknown.
    pub async fn list(self, topics: &[Topic]) -> Vec<GroupLag> {
        let sink = async |site| match timeout(PATIENCE, self.progress(site, topics)).await {
            Ok(Ok(GroupProgress { group, offsets })) => GroupLag::new(group, total(&offsets, topics)),
            Ok(Err(problem)) => self.unknown(site, problem.detail),
            Err(_) => self.unknown(site, format!("no answer within {} s", PATIENCE.as_secs())),
        };
        join_all(self.sites.names().map(sink)).await
    }

    fn unknown(self, site: Site, why: String) -> GroupLag {
        let group = Group {
            group: self.name(site),
            state: "Unknown".to_owned(),
            members: 0,
            kind: GroupKind::Sink,
        };
        GroupLag::new(group, Err(why))
    }

    async fn group(self, site: Site) -> Result<Group, Problem> {
        let sql = "select from pg_stat_activity where datname = current_database() and application_name = $1";
        let connection = self.sites.connect(site).await?;
        let sessions = connection.query(sql, &[&APPLICATION]).await;
        let members = sessions.map_err(|error| failed(site, &error))?.len();
        Ok(Group {
            group: self.name(site),
            state: if members > 0 { "Stable" } else { "Empty" }.to_owned(),
            members,
            kind: GroupKind::Sink,
        })
    }

    /// How far a site's sink has come in these topics.
    pub async fn progress(self, site: Site, topics: &[Topic]) -> Result<GroupProgress, Problem> {
        let group = self.group(site).await?;
        let sql = "select topic, partition, \"offset\" from sync.progress order by topic, partition";
        let connection = self.sites.connect(site).await?;
        let rows = connection.query(sql, &[]).await.map_err(|error| failed(site, &error))?;
        let stored: Vec<Stored> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_, _>>()
            .map_err(|error| failed(site, &error))?;
        let offsets = offsets(self.cluster, site, topics, &stored);
        Ok(GroupProgress { group, offsets })
    }
}

/// Topic, partition, and the offset that is applied next.
type Stored = (String, i32, i64);

/// The server's sink reads every client's topic, a client's the server's: what it has not begun is at its beginning.
fn offsets(cluster: &ClusterName, site: Site, topics: &[Topic], stored: &[Stored]) -> Vec<Progress> {
    let reads = |topic: &&Topic| {
        let source = cluster.site_of_topic(&topic.name);
        source.is_some_and(|source| (site == Site::Server) != (source == Site::Server))
    };
    let mut offsets = Vec::new();
    for topic in topics.iter().filter(reads) {
        for partition in &topic.partitions {
            let mut of_partition = stored
                .iter()
                .filter(|(name, id, _)| (name, *id) == (&topic.name, partition.id));
            let offset = of_partition.next().map(|stored| stored.2);
            offsets.push(Progress::new(
                &topic.name,
                partition.id,
                offset,
                partition.low,
                partition.high,
            ));
        }
    }
    let listed = |stored: &&Stored| {
        offsets
            .iter()
            .any(|known| (&known.topic, known.partition) == (&stored.0, stored.1))
    };
    let gone: Vec<&Stored> = stored.iter().filter(|stored| !listed(stored)).collect();
    let gone = gone
        .into_iter()
        .map(|(topic, partition, offset)| Progress::new(topic, *partition, Some(*offset), None, None));
    offsets.extend(gone);
    offsets
}

fn failed(site: Site, error: &tokio_postgres::Error) -> Problem {
    let reason = synccluster_runtime::postgres::describe(error);
    let detail = format!("{site}'s database did not tell how far its sink is: {reason}");
    Problem::unavailable("site-unreachable", "Site unreachable", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Partition, Wide};

    fn topic(name: &str, low: i64, high: i64) -> Topic {
        let partition = Partition {
            id: 0,
            leader: Some(1),
            replicas: vec![1],
            low: Some(Wide(low)),
            high: Some(Wide(high)),
        };
        Topic {
            name: name.to_owned(),
            partitions: vec![partition],
            internal: false,
        }
    }

    #[test]
    fn a_sink_reads_the_other_side() {
        let demo: ClusterName = "demo".parse().unwrap();
        let topics = [
            topic("demo.client-1", 0, 10),
            topic("demo.client-2", 5, 9),
            topic("demo.gateway", 0, 3),
            topic("demo.server", 0, 20),
            topic("demo2.client-1", 0, 1),
        ];
        let stored = [
            ("demo.client-1".to_owned(), 0, 7),
            ("demo.client-3".to_owned(), 0, 4),
            ("demo.server".to_owned(), 0, 20),
        ];
        let seen = |site, stored: &[Stored]| -> Vec<(String, Option<i64>, Option<i64>)> {
            let offsets = offsets(&demo, site, &topics, stored).into_iter();
            offsets
                .map(|p| (p.topic, p.offset.map(|o| o.0), p.lag.map(|l| l.0)))
                .collect()
        };
        let named = |name: &str, offset, lag| (name.to_owned(), offset, lag);
        assert_eq!(
            seen(Site::Server, &stored[..2]),
            [
                named("demo.client-1", Some(7), Some(3)),
                named("demo.client-2", None, Some(4)),
                named("demo.client-3", Some(4), None),
            ]
        );
        assert_eq!(
            seen(Site::Client(1), &stored[2..]),
            [named("demo.server", Some(20), Some(0))]
        );
    }
}
