//! One turn of one worker: a process that counts all likes, watched by what it commits.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Serialize;

use crate::{
    events::{MINUTES, Plan, Sums, TOPIC, client, make},
    streams, sums,
};

/// How long a turn may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks at what is committed.
const LOOK: Duration = Duration::from_millis(10);
/// Of one turn of /proc/*/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worker {
    /// `synccluster-counter windows`.
    Counter,
    /// Kafka Streams as it comes: one thread, RocksDB.
    Streams,
    /// Kafka Streams tuned: a thread a core, windows in memory.
    StreamsTuned,
}

impl Worker {
    /// In the order of their turns.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Streams, Self::StreamsTuned];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "synccluster-counter",
            Self::Streams => "Kafka Streams",
            Self::StreamsTuned => "Kafka Streams, tuned",
        }
    }
}

/// What is measured: the binary that goes into the image, built beside this one.
pub fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("synccluster-counter");
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release -p synccluster-counter",
        binary.display()
    );
    Ok(binary)
}

/// What a turn showed.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Likes counted and committed in a second, from the moment the group has its partitions to the last commit: the start of a JVM is not
    /// in it, beginning the transactions is.
    pub rate: f64,
    /// Seconds from the start of the process to the last commit.
    pub seconds: f64,
    /// Seconds of processor time, start included.
    pub cpu: f64,
    /// VmHWM.
    pub peak_mb: f64,
}

/// Lets one count everything, and checks what it counted.
pub fn turn(worker: Worker, round: usize, bootstrap: &str, plan: &Plan, wanted: &Sums) -> Result<Seen> {
    let cluster = format!("bench-{}-{round}", worker.name().replace([' ', ','], "").to_lowercase());
    let aggregations = format!("{cluster}.aggregations-");
    let topics: Vec<_> = MINUTES
        .iter()
        .map(|minutes| format!("{aggregations}{minutes}m"))
        .collect();
    make(bootstrap, plan, &topics)?;
    let state = std::env::temp_dir().join(&cluster);
    let _ = fs::remove_dir_all(&state);
    let streams = |threads, store| streams::command(bootstrap, &cluster, TOPIC, &aggregations, threads, store, &state);
    let (mut command, group) = match worker {
        Worker::Counter => (
            counter(bootstrap, &cluster, &aggregations)?,
            format!("{cluster}.windows"),
        ),
        Worker::Streams => (streams("1", "rocksdb"), cluster.clone()),
        Worker::StreamsTuned => (streams("2", "memory"), cluster.clone()),
    };
    let begin = Instant::now();
    let process = Process(command.stdout(Stdio::null()).spawn().context("starting the worker")?);
    let watched = watch(bootstrap, plan, &group, begin);
    let seen = watched.and_then(|(rate, seconds)| {
        Ok(Seen {
            rate,
            seconds,
            cpu: process.cpu()?,
            peak_mb: process.peak_mb()?,
        })
    });
    drop(process);
    let _ = fs::remove_dir_all(&state);
    let seen = seen?;
    sums::check(bootstrap, plan, &aggregations, wanted).with_context(|| worker.name())?;
    Ok(seen)
}

fn counter(bootstrap: &str, cluster: &str, aggregations: &str) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args([
            "windows",
            "--cluster",
            cluster,
            "--bootstrap-servers",
            bootstrap,
            "--listen",
            "127.0.0.1:0",
        ])
        .args(["--likes-topic", TOPIC, "--aggregations-topic", aggregations])
        .env("RUST_LOG", "warn")
        // As in the pod: the operator sets both for every workload.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "131072");
    Ok(command)
}

/// Waits until all likes are committed for the group; the rate since it had its partitions, and the seconds since `begin`.
fn watch(bootstrap: &str, plan: &Plan, group: &str, begin: Instant) -> Result<(f64, f64)> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .create()?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(TOPIC, 0, plan.partitions - 1);
    let mut ends = 0;
    for partition in 0..plan.partitions {
        ends += consumer.fetch_watermarks(TOPIC, partition, PATIENCE)?.1;
    }
    ensure!(u64::try_from(ends)? >= plan.events, "the topic has {ends} likes");
    while !has_partitions(&consumer, group) {
        ensure!(
            begin.elapsed() < PATIENCE,
            "{group} has no partitions within {PATIENCE:?}"
        );
        std::thread::sleep(LOOK);
    }
    let assigned = Instant::now();
    loop {
        let committed = consumer.committed_offsets(asked.clone(), PATIENCE)?;
        let counted = |offset| match offset {
            Offset::Offset(next) => next,
            _ => 0,
        };
        let sum: i64 = committed
            .elements()
            .iter()
            .map(|partition| counted(partition.offset()))
            .sum();
        if sum >= ends {
            #[allow(clippy::cast_precision_loss)]
            let rate = ends as f64 / assigned.elapsed().as_secs_f64();
            return Ok((rate, begin.elapsed().as_secs_f64()));
        }
        if begin.elapsed() > PATIENCE {
            bail!("{group} committed {sum} of {ends} likes within {PATIENCE:?}");
        }
        std::thread::sleep(LOOK);
    }
}

fn has_partitions(consumer: &BaseConsumer, group: &str) -> bool {
    // A coordinator that is loading refuses.
    let groups = consumer.fetch_group_list(Some(group), PATIENCE);
    groups.is_ok_and(|groups| {
        groups
            .groups()
            .iter()
            .any(|group| group.state() == "Stable" && !group.members().is_empty())
    })
}

struct Process(Child);

impl Process {
    fn file(&self, name: &str) -> Result<String> {
        let path = PathBuf::from("/proc").join(self.0.id().to_string()).join(name);
        fs::read_to_string(path).context("the worker has ended; its output says why")
    }

    fn peak_mb(&self) -> Result<f64> {
        let status = self.file("status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// User and system time: the 14th and 15th field, counted behind the name, which may hold anything.
    fn cpu(&self) -> Result<f64> {
        let stat = self.file("stat")?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .context("no time in /proc/*/stat")
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
