//! The end of a container's log.

use std::{collections::VecDeque, time::Duration};

use futures::{AsyncReadExt, io::AsyncRead};
use kube::api::LogParams;
use tokio::time;

use super::{Kubernetes, within};
use crate::problem::Problem;

/// The longest text that is shown.
const LONGEST: usize = 1024 * 1024;
/// How long reading may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// What stands where something was left out.
const LEFT_OUT: &str = "[the beginning is left out]\n";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The pod's first one if not said.
    pub container: Option<String>,
    /// How many lines.
    pub lines: i64,
    /// Of the container before it was started again.
    pub previous: bool,
}

impl Kubernetes {
    /// The last lines of a container's log.
    pub async fn logs(&self, pod: &str, wanted: &Wanted) -> Result<String, Problem> {
        let spec = self.pod(pod).await?.spec.unwrap_or_default();
        let main = spec.containers.iter();
        let names: Vec<&str> = main
            .chain(spec.init_containers.iter().flatten())
            .map(|c| c.name.as_str())
            .collect();
        let container = match &wanted.container {
            Some(name) => names.iter().find(|known| *known == name).copied(),
            None => names.first().copied(),
        };
        let Some(container) = container else {
            let (name, known) = (wanted.container.as_deref().unwrap_or_default(), names.join(", "));
            let detail = format!("{pod} has no container `{name}`; it has {known}");
            return Err(Problem::not_found("unknown-container", "Unknown container", detail));
        };
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(wanted.lines),
            previous: wanted.previous,
            ..LogParams::default()
        };
        let pods = self.pods();
        let stream = within(pods.log_stream(pod, &params), "the log cannot be read").await?;
        match time::timeout(PATIENCE, end_of(stream, LONGEST)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(_) => Err(unreadable(&format!("it takes longer than {} s", PATIENCE.as_secs()))),
        }
    }
}

fn unreadable(why: &dyn std::fmt::Display) -> Problem {
    let detail = format!("the log cannot be read: {why}; ask for fewer lines");
    Problem::unavailable("log-unavailable", "Log unavailable", detail)
}

/// The end of a text, of whole lines. The API server could limit the length as well, but it would leave out the end.
async fn end_of(mut text: impl AsyncRead + Unpin, longest: usize) -> std::io::Result<String> {
    let (mut kept, mut left_out) = (VecDeque::new(), false);
    let mut piece = vec![0; 16 * 1024];
    loop {
        let read = text.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        kept.extend(&piece[..read]);
        if kept.len() > longest {
            left_out = true;
            kept.drain(..kept.len() - longest);
        }
    }
    let kept = Vec::from(kept);
    let kept = String::from_utf8_lossy(&kept);
    if !left_out {
        return Ok(kept.into_owned());
    }
    let whole = kept.split_once('\n').map_or(&*kept, |(_, whole)| whole);
    Ok(format!("{LEFT_OUT}{whole}"))
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn a_long_log_loses_its_beginning_and_no_part_of_a_line() {
        assert_eq!(end_of(Cursor::new("one\ntwo\n"), 8).await.unwrap(), "one\ntwo\n");
        let lines: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        let long = lines.join("\n") + "\n";
        let end = end_of(Cursor::new(long), 100).await.unwrap();
        assert!(end.starts_with(&format!("{LEFT_OUT}line 999")), "{end}");
        assert!(end.ends_with("line 9998\nline 9999\n"), "{end}");
        assert!(end.len() <= 100 + LEFT_OUT.len());
    }
}
