//! The page's cookie: the role and when it ends, sealed with the token it was made for, so that nothing has to be remembered and another
//! token ends every session. Pure.

use axum::http::{HeaderMap, header::COOKIE};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use synccluster_protocol::ClusterName;

use super::{
    Role,
    tokens::{Token, Tokens},
};

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

fn mac(key: &Token, cluster: &ClusterName, role: Role, expires: i64) -> Option<Hmac<Sha256>> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
    mac.update(format!("synccluster-gateway session 1\n{cluster}\n{}\n{expires}", word(role)).as_bytes());
    Some(mac)
}

/// The value of the cookie.
pub(super) fn seal(key: &Token, cluster: &ClusterName, role: Role, expires: i64) -> String {
    let seal = mac(key, cluster, role, expires).map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    format!("{}.{expires}.{}", word(role), seal.unwrap_or_default())
}

/// The role of a cookie's value, while it lasts.
pub(super) fn open(tokens: &Tokens, cluster: &ClusterName, value: &str, now: i64) -> Option<Role> {
    let mut parts = value.split('.');
    let (role, expires, seal) = (parts.next()?, parts.next()?, parts.next()?);
    let role = [Role::Editor, Role::Viewer]
        .into_iter()
        .find(|known| word(*known) == role)?;
    let expires: i64 = expires.parse().ok()?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    let good = mac(tokens.of(role)?, cluster, role, expires)?
        .verify_slice(&seal)
        .is_ok();
    (good && parts.next().is_none() && now < expires).then_some(role)
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
            let value = seal(&token(key), &cluster(), role, 1000);
            assert_eq!(open(&tokens(), &cluster(), &value, 999), Some(role));
            assert_eq!(open(&tokens(), &cluster(), &value, 1000), None);
        }
    }

    #[test]
    fn a_viewer_cannot_make_himself_an_editor_nor_last_longer() {
        let value = seal(&token('v'), &cluster(), Role::Viewer, 1000);
        let seal = value.rsplit_once('.').unwrap().1;
        for forged in [
            format!("editor.1000.{seal}"),
            format!("viewer.9000.{seal}"),
            format!("viewer.01000.{seal}x"),
            format!("viewer.1000.{seal}.more"),
            "viewer.1000.".to_owned(),
            "editor.1000".to_owned(),
            String::new(),
        ] {
            assert_eq!(open(&tokens(), &cluster(), &forged, 500), None, "{forged}");
        }
        // Who knows the viewer's token can seal with it, but not for the other role.
        let own = super::seal(&token('v'), &cluster(), Role::Editor, 1000);
        assert_eq!(open(&tokens(), &cluster(), &own, 500), None);
    }

    #[test]
    fn another_token_and_another_cluster_end_a_session() {
        let value = seal(&token('e'), &cluster(), Role::Editor, 1000);
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
        fn a_changed_cookie_opens_nothing(index in 0usize..70, byte in 0x21u8..0x7f) {
            let value = seal(&token('e'), &cluster(), Role::Editor, 4_000_000_000);
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
