//! The page's cookie: the role, when it ends and which session it is, sealed with the token it was made for, so that nothing has to be
//! remembered and another token ends every session. Pure.

use std::fmt;

use axum::http::{HeaderMap, header::COOKIE};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use synccluster_protocol::ClusterName;

use super::{
    Role,
    tokens::{Token, Tokens},
};

/// Which session it is of those that were begun with a token. It tells people apart and proves nothing: who has the token makes any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub role: Role,
    /// Cookies of before there were ids have none.
    pub id: Option<SessionId>,
}

impl SessionId {
    /// Of a random number.
    pub fn new(random: u64) -> Self {
        Self(random)
    }

    /// As it is written, and in no other way.
    fn parse(text: &str) -> Option<Self> {
        let id = Self(u64::from_str_radix(text, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Cookies belong to a host whatever the port, so each cluster's has a name of its own.
fn name(cluster: &ClusterName) -> String {
    format!("synccluster-{cluster}")
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Editor => "editor",
        Role::Viewer => "viewer",
    }
}

fn mac(key: &Token, cluster: &ClusterName, role: Role, expires: i64, id: Option<SessionId>) -> Option<Hmac<Sha256>> {
    let role = word(role);
    let said = match id {
        Some(id) => format!("synccluster-gateway session 2\n{cluster}\n{role}\n{expires}\n{id}"),
        None => format!("synccluster-gateway session 1\n{cluster}\n{role}\n{expires}"),
    };
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
    mac.update(said.as_bytes());
    Some(mac)
}

/// The value of the cookie.
pub(super) fn seal(key: &Token, cluster: &ClusterName, role: Role, expires: i64, id: SessionId) -> String {
    let mac = mac(key, cluster, role, expires, Some(id));
    let seal = mac.map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    format!("{}.{expires}.{id}.{}", word(role), seal.unwrap_or_default())
}

/// What a cookie's value says, while it lasts.
pub(super) fn open(tokens: &Tokens, cluster: &ClusterName, value: &str, now: i64) -> Option<Session> {
    let parts: Vec<&str> = value.split('.').collect();
    let (role, expires, id, seal) = match parts[..] {
        [role, expires, seal] => (role, expires, None, seal),
        [role, expires, id, seal] => (role, expires, Some(SessionId::parse(id)?), seal),
        _ => return None,
    };
    let role = [Role::Editor, Role::Viewer]
        .into_iter()
        .find(|known| word(*known) == role)?;
    let expires: i64 = expires.parse().ok()?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    let good = mac(tokens.of(role)?, cluster, role, expires, id)?
        .verify_slice(&seal)
        .is_ok();
    (good && now < expires).then_some(Session { role, id })
}

/// The value of the cookie a request carries.
pub(super) fn find<'a>(cluster: &ClusterName, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = name(cluster);
    let texts = headers
        .get_all(COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What `Set-Cookie` says.
pub(super) fn cookie(cluster: &ClusterName, value: &str, seconds: i64, https: bool) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}",
        name(cluster)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: SessionId = SessionId(0x2a);

    fn cluster() -> ClusterName {
        "demo".parse().unwrap()
    }

    fn token(letter: char) -> Token {
        Token::parse(&letter.to_string().repeat(20)).unwrap()
    }

    fn tokens() -> Tokens {
        Tokens::new(Some(token('e')), Some(token('v')))
    }

    #[test]
    fn a_session_has_its_role_until_it_ends() {
        for (role, key) in [(Role::Editor, 'e'), (Role::Viewer, 'v')] {
            let value = seal(&token(key), &cluster(), role, 1000, ID);
            let session = Session { role, id: Some(ID) };
            assert_eq!(open(&tokens(), &cluster(), &value, 999), Some(session));
            assert_eq!(open(&tokens(), &cluster(), &value, 1000), None);
        }
    }

    #[test]
    fn a_cookie_of_before_there_were_ids_is_a_session_without_one() {
        let value = "editor.1000.0u7LrzChy7Vade2FQ33hShYv1nS0NIjP9QolOWwQIc4";
        let session = Session {
            role: Role::Editor,
            id: None,
        };
        assert_eq!(open(&tokens(), &cluster(), value, 999), Some(session));
        assert_eq!(open(&tokens(), &cluster(), value, 1000), None);
        let (head, seal) = value.rsplit_once('.').unwrap();
        assert_eq!(open(&tokens(), &cluster(), &format!("{head}.{ID}.{seal}"), 999), None);
    }

    #[test]
    fn a_viewer_cannot_make_himself_an_editor_nor_last_longer_nor_be_another_session() {
        let value = seal(&token('v'), &cluster(), Role::Viewer, 1000, ID);
        let seal = value.rsplit_once('.').unwrap().1;
        for forged in [
            format!("editor.1000.{ID}.{seal}"),
            format!("viewer.9000.{ID}.{seal}"),
            format!("viewer.01000.{ID}.{seal}x"),
            format!("viewer.1000.{ID}.{seal}.more"),
            format!("viewer.1000.{}.{seal}", SessionId(0x2b)),
            format!("viewer.1000.2a.{seal}"),
            format!("viewer.1000.{seal}"),
            "viewer.1000.".to_owned(),
            "editor.1000".to_owned(),
            String::new(),
        ] {
            assert_eq!(open(&tokens(), &cluster(), &forged, 500), None, "{forged}");
        }
        // Who knows the viewer's token can seal with it, but not for the other role.
        let own = super::seal(&token('v'), &cluster(), Role::Editor, 1000, ID);
        assert_eq!(open(&tokens(), &cluster(), &own, 500), None);
    }

    #[test]
    fn another_token_and_another_cluster_end_a_session() {
        let value = seal(&token('e'), &cluster(), Role::Editor, 1000, ID);
        assert_eq!(
            open(&Tokens::new(Some(token('f')), None), &cluster(), &value, 500),
            None
        );
        assert_eq!(open(&Tokens::default(), &cluster(), &value, 500), None);
        assert_eq!(open(&tokens(), &"other".parse().unwrap(), &value, 500), None);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let with = |texts: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(COOKIE, text.parse().unwrap());
            }
            find(&cluster(), &headers).map(str::to_owned)
        };
        assert_eq!(with(&["a=b; synccluster-demo=x.y.z; c=d"]).as_deref(), Some("x.y.z"));
        assert_eq!(with(&["a=b", "synccluster-demo=x"]).as_deref(), Some("x"));
        assert_eq!(with(&["synccluster-demo2=x; xsynccluster-demo=y"]), None);
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn scripts_and_strangers_do_not_get_the_cookie() {
        let text = cookie(&cluster(), "v", 60, false);
        assert_eq!(
            text,
            "synccluster-demo=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"
        );
        assert!(cookie(&cluster(), "v", 60, true).ends_with("; Secure"));
    }

    proptest! {
        #[test]
        fn a_changed_cookie_opens_nothing(index in 0usize..80, byte in 0x21u8..0x7f) {
            let value = seal(&token('e'), &cluster(), Role::Editor, 4_000_000_000, ID);
            let mut changed = value.clone().into_bytes();
            let index = index % changed.len();
            prop_assume!(changed[index] != byte);
            changed[index] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(open(&tokens(), &cluster(), &changed, 500), None);
        }

        #[test]
        fn no_text_breaks_it(value in ".*") {
            prop_assert_eq!(open(&tokens(), &cluster(), &value, 0), None);
        }
    }
}
