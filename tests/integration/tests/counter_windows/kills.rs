//! Whatever is killed, stopped or added in the middle, every like is counted once.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use synccluster_harness::Kafka;
use tokio::time::sleep;

use crate::{
    likes::{self, send, wait_until_exact},
    worker::{Process, Task, world},
};

/// Blocking clients, away from the tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

const FROM: i64 = 1_700_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_in_the_middle_leave_windows_exact() -> Result<()> {
    let settings = world(Kafka::shared().await?).await?;
    let (mut one, mut two) = (Process::start(&settings)?, Process::start(&settings)?);
    for round in 0..6 {
        let (to, from) = (settings.clone(), FROM + round * 200_000);
        blocking(move || send(&to, &likes::some(10_000, 60, from))).await?;
        sleep(Duration::from_millis(300 + 170 * u64::try_from(round)?)).await;
        let killed = if round % 2 == 0 { &mut one } else { &mut two };
        *killed = Process::start(&settings)?;
    }
    blocking(move || wait_until_exact(&settings)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_up_after_its_partitions_went_to_another_is_fenced() -> Result<()> {
    let settings = world(Kafka::shared().await?).await?;
    let first = settings.clone();
    blocking(move || send(&first, &likes::some(20_000, 50, FROM))).await?;
    let sleeper = Process::start(&settings)?;
    let to = settings.clone();
    blocking(move || wait_until_exact(&to)).await?;
    let (second, third) = (settings.clone(), settings.clone());
    blocking(move || send(&second, &likes::some(20_000, 50, FROM + 400_000))).await?;
    sleeper.signal(Signal::STOP)?;
    let other = Task::start(&settings);
    // The group waits for the sleeper until its session is over.
    let to = settings.clone();
    blocking(move || wait_until_exact(&to)).await?;
    sleeper.signal(Signal::CONT)?;
    blocking(move || send(&third, &likes::some(20_000, 50, FROM + 800_000))).await?;
    blocking(move || wait_until_exact(&settings)).await?;
    other.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_and_share_the_partitions() -> Result<()> {
    let settings = world(Kafka::shared().await?).await?;
    let mut workers = Vec::new();
    for round in 0..6 {
        let (to, from) = (settings.clone(), FROM + round * 300_000);
        let sending = tokio::task::spawn_blocking(move || send(&to, &likes::some(15_000, 80, from)));
        if round < 3 {
            workers.push(Task::start(&settings));
        } else {
            workers.remove(0).stop().await?;
            if round == 5 {
                workers.push(Task::start(&settings));
            }
        }
        sleep(Duration::from_secs(1)).await;
        sending.await??;
    }
    blocking(move || wait_until_exact(&settings)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_is_killed_and_comes_back() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    let settings = world(&kafka).await?;
    let worker = Task::start(&settings);
    for round in 0..3 {
        let (to, from) = (settings.clone(), FROM + round * 300_000);
        blocking(move || send(&to, &likes::some(15_000, 80, from))).await?;
        sleep(Duration::from_millis(200)).await;
        kafka.kill().await?;
        kafka.restart().await?;
    }
    blocking(move || wait_until_exact(&settings)).await?;
    worker.stop().await
}
