//! Sessions, one after another.

use std::{sync::Arc, time::Duration};

use synccluster_protocol::status::ConnectorPhase;
use synccluster_runtime::{link::Verdict, postgres};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    session::{self, End, Settings},
    slot,
    state::State,
};

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often the slot is looked at while the link is cut: its WAL grows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn run(settings: Settings, state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if state.probe().verdict() != Verdict::Usable {
            wait_for_link(&settings, &state, &stop).await;
            continue;
        }
        match session::run(&settings, &state, &stop).await {
            Ok(End::Stopped) => break,
            Ok(End::Cut) => tracing::warn!("the link to Kafka is cut: every connection is closed"),
            Err(error) => {
                tracing::warn!(%error, "session ended; trying again");
                state.edit().error = Some(error.to_string());
                state.phase(ConnectorPhase::Failing);
                tokio::select! { () = stop.cancelled() => {}, () = time::sleep(RETRY_AFTER) => {} }
            }
        }
    }
}

async fn wait_for_link(settings: &Settings, state: &State, stop: &CancellationToken) {
    if state.probe().verdict() == Verdict::Cut {
        state.phase(ConnectorPhase::Cut);
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = state.probe().wait_for(Verdict::Usable) => {}
        () = look(settings, state) => {}
    }
}

/// The slot keeps what is written during a cut; how much is said all along.
async fn look(settings: &Settings, state: &State) {
    state.alive();
    if let Ok(client) = postgres::connect_once(&settings.postgres, "synccluster-connector").await
        && let Ok(Some(slot)) = slot::status(&client, &settings.slot).await
    {
        let lag = slot::lag_bytes(&client, slot.confirmed_flush_lsn.unwrap_or_default())
            .await
            .ok();
        let mut status = state.edit();
        status.lag_bytes = lag;
        status.slot = Some(slot);
        status.measured_at = Some(synccluster_runtime::clock::now_millis());
    }
    time::sleep(LOOK_EVERY).await;
}
