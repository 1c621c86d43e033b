//! Where the next page begins. Opaque to whoever gets it, and refused where it does not fit: everything in it becomes a parameter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::Problem;

/// A cursor of this place.
pub fn encode(place: &impl Serialize) -> String {
    // Texts and lists of them always are JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// The place a cursor stands for.
pub fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(bad)
}

/// 400: not a cursor of ours, or of another question.
pub fn bad() -> Problem {
    let detail = "`after` must be the `next` of a page that was asked for with the same table and the same order";
    Problem::bad_request("bad-cursor", "Bad cursor", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        let place = ("-title,id".to_owned(), vec![None, Some("7".to_owned())]);
        let cursor = encode(&place);
        assert!(
            cursor
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
        assert_eq!(decode::<(String, Vec<Option<String>>)>(&cursor).unwrap(), place);
        for wrong in ["", "x", "AAAA", "%%", "eyJhIjoxfQ", &cursor[1..]] {
            assert_eq!(decode::<(String, Vec<Option<String>>)>(wrong).unwrap_err().status, 400);
        }
    }
}
