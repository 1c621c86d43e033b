//! Where the server's database is.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::{Error, range};
use crate::api::Server;

/// A Postgres that is somebody else's.
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    /// The Secret that says where it is.
    pub secret: String,
    /// Its port, which the Secret must say too.
    pub port: u16,
    /// Where pods are let out to; empty: anywhere.
    pub peers: Vec<NetworkPolicyPeer>,
}

/// The external Postgres, if there is one.
pub fn external(server: &Server) -> Result<Option<External>, Error> {
    let Some(external) = &server.external else {
        return Ok(None);
    };
    Ok(Some(External {
        secret: external.secret.clone(),
        port: range("server.external.port", external.port, 1..=65535, "between 1 and 65535")?,
        peers: external.peers.clone(),
    }))
}
