use std::fs;

use axum::http::HeaderValue;

use super::*;

const EDITOR: &str = "editor-token-0123456789";
const VIEWER: &str = "viewer-token-0123456789";

fn cluster() -> ClusterName {
    "demo".parse().unwrap()
}

fn with_tokens(identity: Option<Identity>) -> Access {
    let folder = std::env::temp_dir().join(format!(
        "synccluster-access-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("token"), EDITOR).unwrap();
    fs::write(folder.join("viewer-token"), VIEWER).unwrap();
    let access = Access::guarded(cluster(), Some(folder.clone()), identity);
    fs::remove_dir_all(folder).unwrap();
    access.unwrap()
}

fn proxy() -> Identity {
    Identity::new(HeaderName::from_static("x-user"), ["ada".to_owned()])
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn bearer_of(token: &str) -> String {
    format!("Bearer {token}")
}

/// The request headers of a browser that was given a session for this token.
fn signed_in(access: &Access, token: &str, more: &[(&'static str, &str)]) -> HeaderMap {
    let cookie = access.begin_session(token, &HeaderMap::new()).unwrap();
    let pair = cookie.split(';').next().unwrap().to_owned();
    let mut all = headers(more);
    all.insert(header::COOKIE, pair.parse().unwrap());
    all
}

/// Role and means of who is let in, or the problem's status and kind.
fn outcome(admitted: Result<Caller, Problem>) -> Result<(Role, Means), String> {
    let told = |problem: Problem| format!("{} {}", problem.status, problem.kind.rsplit(':').next().unwrap());
    admitted.map(|caller| (caller.role, caller.means)).map_err(told)
}

fn admitted(access: &Access, method: &Method, headers: &HeaderMap) -> Result<(Role, Means), String> {
    outcome(access.admit(method, headers))
}

#[test]
fn a_bearer_token_gives_its_role() {
    let access = with_tokens(None);
    for (value, expected) in [
        (bearer_of(EDITOR), Ok((Role::Editor, Means::Token))),
        (bearer_of(VIEWER), Ok((Role::Viewer, Means::Token))),
        (format!("bearer  {EDITOR} "), Ok((Role::Editor, Means::Token))),
        (bearer_of("wrong"), Err("401 wrong-token".to_owned())),
        ("Bearer ".to_owned(), Err("401 wrong-token".to_owned())),
        (EDITOR.to_owned(), Err("401 not-bearer".to_owned())),
        (format!("Basic {EDITOR}"), Err("401 not-bearer".to_owned())),
    ] {
        let said = headers(&[("authorization", &value)]);
        assert_eq!(admitted(&access, &Method::GET, &said), expected, "{value}");
    }
    assert_eq!(
        admitted(&access, &Method::GET, &HeaderMap::new()),
        Err("401 no-token".to_owned())
    );
}

#[test]
fn a_viewer_looks_and_changes_nothing() {
    let access = with_tokens(None);
    let viewer = headers(&[("authorization", &bearer_of(VIEWER))]);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert!(admitted(&access, &method, &viewer).is_ok(), "{method}");
    }
    let unknown: Method = "BREW".parse().unwrap();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, unknown] {
        assert_eq!(
            admitted(&access, &method, &viewer),
            Err("403 read-only".to_owned()),
            "{method}"
        );
    }
}

#[test]
fn a_session_changes_things_from_its_own_page_only() {
    let access = with_tokens(None);
    let ask =
        |method: &Method, more: &[(&'static str, &str)]| admitted(&access, method, &signed_in(&access, EDITOR, more));
    let session = Ok((Role::Editor, Means::Session));
    let refused = Err("403 cross-site".to_owned());
    assert_eq!(ask(&Method::GET, &[]), session);
    assert_eq!(ask(&Method::POST, &[("sec-fetch-site", "same-origin")]), session);
    assert_eq!(
        ask(&Method::POST, &[("origin", "http://a:1"), ("host", "a:1")]),
        session
    );
    assert_eq!(ask(&Method::POST, &[]), refused, "no browser leaves both out");
    assert_eq!(ask(&Method::POST, &[("sec-fetch-site", "cross-site")]), refused);
    assert_eq!(ask(&Method::DELETE, &[("sec-fetch-site", "same-site")]), refused);
    assert_eq!(
        ask(&Method::PUT, &[("origin", "http://evil"), ("host", "a:1")]),
        refused
    );
    assert_eq!(
        ask(
            &Method::GET,
            &[("upgrade", "websocket"), ("origin", "http://evil"), ("host", "a:1")]
        ),
        refused
    );
    assert_eq!(
        ask(
            &Method::GET,
            &[("upgrade", "websocket"), ("origin", "http://a:1"), ("host", "a:1")]
        ),
        session
    );
}

#[test]
fn a_session_keeps_the_role_of_its_token_and_ends() {
    let access = with_tokens(None);
    let viewer = signed_in(&access, VIEWER, &[("sec-fetch-site", "same-origin")]);
    assert_eq!(
        admitted(&access, &Method::GET, &viewer),
        Ok((Role::Viewer, Means::Session))
    );
    assert_eq!(
        admitted(&access, &Method::POST, &viewer),
        Err("403 read-only".to_owned())
    );
    let later = now_millis() / 1000 + SESSION_SECONDS + 1;
    assert_eq!(
        outcome(access.authenticate_at(&viewer, later)),
        Err("401 no-token".to_owned())
    );
    assert!(access.begin_session("wrong", &HeaderMap::new()).is_err());
    assert!(access.end_session(&HeaderMap::new()).contains("synccluster-demo=; "));
    assert!(access.end_session(&HeaderMap::new()).contains("Max-Age=0"));
}

#[test]
fn a_wrong_token_is_not_made_good_by_a_session() {
    let access = with_tokens(None);
    let mut both = signed_in(&access, EDITOR, &[]);
    both.insert(header::AUTHORIZATION, "Bearer wrong".parse().unwrap());
    assert_eq!(
        admitted(&access, &Method::GET, &both),
        Err("401 wrong-token".to_owned())
    );
}

#[test]
fn a_proxy_names_who_asks_and_tokens_still_count() {
    let access = with_tokens(Some(proxy()));
    let ask = |method: &Method, pairs: &[(&'static str, &str)]| admitted(&access, method, &headers(pairs));
    assert_eq!(
        ask(&Method::POST, &[("x-user", "ada")]),
        Ok((Role::Editor, Means::Proxy))
    );
    assert_eq!(
        ask(&Method::GET, &[("x-user", "bob")]),
        Ok((Role::Viewer, Means::Proxy))
    );
    assert_eq!(
        ask(&Method::POST, &[("x-user", "bob")]),
        Err("403 read-only".to_owned())
    );
    assert_eq!(ask(&Method::GET, &[]), Err("401 no-identity".to_owned()));
    let token = bearer_of(EDITOR);
    assert_eq!(
        ask(&Method::POST, &[("x-user", "bob"), ("authorization", &token)]),
        Ok((Role::Editor, Means::Token))
    );
    // The proxy knows its people by a cookie of its own, which a stranger's page can make a browser send.
    let strange = [("x-user", "ada"), ("origin", "http://evil"), ("host", "a")];
    assert_eq!(ask(&Method::POST, &strange), Err("403 cross-site".to_owned()));
}

#[test]
fn without_tokens_only_the_proxy_counts() {
    let access = Access::guarded(cluster(), None, Some(proxy())).unwrap();
    let token = headers(&[("authorization", &bearer_of(EDITOR)), ("x-user", "ada")]);
    assert_eq!(
        admitted(&access, &Method::GET, &token),
        Err("401 wrong-token".to_owned())
    );
    assert_eq!(
        admitted(&access, &Method::GET, &headers(&[("x-user", "ada")])),
        Ok((Role::Editor, Means::Proxy))
    );
    assert!(matches!(Access::guarded(cluster(), None, None), Err(Error::Nothing)));
}

#[test]
fn open_to_everybody_is_open_to_this_machine_and_not_to_web_sites() {
    let access = Access::open(cluster());
    let ask = |method: &Method, pairs: &[(&'static str, &str)]| admitted(&access, method, &headers(pairs));
    assert_eq!(
        ask(&Method::POST, &[("host", "localhost:8000")]),
        Ok((Role::Editor, Means::Open))
    );
    assert_eq!(
        ask(&Method::GET, &[("host", "rebound.evil:8000")]),
        Err("403 not-local".to_owned())
    );
    let strange = [("host", "localhost:8000"), ("origin", "http://evil")];
    assert_eq!(ask(&Method::POST, &strange), Err("403 cross-site".to_owned()));
}

#[test]
fn the_cookie_is_for_tls_only_where_the_page_came_by_tls() {
    let access = with_tokens(None);
    let cookie = |pairs: &[(&'static str, &str)]| access.begin_session(EDITOR, &headers(pairs)).unwrap();
    assert!(cookie(&[("x-forwarded-proto", "https")]).ends_with("; Secure"));
    assert!(!cookie(&[]).contains("Secure"));
}

#[test]
fn anyone_reads_what_is_counted_where_it_is_said_so_and_changes_nothing() {
    let closed = with_tokens(None);
    let nothing = HeaderMap::new();
    let read = |access: &Access, headers: &HeaderMap| outcome(access.admit_to_counts(&Method::GET, headers));
    assert_eq!(read(&closed, &nothing), Err("401 no-token".to_owned()));
    for (access, shown) in [
        (with_tokens(None), "no-token"),
        (with_tokens(Some(proxy())), "no-identity"),
    ] {
        let access = access.with_counts_for_anyone();
        assert_eq!(read(&access, &nothing), Ok((Role::Viewer, Means::Open)));
        let post = outcome(access.admit_to_counts(&Method::POST, &nothing));
        assert_eq!(post, Err(format!("401 {shown}")));
        assert_eq!(admitted(&access, &Method::GET, &nothing), Err(format!("401 {shown}")));
        let editor = headers(&[("authorization", &bearer_of(EDITOR))]);
        assert_eq!(read(&access, &editor), Ok((Role::Editor, Means::Token)));
        let wrong = headers(&[("authorization", &bearer_of("wrong"))]);
        assert_eq!(
            read(&access, &wrong),
            Err("401 wrong-token".to_owned()),
            "it is not made good"
        );
    }
}
