//! AnalyticsReady, and how far ClickHouse is. Apart from Ready: sites keep each other the same whether anybody counts their rows or not.

use synccluster_protocol::status::AnalyticsPhase;

use super::Verdict;
use crate::api::{AnalyticsStatus, AnalyticsTable};
use crate::apply::Refused;
use crate::names::{self, Component};
use crate::observe::{Observed, PodFact};
use crate::plan::analytics_secret;
use crate::validate::ValidatedCluster;

/// Its components: what fills ClickHouse, and ClickHouse.
const COMPONENTS: [Component; 2] = [Component::Analytics, Component::ClickHouse];

/// Whether a pod is one of analytics.
pub fn is_part(pod: &PodFact) -> bool {
    COMPONENTS.contains(&pod.component)
}

/// Whether an object that was refused is of analytics.
pub fn concerns(cluster: &ValidatedCluster, refused: &Refused) -> bool {
    [names::analytics(&cluster.name), names::clickhouse(&cluster.name)].contains(&refused.name)
}

/// Whether ClickHouse gets what there is.
pub fn ready(cluster: &ValidatedCluster, observed: &Observed) -> Verdict {
    let Some(wanted) = &cluster.analytics else {
        return Verdict::no("NoAnalytics", "spec.analytics.clickhouse is not set");
    };
    let refused = observed.outcome.refused.iter();
    if let Some(refused) = refused.clone().find(|refused| concerns(cluster, refused)) {
        let message = format!("{} {} was refused: {}", refused.kind, refused.name, refused.message);
        return Verdict::no("ObjectRefused", message);
    }
    if let Some(problem) = observed
        .pods
        .iter()
        .filter(|pod| is_part(pod))
        .find_map(|pod| pod.problem.as_ref())
    {
        return Verdict::no(problem.reason, problem.message.clone());
    }
    // What the sink says of its definitions is of the file that the kubelet brought it last.
    let tables = wanted.tables.as_ref();
    if let Some(problem) = tables.and_then(|tables| tables.problem.clone()) {
        return Verdict::no("DefinitionsInvalid", problem);
    }
    let Some(said) = &observed.analytics else {
        let why = observed.unseen_analytics.as_deref().unwrap_or("it was not asked");
        return Verdict::unknown("CannotSee", format!("{}: {why}", names::analytics(&cluster.name)));
    };
    if let Some(problem) = &said.definitions_problem {
        return Verdict::no("DefinitionsInvalid", problem.clone());
    }
    match (said.phase, &said.error) {
        (AnalyticsPhase::Writing, _) => {}
        (AnalyticsPhase::Starting, error) => {
            return Verdict::no(
                "Starting",
                error
                    .clone()
                    .unwrap_or_else(|| "connecting to Kafka and ClickHouse".to_owned()),
            );
        }
        (AnalyticsPhase::Cut, _) => {
            return Verdict::no(
                "KafkaUnreachable",
                "Kafka cannot be reached; ClickHouse keeps what it has",
            );
        }
        (AnalyticsPhase::Failing, error) => {
            return Verdict::no(
                "Failing",
                error.clone().unwrap_or_else(|| "it failed, and tries again".to_owned()),
            );
        }
    }
    let unwritten: Vec<_> = said
        .tables
        .iter()
        .filter_map(|table| Some((&table.source, table.problem.as_ref()?)))
        .collect();
    if let Some((source, problem)) = unwritten.first() {
        let more = match unwritten.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more, see status.analytics.tables"),
        };
        return Verdict::no("TablesNotWritten", format!("{source} is not written: {problem}{more}"));
    }
    if said.rebuilding_to.is_some() {
        let percent = percent(said).unwrap_or_default();
        return Verdict::no(
            "Rebuilding",
            format!("the tables are filled from the topic: {percent} % of it is there"),
        );
    }
    if let Some(problem) = &said.windows_problem {
        return Verdict::no("WindowsNotWritten", format!("{problem}; the sites' rows are written"));
    }
    if said.parked > 0 {
        let why = said.parked_reason.as_deref().unwrap_or("see its table sync_parked");
        return Verdict::no(
            "RowsLeftOut",
            format!(
                "{} rows are not in ClickHouse, which cannot hold them ({why}); everything else is written",
                said.parked
            ),
        );
    }
    let tables = said.tables.len();
    Verdict::yes(
        "Writing",
        format!("{tables} tables are written as the server's changes come"),
    )
}

/// How far a rebuild is.
fn percent(said: &synccluster_protocol::status::AnalyticsStatus) -> Option<i64> {
    let (end, source) = (said.rebuilding_to?, said.source.as_ref()?);
    Some((source.offset.saturating_mul(100) / end.max(1)).clamp(0, 100))
}

/// How far it is; absent if there are no analytics.
pub fn status(cluster: &ValidatedCluster, observed: &Observed) -> Option<AnalyticsStatus> {
    let wanted = cluster.analytics.as_ref()?;
    let secret = analytics_secret(cluster, wanted);
    let Some(said) = &observed.analytics else {
        return Some(AnalyticsStatus {
            secret,
            ..AnalyticsStatus::default()
        });
    };
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let tables = said.tables.iter().map(|table| AnalyticsTable {
        source: table.source.clone(),
        table: table.table.clone(),
        problem: table.problem.clone(),
    });
    Some(AnalyticsStatus {
        secret,
        version: said.clickhouse_version.clone(),
        generation: said.generation,
        lag_records: said.source.as_ref().map(|source| number(source.lag_records)),
        lag_seconds: Some(number(said.lag_seconds)),
        rebuild_percent: percent(said),
        rows_written: number(said.rows_written),
        parked: number(said.parked),
        tables: tables.collect(),
    })
}
