//! One question to a leader API.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use super::{FORWARDED, TERM};

/// An answer that is not here by then is not waited for.
const PATIENCE: Duration = Duration::from_millis(800);
/// The largest answer.
const LIMIT: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too slow.
    #[error("{0} does not answer within {PATIENCE:?}")]
    Silent(String),
    /// The connection.
    #[error("{0} is not in reach: {1}")]
    Io(String, io::Error),
    /// What it speaks.
    #[error("{0} does not answer as a counter node: {1}; is this port 5001 of one?")]
    Http(String, Box<dyn std::error::Error + Send + Sync>),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The term it was said in.
    pub term: Option<u64>,
    /// Its body.
    pub body: Bytes,
}

/// `GET http://<address><path>`; `forwarded` when a node asks for a client.
pub async fn get(address: &str, path: &str, forwarded: bool) -> Result<Answer, Error> {
    let asked = time::timeout(PATIENCE, ask(address, path, forwarded)).await;
    asked.map_err(|_| Error::Silent(address.to_owned()))?
}

async fn ask(address: &str, path: &str, forwarded: bool) -> Result<Answer, Error> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| Error::Io(address.to_owned(), error))?;
    talk(stream, address, path, forwarded)
        .await
        .map_err(|error| Error::Http(address.to_owned(), error))
}

async fn talk(
    stream: TcpStream,
    address: &str,
    path: &str,
    forwarded: bool,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get(path).header(HOST, address);
    if forwarded {
        request = request.header(FORWARDED, "1");
    }
    let asking = async {
        let (head, body) = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?
            .into_parts();
        let term = head.headers.get(TERM).and_then(|term| term.to_str().ok()?.parse().ok());
        let body = Limited::new(body, LIMIT).collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            term,
            body,
        })
    };
    let driving = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! { answer = asking => answer, () = driving => Err("the connection ended".into()) }
}
