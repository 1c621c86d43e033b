use std::collections::BTreeMap;

use super::*;

/// Certificates that sign themselves; only their ends matter.
const ONE_YEAR: &str = include_str!("one-year.pem");
const TEN_YEARS: &str = include_str!("ten-years.pem");
const ONE_YEAR_ENDS: Millis = 1_826_795_801_000;
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n";

fn of(keys: &[(&str, &str)]) -> Result<Security, Error> {
    let keys = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    Security::parse(&keys.collect::<BTreeMap<_, _>>())
}

#[test]
fn what_is_there_decides_how_kafka_is_spoken_to() {
    let user = [("username", "ada\n"), ("password", "secret\n")];
    let shown = |keys: &[(&str, &str)]| {
        let settings = of(keys).unwrap().settings();
        let short = |value: &String| {
            if value.contains("BEGIN") {
                "PEM".to_owned()
            } else {
                value.clone()
            }
        };
        let each: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}={}", short(value)))
            .collect();
        each.join(" ")
    };
    assert_eq!(shown(&[("ca.crt", ONE_YEAR)]), "security.protocol=SSL ssl.ca.pem=PEM");
    assert_eq!(
        shown(&user),
        "security.protocol=SASL_PLAINTEXT sasl.mechanism=SCRAM-SHA-512 sasl.username=ada sasl.password=secret"
    );
    let all = [
        user[0],
        user[1],
        ("ca.crt", ONE_YEAR),
        ("mechanism", "PLAIN"),
        ("tls.crt", TEN_YEARS),
        ("tls.key", PRIVATE),
        ("another", ""),
    ];
    assert_eq!(
        shown(&all),
        "security.protocol=SASL_SSL ssl.ca.pem=PEM ssl.certificate.pem=PEM ssl.key.pem=PEM sasl.mechanism=PLAIN sasl.username=ada \
         sasl.password=secret"
    );
}

#[test]
fn half_a_secret_is_refused_with_what_to_add() {
    for (keys, expected) in [
        (&[][..], "none of the keys"),
        (&[("ca.crt", "")], "ca.crt is empty"),
        (&[("ca.crt", "not a certificate")], "ca.crt is no certificate"),
        (&[("username", "ada")], "has username and no password: add password"),
        (
            &[("password", "x"), ("ca.crt", ONE_YEAR)],
            "has password and no username",
        ),
        (
            &[("tls.crt", ONE_YEAR), ("ca.crt", ONE_YEAR)],
            "has tls.crt and no tls.key",
        ),
        (
            &[("tls.crt", ONE_YEAR), ("tls.key", PRIVATE)],
            "has tls.crt and no ca.crt",
        ),
        (
            &[("tls.crt", ONE_YEAR), ("tls.key", "x"), ("ca.crt", ONE_YEAR)],
            "tls.key is no private key",
        ),
        (
            &[("username", "ada"), ("password", "x"), ("mechanism", "GSSAPI")],
            "`GSSAPI` is not known: write SCRAM-SHA-512",
        ),
        (
            &[("username", "ada"), ("password", "x"), ("mechanism", "PLAIN")],
            "for all to read: add ca.crt",
        ),
    ] {
        let error = of(keys).unwrap_err().to_string();
        assert!(error.contains(expected), "{keys:?}: {error}");
    }
}

#[test]
fn an_authority_has_expired_when_all_of_a_bundle_have_and_our_own_when_it_has() {
    let authorities = format!("# the old one\n{ONE_YEAR}\n# and the new one\n{TEN_YEARS}");
    let bundle = of(&[("ca.crt", &authorities)]).unwrap();
    assert_eq!(bundle.expired(ONE_YEAR_ENDS + 1), None);
    let single = of(&[("ca.crt", ONE_YEAR)]).unwrap();
    let at = ONE_YEAR_ENDS;
    assert_eq!(single.expired(at), None);
    assert_eq!(single.expired(at + 1), Some(Expired { key: CA, at }));
    let own = of(&[("ca.crt", TEN_YEARS), ("tls.crt", ONE_YEAR), ("tls.key", PRIVATE)]).unwrap();
    assert_eq!(own.expired(at + 1), Some(Expired { key: CERTIFICATE, at }));
}

#[test]
fn java_gets_the_same_and_a_password_cannot_end_its_quotes() {
    let security = of(&[("username", "ada"), ("password", "a\"; x=\\"), ("ca.crt", ONE_YEAR)]).unwrap();
    let settings: BTreeMap<_, _> = security.java().into_iter().collect();
    assert_eq!(settings["security.protocol"], "SASL_SSL");
    assert_eq!(settings["ssl.truststore.type"], "PEM");
    assert_eq!(
        settings["sasl.jaas.config"],
        r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="ada" password="a\"; x=\\";"#
    );
}

#[test]
fn a_password_is_never_shown() {
    let security = of(&[("username", "ada"), ("password", "hunter2")]).unwrap();
    assert_eq!(format!("{security:?}"), "SASL_PLAINTEXT");
}
