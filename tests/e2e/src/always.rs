//! A test, and what has to be undone after it, however it ends.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::Result;
use futures::FutureExt as _;

/// Runs a test, and then what undoes it. That is told why the test failed, if it did.
pub(crate) async fn always(
    test: impl Future<Output = Result<()>>,
    undo: impl AsyncFnOnce(Option<&str>) -> Result<()>,
) -> Result<()> {
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    let failed = match &outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some("an assertion failed".to_owned()),
    };
    let undone = undo(failed.as_deref()).await;
    if let (Some(_), Err(error)) = (&failed, &undone) {
        // What is handed on is why the test failed.
        eprintln!("and after that: {error:#}");
    }
    match outcome {
        Ok(result) => result.and(undone),
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{anyhow, bail};

    use super::*;

    #[tokio::test]
    async fn a_test_is_undone_however_it_ends() {
        let mut told = Vec::new();
        for end in ["well", "error", "panic"] {
            let test = async {
                match end {
                    "well" => Ok(()),
                    "error" => bail!("wrong"),
                    _ => panic!("wrong"),
                }
            };
            let undone = always(test, async |failed| {
                told.push(failed.map(str::to_owned));
                Err(anyhow!("not undone"))
            });
            let outcome = AssertUnwindSafe(undone).catch_unwind().await;
            let said = outcome.map(|result| result.unwrap_err().to_string());
            match end {
                "well" => assert_eq!(said.unwrap(), "not undone"),
                "error" => assert_eq!(said.unwrap(), "wrong"),
                _ => assert!(said.is_err(), "the panic goes on"),
            }
        }
        let expected = [None, Some("wrong"), Some("an assertion failed")];
        assert_eq!(told, expected.map(|why| why.map(str::to_owned)));
    }
}
