//! What a Secret says of a Postgres. It is read anew for every connection: kubelet writes a changed Secret into the files of pods that run,
//! so new credentials, another address or another authority hold without a restart.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio_postgres::{Config, config::SslMode};

use super::Error;

/// Below a Secret's folder: what belongs to a Postgres that is not ours, and says how it is reached.
pub const EXTERNAL: &str = "external";
/// Keys that say where an external Postgres is.
pub const PLACE_KEYS: [&str; 3] = ["host", "port", "dbname"];
/// Keys that say as whom.
pub const USER_KEYS: [&str; 2] = ["username", "password"];
/// The key with the authority that signed the server's certificate.
pub const AUTHORITY_KEY: &str = "ca.crt";
/// The key with libpq's word for how TLS is used.
pub const MODE_KEY: &str = "sslmode";

/// What every session asks for, as name and value.
///
/// `jit`: of what is asked of the catalogue about many columns Postgres may expect so much work that it compiles the query first, which can take a
/// small machine longer than the answer. What reads whole tables (`sync.digest`) makes text of rows, and the functions that do are compiled already.
///
/// `tcp_keepalives_*`: without them Postgres would take the session of a node that lost its power for one that is idle, for two hours as Linux
/// has it, and keep its locks and its replication origin, for which the next sink waits. There is no `idle_in_transaction_session_timeout`: a sink
/// that reads a large transaction again leaves its own open while it waits for Kafka.
const SETTINGS: [(&str, &str); 4] = [
    ("jit", "off"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What is wrong with a key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not there.
    #[error("key `{0}` is missing")]
    Missing(&'static str),
    /// It cannot be used.
    #[error("key `{key}` {reason}")]
    Wrong {
        /// Which.
        key: &'static str,
        /// Why, and what to write.
        reason: String,
    },
}

impl KeyError {
    /// The key.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Missing(key) | Self::Wrong { key, .. } => key,
        }
    }
}

/// Who runs a Postgres: that decides how it is spoken to where the Secret does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// A site's own, in a pod that only the cluster's pods reach: without TLS.
    Ours,
    /// Somebody else's: with TLS, and only if its certificate is right.
    External,
}

/// How TLS is used.
#[derive(Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// If the server has it; whoever it is. Keeps nobody out who is between the two.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with a certificate for this very host from an authority the machine knows.
    System,
    /// The same, from these authorities.
    Authorities(Vec<CertificateDer<'static>>),
}

/// Where, as whom and how to connect; the password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub dbname: String,
    /// How TLS is used.
    pub tls: Tls,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.dbname)
    }
}

impl Login {
    /// From the keys of a Secret.
    pub fn parse(hosting: Hosting, get: impl Fn(&'static str) -> Option<String>) -> Result<Self, KeyError> {
        let text = |key: &'static str| {
            let text = get(key).ok_or(KeyError::Missing(key))?;
            let text = text.trim_end_matches('\n').to_owned();
            if text.is_empty() {
                let reason = "is empty".to_owned();
                return Err(KeyError::Wrong { key, reason });
            }
            Ok(text)
        };
        let (user, password, host) = (text("username")?, text("password")?, text("host")?);
        let port = text("port")?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| KeyError::Wrong {
            key: "port",
            reason: "must be a number from 1 to 65535, such as 5432".to_owned(),
        })?;
        Ok(Self {
            user,
            password,
            host,
            port,
            dbname: text("dbname")?,
            tls: tls(hosting, get(AUTHORITY_KEY), get(MODE_KEY))?,
        })
    }

    /// As a URI.
    pub fn uri(&self) -> String {
        let mut host = self.host.clone();
        if host.contains(':') {
            host = format!("[{host}]");
        }
        let [user, password, dbname] = [&self.user, &self.password, &self.dbname].map(|part| encoded(part));
        format!("postgresql://{user}:{password}@{host}:{}/{dbname}", self.port)
    }

    /// As tokio-postgres takes it; `application` is what `pg_stat_activity` shows.
    pub fn config(&self, application: &str) -> Config {
        self.config_with(application, &[])
    }

    /// The same with settings of the caller's own, each as name and value.
    pub fn config_with(&self, application: &str, more: &[(&str, &str)]) -> Config {
        let settings = SETTINGS.iter().chain(more);
        let options: Vec<String> = settings.map(|(name, value)| format!("-c {name}={value}")).collect();
        let mut config = Config::new();
        config
            .user(&self.user)
            .password(&self.password)
            .host(&self.host)
            .port(self.port)
            .dbname(&self.dbname)
            .application_name(application)
            .options(options.join(" "))
            .connect_timeout(Duration::from_secs(5));
        match self.tls {
            Tls::Off => config.ssl_mode(SslMode::Disable),
            Tls::Prefer => config.ssl_mode(SslMode::Prefer),
            Tls::Require | Tls::System | Tls::Authorities(_) => config.ssl_mode(SslMode::Require),
        };
        // A peer that vanished without a word is noticed within half a minute; `SETTINGS` ask the same of Postgres.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        config
    }
}

/// Percent-encoded but for what RFC 3986 calls unreserved.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn tls(hosting: Hosting, authority: Option<String>, mode: Option<String>) -> Result<Tls, KeyError> {
    let wrong = |key, reason: &str| {
        let reason = reason.to_owned();
        Err(KeyError::Wrong { key, reason })
    };
    let mode = mode.map(|mode| mode.trim().to_owned());
    let verified = matches!(mode.as_deref(), None | Some("verify-full"));
    if let Some(pem) = authority {
        if !verified {
            return wrong(
                MODE_KEY,
                "must be verify-full, or left out, beside ca.crt: an authority is there to verify with",
            );
        }
        let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        return match read {
            Ok(certificates) if !certificates.is_empty() => Ok(Tls::Authorities(certificates)),
            _ => wrong(
                AUTHORITY_KEY,
                "holds no certificate: put the authority's in, as PEM, from -----BEGIN CERTIFICATE----- on",
            ),
        };
    }
    match mode.as_deref() {
        None if hosting == Hosting::Ours => Ok(Tls::Off),
        None | Some("verify-full") => Ok(Tls::System),
        Some("require") => Ok(Tls::Require),
        Some("prefer") => Ok(Tls::Prefer),
        Some("disable") => Ok(Tls::Off),
        Some(_) => wrong(MODE_KEY, "must be verify-full, require, prefer or disable"),
    }
}

/// Where a Secret is mounted: `username`, `password`, `host`, `port` and `dbname`. Of a Postgres that is not ours, what concerns the place
/// (`host`, `port`, `dbname`, and as its owner likes `ca.crt`, `sslmode`) is in folder `external` below.
#[derive(Clone, Debug)]
pub struct PostgresSecret {
    folder: PathBuf,
}

impl PostgresSecret {
    /// In a folder, which need not be complete yet: what it lacks is said by whoever connects.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// In a folder that is complete.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let secret = Self::at(folder);
        secret.login().map(|_| secret)
    }

    /// The folder that says where the Postgres is, and how it is reached.
    pub fn place(&self) -> PathBuf {
        let external = self.folder.join(EXTERNAL);
        if external.is_dir() {
            external
        } else {
            self.folder.clone()
        }
    }

    /// What it says now.
    pub fn login(&self) -> Result<Login, Error> {
        let place = self.place();
        let hosting = if place == self.folder {
            Hosting::Ours
        } else {
            Hosting::External
        };
        let get = |key| {
            let folder = if USER_KEYS.contains(&key) { &self.folder } else { &place };
            fs::read_to_string(folder.join(key)).ok()
        };
        Login::parse(hosting, get).map_err(|error| Error::Secret {
            folder: self.folder.clone(),
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn parse(hosting: Hosting, more: &[(&str, &str)]) -> Result<Login, KeyError> {
        let all = [
            ("username", "owner"),
            ("password", "s3cret"),
            ("host", "db.example.com"),
            ("port", "5432\n"),
            ("dbname", "shop"),
        ];
        Login::parse(hosting, |key| {
            let found = more.iter().chain(&all).find(|(name, _)| *name == key);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn tls_is_verified_unless_somebody_says_otherwise() {
        let tls = |hosting, more: &[(&str, &str)]| parse(hosting, more).unwrap().tls;
        assert!(tls(Hosting::Ours, &[]) == Tls::Off);
        assert!(tls(Hosting::External, &[]) == Tls::System);
        assert!(tls(Hosting::External, &[("sslmode", "verify-full\n")]) == Tls::System);
        assert!(tls(Hosting::External, &[("sslmode", "require")]) == Tls::Require);
        assert!(tls(Hosting::External, &[("sslmode", "prefer")]) == Tls::Prefer);
        assert!(tls(Hosting::External, &[("sslmode", "disable")]) == Tls::Off);
        assert!(matches!(tls(Hosting::External, &[("ca.crt", CERTIFICATE)]), Tls::Authorities(of) if of.len() == 1));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named_without_its_value() {
        for (key, value, of) in [
            ("port", "none", "port"),
            ("port", "0", "port"),
            ("password", "", "password"),
            ("sslmode", "verify-ca", "sslmode"),
            ("ca.crt", "s3cret", "ca.crt"),
        ] {
            let error = parse(Hosting::External, &[(key, value)]).unwrap_err();
            assert_eq!(error.key(), of);
            assert!(value.is_empty() || !error.to_string().contains(value), "{error}");
        }
        let both = [("ca.crt", CERTIFICATE), ("sslmode", "require")];
        assert_eq!(parse(Hosting::External, &both).unwrap_err().key(), "sslmode");
        let none = Login::parse(Hosting::External, |_| None).unwrap_err();
        assert_eq!(none.to_string(), "key `username` is missing");
    }

    #[test]
    fn a_uri_holds_whatever_a_password_holds() {
        let login = parse(Hosting::External, &[("password", "p@ss/w:rd"), ("host", "::1")]).unwrap();
        assert_eq!(login.uri(), "postgresql://owner:p%40ss%2Fw%3Ard@[::1]:5432/shop");
    }

    #[test]
    fn a_caller_s_settings_come_beside_those_of_every_session() {
        let login = parse(Hosting::Ours, &[]).unwrap();
        let options = |config: Config| config.get_options().unwrap_or_default().to_owned();
        let of_all = options(login.config("a test"));
        assert!(of_all.starts_with("-c jit=off -c tcp_keepalives_idle="), "{of_all}");
        let with = options(login.config_with("a test", &[("statement_timeout", "10s")]));
        assert_eq!(with, format!("{of_all} -c statement_timeout=10s"));
    }

    #[test]
    fn what_is_written_anew_holds_for_the_next_connection() {
        let folder = std::env::temp_dir().join(format!("synccluster-secret-{}", std::process::id()));
        fs::create_dir_all(folder.join(EXTERNAL)).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let secret = PostgresSecret::at(&folder);
        for (name, text) in [("username", "sync_sink"), ("password", "old"), ("external/host", "a")] {
            write(name, text);
        }
        let lacking = secret.login().unwrap_err().to_string();
        assert!(lacking.contains("key `port` is missing"), "{lacking}");
        write("external/port", "5433");
        write("external/dbname", "shop");
        assert_eq!(secret.login().unwrap().password, "old");
        write("password", "new");
        write("external/host", "b");
        let login = secret.login().unwrap();
        assert_eq!((login.password.as_str(), login.host.as_str()), ("new", "b"));
        assert!(login.tls == Tls::System);
        assert_eq!(format!("{login:?}"), "sync_sink@b:5433/shop");
        fs::remove_dir_all(&folder).unwrap();
    }
}
