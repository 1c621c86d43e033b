//! What the requests of likes say: whose they are, and whether they may be sent twice. Pure.

use serde::Deserialize;

/// A like, as far as it is read here; the node reads the rest.
#[derive(Deserialize)]
struct Like {
    request: Option<String>,
}

/// How the likes of a body are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Whose they are: the client of the first one that has a request. All of an array go to one node, because all or none of them count.
    pub client: Option<String>,
    /// Whether each of them has a request: sent to another node as well they count once.
    pub all: bool,
}

impl Named {
    /// Of one like or an array of them. What is neither has no names; a node says what is wrong with it.
    pub fn read(body: &[u8]) -> Self {
        let likes: Result<Vec<Like>, _> = if body.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice(body)
        } else {
            serde_json::from_slice(body).map(|like| vec![like])
        };
        let likes = likes.unwrap_or_default();
        let first = likes.iter().find_map(|like| like.request.as_deref());
        Self {
            client: first.map(|request| client(request).to_owned()),
            all: !likes.is_empty() && likes.iter().all(|like| like.request.is_some()),
        }
    }
}

/// The client of `<client>/<number>`. Any other request is a client of its own: sent again it goes to the same node.
fn client(request: &str) -> &str {
    let numbered = request
        .rsplit_once('/')
        .filter(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(request, |(client, _)| client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(body: &str) -> (Option<String>, bool) {
        let Named { client, all } = Named::read(body.as_bytes());
        (client, all)
    }

    #[test]
    fn a_like_is_its_clients() {
        for (request, client) in [("ann/1", "ann"), ("a/b/27", "a/b"), ("ann", "ann"), ("ann/", "ann/")] {
            let body = format!(r#" {{"id": "tea", "by": "ann", "request": "{request}"}}"#);
            assert_eq!(named(&body), (Some(client.to_owned()), true), "{request}");
        }
        assert_eq!(named(r#"{"id": "tea", "by": "ann"}"#), (None, false));
    }

    #[test]
    fn an_array_is_the_first_ones_and_may_be_sent_twice_if_all_have_names() {
        let ann = Some("ann".to_owned());
        assert_eq!(
            named(r#" [{"request": "ann/1"}, {"request": "bob/1"}]"#),
            (ann.clone(), true)
        );
        assert_eq!(named(r#"[{"id": "tea"}, {"request": "ann/2"}]"#), (ann, false));
        assert_eq!(named("[]"), (None, false));
    }

    #[test]
    fn what_is_no_like_has_no_names() {
        for wrong in ["", "{", "7", "[7]", r#"{"request": 7}"#, r#""ann/1""#, "\u{0}"] {
            assert_eq!(named(wrong), (None, false), "{wrong}");
        }
    }
}
