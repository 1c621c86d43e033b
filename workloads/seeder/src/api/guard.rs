//! Before every route: who asks, and whether he may.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use synccluster_web::{problem::Problem, tokens::Role};

use super::{Access, Shared};

/// The description of the API is the same for everybody and needs no token.
fn is_public(path: &str) -> bool {
    path == "/" || path == "/openapi.json" || path == "/docs" || path.starts_with("/docs/")
}

pub async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let refused = match &app.access {
        _ if is_public(request.uri().path()) => None,
        Access::Open => (!is_local(request.headers())).then(not_local),
        Access::Tokens(files) => admit(files.now().role(bearer(request.headers())), request.method().is_safe()).err(),
    };
    match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let parts = value.and_then(|value| value.split_once(' '));
    parts
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim())
}

fn admit(role: Option<Role>, looks: bool) -> Result<(), Problem> {
    match role {
        Some(Role::Editor) => Ok(()),
        Some(Role::Viewer) if looks => Ok(()),
        Some(Role::Viewer) => Err(Problem::forbidden(
            "read-only",
            "Read only",
            "this token may look and not change anything; ask for the editor's token",
        )),
        None => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "no-token",
            "Not signed in",
            "send `Authorization: Bearer <token>`; it is `token` of the Secret <cluster>-seeder",
        )),
    }
}

/// Whether it was asked for by an address or as localhost: a page somewhere else can give itself any name, but not these.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn not_local() -> Problem {
    Problem::forbidden(
        "not-local",
        "Not a local name",
        "with --access none the seeder answers to localhost and to IP addresses only, so that no web site can reach it by a name of its own",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_looks_and_an_editor_changes() {
        assert!(admit(Some(Role::Editor), false).is_ok());
        assert!(admit(Some(Role::Viewer), true).is_ok());
        assert_eq!(admit(Some(Role::Viewer), false).unwrap_err().status, 403);
        assert_eq!(admit(None, true).unwrap_err().status, 401);
    }

    #[test]
    fn names_of_others_are_not_local() {
        let of = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_local(&headers)
        };
        assert!(of("localhost:8000") && of("127.0.0.1:8000") && of("[::1]:8000") && of("localhost"));
        assert!(!of("example.com:8000") && !of("localhost.example.com") && !of(""));
    }
}
