//! Sessions, one after another: each from a usable link until the link is cut, something fails, or the process is to stop.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::link::{Probe, Verdict};

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a workload does while its link is usable, and while it is not.
pub trait Sessions: Send + Sync {
    /// Why a session failed.
    type Error: Display + Send;

    /// The way to Kafka.
    fn probe(&self) -> &Probe;

    /// One session. It is dropped when the link is cut or the process is to stop, and everything it holds is closed by that; what it was in
    /// the middle of begins again from what is stored.
    fn session(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Called again and again while the link is not usable; returns after some seconds at most.
    fn wait(&self, verdict: Verdict) -> impl Future<Output = ()> + Send;

    /// A session failed and is tried again.
    fn failed(&self, error: &Self::Error);
}

/// Runs until `stop`.
pub async fn supervise(sessions: impl Sessions, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let verdict = sessions.probe().verdict();
        if verdict != Verdict::Usable {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sessions.probe().wait_for(Verdict::Usable) => {}
                () = sessions.wait(verdict) => {}
            }
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sessions.probe().wait_for(Verdict::Cut) => tracing::warn!("the link to Kafka is cut: every connection is closed"),
            ended = sessions.session() => if let Err(error) = ended {
                tracing::warn!(%error, "session ended; trying again");
                sessions.failed(&error);
                tokio::select! { () = stop.cancelled() => {}, () = time::sleep(RETRY_AFTER) => {} }
            },
        }
    }
}
