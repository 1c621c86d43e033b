//! TLS to a Postgres: the one place that makes it, for tokio-postgres, for cancelling and for replication connections.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect as _};
pub use tokio_postgres_rustls::MakeRustlsConnect as Connector;

use super::secret::{Login, Tls};

/// SSLRequest: its length, and the number that Postgres tells it by.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Either side of a connection to Postgres.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// What makes TLS as a Secret wants it; or why it cannot be made.
pub fn connector(tls: &Tls) -> Result<Connector, String> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    match tls {
        Tls::Off | Tls::Prefer | Tls::Require => {}
        Tls::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "no certificate authority is known here: put the server's as `ca.crt` into its Secret".to_owned(),
                );
            }
        }
        Tls::Authorities(certificates) => {
            for certificate in certificates {
                let added = roots.add(certificate.clone());
                added.map_err(|error| format!("`ca.crt` holds what is no certificate of an authority: {error}"))?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = if matches!(tls, Tls::Prefer | Tls::Require) {
        let anybody = Arc::new(Anybody(provider));
        config.dangerous().with_custom_certificate_verifier(anybody)
    } else {
        config.with_root_certificates(roots)
    };
    Ok(Connector::new(config.with_no_client_auth()))
}

/// A connection for who speaks Postgres' protocol himself, with TLS as the Secret wants it.
pub async fn dial(login: &Login) -> io::Result<Box<dyn Stream>> {
    let mut stream = TcpStream::connect((login.host.as_str(), login.port)).await?;
    stream.set_nodelay(true)?;
    if login.tls == Tls::Off {
        return Ok(Box::new(stream));
    }
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => {
            let mut maker = connector(&login.tls).map_err(io::Error::other)?;
            let connect = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut maker, &login.host);
            let connect = connect.map_err(|never| io::Error::other(never.to_string()))?;
            Ok(Box::new(connect.connect(stream).await?))
        }
        _ if login.tls == Tls::Prefer => Ok(Box::new(stream)),
        _ => Err(io::Error::other("the server has no TLS: switch `ssl` on there")),
    }
}

/// Takes every certificate, as libpq's `prefer` and `require` do; only that the peer holds its key is checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
