//! Kafka Connect's REST interface (its documentation, section "REST API"), on loopback.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use synccluster_protocol::{
    Lsn,
    connect::Settings,
    status::{ConnectStatus, ConnectTask},
};
use tokio::{net::TcpStream, time};

/// What the one connector of a worker is called.
const NAME: &str = "site";
const LIMIT: time::Duration = time::Duration::from_secs(15);
const MAX_BODY: usize = 1 << 20;

/// Why Connect did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or does not speak HTTP.
    #[error("Kafka Connect does not answer: {0}")]
    Unreachable(String),
    /// It refused.
    #[error("Kafka Connect refused ({status}): {message}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// Its answer is no JSON, or other than documented.
    #[error("Kafka Connect's answer cannot be understood: {0}")]
    Answer(#[from] serde_json::Error),
}

impl Error {
    /// With what Connect said as this makes of it.
    #[must_use]
    pub fn map(self, of: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Refused { status, message } => Self::Refused {
                status,
                message: of(&message),
            },
            other => other,
        }
    }
}

/// The worker's REST interface.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    port: u16,
}

/// What its offset says of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// Nothing was acknowledged by Kafka yet.
    None,
    /// Rows of a snapshot were, the last not.
    Snapshotting,
    /// All rows of the snapshot were, or no snapshot was needed.
    Streaming,
}

/// What its offset says of rows that are sent once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// Up to which position Kafka has what was read.
    pub lsn: Lsn,
    /// The tables that are not sent, the one that is being sent first.
    pub left: Vec<String>,
}

#[derive(Deserialize)]
struct StateOf {
    state: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct TaskOf {
    id: u32,
    state: String,
    trace: Option<String>,
}

#[derive(Deserialize)]
struct StatusOf {
    connector: StateOf,
    tasks: Vec<TaskOf>,
}

impl Rest {
    /// At a port of this machine.
    pub fn at(port: u16) -> Self {
        Self { port }
    }

    /// Whether it answers.
    pub async fn answers(self) -> bool {
        self.ask(Method::GET, "/", None).await.is_ok()
    }

    /// Makes the connector, and starts it.
    pub async fn start(self, settings: &Settings) -> Result<(), Error> {
        let body = serde_json::to_vec(settings)?;
        self.ask(Method::PUT, &format!("/connectors/{NAME}/config"), Some(body))
            .await
            .map(drop)
    }

    /// Restarts what has failed, connector or task.
    pub async fn restart_failed(self) -> Result<(), Error> {
        let path = format!("/connectors/{NAME}/restart?includeTasks=true&onlyFailed=true");
        self.ask(Method::POST, &path, None).await.map(drop)
    }

    /// States of connector and tasks, into the document.
    pub async fn status(self, status: &mut ConnectStatus) -> Result<(), Error> {
        let answer = self
            .ask(Method::GET, &format!("/connectors/{NAME}/status"), None)
            .await?;
        read_status(answer, status).map_err(Error::from)
    }

    /// How far Kafka has acknowledged a snapshot.
    pub async fn offset(self) -> Result<Offset, Error> {
        Ok(read_offset(&self.offsets().await?))
    }

    /// How far Kafka has acknowledged an incremental snapshot; `None`: it has acknowledged nothing yet.
    pub async fn incremental(self) -> Result<Option<Incremental>, Error> {
        read_incremental(&self.offsets().await?).map_err(Error::from)
    }

    async fn offsets(self) -> Result<Value, Error> {
        self.ask(Method::GET, &format!("/connectors/{NAME}/offsets"), None)
            .await
    }

    async fn ask(self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value, Error> {
        time::timeout(LIMIT, self.exchange(method, path, body))
            .await
            .unwrap_or_else(|_| Err(Error::Unreachable(format!("nothing within {} s", LIMIT.as_secs()))))
    }

    async fn exchange(self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value, Error> {
        fn away(error: impl std::fmt::Display) -> Error {
            Error::Unreachable(error.to_string())
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(away)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(away)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(away)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(away)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY)
                .collect()
                .await
                .map_err(away)?
                .to_bytes();
            if !status.is_success() {
                let message = serde_json::from_slice::<Value>(&body).ok();
                let message = message.and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
                let message = message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
                return Err(Error::Refused { status, message });
            }
            Ok(if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body)?
            })
        };
        tokio::select! {
            biased;
            answer = exchange => answer,
            Err(broken) = connection => Err(away(broken)),
        }
    }
}

fn read_status(answer: Value, status: &mut ConnectStatus) -> Result<(), serde_json::Error> {
    let StatusOf { connector, tasks } = serde_json::from_value(answer)?;
    status.connector = connector.state;
    status.version = connector.version;
    status.tasks = tasks
        .into_iter()
        .map(|TaskOf { id, state, trace }| ConnectTask {
            id,
            state,
            error: trace.as_deref().map(reason),
        })
        .collect();
    Ok(())
}

/// Of a stack trace, what it was, and what it was caused by.
fn reason(trace: &str) -> String {
    let mut lines = trace.lines();
    let first = lines.next().unwrap_or_default();
    match lines
        .filter_map(|line| line.trim().strip_prefix("Caused by: "))
        .next_back()
    {
        Some(cause) => format!("{first}: {cause}"),
        None => first.to_owned(),
    }
}

fn read_offset(answer: &Value) -> Offset {
    match answer.pointer("/offsets/0/offset") {
        None => Offset::None,
        Some(offset) if offset.get("snapshot").is_none() || offset["last_snapshot_record"] == true => Offset::Streaming,
        Some(_) => Offset::Snapshotting,
    }
}

fn read_incremental(answer: &Value) -> Result<Option<Incremental>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Collection {
        incremental_snapshot_collections_id: String,
    }
    let Some((offset, lsn)) = answer
        .pointer("/offsets/0/offset")
        .and_then(|offset| Some((offset, offset.get("lsn")?.as_u64()?)))
    else {
        return Ok(None);
    };
    let left: Vec<Collection> = match offset["incremental_snapshot_collections"].as_str() {
        Some(text) => serde_json::from_str(text)?,
        None => Vec::new(),
    };
    let left = left
        .into_iter()
        .map(|collection| collection.incremental_snapshot_collections_id)
        .collect();
    Ok(Some(Incremental { lsn: Lsn(lsn), left }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_that_failed_says_what_with() {
        let trace = "org.apache.kafka.connect.errors.ConnectException: An exception occurred\n\tat io.debezium.X(X.java:1)\nCaused by: org.postgresql.util.PSQLException: ERROR: no\n\t... 7 more";
        let answer = json!({"name": "site", "connector": {"state": "RUNNING", "version": "3.7.0.Final"}, "tasks": [{"id": 0, "state": "FAILED", "trace": trace}]});
        let mut status = ConnectStatus::default();
        read_status(answer, &mut status).unwrap();
        assert_eq!((&*status.connector, &*status.version), ("RUNNING", "3.7.0.Final"));
        let expected = "org.apache.kafka.connect.errors.ConnectException: An exception occurred: org.postgresql.util.PSQLException: ERROR: no";
        assert_eq!(status.tasks[0].error.as_deref(), Some(expected));
    }

    #[test]
    fn a_snapshot_is_over_when_its_last_row_was_acknowledged() {
        let offset = |offset: Value| {
            read_offset(&json!({"offsets": [{"partition": {"server": "demo.server"}, "offset": offset}]}))
        };
        assert_eq!(read_offset(&json!({"offsets": []})), Offset::None);
        let row =
            |last| json!({"lsn": 1, "snapshot": "INITIAL", "snapshot_completed": last, "last_snapshot_record": last});
        assert_eq!(offset(row(false)), Offset::Snapshotting);
        assert_eq!(offset(row(true)), Offset::Streaming);
        assert_eq!(offset(json!({"lsn": 1, "lsn_commit": 1})), Offset::Streaming);
    }
    #[test]
    fn the_tables_that_are_left_are_said_as_long_as_there_are_any() {
        let of = |offset: Value| read_incremental(&json!({ "offsets": [{ "offset": offset }] })).unwrap();
        assert_eq!(read_incremental(&json!({ "offsets": [] })).unwrap(), None);
        let left = r#"[{"incremental_snapshot_collections_id":"public.todos","incremental_snapshot_collections_additional_condition":null}]"#;
        let running =
            of(json!({ "lsn": 7, "incremental_snapshot_collections": left, "incremental_snapshot_primary_key": "00" }));
        let todos = vec!["public.todos".to_owned()];
        assert_eq!(
            running,
            Some(Incremental {
                lsn: Lsn(7),
                left: todos
            })
        );
        let lsn = Lsn(9);
        assert_eq!(of(json!({ "lsn": 9 })), Some(Incremental { lsn, left: Vec::new() }));
    }
}
