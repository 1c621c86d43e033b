//! Sessions with Kafka, one after another: each from a usable link until the link is cut, something fails, or the node is to stop.

use std::{fmt::Display, time::Duration};

use synccluster_runtime::link::{Probe, Verdict};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A sign of life now and then, while there is no way to Kafka.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// What publishing and windows do while Kafka is in reach. Without Kafka they wait; nothing of the node waits with them.
pub trait Sessions: Send + Sync {
    /// Why a session failed.
    type Error: Display + Send;

    /// The way to Kafka.
    fn probe(&self) -> &Probe;

    /// One session. It is dropped when the link is cut or the node is to stop, and everything it holds is closed by that; what it was in the
    /// middle of begins again from what is stored.
    fn session(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Called again and again while there is no session.
    fn waits(&self) {}

    /// What is told: why there is no session, or nothing while there is one.
    fn told(&self, error: Option<String>);
}

/// Runs until `stop`.
pub async fn supervise(sessions: impl Sessions, stop: CancellationToken) {
    while !stop.is_cancelled() {
        sessions.waits();
        if sessions.probe().verdict() != Verdict::Usable {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sessions.probe().wait_for(Verdict::Usable) => {}
                () = time::sleep(LOOK_AFTER) => {}
            }
            continue;
        }
        let error = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sessions.probe().wait_for(Verdict::Cut) => "the link to Kafka is cut: every connection is closed".to_owned(),
            ended = sessions.session() => match ended {
                Ok(()) => continue,
                Err(error) => error.to_string(),
            },
        };
        tracing::warn!(error, "session ended");
        sessions.told(Some(error));
        tokio::select! { () = stop.cancelled() => {}, () = time::sleep(RETRY_AFTER) => {} }
    }
}
