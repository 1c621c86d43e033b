//! Whether the brokers take us. librdkafka tries for ever, and tells why to nobody who does not listen; here it is asked once, and its reason is kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
};

use super::{Kafka, certificate};

/// How long the brokers may take. Reaching them at all is the link's affair.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks whether there is a reason.
const LOOK: Duration = Duration::from_millis(100);
/// What librdkafka says of every certificate that is not as it should be.
const UNVERIFIED: &str = "certificate verify failed";
/// As what brokers know the question.
const CLIENT_ID: &str = "synccluster-access";

/// Why the brokers do not take us, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Kafka at {servers} cannot be spoken to: {reason}")]
pub struct Refused {
    servers: String,
    reason: String,
}

/// What librdkafka says of connections that fail.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<String>>>);

impl ClientContext for Told {
    /// A connection that a broker closed is no error to librdkafka.
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.listen(message);
    }

    fn error(&self, _: KafkaError, message: &str) {
        self.listen(message);
    }
}

impl Told {
    fn listen(&self, message: &str) {
        if let Some(reason) = reason(message) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(reason);
        }
    }
}

impl ConsumerContext for Told {}

/// Asks once.
pub async fn check(kafka: &Kafka) -> Result<(), Refused> {
    let refused = |reason: String| Refused {
        servers: kafka.bootstrap_servers().to_owned(),
        reason,
    };
    let told = Told::default();
    let consumer: Result<BaseConsumer<Told>, _> = kafka.client_config(CLIENT_ID).and_then(|mut config| {
        // That a broker closed the connection is told no louder.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.create_with_context(told.clone())
    });
    // The Secret lacks something, or librdkafka cannot use what it has.
    let consumer = consumer.map_err(|error| refused(error.to_string()))?;
    let looked_at = kafka.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let reason = ask(&consumer, &told)?;
        let flaw = reason.contains(UNVERIFIED).then(|| certificate::flaw(&looked_at));
        Some(flaw.flatten().unwrap_or(reason))
    })
    .await;
    match asked {
        Ok(Some(reason)) => Err(refused(reason)),
        // In, or not reached; or the process ends.
        Ok(None) | Err(_) => Ok(()),
    }
}

fn ask(consumer: &BaseConsumer<Told>, told: &Told) -> Option<String> {
    let end = Instant::now() + ANSWER;
    loop {
        // What is told comes by this way alone.
        let _ = consumer.poll(Duration::ZERO);
        if consumer.client().fetch_cluster_id(LOOK).is_some() {
            return None;
        }
        let reason = told.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if reason.is_some() || Instant::now() > end {
            return reason;
        }
    }
}

/// Why and what to do, if this is a refusal and not a broker that cannot be reached.
fn reason(message: &str) -> Option<String> {
    let said = message.split_once("]: ").map_or(message, |(_, said)| said);
    let has = |what: &str| said.contains(what);
    let remedy = if has("certificate has expired") {
        "a certificate has expired: renew it"
    } else if has(UNVERIFIED) {
        "the brokers' certificate is not signed by ca.crt, or is for another host name, or has expired: put the authority that signed it into \
         ca.crt, use the names it is made for, or renew it"
    } else if has("alert certificate") || has("alert unknown ca") || has("alert bad certificate") {
        "the brokers do not take tls.crt and tls.key: use a certificate of theirs that has not expired"
    } else if has("Unsupported SASL mechanism") || has("mechanism handshake failed") {
        "the brokers do not know this SASL mechanism: write another one into the key mechanism"
    } else if has("SASL authentication error") || has("Authentication failed") {
        "the brokers do not take username and password: correct them"
    } else if has("SSL handshake failed") || has("wrong version number") {
        "no TLS: is this a port without it?"
    } else if has("connecting to a SSL listener") || has("might require SASL") {
        "the brokers ask for TLS or SASL that the Secret does not have: add ca.crt, or username and password"
    } else {
        return None;
    };
    Some(format!("{remedy} ({said})"))
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn a_refusal_is_told_with_what_to_do_and_a_broker_away_is_none() {
        let of = |message| reason(message).unwrap_or_default();
        let verify = of(
            "[thrd:ssl://a:1/bootstrap]: ssl://a:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed",
        );
        assert!(
            verify.starts_with("the brokers' certificate is not signed by ca.crt"),
            "{verify}"
        );
        assert!(verify.ends_with("certificate verify failed)"), "{verify}");
        let password = of(
            "[thrd:x]: sasl_ssl://a:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials",
        );
        assert!(password.contains("correct them"), "{password}");
        assert_eq!(
            reason("[thrd:x]: a:1/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused"),
            None
        );
    }
}
