//! A Kafka that is somebody else's: TLS and SASL SCRAM at a listener of its own, beside the plain one by which it is looked after.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::authority::Certificate;
use crate::place;

/// Who may come in.
pub const USER: &str = "ada";

/// What the listener is like, and the Secret for it.
#[derive(Debug)]
pub struct Secured {
    /// Where it listens.
    pub port: u16,
    /// The folder with what its Secret says.
    pub secret: PathBuf,
    /// The user's password.
    pub password: String,
}

impl Secured {
    /// The folder of the Secret, with the authority and the user.
    pub fn write(&self, authority: &Path) -> Result<()> {
        fs::create_dir_all(&self.secret)?;
        fs::copy(authority, self.secret.join("ca.crt"))?;
        fs::write(self.secret.join("username"), USER)?;
        Ok(fs::write(self.secret.join("password"), &self.password)?)
    }

    /// The broker's settings for it; `store` is where its key and certificate are.
    pub fn properties(&self, store: &Path) -> String {
        format!(
            "listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={}
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
",
            store.display()
        )
    }
}

/// Key and certificate in one file, as Kafka wants them.
pub fn write_store(certificate: &Certificate, store: &Path) -> Result<()> {
    let (key, certificate) = (
        fs::read_to_string(&certificate.key)?,
        fs::read_to_string(&certificate.certificate)?,
    );
    Ok(fs::write(store, key + &certificate)?)
}

/// The setting that gives a user this password, as Kafka's tools take it.
pub fn credential(password: &str) -> String {
    format!("SCRAM-SHA-512=[iterations=4096,password={password}]")
}

/// Gives the user another password, by the tool that comes with Kafka.
pub async fn change_password(jars: &Path, bootstrap: &str, password: &str) -> Result<()> {
    let mut java = Command::new("java");
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars.join("*"))
        .args(["kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap])
        .args([
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            USER,
            "--add-config",
        ])
        .arg(credential(password));
    place::run(&mut java).await.context("changing a password of Kafka's")
}
