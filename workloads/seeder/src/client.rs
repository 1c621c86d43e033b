//! A serving seeder, asked over its REST.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use synccluster_web::tokens::Token;
use tokio::{net::TcpStream, time};

use crate::run::Progress;

/// How long it is dialled.
const DIAL: Duration = Duration::from_secs(5);
/// How long an answer may take: before a load goes on, its tables are looked at.
const PATIENCE: Duration = Duration::from_mins(2);
/// The largest answer.
const MAX_BODY: usize = 16 << 20;

/// Where it is: `http://<host>:<port>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    authority: String,
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why}: write http://HOST:PORT, such as http://localhost:8000");
        let uri: Uri = text.parse().map_err(|_| wrong("is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("does not begin with http://, and nothing else is spoken"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("has more than a host and a port"));
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("names no host, or a user with it"))?;
        Ok(Self {
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Why it did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there.
    #[error(
        "{0} does not answer: {1}; is a seeder serving there? Say where with --url or SEEDER_URL, or work without one with --sites"
    )]
    Unreachable(Address, String),
    /// Somebody else is there.
    #[error("{0} does not answer as a seeder: {1}; is this the port of its API (--url, SEEDER_URL)?")]
    Answer(Address, String),
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

/// What a run may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Wait.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Stop,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
        }
    }
}

/// A problem document, as far as it is read.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
}

/// Asks a serving seeder.
pub struct Client {
    address: Address,
    token: Option<Token>,
}

impl Client {
    /// Of this one, with this token.
    pub fn new(address: Address, token: Option<Token>) -> Self {
        Self { address, token }
    }

    /// All runs, oldest first.
    pub async fn list(&self) -> Result<Vec<Progress>, Error> {
        self.read(&self.ask(Method::GET, "/api/v1/runs").await?)
    }

    /// One run.
    pub async fn get(&self, run: &RunName) -> Result<Progress, Error> {
        self.read(&self.ask(Method::GET, &path(run)).await?)
    }

    /// Tells a run something.
    pub async fn tell(&self, run: &RunName, verb: Verb) -> Result<Progress, Error> {
        let path = format!("{}/{}", path(run), verb.path());
        self.read(&self.ask(Method::POST, &path).await?)
    }

    /// Removes a run that has ended.
    pub async fn remove(&self, run: &RunName) -> Result<(), Error> {
        self.ask(Method::DELETE, &path(run)).await.map(drop)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| Error::Answer(self.address.clone(), error.to_string()))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, Error> {
        let away = |reason: String| Error::Unreachable(self.address.clone(), reason);
        let dial = TcpStream::connect((self.address.host.as_str(), self.address.port));
        let stream = time::timeout(DIAL, dial)
            .await
            .map_err(|_| away(format!("no connection within {} s", DIAL.as_secs())))?
            .map_err(|error| away(error.to_string()))?;
        let (status, body) = time::timeout(PATIENCE, self.exchange(stream, method, path))
            .await
            .map_err(|_| away(format!("nothing within {} s", PATIENCE.as_secs())))?
            .map_err(|error| Error::Answer(self.address.clone(), error.to_string()))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(match refusal(&body) {
            Some(said) => Error::Refused(said),
            None => Error::Answer(self.address.clone(), status.to_string()),
        })
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address.authority);
        if let Some(token) = &self.token {
            let mut shown = HeaderValue::from_bytes(&[&b"Bearer "[..], token.bytes()].concat())?;
            shown.set_sensitive(true);
            request = request.header(AUTHORIZATION, shown);
        }
        let asking = async {
            let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
            Ok((status, body))
        };
        let driving = async {
            // What broke it is said to who asks; an end that comes with the answer is none.
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! { answer = asking => answer, () = driving => Err("the connection ended".into()) }
    }
}

fn path(run: &RunName) -> String {
    format!("/api/v1/runs/{run}")
}

/// What a problem document says, in one line.
fn refusal(body: &[u8]) -> Option<String> {
    let Problem { kind, detail } = serde_json::from_slice(body).ok()?;
    if kind == "urn:synccluster:problem:no-token" {
        let remedy = "put it into SEEDER_TOKEN, or the name of its file into SEEDER_TOKEN_FILE";
        return Some(format!(
            "the seeder wants a token, `token` of the Secret <cluster>-seeder: {remedy}"
        ));
    }
    Some(detail.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a run is called, such as `load-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunName(String);

impl RunName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "no run is called `{text}`: names are like load-1; `runs` lists them"
            ))
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let read = |text: &str| text.parse::<Address>().map(|read| (read.host, read.port));
        assert_eq!(read("http://localhost:8000"), Ok(("localhost".to_owned(), 8000)));
        assert_eq!(read("http://demo-seeder/"), Ok(("demo-seeder".to_owned(), 80)));
        assert_eq!(read("http://[::1]:8000"), Ok(("::1".to_owned(), 8000)));
        for wrong in [
            "",
            "localhost:8000",
            "https://localhost:8000",
            "http://localhost:8000/api",
            "http://localhost:8000/?a=b",
            "http://me@localhost:8000",
        ] {
            assert!(
                read(wrong).is_err_and(|said| said.contains("write http://HOST:PORT")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_problem_is_said_in_one_line_with_what_to_do() {
        let body = br#"{"type":"urn:synccluster:problem:busy","title":"A run is going on","status":409,"detail":"run load-1\n is going on"}"#;
        assert_eq!(refusal(body).as_deref(), Some("run load-1 is going on"));
        let body =
            br#"{"type":"urn:synccluster:problem:no-token","title":"Not signed in","status":401,"detail":"send it"}"#;
        assert!(refusal(body).is_some_and(|said| said.contains("SEEDER_TOKEN_FILE")));
        assert_eq!(refusal(b"<html>404</html>"), None);
    }

    #[test]
    fn a_name_of_a_run_is_a_word() {
        assert!("deltas-12".parse::<RunName>().is_ok());
        for wrong in ["", "../load-1", "load 1", "load-1?x"] {
            assert!(wrong.parse::<RunName>().is_err(), "{wrong}");
        }
    }
}
