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

/// Looks for a while; whatever is seen has to be right. For what must not happen. Who does not answer has said nothing, and is asked again.
pub async fn stays<T>(
    time: Duration,
    mut look: impl AsyncFnMut() -> Result<T>,
    is_right: impl Fn(T) -> Result<()>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        is_right(eventually(PATIENCE, async || look().await).await?)?;
        if asked >= time {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// Asks the API server for what does no harm if it is done twice: again while it is not reached, or says that the fault is its own, such as an
/// etcd that takes too long. What it refuses is the answer.
pub async fn answered<T, Asked>(ask: impl Fn() -> Asked) -> Result<T, kube::Error>
where
    Asked: Future<Output = Result<T, kube::Error>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(error) if is_passing(&error) && Instant::now() < end => sleep(POLL).await,
            answer => return answer,
        }
    }
}

fn is_passing(error: &kube::Error) -> bool {
    match error {
        // A field that does not exist, or has another type, is its fault by its own code (500), and stays so.
        kube::Error::Api(status) => status.code >= 500 && !status.message.contains("typed patch object"),
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::UpgradeConnection(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::{bail, ensure};
    use kube::core::Status;

    use super::*;

    /// How often it was asked; the third time nobody answers.
    fn look(asked: &Cell<u32>) -> Result<u32> {
        asked.set(asked.get() + 1);
        ensure!(asked.get() != 3, "nobody there");
        Ok(asked.get())
    }

    #[tokio::test]
    async fn what_is_seen_has_to_be_right_and_who_does_not_answer_has_said_nothing() {
        let asked = Cell::new(0);
        let below_five = |n: u32| if n < 5 { Ok(()) } else { bail!("{n}") };
        let wrong = stays(Duration::from_mins(1), async || look(&asked), below_five).await;
        assert_eq!(wrong.unwrap_err().to_string(), "5");
        let anything = |_: u32| Ok(());
        stays(Duration::ZERO, async || look(&asked), anything).await.unwrap();
    }

    #[tokio::test]
    async fn a_fault_of_the_api_server_passes_and_a_refusal_is_the_answer() {
        let asked = Cell::new(0);
        let said = answered(|| async {
            asked.set(asked.get() + 1);
            let status = Status {
                code: if asked.get() < 3 { 500 } else { 403 },
                ..Status::default()
            };
            Err::<(), _>(kube::Error::Api(Box::new(status)))
        });
        assert!(matches!(said.await, Err(kube::Error::Api(status)) if status.code == 403));
        assert_eq!(asked.get(), 3);
    }
}
