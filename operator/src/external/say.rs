//! From what was met on the way to an external Postgres to a condition's reason, and what to do. Pure.

use synccluster_runtime::postgres::secret::KeyError;

use crate::observe::Problem;
use crate::validate::server::External;

/// The Secret is not there.
pub fn no_secret(external: &External, namespace: &str) -> Problem {
    Problem {
        reason: "ExternalSecretNotFound",
        message: format!(
            "Secret {} does not exist in namespace {namespace}: create it with host, port, dbname, username, password and ca.crt, or correct \
             spec.server.external.secret; what is connected stays so",
            external.secret
        ),
    }
}

/// A key of it is missing or wrong.
pub fn bad_key(external: &External, error: &KeyError) -> Problem {
    Problem {
        reason: "ExternalSecretInvalid",
        message: format!(
            "Secret {} of spec.server.external: {error}; correct it, it is read again at once",
            external.secret
        ),
    }
}

/// The Secret names a port that pods are not let out to.
pub fn other_port(external: &External, port: u16) -> Problem {
    Problem {
        reason: "ExternalSecretInvalid",
        message: format!(
            "Secret {} says port {port}, and pods are let out to port {}: write one of them into both the Secret and spec.server.external.port",
            external.secret, external.port
        ),
    }
}

/// There is no connection, for this reason.
pub fn not_connected(error: &str) -> Problem {
    let met = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let (reason, remedy) = if met(&["certificate expired", "CertExpired"]) {
        ("ExternalPostgresUntrusted", "its certificate has expired: renew it")
    } else if met(&[
        "UnknownIssuer",
        "BadSignature",
        "no certificate authority",
        "no certificate of an authority",
    ]) {
        (
            "ExternalPostgresUntrusted",
            "its certificate is not from that authority: put the certificate of the authority that signed it as ca.crt into the Secret",
        )
    } else if met(&["not valid for name", "NotValidForName"]) {
        (
            "ExternalPostgresUntrusted",
            "its certificate is for another name: write a name that it holds as host into the Secret, or have one made for this host",
        )
    } else if met(&[
        "certificate",
        "does not support TLS",
        "handshake",
        "server does not support",
    ]) {
        (
            "ExternalPostgresUntrusted",
            "TLS cannot be agreed: switch ssl on there and check its certificate, or say otherwise with sslmode in the Secret",
        )
    } else if met(&["28P01", "28000"]) {
        (
            "ExternalPostgresRefused",
            "it does not let the role in: correct username and password in the Secret, or its pg_hba.conf",
        )
    } else if met(&["3D000"]) {
        (
            "ExternalPostgresRefused",
            "make that database there, or correct dbname in the Secret",
        )
    } else {
        (
            "ExternalPostgresUnreachable",
            "check host and port in the Secret, that it runs, and that spec.server.external.peers lets pods out to it",
        )
    };
    Problem {
        reason,
        message: format!("the server's Postgres cannot be used: {error}; {remedy}"),
    }
}

/// It is there and cannot be the server yet.
pub fn unfit(address: &str, obstacles: &[String]) -> Problem {
    Problem {
        reason: "ExternalPostgresUnfit",
        message: format!("{address} cannot be the server yet: {}", obstacles.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_lacks_is_said_with_what_to_do() {
        let external = External {
            secret: "theirs".to_owned(),
            port: 5432,
            peers: Vec::new(),
        };
        for (problem, reason, remedy) in [
            (
                no_secret(&external, "shop"),
                "ExternalSecretNotFound",
                "Secret theirs does not exist in namespace shop: create it with host, port",
            ),
            (
                bad_key(&external, &KeyError::Missing("dbname")),
                "ExternalSecretInvalid",
                "Secret theirs of spec.server.external: key `dbname` is missing; correct it",
            ),
            (
                other_port(&external, 6432),
                "ExternalSecretInvalid",
                "port 6432, and pods are let out to port 5432: write one of them into both",
            ),
        ] {
            assert_eq!(problem.reason, reason);
            assert!(problem.message.contains(remedy), "{}", problem.message);
        }
    }

    #[test]
    fn what_was_met_becomes_what_to_do() {
        for (error, reason, remedy) in [
            (
                "db:5432 as shop: invalid peer certificate: UnknownIssuer",
                "ExternalPostgresUntrusted",
                "ca.crt",
            ),
            (
                "invalid peer certificate: certificate expired: verification time…",
                "ExternalPostgresUntrusted",
                "renew it",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"db\"; certificate is only valid for …",
                "ExternalPostgresUntrusted",
                "another name",
            ),
            (
                "error performing TLS handshake: server does not support TLS",
                "ExternalPostgresUntrusted",
                "switch ssl on",
            ),
            (
                "password authentication failed for user \"shop\" (SQLSTATE 28P01)",
                "ExternalPostgresRefused",
                "username and password",
            ),
            (
                "database \"shop\" does not exist (SQLSTATE 3D000)",
                "ExternalPostgresRefused",
                "dbname",
            ),
            (
                "error connecting to server: Connection refused",
                "ExternalPostgresUnreachable",
                "host and port",
            ),
        ] {
            let problem = not_connected(error);
            assert_eq!(problem.reason, reason, "{error}");
            assert!(problem.message.contains(remedy), "{}", problem.message);
        }
    }
}
