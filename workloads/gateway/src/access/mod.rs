//! Who asks, and what he may do.
//!
//! Tokens are what a Secret holds, `session` is what the page keeps instead of a token, `origin` tells a browser's own page from a
//! stranger's; all pure. `guard` puts them before every route.

pub mod guard;
mod headers;
mod holder;
mod identity;
mod origin;
mod session;

use std::{path::PathBuf, time::Duration};

use axum::http::{HeaderMap, HeaderName, Method, header};
use synccluster_protocol::ClusterName;
use synccluster_runtime::clock::now_millis;
use tokio::time;

pub use holder::{Holder, peer};
pub use identity::Identity;
pub use origin::Origin;
pub use session::SessionId;
use synccluster_web::tokens;
pub use synccluster_web::tokens::{Error, Role, Token, Tokens};

use crate::problem::Problem;

/// How long a session lasts.
pub const SESSION_SECONDS: i64 = 12 * 3600;

/// How somebody showed who he is. What a browser adds by itself ([`Means::is_ambient`]) could have been asked for by a stranger's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// `Authorization: Bearer`, or the token itself.
    Token,
    /// The cookie of a session.
    Session,
    /// The header of a proxy in front.
    Proxy,
    /// Not at all: nobody has to.
    Open,
}

impl Means {
    /// Whether a browser sends it unasked.
    pub fn is_ambient(self) -> bool {
        self != Self::Token
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What he is called: `editor` or `viewer`, the name a proxy tells, or `anybody`.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// How he showed it.
    pub means: Means,
    /// The session he asks with, if it is one that is told from others.
    pub session: Option<SessionId>,
}

/// What is known about who may do what.
pub struct Access {
    cluster: ClusterName,
    tokens: Option<tokens::Files>,
    identity: Option<Identity>,
    open: bool,
    counts_for_anyone: bool,
}

impl Access {
    /// Everybody may do everything; for development.
    pub fn open(cluster: ClusterName) -> Self {
        Self {
            cluster,
            tokens: None,
            identity: None,
            open: true,
            counts_for_anyone: false,
        }
    }

    /// Those who know a token of this folder, or whom a proxy in front names.
    pub fn guarded(cluster: ClusterName, tokens: Option<PathBuf>, identity: Option<Identity>) -> Result<Self, Error> {
        if tokens.is_none() && identity.is_none() {
            return Err(Error::Nothing);
        }
        Ok(Self {
            cluster,
            tokens: tokens.map(tokens::Files::read).transpose()?,
            identity,
            open: false,
            counts_for_anyone: false,
        })
    }

    /// The same, and whoever asks may read what is counted, also if he shows nothing: totals and windows.
    #[must_use]
    pub fn with_counts_for_anyone(mut self) -> Self {
        self.counts_for_anyone = true;
        self
    }

    /// Looks whether the tokens were changed.
    pub fn refresh(&self) {
        if let Some(files) = &self.tokens {
            files.refresh();
        }
    }

    /// Returns when what was opened by now should be asked for again: the tokens are others, or a session that began now is over.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let tokens = self.tokens.as_ref().map(tokens::Files::changes);
        async move {
            let changed = async {
                match tokens {
                    // Fails when nobody could tell any more, which is at the end of the process.
                    Some(mut tokens) => drop(tokens.changed().await),
                    None => std::future::pending().await,
                }
            };
            let _ = time::timeout(Duration::from_secs(SESSION_SECONDS.unsigned_abs()), changed).await;
        }
    }

    /// Who asks, by the headers of any request, also one that opens a stream or a socket. 401 for who shows nothing, or something wrong.
    /// What he may do is another question: [`Self::admit`].
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.authenticate_at(headers, now_millis() / 1000)
    }

    fn authenticate_at(&self, headers: &HeaderMap, now: i64) -> Result<Caller, Problem> {
        if self.open {
            return origin::is_local(headers).then(anybody).ok_or_else(not_local);
        }
        // What is said on purpose counts before what a browser adds by itself; a wrong token is not made good by a cookie.
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value
                .to_str()
                .ok()
                .and_then(bearer)
                .ok_or_else(|| unauthorized("not-bearer", "the header `Authorization` must be `Bearer <token>`"))?;
            return self.by_token(token);
        }
        if let Some(caller) = self.session(headers, now) {
            return Ok(caller);
        }
        if let Some(identity) = &self.identity {
            return identity.caller(headers);
        }
        let detail = format!(
            "send `Authorization: Bearer <token>`, or open the page with #token=<token>; it is `token` of the Secret {}-gateway",
            self.cluster
        );
        Err(unauthorized("no-token", &detail))
    }

    /// Who knows this token.
    pub fn by_token(&self, token: &str) -> Result<Caller, Problem> {
        if self.open {
            return Ok(anybody());
        }
        let role = self.tokens.as_ref().and_then(|files| files.now().role(token));
        role.map(|role| known(role, Means::Token)).ok_or_else(|| {
            let detail = format!(
                "this token is not, or no longer, one of the Secret {}-gateway",
                self.cluster
            );
            unauthorized("wrong-token", &detail)
        })
    }

    /// Who asks, if this method with these headers is something he may do, and if it was not a stranger's page that made his browser ask.
    pub fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = self.authenticate(headers)?;
        no_stranger(&caller, method, headers)?;
        if caller.role == Role::Viewer && !method.is_safe() {
            let detail = format!(
                "{} may look and not change anything; ask for the editor's token",
                caller.name
            );
            return Err(Problem::forbidden("read-only", "Read only", detail));
        }
        Ok(caller)
    }

    /// The same where what is counted is read: who shows nothing may do that if anyone may. A wrong token is not made good by it.
    pub fn admit_to_counts(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
        let admitted = self.admit(method, headers);
        match self.reader() {
            Some(reader) if admitted.is_err() && method.is_safe() && !headers.contains_key(header::AUTHORIZATION) => {
                Ok(reader)
            }
            _ => admitted,
        }
    }

    /// Who reads what is counted without having shown who he is, if that may be.
    pub fn reader(&self) -> Option<Caller> {
        self.counts_for_anyone.then(|| Caller {
            role: Role::Viewer,
            ..anybody()
        })
    }

    /// What the browser is to keep for who knows this token: the value of `Set-Cookie`.
    pub fn begin_session(&self, token: &str, headers: &HeaderMap) -> Result<String, Problem> {
        if self.open {
            return Ok(session::cookie(
                &self.cluster,
                "open",
                SESSION_SECONDS,
                is_https(headers),
            ));
        }
        let caller = self.by_token(token)?;
        let expires = now_millis() / 1000 + SESSION_SECONDS;
        let id = SessionId::new(rand::random());
        let tokens = self.tokens.as_ref().map(tokens::Files::now).unwrap_or_default();
        let value = tokens
            .of(caller.role)
            .map(|key| session::seal(key, &self.cluster, caller.role, expires, id))
            .unwrap_or_default();
        Ok(session::cookie(
            &self.cluster,
            &value,
            SESSION_SECONDS,
            is_https(headers),
        ))
    }

    /// The value of `Set-Cookie` that ends a session.
    pub fn end_session(&self, headers: &HeaderMap) -> String {
        session::cookie(&self.cluster, "", 0, is_https(headers))
    }

    fn session(&self, headers: &HeaderMap, now: i64) -> Option<Caller> {
        let tokens = self.tokens.as_ref()?.now();
        let value = session::find(&self.cluster, headers)?;
        let session = session::open(&tokens, &self.cluster, value, now)?;
        Some(Caller {
            session: session.id,
            ..known(session.role, Means::Session)
        })
    }
}

/// 403 if a browser was made to ask by a page that is not the gateway's. A session is shown by no program, so there it must be certain.
pub fn no_stranger(caller: &Caller, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let opens_socket = headers.contains_key(header::UPGRADE);
    if !caller.means.is_ambient() || (method.is_safe() && !opens_socket) {
        return Ok(());
    }
    match Origin::of(headers) {
        Origin::Same => Ok(()),
        Origin::Untold if caller.means != Means::Session => Ok(()),
        Origin::Untold | Origin::Stranger => Err(stranger()),
    }
}

/// 403: a stranger's page asked.
pub fn stranger() -> Problem {
    Problem::forbidden(
        "cross-site",
        "Cross-site request",
        "the request does not come from this gateway's own page; programs use `Authorization: Bearer <token>` instead of the cookie",
    )
}

fn not_local() -> Problem {
    Problem::forbidden(
        "not-local",
        "Not a local name",
        "with --access none the gateway answers to localhost and to IP addresses only, so that no web site can reach it by a name of its own",
    )
}

fn unauthorized(kind: &str, detail: &str) -> Problem {
    Problem::new(axum::http::StatusCode::UNAUTHORIZED, kind, "Not signed in", detail)
}

fn anybody() -> Caller {
    Caller {
        name: "anybody".to_owned(),
        role: Role::Editor,
        means: Means::Open,
        session: None,
    }
}

fn known(role: Role, means: Means) -> Caller {
    let name = match role {
        Role::Editor => "editor",
        Role::Viewer => "viewer",
    };
    Caller {
        name: name.to_owned(),
        role,
        means,
        session: None,
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the browser speaks TLS, to a proxy in front. A wrong answer harms only who gave it: the cookie is kept less or more narrowly.
fn is_https(headers: &HeaderMap) -> bool {
    static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    headers
        .get(&FORWARDED_PROTO)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests;
