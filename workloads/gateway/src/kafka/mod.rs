//! Topics, their messages and consumer groups, for people to look at.
//!
//! What is decided is pure: `position` (from which offset), `scan` (which records, and where to go on), `message` and `envelope` (what a
//! record says), `pace` (how many a second). What asks Kafka is thin: `topics`, `read`, `tail`, `groups`; every question has a client of
//! its own that is closed with the answer, so that an idle gateway holds no memory and no connection for it.

mod error;
mod topics;

use std::{sync::Arc, time::Duration};

use rdkafka::{config::FromClientConfig, consumer::BaseConsumer};
use synccluster_runtime::kafka;
use tokio::{sync::Semaphore, task, time::timeout};

pub use error::Error;
pub use topics::{Partition, Topic};

/// Questions that are asked at once; more wait. A client of librdkafka has three threads and a few MB while it reads.
const QUESTIONS: usize = 6;
/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// As what Kafka's own logs know the gateway.
const CLIENT_ID: &str = "synccluster-gateway";

/// The Kafka of a cluster.
pub struct Kafka {
    bootstrap_servers: Arc<str>,
    questions: Arc<Semaphore>,
}

impl Kafka {
    /// At `host:port`; nothing is connected before somebody asks.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// Asks on a thread that may block, with a client of its own. A question goes on when nobody waits for its answer any more, and keeps
    /// its turn until its client is closed.
    async fn ask<C, T>(&self, question: impl FnOnce(C) -> Result<T, Error> + Send + 'static) -> Result<T, Error>
    where
        C: FromClientConfig,
        T: Send + 'static,
    {
        let turn = timeout(TURN, Arc::clone(&self.questions).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Error::Busy);
        };
        let bootstrap_servers = Arc::clone(&self.bootstrap_servers);
        let asked = task::spawn_blocking(move || {
            let answer = kafka::client_config(&bootstrap_servers, CLIENT_ID)
                .create::<C>()
                .map_err(Error::from)
                .and_then(question);
            drop(turn);
            answer
        });
        asked.await.unwrap_or(Err(Error::Ended))
    }

    /// Every topic.
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.ask(|client: BaseConsumer| topics::list(&client)).await
    }
}
