//! A certificate authority of a test's own, by the `openssl` command.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::place::{self, Folder};

/// A key and the certificate for it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// An authority; its files go with it.
#[derive(Debug)]
pub struct Authority {
    folder: Folder,
}

impl Authority {
    /// A new one: nobody else's certificates are from it.
    pub async fn new() -> Result<Self> {
        let authority = Self {
            folder: Folder::new("authority")?,
        };
        let Certificate { certificate, key } = authority.files("ca");
        let mut command = request(&certificate, &key);
        command.args([
            "-subj",
            "/CN=a test's authority",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]);
        place::run(&mut command).await.context("openssl makes an authority")?;
        Ok(authority)
    }

    /// Its own certificate: what others trust.
    pub fn certificate(&self) -> PathBuf {
        self.files("ca").certificate
    }

    /// A certificate for these names, such as `IP:127.0.0.1,DNS:localhost`.
    pub async fn issue(&self, file: &str, names: &str) -> Result<Certificate> {
        let (ca, issued) = (self.files("ca"), self.files(file));
        let mut command = request(&issued.certificate, &issued.key);
        command.args([
            "-subj",
            &format!("/CN={file}"),
            "-addext",
            &format!("subjectAltName={names}"),
        ]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.arg("-CA").arg(&ca.certificate).arg("-CAkey").arg(&ca.key);
        place::run(&mut command).await.context("openssl issues a certificate")?;
        Ok(issued)
    }

    /// One whose time is over.
    pub async fn issue_expired(&self, file: &str, names: &str) -> Result<Certificate> {
        let (ca, issued) = (self.files("ca"), self.files(file));
        let [asked, config, index] =
            ["csr", "conf", "index"].map(|extension| self.folder.join(&format!("{file}.{extension}")));
        let mut request = Command::new("openssl");
        request.args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        request.args(["-subj", &format!("/CN={file}"), "-out"]).arg(&asked);
        place::run(request.arg("-keyout").arg(&issued.key)).await?;
        fs::write(&index, "")?;
        let (index, folder) = (index.display().to_string(), self.folder.join(""));
        let text = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={index}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md=sha256\npolicy=names\nx509_extensions=more\n\
             [names]\ncommonName=supplied\n[more]\nsubjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n",
            folder.display()
        );
        fs::write(&config, text)?;
        // `req` and `x509` of OpenSSL before 3.4 know no end in the past.
        let mut sign = Command::new("openssl");
        sign.args([
            "ca",
            "-batch",
            "-notext",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20200102000000Z",
        ]);
        sign.arg("-config")
            .arg(&config)
            .arg("-in")
            .arg(&asked)
            .arg("-out")
            .arg(&issued.certificate);
        place::run(sign.arg("-cert").arg(&ca.certificate).arg("-keyfile").arg(&ca.key))
            .await
            .context("openssl issues an expired certificate")?;
        Ok(issued)
    }

    fn files(&self, name: &str) -> Certificate {
        Certificate {
            certificate: self.folder.join(&format!("{name}.crt")),
            key: self.folder.join(&format!("{name}.key")),
        }
    }
}

/// A new key, and a certificate for it that holds for two days.
fn request(certificate: &PathBuf, key: &PathBuf) -> Command {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    command.arg("-out").arg(certificate).arg("-keyout").arg(key);
    command
}
