//! psql in pods, kept open: a test asks a database many times, and beginning a process in a pod costs more than what it is asked.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, Lines};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::answered;

/// One that is open answers sooner, or its connection has ended without a word.
const ANSWERS: Duration = Duration::from_secs(5);
/// Before a process is begun once more.
const PAUSE: Duration = Duration::from_millis(300);
/// Ends at the first error, as `psql -c` does.
const PSQL: [&str; 6] = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", "app"];

/// What is open and not in use, by pod.
#[derive(Default)]
pub struct Sessions(Mutex<BTreeMap<String, Vec<Session>>>);

impl Sessions {
    /// The lines a statement prints. Each has the session as if it were a new one.
    pub async fn ask(&self, pods: &Api<Pod>, pod: &str, container: &str, statement: &str) -> Result<Vec<String>> {
        let mut session = self.session(pods, pod, container).await?;
        let lines = session.ask(statement).await?;
        let lines = lines.context("the connection ended before the answer")?;
        self.edit().entry(pod.to_owned()).or_default().push(session);
        Ok(lines)
    }

    /// One that has just answered: of a statement whose connection ends nobody could say whether it was carried out, so that it could not be sent
    /// again.
    async fn session(&self, pods: &Api<Pod>, pod: &str, container: &str) -> Result<Session> {
        while let Some(mut session) = self.take(pod) {
            if let Ok(Ok(Some(_))) = timeout(ANSWERS, session.ask("")).await {
                return Ok(session);
            }
        }
        loop {
            let mut session = Session::open(pods, pod, container).await?;
            if session.ask("").await?.is_some() {
                return Ok(session);
            }
            // Its kubelet was not reached.
            sleep(PAUSE).await;
        }
    }

    /// One that has not ended; the pod may be another one by now.
    fn take(&self, pod: &str) -> Option<Session> {
        let mut open = self.edit();
        let open = open.get_mut(pod)?;
        open.retain(|session| !session.complaints.is_finished());
        open.pop()
    }

    fn edit(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Session {
    statements: Pin<Box<dyn AsyncWrite + Send>>,
    lines: Lines<BufReader<Pin<Box<dyn AsyncRead + Send>>>>,
    /// Ends with the process. Read all the while: what nobody reads would stop the other streams, too.
    complaints: JoinHandle<String>,
}

impl Session {
    async fn open(pods: &Api<Pod>, pod: &str, container: &str) -> Result<Self> {
        let params = AttachParams::default()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .container(container);
        let mut process = answered(|| pods.exec(pod, PSQL, &params)).await?;
        let (stdin, stdout) = (
            process.stdin().context("no stdin")?,
            process.stdout().context("no stdout")?,
        );
        let mut stderr = process.stderr().context("no stderr")?;
        let complaints = tokio::spawn(async move {
            let mut said = Vec::new();
            // What came before a stream broke is all there is.
            let _ = stderr.read_to_end(&mut said).await;
            // Dropped, it would end the streams.
            drop(process);
            String::from_utf8_lossy(&said).into_owned()
        });
        let stdout: Pin<Box<dyn AsyncRead + Send>> = Box::pin(stdout);
        Ok(Self {
            statements: Box::pin(stdin),
            lines: BufReader::new(stdout).lines(),
            complaints,
        })
    }

    /// The lines a statement prints; none where the connection has ended and psql has said nothing of it.
    async fn ask(&mut self, statement: &str) -> Result<Option<Vec<String>>> {
        let end = format!("end of {:016x}", rand::random::<u64>());
        // A semicolon too many is nothing to psql; what the statement has set is forgotten.
        let script = format!("{statement}\n;\ndiscard all;\n\\echo {end}\n");
        let sent = async {
            self.statements.write_all(script.as_bytes()).await?;
            self.statements.flush().await
        };
        // Where the process has ended the reason is among its complaints.
        drop(sent.await);
        let mut lines = Vec::new();
        while let Some(line) = self.lines.next_line().await? {
            if line == end {
                return Ok(Some(lines));
            }
            lines.push(line);
        }
        let complaints = (&mut self.complaints).await?;
        ensure!(complaints.is_empty(), "{}", complaints.trim());
        Ok(None)
    }
}
