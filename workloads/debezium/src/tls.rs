//! How Debezium speaks TLS to a site's Postgres: what a Secret says, in words of the JDBC driver. Pure.

use std::path::Path;

use synccluster_protocol::connect::Settings;
use synccluster_runtime::postgres::secret::{AUTHORITY_KEY, Tls};

/// The driver's own way looks for an authority in a file only; Java knows others.
const JAVAS_OWN: &str = "org.postgresql.ssl.DefaultJavaSSLFactory";

/// Settings for a Postgres whose authority is in this folder. The driver reads the file for every connection.
pub fn settings(tls: &Tls, place: &Path) -> Settings {
    let authority = || place.join(AUTHORITY_KEY).display().to_string();
    let (word, beside) = match tls {
        Tls::Off => ("disable", None),
        Tls::Prefer => ("prefer", None),
        Tls::Require => ("require", None),
        Tls::System => ("verify-full", Some(("sslfactory", JAVAS_OWN.to_owned()))),
        Tls::Authorities(_) => ("verify-full", Some(("sslrootcert", authority()))),
    };
    let mode = ("sslmode", word.to_owned());
    let all = [Some(mode), beside].into_iter().flatten();
    all.map(|(name, value)| (format!("database.{name}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_asks_for_is_verified_by_the_driver_too() {
        let of = |tls| {
            let settings = settings(&tls, Path::new("/place")).into_iter();
            settings
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Tls::Off), ["database.sslmode=disable"]);
        assert_eq!(of(Tls::Require), ["database.sslmode=require"]);
        assert_eq!(
            of(Tls::Authorities(Vec::new())),
            ["database.sslmode=verify-full", "database.sslrootcert=/place/ca.crt"]
        );
        let javas = format!("database.sslfactory={JAVAS_OWN}");
        assert_eq!(of(Tls::System), [javas.as_str(), "database.sslmode=verify-full"]);
    }
}
