//! Workers, as tasks of this process and as processes of their own.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use synccluster_counter::{
    publish::{supervise, topics},
    windows::{Arguments, Settings, State, Windows},
};
use synccluster_harness::Kafka;
use synccluster_runtime::link::Probe;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const CLUSTER: &str = "COUNTER_WINDOWS_CLUSTER";
const KAFKA: &str = "COUNTER_WINDOWS_KAFKA";
const FLAGS: &str = "COUNTER_WINDOWS_FLAGS";

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    arguments: Arguments,
}

/// A cluster of its own at this Kafka. Its likes may be of any time: only likes move its windows.
pub fn settings(cluster: &str, bootstrap: &str) -> Result<Settings> {
    settings_with(&["--idle-after", "0s"], cluster, bootstrap)
}

fn settings_with(flags: &[&str], cluster: &str, bootstrap: &str) -> Result<Settings> {
    let flags = <Flags as clap::Parser>::try_parse_from([&["worker"], flags].concat())?;
    Ok(flags.arguments.settings(&cluster.parse()?, &bootstrap.into()))
}

/// A cluster of its own, with its topics.
pub async fn world(kafka: &Kafka) -> Result<Settings> {
    world_with(&["--idle-after", "0s"], kafka).await
}

/// The same with these flags.
pub async fn world_with(flags: &[&str], kafka: &Kafka) -> Result<Settings> {
    let settings = settings_with(flags, &format!("w{}", rand::random::<u32>()), &kafka.bootstrap())?;
    topics::ensure(&settings).await?;
    Ok(settings)
}

/// A worker that is a task.
pub struct Task {
    pub state: Arc<State>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Task {
    pub fn start(settings: &Settings) -> Self {
        let state = Arc::new(State::new(&settings.cluster, Probe::start(&settings.kafka)));
        let stop = CancellationToken::new();
        let windows = Windows::new(Arc::new(settings.clone()), Arc::clone(&state));
        let running = tokio::spawn(supervise(windows, stop.clone()));
        Self { state, stop, running }
    }

    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await?)
    }
}

/// A worker that is a process: this test binary again, with nothing but [`worker_process`].
pub struct Process(Child);

impl Process {
    pub fn start(settings: &Settings) -> Result<Self> {
        Self::start_with(&["--idle-after", "0s"], settings)
    }

    /// The same where the settings are of [`world_with`] these flags.
    pub fn start_with(flags: &[&str], settings: &Settings) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "worker::worker_process", "--nocapture"])
            .env(CLUSTER, settings.cluster.to_string())
            .env(KAFKA, settings.kafka.bootstrap_servers())
            .env(FLAGS, flags.join(" "))
            .stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.0.id())?).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Process {
    /// `kill -9`.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What [`Process`] runs, until it is killed; without its environment there is nothing to do.
#[tokio::test]
async fn worker_process() -> Result<()> {
    let (Ok(cluster), Ok(kafka), Ok(flags)) = (std::env::var(CLUSTER), std::env::var(KAFKA), std::env::var(FLAGS))
    else {
        return Ok(());
    };
    let flags: Vec<_> = flags.split(' ').collect();
    // Killed with the test that started it, whatever becomes of that.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    synccluster_runtime::telemetry::init();
    let worker = Task::start(&settings_with(&flags, &cluster, &kafka)?);
    tokio::time::sleep(Duration::from_mins(5)).await;
    worker.stop().await
}
