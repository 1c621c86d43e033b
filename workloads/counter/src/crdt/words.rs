//! The words of a log: who wrote it, where an entry stands, what it says. Everything is checked where it is made, so that what
//! comes from a disk or a peer is as good as what comes from a client.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Which of the nodes: 0 to n-1, as the StatefulSet counts its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(pub u16);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ordinal {
    type Err = WordError;

    /// `2`, or a pod's name that ends with it: `demo-counter-2`.
    fn from_str(text: &str) -> Result<Self, WordError> {
        let digits = match text.rsplit_once('-') {
            Some((pod, digits)) if !pod.is_empty() => digits,
            _ => text,
        };
        let canonical = digits == "0" || !digits.starts_with(['0', '+']);
        let number = digits.parse().ok().filter(|_| canonical);
        number.map(Self).ok_or_else(|| WordError::Ordinal(text.to_owned()))
    }
}

/// One life of a node's log directory. Made at random with an empty directory; later ones are higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Milliseconds since the Unix epoch and sixteen random bits.
    pub fn new(now_millis: i64, random: u16) -> Self {
        Self(now_millis.unsigned_abs() << 16 | u64::from(random))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who writes a log: a node in one incarnation. Where two logs have the same request, the higher origin takes its own entry back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node.
    pub ordinal: Ordinal,
    /// Its log's life.
    pub incarnation: Incarnation,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ordinal, self.incarnation)
    }
}

/// A place in one node's log: 1, 2, 3 …; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a word was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not a node's number.
    #[error("`{0}` is not a node: write its ordinal, or a pod's name that ends with it, like demo-counter-2")]
    Ordinal(String),
    /// Too short or too long.
    #[error("{what} has {length} bytes: it needs 1 to {limit}")]
    Length {
        /// Of what.
        what: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A line break, a NUL, an escape.
    #[error("{what} has a control character: leave out line breaks, tabs and the like")]
    Control {
        /// In what.
        what: &'static str,
    },
    /// Not one to a thousand.
    #[error("n is {0}: write 1 to {MAX_N}")]
    Number(i64),
}

/// The most likes one request may count.
pub const MAX_N: i32 = 1000;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes it may have.
            pub const LIMIT: usize = $limit;

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                if !(1..=$limit).contains(&text.len()) {
                    return Err(WordError::Length { what: $what, length: text.len(), limit: $limit });
                }
                if text.chars().any(char::is_control) {
                    return Err(WordError::Control { what: $what });
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = WordError;

            fn try_from(text: String) -> Result<Self, WordError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// What is liked.
    Id, "id", 256
}
text! {
    /// Who likes it.
    By, "by", 128
}
text! {
    /// A client's name for one request: the same name again is the same request. `<client>/<number>` is remembered until the client has been
    /// idle for long, anything else for a while.
    Request, "request", 128
}

/// A record of a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place; the log has no gaps.
    pub position: Position,
    /// When it was written by the node's clock, in milliseconds since the Unix epoch. A clock that was set back
    /// shows: nothing but windows of time depends on it.
    pub at: i64,
    /// What it says.
    pub what: What,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Likes, or unlikes.
    Add(Add),
    /// An own earlier entry does not count, because another node has counted the same request.
    Void(Void),
}

/// Likes (positive) or unlikes (negative).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Of what.
    pub id: Id,
    /// By whom.
    pub by: By,
    /// How many; never 0.
    pub n: i32,
    /// The client's name for it.
    pub request: Option<Request>,
}

/// What it takes back is told again in full, so that a peer that keeps sums alone can apply it and a publisher can negate it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    /// The entry it takes back.
    pub position: Position,
    /// Of what that was.
    pub id: Id,
    /// By whom.
    pub by: By,
    /// How many that were, as they were counted: what is taken back is `-n`.
    pub n: i32,
    /// When that was.
    pub at: i64,
    /// Its request, which from now on counts elsewhere.
    pub request: Request,
}

impl Entry {
    /// The id it concerns.
    pub fn id(&self) -> &Id {
        match &self.what {
            What::Add(add) => &add.id,
            What::Void(void) => &void.id,
        }
    }
}
