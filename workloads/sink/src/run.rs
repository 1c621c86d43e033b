//! Sessions, one after another.

use std::{sync::Arc, time::Duration};

use synccluster_protocol::status::SinkPhase;
use synccluster_runtime::link::Verdict;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    session::{self, End, Settings},
    state::State,
};

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often it says it is alive while it waits for the link.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn run(settings: Settings, state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        state.alive();
        match state.probe().verdict() {
            Verdict::Usable => {}
            verdict => {
                if verdict == Verdict::Cut {
                    state.phase(SinkPhase::Cut);
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = state.probe().wait_for(Verdict::Usable) => {}
                    () = time::sleep(SIGN_OF_LIFE) => {}
                }
                continue;
            }
        }
        match session::run(&settings, &state, &stop).await {
            Ok(End::Stopped) => break,
            Ok(End::Cut) => tracing::warn!("the link to Kafka is cut: every connection is closed"),
            Err(error) => {
                tracing::warn!(%error, "session ended; trying again");
                state.edit().error = Some(error.to_string());
                state.phase(SinkPhase::Failing);
                tokio::select! { () = stop.cancelled() => {}, () = time::sleep(RETRY_AFTER) => {} }
            }
        }
    }
}
