//! How far it is with rows that are sent once more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;
use synccluster_protocol::status::ConnectorStatus;

use super::{at, number, whole_second};
use crate::api::{Resnapshot, ResnapshotState, SiteSnapshot, SyncClusterStatus};
use crate::observe::Observed;
use crate::plan::hash;
use crate::validate::ValidatedCluster;

/// What the annotation asks for; absent without one. A request keeps the name it got when it was first seen, until it is done: the same annotation
/// written again later is another request.
pub fn status(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> Option<Resnapshot> {
    let asked = cluster.resnapshot.as_ref()?;
    let before = previous
        .resnapshot
        .as_ref()
        .filter(|before| before.requested == asked.written);
    let (id, since) = match before {
        Some(before) => (before.id.clone(), before.since.clone()),
        None => (
            hash(&(&cluster.uid, &asked.written, now.as_microsecond())),
            Some(Time(whole_second(now))),
        ),
    };
    let (state, message) = match &asked.what {
        Err(why) => (ResnapshotState::Refused, why.clone()),
        Ok((site, _)) => progress(observed, *site, &id),
    };
    Some(Resnapshot {
        requested: asked.written.clone(),
        id,
        since,
        state,
        message,
    })
}

fn progress(observed: &Observed, site: Site, id: &str) -> (ResnapshotState, String) {
    let Some(connector) = observed.connectors.get(&site) else {
        return (
            ResnapshotState::Waiting,
            format!("the connector of {site} could not be asked"),
        );
    };
    let Some(taken) = connector.resnapshot.as_ref().filter(|taken| taken.id == id) else {
        let why = format!(
            "the connector of {site} has not taken it up yet: it is {:?}",
            connector.phase
        );
        return (ResnapshotState::Waiting, why);
    };
    if let Some(problem) = &taken.problem {
        return (ResnapshotState::Refused, problem.clone());
    }
    if let Some(error) = &taken.error {
        return (ResnapshotState::Failing, error.clone());
    }
    let expected = taken
        .expected
        .map_or(String::new(), |expected| format!(" of about {expected}"));
    let table = taken
        .table
        .as_ref()
        .map_or(String::new(), |table| format!(", now {table}"));
    if taken.done {
        (ResnapshotState::Done, format!("{site} has sent {} rows", taken.rows))
    } else {
        let message = format!("{site} has sent {} rows{expected}{table}", taken.rows);
        (ResnapshotState::Sending, message)
    }
}

/// What a site has sent once more, now or last.
pub fn of_site(connector: &ConnectorStatus) -> Option<SiteSnapshot> {
    let taken = connector.resnapshot.as_ref()?;
    Some(SiteSnapshot {
        id: taken.id.clone(),
        table: taken.table.clone(),
        rows: number(taken.rows),
        expected: taken.expected.map(number),
        began_at: at(taken.began_at),
        done_at: taken.done_at.and_then(at),
    })
}
