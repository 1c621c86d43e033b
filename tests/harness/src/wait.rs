//! Waiting for something to become true.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::time::{Instant, sleep, timeout_at};

const PAUSE: Duration = Duration::from_millis(25);

/// Asks until the answer is `Ok`. An `Err` means "not yet" and says what was seen instead; the last one is the error after `limit`.
///
/// ```no_run
/// # async fn f(client: tokio_postgres::Client) -> anyhow::Result<()> {
/// # use std::time::Duration;
/// synccluster_harness::eventually(Duration::from_secs(5), async || {
///     let rows = client.query("SELECT 1 FROM t", &[]).await?.len();
///     anyhow::ensure!(rows == 3, "{rows} rows");
///     Ok(())
/// }).await
/// # }
/// ```
pub async fn eventually<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + limit;
    let mut seen = None;
    while let Ok(answer) = timeout_at(end, ask()).await {
        match answer {
            Ok(value) => return Ok(value),
            Err(error) => seen = Some(error),
        }
        if Instant::now() + PAUSE >= end {
            break;
        }
        sleep(PAUSE).await;
    }
    // Where the question itself hung, what was seen before it says more.
    Err(seen.unwrap_or_else(|| anyhow!("no answer"))).with_context(|| format!("not within {limit:?}; last seen"))
}

/// Asks until the answer is `expected`.
pub async fn eventually_eq<T: PartialEq + Debug>(
    limit: Duration,
    expected: T,
    mut ask: impl AsyncFnMut() -> Result<T>,
) -> Result<()> {
    eventually(limit, async || {
        let seen = ask().await?;
        ensure!(seen == expected, "{seen:?}, expected {expected:?}");
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_observation_is_the_error() {
        let mut n = 0;
        let error = eventually_eq(Duration::from_secs(2), 1_000_000, async || {
            n += 1;
            Ok(n)
        })
        .await
        .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            format!("not within 2s; last seen: {n}, expected 1000000")
        );
        assert!(n > 1);
    }

    #[tokio::test]
    async fn a_question_that_hangs_ends_in_time_with_what_was_seen_before() {
        let mut n = 0;
        let error = eventually::<()>(Duration::from_millis(200), async || {
            n += 1;
            if n == 2 {
                std::future::pending::<()>().await;
            }
            anyhow::bail!("first answer")
        })
        .await
        .unwrap_err();
        assert!(format!("{error:#}").ends_with("first answer"), "{error:#}");
    }
}
