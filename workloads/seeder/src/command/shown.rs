//! How results are printed.

use std::{fmt::Write as _, io::Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::run::Progress;

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shown {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Human,
    /// For programs.
    Json,
}

impl Shown {
    fn for_programs(self) -> bool {
        self.json || self.output == Output::Json
    }

    /// Prints one thing; people get `human`.
    pub fn print(self, value: &impl Serialize, human: impl FnOnce() -> String) {
        if self.for_programs() {
            // What is printed is made of texts and numbers; JSON holds it.
            println!("{}", serde_json::to_string(value).unwrap_or_default());
        } else {
            println!("{}", human());
        }
    }

    /// Tells people something beside the result; false when nobody can be told any more.
    pub fn say(self, text: &str) -> bool {
        self.for_programs() || writeln!(std::io::stderr(), "{text}").is_ok()
    }
}

/// A run in a line.
pub fn line(progress: &Progress) -> String {
    let Progress {
        id,
        phase,
        acknowledged,
        planned,
        missed,
        refused,
        unknown,
        seconds,
        rate,
        ..
    } = progress;
    let planned = planned.map(|planned| format!(" of {planned}")).unwrap_or_default();
    let mut line = format!("{id}: {phase:?}, {acknowledged}{planned} acknowledged").to_lowercase();
    // Writing to a text does not fail.
    if *seconds > 0.0 {
        let _ = write!(line, " in {seconds:.1} s ({rate:.0}/s)");
    }
    for (count, what) in [
        (missed, "found no row"),
        (refused, "refused"),
        (unknown, "without an answer"),
    ] {
        if *count > 0 {
            let _ = write!(line, ", {count} {what}");
        }
    }
    for (why, count) in &progress.refusals {
        let _ = write!(line, "\n  {count} x {why}");
    }
    match &progress.error {
        Some(error) => format!("{line}\n  {error}"),
        None => line,
    }
}

/// Runs, a line each.
pub fn lines(all: &[Progress]) -> String {
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
