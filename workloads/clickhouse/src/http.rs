//! ClickHouse's HTTP interface.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Deserialize;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take that is no insert.
const ANSWER: Duration = Duration::from_secs(30);
/// How long an insert may take: ClickHouse waits for merges before it says that it has too many parts.
const INSERT: Duration = Duration::from_mins(2);

/// Why ClickHouse did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the Secret is missing or wrong.
    #[error(
        "cannot use `{key}` of the ClickHouse secret in {folder}: {reason}; it must hold url, username, password and database, and may hold ca"
    )]
    Secret {
        /// The folder.
        folder: String,
        /// The key.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// It could not be reached.
    #[error("ClickHouse at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// It refused.
    #[error("ClickHouse at {url} refused ({}): {message}", code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}")))]
    Refused {
        /// Where.
        url: String,
        /// ClickHouse's number of the error (`ErrorCodes.cpp`).
        code: Option<u32>,
        /// What it said.
        message: String,
    },
    /// Its disk is full.
    #[error(
        "ClickHouse at {url} has no room on its disk: give its volume more, or drop what is not needed there; until then rows wait in Kafka, and none is lost ({message})"
    )]
    Full {
        /// Where.
        url: String,
        /// What it said.
        message: String,
    },
    /// Its answer is not what was asked for.
    #[error("the answer of ClickHouse at {url} cannot be read: {reason}")]
    Answer {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

/// What a refused insert asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Rows it cannot take: the others can be written.
    Rows,
    /// A table or a column is not what it was: look again.
    Schema,
    /// Nothing that is known to be about the rows: try again.
    Passing,
}

impl Error {
    /// What an insert does about it. Unknown reasons are tried again: that is seen, while a row that is left out by mistake is not.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused { code: Some(code), .. } => match code {
                // CANNOT_PARSE_*, CANNOT_READ_ALL_DATA, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, INCORRECT_DATA, TOO_LARGE_STRING_SIZE,
                // UNKNOWN_ELEMENT_OF_ENUM, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, CANNOT_PARSE_UUID,
                // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, DECIMAL_OVERFLOW, VIOLATED_CONSTRAINT
                6 | 26 | 27 | 33 | 38 | 41 | 69 | 70 | 72 | 117 | 131 | 349 | 376 | 395 | 407 | 469 | 691 => {
                    Refusal::Rows
                }
                // NOT_FOUND_COLUMN_IN_BLOCK, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, TYPE_MISMATCH, UNKNOWN_TABLE, UNKNOWN_DATABASE
                10 | 16 | 47 | 53 | 60 | 81 => Refusal::Schema,
                _ => Refusal::Passing,
            },
            _ => Refusal::Passing,
        }
    }

    /// Whether ClickHouse would refuse the same again, because of what it says; what is not known to be so is tried again.
    pub fn is_lasting(&self) -> bool {
        self.code().is_some_and(|code| {
            // CANNOT_PARSE_TEXT, DUPLICATE_COLUMN, NO_SUCH_COLUMN_IN_TABLE, BAD_ARGUMENTS, NUMBER_OF_ARGUMENTS_DOESNT_MATCH, ILLEGAL_TYPE_OF_ARGUMENT,
            // ILLEGAL_COLUMN, UNKNOWN_IDENTIFIER, NOT_IMPLEMENTED, UNKNOWN_TYPE, TYPE_MISMATCH, SYNTAX_ERROR, ARGUMENT_OUT_OF_BOUND,
            // CANNOT_CONVERT_TYPE, INCOMPATIBLE_COLUMNS, TOO_LARGE_STRING_SIZE, SUPPORT_IS_DISABLED, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
            // DECIMAL_OVERFLOW, SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY, ALTER_OF_COLUMN_IS_FORBIDDEN, DATA_TYPE_CANNOT_BE_USED_IN_KEY
            matches!(
                code,
                6 | 15
                    | 16
                    | 36
                    | 42
                    | 43
                    | 44
                    | 47
                    | 48
                    | 50
                    | 53
                    | 62
                    | 69
                    | 70
                    | 122
                    | 131
                    | 344
                    | 349
                    | 407
                    | 455
                    | 524
                    | 549
            )
        })
    }

    /// ClickHouse's number of it.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => *code,
            _ => None,
        }
    }
}

/// Where ClickHouse is and as whom to come.
#[derive(Clone)]
pub struct ClickHouse {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    user: String,
    password: String,
    /// The database everything is in.
    pub database: String,
}

/// An answer of several columns, every value as JSON.
#[derive(Deserialize)]
struct Table<T> {
    data: Vec<T>,
}

impl ClickHouse {
    /// From a folder with one file a key, as a Secret is mounted. Read at every session, so that a changed password needs no restart.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let fail = |key, reason: String| Error::Secret {
            folder: folder.display().to_string(),
            key,
            reason,
        };
        let file = |key: &'static str| match fs::read_to_string(folder.join(key)) {
            Ok(text) => Ok(text.trim_end_matches('\n').to_owned()),
            Err(error) => Err(fail(key, error.to_string())),
        };
        let url = file("url")?.trim_end_matches('/').to_owned();
        let parsed: Uri = url
            .parse()
            .map_err(|_| fail("url", format!("`{url}` is no URL such as http://clickhouse:8123")))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(fail(
                "url",
                format!("`{url}` is no URL such as http://clickhouse:8123 or https://clickhouse:8443"),
            ));
        }
        let ca = folder.join("ca");
        let tls = tls(ca.exists().then_some(ca.as_path())).map_err(|reason| fail("ca", reason))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_keepalive(Some(Duration::from_secs(10)));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            // ClickHouse closes what was idle for three seconds.
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(2))
                .build(connector),
            user: file("username")?,
            password: file("password")?,
            database: file("database")?,
            url,
        })
    }

    /// Runs a statement.
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        self.text(sql).await.map(drop)
    }

    /// A statement's answer as text.
    pub async fn text(&self, sql: &str) -> Result<String, Error> {
        let whole = async {
            let body = self.send("", Bytes::copy_from_slice(sql.as_bytes())).await?.into_body();
            let body = body
                .collect()
                .await
                .map_err(|error| self.unreachable(&error))?
                .to_bytes();
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        self.within(ANSWER, whole).await
    }

    /// A query's rows: `T` is a tuple of its columns.
    pub async fn rows<T: for<'de> Deserialize<'de>>(&self, sql: &str) -> Result<Vec<T>, Error> {
        let answer = self.text(&format!("{sql} FORMAT JSONCompact")).await?;
        let table: Table<T> = serde_json::from_str(&answer).map_err(|error| Error::Answer {
            url: self.url.clone(),
            reason: error.to_string(),
        })?;
        Ok(table.data)
    }

    /// A query's answer piece by piece.
    pub async fn stream(&self, sql: &str) -> Result<Pieces<'_>, Error> {
        let answer = self
            .within(ANSWER, self.send("", Bytes::copy_from_slice(sql.as_bytes())))
            .await?;
        Ok(Pieces {
            of: self,
            body: answer.into_body(),
        })
    }

    /// Adds rows: `insert` names table, columns and format, `rows` is in that format.
    pub async fn insert(&self, insert: &str, rows: Bytes) -> Result<(), Error> {
        let query = format!("/?query={}", utf8_percent_encode(insert, NON_ALPHANUMERIC));
        let whole = async {
            let body = self.send(&query, rows).await?.into_body();
            body.collect().await.map_err(|error| self.unreachable(&error)).map(drop)
        };
        self.within(INSERT, whole).await
    }

    async fn send(&self, query: &str, body: Bytes) -> Result<Response<Incoming>, Error> {
        let request = Request::post(format!("{}{}", self.url, if query.is_empty() { "/" } else { query }))
            .header("x-clickhouse-user", &self.user)
            .header("x-clickhouse-key", &self.password)
            .body(Full::new(body))
            .map_err(|error| Error::Answer {
                url: self.url.clone(),
                reason: format!(
                    "the request cannot be made ({error}): are user name and password of printable characters?"
                ),
            })?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let message = String::from_utf8_lossy(&body.to_bytes())
            .trim()
            .chars()
            .take(400)
            .collect::<String>();
        let (url, code) = (self.url.clone(), code(&message));
        if is_full(code, &message) {
            return Err(Error::Full { url, message });
        }
        let message = if message.is_empty() {
            status.to_string()
        } else {
            message
        };
        Err(Error::Refused { url, code, message })
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                url: self.url.clone(),
                reason: format!("no answer within {} s", limit.as_secs()),
            })
        })
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let (mut reason, mut remedy) = (error.to_string(), remedy(error));
        let mut cause = error.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            remedy = remedy.or_else(|| self::remedy(error));
            cause = error.source();
        }
        if let Some(remedy) = remedy {
            reason = format!("{remedy} ({reason})");
        }
        Error::Unreachable {
            url: self.url.clone(),
            reason,
        }
    }
}

/// An answer that is still coming.
pub struct Pieces<'a> {
    of: &'a ClickHouse,
    body: Incoming,
}

impl Pieces<'_> {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let frame = self.of.within(ANSWER, async {
            match self.body.frame().await {
                None => Ok(None),
                Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
                Some(Err(error)) => Err(self.of.unreachable(&error)),
            }
        });
        frame.await
    }
}

/// `Code: 60, e.displayText() = …` or `Code: 60. DB::Exception: …`.
fn code(message: &str) -> Option<u32> {
    let rest = message.split_once("Code: ")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// Whether it says that its disk is full: NOT_ENOUGH_SPACE where it counts before it writes, the system's own words where it does not.
fn is_full(code: Option<u32>, message: &str) -> bool {
    code == Some(243) || message.contains("No space left on device") || message.contains("errno: 28,")
}

/// What to do about a certificate that was not taken.
fn remedy(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    // An io::Error shows what is in it as its own text and not as its source, and here one is in another.
    let mut inner = error;
    while let Some(error) = inner.downcast_ref::<io::Error>() {
        inner = error.get_ref()?;
    }
    let rustls::Error::InvalidCertificate(why) = inner.downcast_ref()? else {
        return None;
    };
    Some(match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: give it a new one, the sink then goes on by itself"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate does not hold yet: is a clock wrong, ClickHouse's or this one?"
        }
        // An authority of the same name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is from an authority that is not trusted: put the certificate of that authority into `ca` of the ClickHouse secret"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name: give `url` of the ClickHouse secret a name the certificate has"
        }
        _ => "its certificate is not taken: give it another one, or correct `ca` of the ClickHouse secret",
    })
}

/// The machine's authorities, or just the one that is given.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())? {
            let certificate = certificate.map_err(|error| format!("it is no PEM: {error}"))?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("it has no certificate in PEM".to_owned());
        }
    } else {
        // Where there are none, plain HTTP goes on working, and TLS says that nobody is trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
