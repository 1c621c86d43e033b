//! Waiting for conditions, never for a time alone.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

/// From `kubectl apply` to Ready, with room for a busy machine.
pub const START: Duration = Duration::from_mins(4);
/// For everything else, on a machine that is several times slower than usual: whoever gets an answer sooner does not wait.
pub const PATIENCE: Duration = Duration::from_mins(3);
/// An API server and a database are asked, so not more often than this.
const POLL: Duration = Duration::from_millis(300);

/// Asks until the answer is `Ok`; the last `Err` is the error after `limit`.
pub async fn eventually<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    synccluster_harness::eventually(limit, async || {
        let answer = ask().await;
        if answer.is_err() {
            sleep(POLL).await;
        }
        answer
    })
    .await
}

/// Asks for a while; every answer has to be `Ok`. For what must not happen.
pub async fn stays(time: Duration, mut ask: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        ask().await?;
        if Instant::now() >= end {
            return Ok(());
        }
        sleep(POLL).await;
    }
}
