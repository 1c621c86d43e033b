//! Sessions with Kafka, one after another: each from a usable link until the link is cut, something fails, or the node is to stop.

use std::{fmt::Display, time::Duration};

use synccluster_runtime::{
    kafka::{Refused, Turned},
    link::{Over, Probe, Verdict},
};
use tokio::time;
use tokio_util::sync::CancellationToken;

/// Between a failure and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The same where somebody else's brokers do not take us: only a person changes that, and each try is a handshake of theirs.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

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

/// A session, if the brokers take us: librdkafka would try for ever and say nothing.
async fn checked<S: Sessions>(sessions: &S) -> Result<Result<(), S::Error>, Refused> {
    sessions.probe().kafka().check().await?;
    Ok(sessions.session().await)
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
        let (error, pause) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            over = sessions.probe().over() => match over {
                Over::Cut => ("the link to Kafka is cut: every connection is closed".to_owned(), RETRY_AFTER),
                Over::Turned(Turned::Renewed) => {
                    tracing::info!("the secret of Kafka has changed: going on with what it says now");
                    continue;
                }
                Over::Turned(Turned::Refused(refused)) => (refused.to_string(), ASK_AGAIN_AFTER),
            },
            ended = checked(&sessions) => match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => (error.to_string(), RETRY_AFTER),
                Err(refused) => (refused.to_string(), ASK_AGAIN_AFTER),
            },
        };
        tracing::warn!(error, "session ended");
        sessions.told(Some(error));
        let renewed = sessions.probe().kafka().renewed();
        tokio::select! { () = stop.cancelled() => {}, () = renewed => {}, () = time::sleep(pause) => {} }
    }
}
