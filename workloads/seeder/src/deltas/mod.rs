//! Writes that go on: one task deals out what is due, one a site sends it.

mod book;
mod worker;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use synccluster_protocol::Site;
use tokio::{sync::mpsc, task::JoinSet, time};

use crate::{
    journal::{self, End, Key, Record, Writer},
    plan::{
        self, Pace,
        deltas::{Pool, Sequence},
    },
    run::Run,
    sites::{self, Sites},
    values::Values,
};
use book::Book;
use worker::Worker;

/// Writes that wait for one site; when it is full, all wait: a sequence keeps its order.
const WAITING: usize = 2_000;
/// How long nothing is looked at, at most.
const LOOK: Duration = Duration::from_millis(100);
/// How often the journal is forced to disk.
const SYNC: Duration = Duration::from_secs(1);

/// Why deltas end before their end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A site.
    #[error(transparent)]
    Site(#[from] sites::Error),
    /// What was asked for.
    #[error(transparent)]
    Order(#[from] plan::Error),
    /// A sequence gives nothing.
    #[error("{0}")]
    Numbers(String),
    /// A task ended by itself.
    #[error("a writer ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The journal, and the number of the next batch, for all who write.
#[derive(Debug)]
pub struct Journal {
    writer: Mutex<Writer>,
    next: AtomicU64,
}

impl Journal {
    fn append(&self, record: &Record) -> Result<(), journal::Error> {
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(record)
    }

    fn sync(&self) -> Result<(), journal::Error> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).sync()
    }
}

/// What deltas are made of.
pub struct Writing {
    /// What was asked for.
    pub order: plan::Deltas,
    /// The values of new rows and of changed columns.
    pub values: Arc<Values>,
    /// The keys of the rows that are there, by table.
    pub known: Vec<Vec<Key>>,
    /// Where.
    pub sites: Sites,
    /// What it is told, and what it tells.
    pub run: Arc<Run>,
}

impl Writing {
    /// Writes until all is done, or it is stopped.
    pub async fn write(self, writer: Writer) -> Result<(End, Writer), Error> {
        let journal = Arc::new(Journal {
            writer: Mutex::new(writer),
            next: AtomicU64::new(0),
        });
        let end = self.through(&journal).await;
        journal.sync()?;
        let end = end?;
        // Whoever else held it has ended.
        let journal = Arc::try_unwrap(journal).map_err(|_| Error::Numbers("the journal is still in use".to_owned()))?;
        Ok((end, journal.writer.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn through(&self, journal: &Arc<Journal>) -> Result<End, Error> {
        let names = self.sites.names();
        let mut at: Vec<Site> = self.order.at(&names).to_vec();
        at.sort_unstable();
        at.dedup();
        let hold = self.order.holds()?;
        let pools: Vec<Pool> = self.values.tables().zip(&self.known).map(pool).collect();
        let mut sequence = Sequence::new(&self.order, at.len(), &pools);
        let mut book = Book::open(
            Arc::clone(&self.values),
            self.known.clone(),
            &self.sites,
            &at,
            Arc::clone(&self.run),
        )
        .await?;
        let (mut senders, mut workers) = (Vec::new(), JoinSet::new());
        for &site in &at {
            let (sender, receiver) = mpsc::channel(WAITING);
            senders.push(sender);
            let worker = Worker {
                site,
                sites: self.sites.clone(),
                values: Arc::clone(&self.values),
                journal: Arc::clone(journal),
                run: Arc::clone(&self.run),
                hold: hold.filter(|(held, _)| *held == site).map(|(_, time)| time),
            };
            workers.spawn(worker.work(receiver));
        }
        let dealt = tokio::select! {
            dealt = self.deal(&mut sequence, &mut book, &senders, journal) => dealt,
            // A worker ends early only with an error.
            Some(ended) = workers.join_next() => match ended {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Ok(()),
                Err(error) => Err(error.into()),
            },
        };
        drop(senders);
        if dealt.is_err() {
            self.run.tell(crate::run::Control::Stop);
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        dealt?;
        Ok(if self.run.stopped() { End::Stopped } else { End::Done })
    }

    /// Hands out what is due until there is no more.
    async fn deal(
        &self,
        sequence: &mut Sequence,
        book: &mut Book,
        senders: &[mpsc::Sender<book::Write>],
        journal: &Journal,
    ) -> Result<(), Error> {
        let most = self.order.operations.unwrap_or(u64::MAX);
        let lasts = self.order.lasts()?.unwrap_or(Duration::MAX);
        let mut pace = Pace::new(self.order.rate, self.run.elapsed());
        let (mut dealt, mut synced) = (0, self.run.elapsed());
        while self.run.may_go_on().await {
            let now = self.run.elapsed();
            if dealt >= most || now >= lasts {
                break;
            }
            if now.saturating_sub(synced) >= SYNC {
                journal.sync()?;
                synced = now;
            }
            let due = pace.due(now).min(most - dealt);
            if due == 0 {
                time::sleep(pace.wait(now).min(LOOK)).await;
                continue;
            }
            for op in sequence.take(usize::try_from(due).unwrap_or(usize::MAX)) {
                let write = book.write(&op).await.map_err(Error::Numbers)?;
                tokio::select! {
                    // Fails when the worker has ended, which is noticed elsewhere.
                    sent = senders[op.site].send(write) => if sent.is_err() { return Ok(()) },
                    () = self.run.stop() => return Ok(()),
                }
            }
            pace.made(due);
            dealt += due;
        }
        Ok(())
    }
}

fn pool((table, keys): (&crate::schema::Table, &Vec<Key>)) -> Pool {
    Pool {
        rows: keys.len() as u64,
        referenced: table.referenced,
    }
}
