//! One replication connection: login, commands, and the stream of WAL.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::{
        backend::{DataRowBody, ErrorResponseBody, Header, Message},
        frontend,
    },
};
use std::io;

use crate::large::{LARGE_ROW, Shortening};
use synccluster_protocol::{Lsn, codec::SESSION_SETTINGS};
use synccluster_runtime::postgres::{self, PostgresSecret, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a frame whose memory is not kept for the next.
const LARGE: usize = 1 << 20;

/// Microseconds between the Unix epoch and Postgres' own, 2000-01-01.
pub const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Why the stream ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the Secret says cannot be used.
    #[error(transparent)]
    Secret(#[from] postgres::Error),
    /// The connection broke.
    #[error("replication connection: {0}")]
    Io(#[from] io::Error),
    /// Postgres said no.
    #[error("Postgres: {message} (SQLSTATE {code})")]
    Refused {
        /// Its words.
        message: String,
        /// Its code.
        code: String,
    },
    /// Postgres wants a way of login that is not SCRAM-SHA-256.
    #[error("Postgres asks for {0}; let pg_hba.conf ask for scram-sha-256")]
    Login(&'static str),
    /// Something that does not belong there.
    #[error("unexpected answer to {0}")]
    Unexpected(&'static str),
}

/// What comes down the stream.
#[derive(Debug)]
pub enum Frame {
    /// A message of the output plugin.
    Wal(Bytes),
    /// How far the server has read its WAL, and whether it wants to hear of us at once.
    Keepalive {
        /// Everything before this was sent or does not concern us.
        end: Lsn,
        /// It waits for a status update.
        reply: bool,
    },
}

/// How long a slot lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is dropped.
    Permanent,
    /// As long as the connection that made it.
    Temporary,
}

/// Which writes of a site are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Those that were made there.
    Local,
    /// Those that were applied there as well.
    Any,
}

/// A connection in replication mode.
pub struct ReplicationConnection {
    stream: Box<dyn tls::Stream>,
    input: BytesMut,
    /// A frame that is not kept whole, as far as it has arrived.
    large: Option<Shortening>,
}

enum Raw {
    CopyBoth,
    CopyData(Bytes),
    Other(Message),
}

impl ReplicationConnection {
    /// Connects and logs in; `application` is what `pg_stat_activity` shows.
    pub async fn connect(secret: &PostgresSecret, application: &str) -> Result<Self, Error> {
        let login = secret.login()?;
        let mut connection = Self {
            stream: tls::dial(&login).await?,
            input: BytesMut::with_capacity(16 * 1024),
            large: None,
        };
        let options: Vec<String> = SESSION_SETTINGS
            .iter()
            .map(|(name, value)| format!("-c {name}={value}"))
            .collect();
        let parameters = [
            ("user", login.user.as_str()),
            ("database", login.dbname.as_str()),
            ("replication", "database"),
            ("application_name", application),
            ("client_encoding", "UTF8"),
            ("options", &options.join(" ")),
        ];
        let mut startup = BytesMut::new();
        frontend::startup_message(parameters, &mut startup)?;
        connection.stream.write_all(&startup).await?;
        connection.login(&login.password).await?;
        Ok(connection)
    }

    async fn login(&mut self, password: &str) -> Result<(), Error> {
        let mut scram: Option<ScramSha256> = None;
        loop {
            let mut answer = BytesMut::new();
            match self.message("login").await? {
                Message::AuthenticationSasl(_) => {
                    let started = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, started.message(), &mut answer)?;
                    scram = Some(started);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or(Error::Unexpected("login"))?;
                    scram.update(body.data())?;
                    frontend::sasl_response(scram.message(), &mut answer)?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or(Error::Unexpected("login"))?.finish(body.data())?;
                }
                Message::AuthenticationMd5Password(_) => return Err(Error::Login("an MD5 password")),
                Message::AuthenticationCleartextPassword => return Err(Error::Login("a clear-text password")),
                Message::ReadyForQuery(_) => return Ok(()),
                // Welcome, parameters of the session, the key to cancel it.
                _ => {}
            }
            if !answer.is_empty() {
                self.stream.write_all(&answer).await?;
            }
        }
    }

    /// Makes a logical slot with pgoutput; returns its consistent point and the name of a snapshot of that very moment, which lives until
    /// the next command of this connection.
    pub async fn create_slot(&mut self, slot: &str, lifetime: Lifetime) -> Result<(Lsn, String), Error> {
        const WHAT: &str = "CREATE_REPLICATION_SLOT";
        let temporary = if lifetime == Lifetime::Temporary {
            " TEMPORARY"
        } else {
            ""
        };
        self.send_query(&format!(
            "CREATE_REPLICATION_SLOT \"{slot}\"{temporary} LOGICAL pgoutput (SNAPSHOT 'export')"
        ))
        .await?;
        let mut row = None;
        loop {
            match self.message(WHAT).await? {
                Message::DataRow(body) => row = Some(texts(&body)?),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        let row = row.ok_or(Error::Unexpected(WHAT))?;
        match (row.get(1).and_then(|lsn| lsn.parse().ok()), row.get(2)) {
            (Some(lsn), Some(snapshot)) => Ok((lsn, snapshot.clone())),
            _ => Err(Error::Unexpected(WHAT)),
        }
    }

    /// Starts streaming where the slot was last confirmed.
    pub async fn start(&mut self, slot: &str, publication: &str, origins: Origins) -> Result<(), Error> {
        let origin = match origins {
            Origins::Local => "none",
            Origins::Any => "any",
        };
        self.send_query(&format!(
            "START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 (proto_version '1', publication_names '{publication}', origin '{origin}')"
        ))
        .await?;
        loop {
            match self.read().await? {
                Raw::CopyBoth => return Ok(()),
                Raw::Other(Message::ErrorResponse(body)) => return Err(refused(&body)),
                Raw::Other(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                _ => return Err(Error::Unexpected("START_REPLICATION")),
            }
        }
    }

    /// The next frame of the stream. Safe to cancel: what was read stays in the buffer.
    pub async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let mut data = match self.read().await? {
                Raw::CopyData(data) => data,
                Raw::Other(Message::ErrorResponse(body)) => return Err(refused(&body)),
                Raw::Other(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => continue,
                _ => return Err(Error::Unexpected("the stream")),
            };
            match (data.first(), data.len()) {
                (Some(b'w'), 25..) => {
                    data.advance(25);
                    return Ok(Frame::Wal(data));
                }
                (Some(b'k'), 18..) => {
                    data.advance(1);
                    let end = Lsn(data.get_u64());
                    data.advance(8);
                    return Ok(Frame::Keepalive {
                        end,
                        reply: data.get_u8() == 1,
                    });
                }
                _ => return Err(Error::Unexpected("the stream")),
            }
        }
    }

    /// Tells Postgres that everything before `confirmed` is in Kafka. `now` in microseconds since the Unix epoch; with `ask` it answers with
    /// a keepalive.
    pub async fn confirm(&mut self, confirmed: Lsn, now: i64, ask: bool) -> Result<(), Error> {
        let mut status = BytesMut::with_capacity(34);
        status.put_u8(b'r');
        // Written, flushed and applied are one for us: Kafka has it, or it has not.
        for _ in 0..3 {
            status.put_u64(confirmed.0);
        }
        status.put_i64(now - POSTGRES_EPOCH_MICROS);
        status.put_u8(u8::from(ask));
        let mut message = BytesMut::new();
        frontend::CopyData::new(status)?.write(&mut message);
        Ok(self.stream.write_all(&message).await?)
    }

    async fn send_query(&mut self, query: &str) -> Result<(), Error> {
        let mut message = BytesMut::new();
        frontend::query(query, &mut message)?;
        Ok(self.stream.write_all(&message).await?)
    }

    async fn message(&mut self, what: &'static str) -> Result<Message, Error> {
        match self.read().await? {
            Raw::Other(Message::ErrorResponse(body)) => Err(refused(&body)),
            Raw::Other(message) => Ok(message),
            _ => Err(Error::Unexpected(what)),
        }
    }

    async fn read(&mut self) -> Result<Raw, Error> {
        loop {
            if let Some(large) = &mut self.large {
                if let Some(frame) = large.take(&mut self.input) {
                    self.large = None;
                    return Ok(Raw::CopyData(frame));
                }
            } else if let Some(header) = Header::parse(&self.input)? {
                let length = usize::try_from(header.len()).map_err(|_| Error::Unexpected("a frame"))? + 1;
                if header.tag() == b'd' && length > LARGE_ROW {
                    self.input.advance(5);
                    self.large = Some(Shortening::new(length - 5));
                    continue;
                }
                if self.input.len() >= length {
                    return Ok(match header.tag() {
                        // CopyBothResponse and CopyData are taken as they are: postgres-protocol does not know the first.
                        b'W' => {
                            self.input.advance(length);
                            Raw::CopyBoth
                        }
                        b'd' => {
                            let mut frame = self.input.split_to(length).freeze();
                            frame.advance(5);
                            if length > LARGE {
                                // The buffer that grew for it goes with it.
                                self.input = BytesMut::from(&*self.input);
                            }
                            Raw::CopyData(frame)
                        }
                        _ => Raw::Other(Message::parse(&mut self.input)?.ok_or(Error::Unexpected("a frame"))?),
                    });
                }
                self.input.reserve(length - self.input.len());
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn texts(body: &DataRowBody) -> Result<Vec<String>, Error> {
    let mut ranges = body.ranges();
    let mut texts = Vec::new();
    while let Some(range) = ranges.next()? {
        let bytes = range.map(|range| &body.buffer()[range]).unwrap_or_default();
        texts.push(String::from_utf8_lossy(bytes).into_owned());
    }
    Ok(texts)
}

fn refused(body: &ErrorResponseBody) -> Error {
    let (mut message, mut code) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'M' => message = text,
            b'C' => code = text,
            _ => {}
        }
    }
    Error::Refused { message, code }
}
