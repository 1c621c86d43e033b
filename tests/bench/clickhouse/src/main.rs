//! Measures the sink of ClickHouse: how fast it fills a table from a topic, side by side with `clickhouse-client` inserting the same rows as
//! TSV, and when a committed row is in the view. Postgres, Kafka and ClickHouse are real, on loopback; the sink is the binary that ships.
//! `make bench-analytics` runs it and writes target/bench/analytics.json.

mod child;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use synccluster_harness::{ClickHouse, Goals, Kafka, Role};
use synccluster_integration::World;
use synccluster_protocol::Site;
use tokio::time::sleep;

use crate::child::Sink;

const FOLDER: &str = "target/bench";
const FILE: &str = "target/bench/analytics.json";
const SERVER: Site = Site::Server;
const SCHEMA: &str =
    "create table orders (id bigint primary key, customer text not null, city text, amount numeric(12, 2) not null,
    items int not null, paid boolean not null, note text, ordered_at timestamptz not null)";
const COLUMNS: &str = "id, customer, city, amount, items, paid, note, ordered_at, sync_version, deleted";
/// Rows of one transaction at the source.
const PART: u64 = 50_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures the sink of ClickHouse.
#[derive(Parser)]
struct Arguments {
    /// The sink's binary; by default the one beside this.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Rows in the topic.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rounds; in each the sink and clickhouse-client have a turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rows whose way into the view is timed.
    #[arg(long, default_value_t = 50)]
    visible: u32,
    /// Ends with an error where what is wanted is not reached.
    #[arg(long)]
    check: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("synccluster-clickhouse"));
    let binary = arguments.binary.clone().map_or_else(beside, Ok)?;
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release -p synccluster-clickhouse",
        binary.display()
    );
    let world = World::start(0, SCHEMA).await?;
    fill(&world, arguments.rows).await?;
    let clickhouse = ClickHouse::start().await?;
    let bootstrap = Kafka::shared().await?.bootstrap();
    let start = |generation: usize| Sink::start(&binary, &world, &clickhouse, &bootstrap, generation);

    // Once for the tables, and for the rows as TSV.
    let first = start(0)?;
    wait_for(&clickhouse, arguments.rows).await?;
    drop(first);
    let tsv = std::env::temp_dir().join(format!("bench-analytics-{}.tsv", std::process::id()));
    export(&clickhouse, &tsv)?;

    let (mut ours, mut theirs, mut ratios, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        let begun = Instant::now();
        let sink = start(round)?;
        gone(&clickhouse).await?;
        wait_for(&clickhouse, arguments.rows).await?;
        let filled = begun.elapsed();
        let peak = sink.peak_mb()?;
        drop(sink);
        let inserted = insert(&clickhouse, &tsv).await?;
        let rate = |took: Duration| f64::from(u32::try_from(arguments.rows).unwrap_or(u32::MAX)) / took.as_secs_f64();
        let ratio = rate(filled) / rate(inserted);
        eprintln!(
            "round {round}: sink {:.0} rows/s, clickhouse-client {:.0} rows/s, ratio {ratio:.2}, peak {peak:.1} MB",
            rate(filled),
            rate(inserted)
        );
        ours.push(rate(filled));
        theirs.push(rate(inserted));
        ratios.push(ratio);
        peaks.push(peak);
    }
    fs::remove_file(&tsv)?;

    let sink = start(arguments.rounds)?;
    wait_for(&clickhouse, arguments.rows).await?;
    let visible = visible(&world, &clickhouse, arguments.visible).await?;
    peaks.push(sink.peak_mb()?);
    finish(&arguments, [ours, theirs, ratios, peaks, visible])
}

/// Rows at the server, and with them in its topic.
async fn fill(world: &World, rows: u64) -> Result<()> {
    for first in (1..=rows).step_by(usize::try_from(PART)?) {
        let last = (first + PART - 1).min(rows);
        world
            .run(
                SERVER,
                &format!(
                    "insert into orders select i, 'customer ' || i % 5000, case when i % 3 > 0 then 'city ' || i % 90 end, i % 100000 / 100.0, i % 7,
                       i % 2 = 0, case when i % 10 = 0 then repeat('note ', 1 + (i % 9)::int) end, timestamptz '2026-01-01' + i * interval '1 s'
                     from generate_series({first}::bigint, {last}) i"
                ),
            )
            .await?;
    }
    let end = Instant::now() + PATIENCE;
    let server = world.at(SERVER);
    while server.connector_status()?.records_acknowledged < rows {
        ensure!(
            Instant::now() < end,
            "the connector has not sent the rows within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn count(clickhouse: &ClickHouse) -> Result<u64> {
    Ok(clickhouse
        .ask("select count() from analytics.orders")
        .await?
        .trim()
        .parse()?)
}

async fn wait_for(clickhouse: &ClickHouse, rows: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    // Not there yet is no failure.
    while count(clickhouse).await.unwrap_or_default() < rows {
        ensure!(Instant::now() < end, "not filled within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until the rebuild has emptied the table: from there on it is filled again.
async fn gone(clickhouse: &ClickHouse) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let full = count(clickhouse).await?;
    while count(clickhouse).await? == full {
        ensure!(Instant::now() < end, "not emptied within {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn export(clickhouse: &ClickHouse, to: &Path) -> Result<()> {
    let query = format!("select {COLUMNS} from analytics.orders format TabSeparated");
    let status = clickhouse
        .client()
        .args(["--query", &query])
        .stdout(File::create(to)?)
        .status()?;
    ensure!(status.success(), "clickhouse-client ended with {status}");
    Ok(())
}

/// From the start of clickhouse-client to its end.
async fn insert(clickhouse: &ClickHouse, tsv: &PathBuf) -> Result<Duration> {
    clickhouse.ask("drop table if exists analytics.limit").await?;
    clickhouse
        .ask("create table analytics.limit as analytics.orders engine = ReplacingMergeTree(sync_version) order by id")
        .await?;
    let query = format!("insert into analytics.limit ({COLUMNS}) format TabSeparated");
    let begun = Instant::now();
    let mut client = clickhouse.client();
    client.args(["--query", &query]).stdin(Stdio::from(File::open(tsv)?));
    let status = tokio::task::block_in_place(|| client.status()).context("starting clickhouse-client")?;
    ensure!(status.success(), "clickhouse-client ended with {status}");
    let took = begun.elapsed();
    clickhouse.ask("drop table analytics.limit").await?;
    Ok(took)
}

/// Milliseconds from a commit to the row in the view, one row after another.
async fn visible(world: &World, clickhouse: &ClickHouse, rows: u32) -> Result<Vec<f64>> {
    let app: tokio_postgres::Client = world.at(SERVER).postgres.connect(Role::App).await?;
    let mut found = Vec::new();
    for number in 0..rows {
        let id = 1_000_000_000_i64 + i64::from(number);
        let insert = "insert into orders values ($1, 'seen', null, 1, 1, true, null, now())";
        app.execute(insert, &[&id]).await?;
        let begun = Instant::now();
        let query = format!("select count() from analytics.orders_current where id = {id}");
        while clickhouse.ask(&query).await?.trim() != "1" {
            ensure!(
                begun.elapsed() < PATIENCE,
                "row {id} is not in the view within {PATIENCE:?}"
            );
            sleep(Duration::from_millis(10)).await;
        }
        found.push(begun.elapsed().as_secs_f64() * 1000.0);
        // Not in step with the sink's batches.
        sleep(Duration::from_millis(u64::from(number * 37 % 250))).await;
    }
    Ok(found)
}

fn finish(arguments: &Arguments, [ours, theirs, ratios, peaks, visible]: [Vec<f64>; 5]) -> Result<()> {
    println!("{:<60} min / median / max", "ClickHouse");
    let line = |what: &str, numbers: Vec<f64>| {
        let mut sorted = numbers;
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        let (min, median, max) = (at(0), at(last / 2), at(last));
        println!("{what:<60} {min:>10.2} / {median:>10.2} / {max:>10.2}");
        let rounded = |number: f64| (number * 100.0).round() / 100.0;
        let all = json!({ "min": rounded(min), "median": rounded(median), "max": rounded(max) });
        (median, max, all)
    };
    let ours = line("the sink, rows a second", ours);
    let theirs = line("clickhouse-client with TSV, rows a second", theirs);
    let ratio = line("ratio (wanted 0.5)", ratios);
    let peak = line("peak memory of the sink, MB (wanted below 64)", peaks);
    let visible = line("from commit to the view, ms (wanted below 2000)", visible);
    let document: Value = json!({
        "rows": arguments.rows, "rounds": arguments.rounds, "ratio_to_limit": (ratio.0 * 100.0).round() / 100.0, "peak_mb": (peak.1 * 10.0).round() / 10.0,
        "ratio": ratio.2, "sink_rows_per_second": ours.2, "client_rows_per_second": theirs.2, "visible_ms": visible.2,
    });
    fs::create_dir_all(FOLDER)?;
    fs::write(FILE, serde_json::to_string_pretty(&document)? + "\n")?;
    if arguments.check {
        let mut goals = Goals::default();
        goals.at_least("the ratio to clickhouse-client", ratio.0, 0.5);
        goals.below("the sink's peak memory in MB", peak.1, 64.0);
        goals.below("the longest way into the view in ms", visible.1, 2000.0);
        goals.check()?;
    }
    Ok(())
}
