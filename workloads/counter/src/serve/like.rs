//! A like as clients write it.

use serde::Deserialize;

use super::problem::Problem;
use crate::crdt::{Add, MAX_N, WordError};

/// Likes of one request at most.
pub const MANY: usize = 500;

const A_LIKE: &str = r#"a like {"id", "by", "n"?, "request"?}, or an array of them"#;

/// `{id, by, n?, request?}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Like {
    id: String,
    by: String,
    n: Option<i64>,
    request: Option<String>,
}

/// Whether likes are counted up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `like`.
    Up,
    /// `unlike`.
    Down,
}

impl Like {
    /// The client's name for it, as it was written: to answer even what is refused.
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// What goes into the log.
    pub fn check(self, direction: Direction) -> Result<Add, WordError> {
        let n = self.n.unwrap_or(1);
        let checked = i32::try_from(n).ok().filter(|n| (1..=MAX_N).contains(n));
        let checked = checked.ok_or(WordError::Number(n))?;
        Ok(Add {
            id: self.id.parse()?,
            by: self.by.parse()?,
            n: if direction == Direction::Up { checked } else { -checked },
            request: self.request.map(|request| request.parse()).transpose()?,
        })
    }
}

/// One like or an array of them, as a body has it; whether it was an array.
pub fn read(body: &[u8], direction: Direction) -> Result<(Vec<Add>, bool), Problem> {
    let many = body.trim_ascii_start().starts_with(b"[");
    let likes: Vec<Like> = if many {
        serde_json::from_slice(body).map_err(|error| unreadable(&error, A_LIKE))?
    } else {
        vec![serde_json::from_slice(body).map_err(|error| unreadable(&error, A_LIKE))?]
    };
    if likes.len() > MANY {
        return Err(Problem::too_large(format!(
            "{} likes in one request: send {MANY} at most",
            likes.len()
        )));
    }
    let check = |(index, like): (usize, Like)| {
        let place = if many {
            format!("like {index} of the array: ")
        } else {
            String::new()
        };
        like.check(direction)
            .map_err(|error| Problem::bad_like(format!("{place}{error}")))
    };
    let adds = likes.into_iter().enumerate().map(check).collect::<Result<_, _>>()?;
    Ok((adds, many))
}

/// JSON that is none, or JSON that is no like.
pub fn unreadable(error: &serde_json::Error, expected: &str) -> Problem {
    if error.is_data() {
        Problem::bad_like(format!("{error}; write {expected}"))
    } else {
        Problem::unreadable(format!("not JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_up(body: &str) -> Result<(Vec<Add>, bool), Problem> {
        read(body.as_bytes(), Direction::Up)
    }

    #[test]
    fn one_like_or_an_array_of_them() {
        let (adds, many) = read_up(r#" {"id":"a","by":"b"}"#).unwrap();
        assert_eq!((adds[0].n, &adds[0].request, many), (1, &None, false));
        let body = br#" [{"id":"a","by":"b","n":3,"request":"c/1"},{"id":"b","by":"b"}]"#;
        let (adds, many) = read(body, Direction::Down).unwrap();
        assert_eq!(
            (adds[0].n, adds[1].n, adds[0].request.as_ref().unwrap().as_str(), many),
            (-3, -1, "c/1", true)
        );
        assert_eq!(read_up("[]").unwrap(), (vec![], true));
    }

    #[test]
    fn what_is_no_like_is_refused_with_what_is_wrong() {
        let long = |length| "x".repeat(length);
        for (body, status, part) in [
            (String::new(), 400, "not JSON"),
            ("{".to_owned(), 400, "not JSON"),
            ("7".to_owned(), 422, "write a like"),
            (r#"{"id":"a"}"#.to_owned(), 422, "`by`"),
            (r#"{"id":"a","by":"b","x":1}"#.to_owned(), 422, "`x`"),
            (r#"{"id":"","by":"b"}"#.to_owned(), 422, "id has 0 bytes"),
            (format!(r#"{{"id":"{}","by":"b"}}"#, long(257)), 422, "id has 257 bytes"),
            (r#"{"id":"a\nb","by":"b"}"#.to_owned(), 422, "control character"),
            (format!(r#"{{"id":"a","by":"{}"}}"#, long(129)), 422, "by has 129 bytes"),
            (
                format!(r#"{{"id":"a","by":"b","request":"{}"}}"#, long(129)),
                422,
                "request has 129 bytes",
            ),
            (r#"{"id":"a","by":"b","n":0}"#.to_owned(), 422, "n is 0"),
            (r#"{"id":"a","by":"b","n":-1}"#.to_owned(), 422, "n is -1"),
            (r#"{"id":"a","by":"b","n":1001}"#.to_owned(), 422, "n is 1001"),
            (r#"{"id":"a","by":"b","n":1e99}"#.to_owned(), 422, "write a like"),
            (r#"{"id":"a","by":"b","n":1.5}"#.to_owned(), 422, "write a like"),
            (
                r#"[{"id":"a","by":"b"},{"id":"","by":"b"}]"#.to_owned(),
                422,
                "like 1 of the array: id",
            ),
            (
                format!("[{}]", vec![r#"{"id":"a","by":"b"}"#; 501].join(",")),
                413,
                "501 likes",
            ),
        ] {
            let problem = read_up(&body).unwrap_err();
            assert!(
                problem.status == status && problem.detail.contains(part),
                "{body}: {problem:?}"
            );
        }
    }
}
