//! What the Secret of a Kafka says. Pure, but for reading the folder it is mounted at.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use synccluster_protocol::status::Millis;
use x509_cert::{Certificate, der::DecodePem as _};

/// The key with the authority the brokers' certificates are signed by: speaks TLS.
pub const CA: &str = "ca.crt";
/// The key with the SASL user.
pub const USERNAME: &str = "username";
/// The key with the user's password.
pub const PASSWORD: &str = "password";
/// The key with the SASL mechanism.
pub const MECHANISM: &str = "mechanism";
/// The key with our own certificate, and those between it and the authority.
pub const CERTIFICATE: &str = "tls.crt";
/// The key with the private key of our own certificate.
pub const KEY: &str = "tls.key";
/// The keys that are read; others may be there.
pub const KEYS: [&str; 6] = [CA, USERNAME, PASSWORD, MECHANISM, CERTIFICATE, KEY];

/// What is wrong with a Secret, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None of the keys.
    #[error(
        "it has none of the keys ca.crt (TLS), username and password (SASL): add what the brokers ask for, or name no Secret"
    )]
    Empty,
    /// Half a pair.
    #[error("it has {has} and no {lacks}: add {lacks}, or remove {has}")]
    Half {
        /// What is there.
        has: &'static str,
        /// What is not.
        lacks: &'static str,
    },
    /// No text, or none at all.
    #[error("{0} is empty or no text: write it anew")]
    NoText(&'static str),
    /// A mechanism nobody here knows.
    #[error("mechanism `{0}` is not known: write SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN")]
    Mechanism(String),
    /// A password that anybody could read.
    #[error("mechanism PLAIN without ca.crt would send the password for all to read: add ca.crt, or use SCRAM-SHA-512")]
    PlainInTheClear,
    /// A certificate that is none.
    #[error("{0} is no certificate in PEM: it must have the lines from BEGIN CERTIFICATE to END CERTIFICATE")]
    NoCertificate(&'static str),
    /// A key that is none.
    #[error(
        "tls.key is no private key in PEM without a password: it must have the lines from BEGIN PRIVATE KEY to END PRIVATE KEY"
    )]
    NoKey,
    /// The folder cannot be read.
    #[error("cannot read {0}: {1}; it must be where the Secret is mounted")]
    Folder(String, String),
    /// In this folder.
    #[error("the secret of Kafka in {0}: {1}")]
    In(String, Box<Self>),
}

/// A certificate that is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Under which key it is.
    pub key: &'static str,
    /// Since when.
    pub at: Millis,
}

/// How the user proves who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    ScramSha512,
    ScramSha256,
    Plain,
}

impl Mechanism {
    const ALL: [Self; 3] = [Self::ScramSha512, Self::ScramSha256, Self::Plain];

    fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    mechanism: Mechanism,
    name: String,
    password: String,
}

/// TLS and SASL of a Kafka. What is secret in it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Security {
    ca: Option<String>,
    user: Option<User>,
    /// Our own certificate, and its key.
    own: Option<(String, String)>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.protocol())
    }
}

impl Security {
    /// From the keys of a Secret.
    pub fn parse(keys: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let text = |key: &'static str| {
            let Some(bytes) = keys.get(key) else { return Ok(None) };
            let text = std::str::from_utf8(bytes).map(|text| text.trim_end_matches(['\n', '\r']));
            match text {
                Ok(text) if !text.is_empty() => Ok(Some(text.to_owned())),
                _ => Err(Error::NoText(key)),
            }
        };
        let ca = text(CA)?;
        let user = match both((USERNAME, text(USERNAME)?), (PASSWORD, text(PASSWORD)?))? {
            None => None,
            Some((name, password)) => {
                let wanted = text(MECHANISM)?.unwrap_or_else(|| Mechanism::ScramSha512.as_str().to_owned());
                let known = Mechanism::ALL.into_iter().find(|known| known.as_str() == wanted);
                let mechanism = known.ok_or(Error::Mechanism(wanted))?;
                if mechanism == Mechanism::Plain && ca.is_none() {
                    return Err(Error::PlainInTheClear);
                }
                Some(User {
                    mechanism,
                    name,
                    password,
                })
            }
        };
        let own = both((CERTIFICATE, text(CERTIFICATE)?), (KEY, text(KEY)?))?;
        if own.is_some() && ca.is_none() {
            return Err(Error::Half {
                has: CERTIFICATE,
                lacks: CA,
            });
        }
        if ca.is_none() && user.is_none() {
            return Err(Error::Empty);
        }
        for (key, pem) in [(CA, &ca), (CERTIFICATE, &own.as_ref().map(|own| own.0.clone()))] {
            if let Some(pem) = pem {
                certificates(pem).ok_or(Error::NoCertificate(key))?;
            }
        }
        if own.as_ref().is_some_and(|(_, key)| !is_private_key(key)) {
            return Err(Error::NoKey);
        }
        Ok(Self { ca, user, own })
    }

    /// From a folder with one file a key.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let shown = || folder.display().to_string();
        if !folder.is_dir() {
            return Err(Error::Folder(shown(), "there is no such folder".to_owned()));
        }
        let mut keys = BTreeMap::new();
        for key in KEYS {
            match fs::read(folder.join(key)) {
                Ok(bytes) => _ = keys.insert(key.to_owned(), bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::Folder(folder.join(key).display().to_string(), error.to_string())),
            }
        }
        Self::parse(&keys).map_err(|error| Error::In(shown(), Box::new(error)))
    }

    /// A certificate that is past its end at `now`: our own, or every one of the authorities.
    pub fn expired(&self, now: Millis) -> Option<Expired> {
        let end = |certificate: &Certificate| {
            let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
            Millis::try_from(end.as_millis()).unwrap_or(Millis::MAX)
        };
        let authorities = self.ca.as_deref().and_then(certificates).unwrap_or_default();
        let own = self
            .own
            .as_ref()
            .and_then(|(own, _)| certificates(own))
            .unwrap_or_default();
        let ends = [
            (CA, authorities.iter().map(end).max()),
            (CERTIFICATE, own.first().map(end)),
        ];
        let past = ends.into_iter().filter_map(|(key, at)| Some(Expired { key, at: at? }));
        past.into_iter().find(|expired| expired.at < now)
    }

    /// The authorities of the brokers' certificates, as PEM.
    pub(super) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    fn protocol(&self) -> &'static str {
        match (&self.ca, &self.user) {
            (Some(_), Some(_)) => "SASL_SSL",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (None, None) => "PLAINTEXT",
        }
    }

    /// As librdkafka's settings.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("security.protocol", self.protocol().to_owned())];
        if let Some(ca) = &self.ca {
            settings.push(("ssl.ca.pem", ca.clone()));
        }
        if let Some((certificate, key)) = &self.own {
            settings.push(("ssl.certificate.pem", certificate.clone()));
            settings.push(("ssl.key.pem", key.clone()));
        }
        if let Some(user) = &self.user {
            settings.push(("sasl.mechanism", user.mechanism.as_str().to_owned()));
            settings.push(("sasl.username", user.name.clone()));
            settings.push(("sasl.password", user.password.clone()));
        }
        settings
    }

    /// As settings of Kafka's own clients in Java.
    pub fn java(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("security.protocol", self.protocol().to_owned())];
        let pem = || "PEM".to_owned();
        if let Some(ca) = &self.ca {
            settings.push(("ssl.truststore.type", pem()));
            settings.push(("ssl.truststore.certificates", ca.clone()));
        }
        if let Some((certificate, key)) = &self.own {
            settings.push(("ssl.keystore.type", pem()));
            settings.push(("ssl.keystore.certificate.chain", certificate.clone()));
            settings.push(("ssl.keystore.key", key.clone()));
        }
        if let Some(user) = &self.user {
            let module = match user.mechanism {
                Mechanism::Plain => "plain.PlainLoginModule",
                Mechanism::ScramSha512 | Mechanism::ScramSha256 => "scram.ScramLoginModule",
            };
            let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            settings.push(("sasl.mechanism", user.mechanism.as_str().to_owned()));
            settings.push((
                "sasl.jaas.config",
                format!(
                    "org.apache.kafka.common.security.{module} required username={} password={};",
                    quoted(&user.name),
                    quoted(&user.password)
                ),
            ));
        }
        settings
    }
}

/// Two keys that make sense together only.
fn both<T>(one: (&'static str, Option<T>), other: (&'static str, Option<T>)) -> Result<Option<(T, T)>, Error> {
    match (one, other) {
        ((_, None), (_, None)) => Ok(None),
        ((_, Some(one)), (_, Some(other))) => Ok(Some((one, other))),
        ((has, Some(_)), (lacks, None)) | ((lacks, None), (has, Some(_))) => Err(Error::Half { has, lacks }),
    }
}

/// The certificates of a PEM text, at least one; what stands between them is of no interest.
fn certificates(pem: &str) -> Option<Vec<Certificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = pem.split_inclusive(END).filter_map(|piece| {
        let begin = piece.find("-----BEGIN CERTIFICATE-----")?;
        piece.ends_with(END).then(|| &piece[begin..])
    });
    let read = blocks.map(Certificate::from_pem).collect::<Result<Vec<_>, _>>().ok()?;
    (!read.is_empty()).then_some(read)
}

fn is_private_key(pem: &str) -> bool {
    pem.contains("PRIVATE KEY-----") && pem.contains("-----END") && !pem.contains("ENCRYPTED")
}

#[cfg(test)]
mod tests;
