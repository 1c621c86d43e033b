//! Topics, their messages and consumer groups, for people to look at.
//!
//! What is decided is pure: `position` (from which offset), `scan` (which records, and where to go on), `back` (the same from the end), `content`, `envelope`, `sides` and `message`
//! (what a record says), `pace` (how many a second). What asks Kafka is thin: `topics`, `configuration`, `read`, `tail`, `groups`; every
//! question has a client of its own that is closed with the answer, so that an idle gateway holds no memory and no connection for it.
//! `sinks` are groups too, though Kafka knows nothing of them: they keep their progress in the database they apply to.

mod back;
mod configuration;
mod content;
mod envelope;
mod error;
mod groups;
mod message;
mod pace;
mod position;
mod read;
mod scan;
mod sides;
mod sinks;
mod tail;
mod topics;
mod wide;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use rdkafka::{ClientConfig, admin::AdminClient, config::FromClientConfig, consumer::BaseConsumer};
use synccluster_runtime::kafka::Kafka as Brokers;
use tokio::{
    sync::{Semaphore, oneshot},
    task,
    time::{Instant, timeout, timeout_at},
};

pub use configuration::{Described, Setting};
pub use content::{Content, Encoding, make_safe};
pub use error::Error;
pub use groups::{Group, GroupKind, GroupLag, GroupProgress, Progress};
pub use message::{Header, Message};
pub use position::{BadPosition, Position};
pub use read::{Looked, Page, Query};
pub use sides::{Known, Sides};
pub use sinks::Sinks;
pub use tail::{Tail, TailEvent};
pub use topics::{Partition, Topic, offsets};
pub use wide::Wide;

/// Questions that are asked at once; more wait. A client of librdkafka has three threads and a few MB while it reads.
const QUESTIONS: usize = 6;
/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long Kafka may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Groups whose offsets are asked for at once: there are turns left for other questions.
const LAGS: usize = 3;
/// How long the lags of all groups may take together.
const LAGS_WITHIN: Duration = Duration::from_secs(5);
/// As what Kafka's own logs know the gateway; the group of consumers that join none and commit nothing.
const CLIENT_ID: &str = "synccluster-gateway";

/// The Kafka of a cluster.
pub struct Kafka {
    brokers: Brokers,
    questions: Arc<Semaphore>,
}

impl Kafka {
    /// At these brokers; nothing is connected before somebody asks.
    pub fn new(brokers: Brokers) -> Self {
        Self {
            brokers,
            questions: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// Asks on a thread that may block, with a client of its own. The answer does not wait for the client to be closed, but the turn does; and
    /// a question goes on when nobody waits for its answer any more.
    async fn ask<C, T>(
        &self,
        config: ClientConfig,
        question: impl FnOnce(&C) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error>
    where
        C: FromClientConfig,
        T: Send + 'static,
    {
        let turn = timeout(TURN, Arc::clone(&self.questions).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Error::Busy);
        };
        let (answer, answered) = oneshot::channel();
        task::spawn_blocking(move || {
            let _turn = turn;
            let client = config.create::<C>();
            // Nobody may be waiting any more.
            let _ = answer.send(match &client {
                Ok(client) => question(client),
                Err(error) => Err(error.clone().into()),
            });
        });
        answered.await.unwrap_or(Err(Error::Ended))
    }

    /// A client that asks and does not read.
    fn asking(&self) -> Result<ClientConfig, Error> {
        Ok(self.brokers.client_config(CLIENT_ID)?)
    }

    /// A consumer that reads a little, or asks for the offsets of a group.
    fn reading(&self, group: &str) -> Result<ClientConfig, Error> {
        let mut config = self.brokers.consumer_config(CLIENT_ID)?;
        config
            .set("group.id", group)
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.message.max.bytes", "262144");
        Ok(config)
    }

    /// Every topic, by name.
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.ask(self.asking()?, topics::list).await
    }

    /// One topic, and how it is configured.
    pub async fn topic(&self, name: String) -> Result<Described, Error> {
        let find = move |client: &BaseConsumer| topics::find(client, &name);
        let topic = self.ask(self.asking()?, find).await?;
        self.ask(self.asking()?, |admin: &AdminClient<_>| {
            configuration::describe(admin, topic)
        })
        .await
    }

    /// Messages of a partition; change events of known tables with their rows.
    pub async fn messages(&self, query: Query, tables: Arc<Known>) -> Result<Page, Error> {
        let read = move |consumer: &BaseConsumer| read::page(consumer, &query, tables.as_ref());
        self.ask(self.reading(CLIENT_ID)?, read).await
    }

    /// The groups that Kafka knows.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        self.ask(self.asking()?, groups::list).await
    }

    /// How far a group that Kafka knows has come. Its consumer asks in the group's name and does not join it.
    pub async fn group(&self, name: String) -> Result<GroupProgress, Error> {
        let found = self.groups().await?.into_iter().find(|group| group.group == name);
        let group = found.ok_or(Error::UnknownGroup(name))?;
        let config = self.reading(&group.group)?;
        let progress = |consumer: &BaseConsumer| groups::progress(consumer, &topics::list(consumer)?);
        let offsets = self.ask(config, progress).await?;
        Ok(GroupProgress { group, offsets })
    }

    /// How far groups that Kafka knows are behind in these topics, in their order. One that cannot be told keeps no other from it, and who comes
    /// too late for the time there is is told that.
    pub async fn lags(&self, groups: Vec<Group>, topics: Arc<[Topic]>) -> Vec<GroupLag> {
        let until = Instant::now() + LAGS_WITHIN;
        let late = || {
            format!(
                "Kafka did not tell within {} s; ask for this group alone",
                LAGS_WITHIN.as_secs()
            )
        };
        let lag = async |group: Group| {
            let lag = timeout_at(until, self.lag(&group.group, Arc::clone(&topics))).await;
            GroupLag::new(group, lag.unwrap_or_else(|_| Err(late())))
        };
        stream::iter(groups).map(lag).buffered(LAGS).collect().await
    }

    async fn lag(&self, group: &str, topics: Arc<[Topic]>) -> Result<Wide, String> {
        let config = self.reading(group).map_err(|error| error.to_string())?;
        let asked = Arc::clone(&topics);
        let progress = move |consumer: &BaseConsumer| groups::progress(consumer, &asked);
        let offsets = self.ask(config, progress).await.map_err(|error| error.to_string())?;
        groups::total(&offsets, &topics)
    }
}
