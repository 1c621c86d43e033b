//! What a person types. Pure.

use crate::crdt::{Id, WordError};

/// What can be typed.
pub const HELP: &str = "like [ID] · unlike [ID] · totals · help · quit";

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One like; without an id of the usual one.
    Like(Option<Id>),
    /// One unlike.
    Unlike(Option<Id>),
    /// All totals.
    Totals,
    /// What can be typed.
    Help,
    /// The end.
    Quit,
    /// An empty line.
    Nothing,
}

/// Why it was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such command.
    #[error("`{0}` is nothing that can be typed: {HELP}")]
    Unknown(String),
    /// No id.
    #[error(transparent)]
    Id(#[from] WordError),
}

/// Reads a line. An id is all that follows, blanks in it included.
pub fn read(line: &str) -> Result<Command, Error> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let id = || {
        if rest.is_empty() {
            Ok(None)
        } else {
            rest.parse().map(Some)
        }
    };
    Ok(match word {
        "like" => Command::Like(id()?),
        "unlike" => Command::Unlike(id()?),
        "" => Command::Nothing,
        "totals" if rest.is_empty() => Command::Totals,
        "help" | "?" if rest.is_empty() => Command::Help,
        "quit" | "exit" if rest.is_empty() => Command::Quit,
        _ => {
            return Err(Error::Unknown(
                line.chars().filter(|c| !c.is_control()).take(60).collect(),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_command_or_a_word_on_what_to_type() {
        let id = |text: &str| Some(text.parse().unwrap());
        for (line, command) in [
            ("like", Command::Like(None)),
            ("  like tea ", Command::Like(id("tea"))),
            ("like\tgreen tea", Command::Like(id("green tea"))),
            ("unlike 茶", Command::Unlike(id("茶"))),
            ("totals", Command::Totals),
            ("?", Command::Help),
            ("quit", Command::Quit),
            ("", Command::Nothing),
        ] {
            assert_eq!(read(line), Ok(command), "{line:?}");
        }
        assert!(read("love tea").unwrap_err().to_string().contains("like [ID]"));
        assert!(read("quit now").is_err());
        assert!(
            read(&format!("like {}", "x".repeat(257)))
                .unwrap_err()
                .to_string()
                .contains("257 bytes")
        );
        assert!(read("like a\u{7}b").unwrap_err().to_string().contains("control"));
    }
}
