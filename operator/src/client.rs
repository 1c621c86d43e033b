//! The way to the API server. By itself a client waits for an answer without end; one that is lost, with the server or with the network between,
//! would keep a SyncCluster from ever being looked at again.

use std::time::Duration;

use kube::{Client, Config};

/// The API server itself gives a question up after a minute, and says so. Who has heard nothing for longer hears nothing any more.
const ANSWER: Duration = Duration::from_secs(75);
/// Seconds after which a watch is to end and be begun again, so that one that says nothing because nothing happens is told from one that is lost.
pub const WATCH: u32 = 60;

/// Nothing is dialled yet; an error if what the configuration names (certificates, a proxy) cannot be used.
pub fn new(config: Config) -> kube::Result<Client> {
    patient(config, ANSWER)
}

/// A client that gives a connection up on which nothing came for so long.
fn patient(mut config: Config, silence: Duration) -> kube::Result<Client> {
    config.read_timeout = Some(silence);
    // From the question on; otherwise the time a connection was not used would count.
    config.reset_reader_on_write = true;
    Client::try_from(config)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_never_comes_is_not_waited_for_without_end() {
        // The kernel takes the connection and the question, and nobody reads them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let mut config = Config::new(url.parse().unwrap());
        // Otherwise those of the machine, which may have none.
        config.root_cert = Some(Vec::new());
        let client = patient(config, Duration::from_millis(300)).unwrap();
        let begun = Instant::now();
        let answer = tokio::time::timeout(Duration::from_mins(1), client.apiserver_version()).await;
        assert!(answer.expect("it still waits").is_err());
        assert!(
            begun.elapsed() >= Duration::from_millis(300),
            "it waited: {:?}",
            begun.elapsed()
        );
    }
}
