//! What is wrong with a broker's certificate. OpenSSL knows, and librdkafka tells only that something is; so it is looked at once more.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use rustls::{
    CertificateError as Flaw, ClientConfig, ClientConnection, Error, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::Kafka;

/// How long a broker may take, for each step.
const STEP: Duration = Duration::from_secs(2);

/// What is wrong with the first certificate that is not as it should be, and what to do; nothing if that cannot be seen.
pub fn flaw(kafka: &Kafka) -> Option<String> {
    let security = kafka.security().ok()??;
    let config = Arc::new(config(security.ca()?)?);
    kafka.servers().find_map(|server| {
        let error = shake_hands(server, Arc::clone(&config)).err()?;
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::InvalidCertificate(flaw) => Some(remedy(server, flaw)),
            _ => None,
        }
    })
}

fn config(authorities: &str) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities.as_bytes()).flatten());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

fn shake_hands(server: &str, config: Arc<ClientConfig>) -> io::Result<()> {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let address = server.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, STEP)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    connection.complete_io(&mut stream).map(drop)
}

fn remedy(server: &str, flaw: &Flaw) -> String {
    match flaw {
        Flaw::Expired | Flaw::ExpiredContext { .. } => {
            format!("the certificate of {server} has expired: renew it there")
        }
        Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => format!(
            "the certificate of {server} is for another name: write a name that it holds into bootstrapServers, or have one made for this name"
        ),
        // A signature is bad where another authority has the same name.
        Flaw::UnknownIssuer | Flaw::BadSignature => {
            format!("the certificate of {server} is not signed by ca.crt: put the authority that signed it into ca.crt")
        }
        flaw => format!("the certificate of {server} cannot be used: {flaw}"),
    }
}
