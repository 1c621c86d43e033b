//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use synccluster_protocol::Site;
use synccluster_runtime::{config::parse_duration, telemetry};
use tokio::time;

use crate::{
    api,
    journal::{self, Folder, Order},
    plan::{Deltas, Load, presets},
    prepare,
    run::{Control, Phase, Progress, Run},
    runs::{self, Runs},
    serve,
    sites::Sites,
};

const EXAMPLE: &str = "Examples:\n  synccluster-seeder load --sites ./sites --rows 100000\n  \
                       synccluster-seeder deltas --sites ./sites --rate 500 --duration 1m --conflicts 10\n  \
                       synccluster-seeder preset --sites ./sites dual-writes\n  \
                       synccluster-seeder verify --sites ./sites deltas-2 --wait 1m";

/// Fills the tables of a SyncCluster, keeps writing to them, and checks that nothing it was acknowledged is lost.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the REST API and Swagger UI until stopped.
    Serve(Box<Serve>),
    /// Fill the tables with new rows.
    Load {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        load: Load,
    },
    /// Keep writing: inserts, updates and deletes at several sites.
    Deltas {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        deltas: Box<Deltas>,
    },
    /// Do what a preset says; `presets` lists them.
    Preset {
        #[command(flatten)]
        place: Place,
        /// Its name.
        name: String,
        /// Another seed.
        #[arg(long)]
        seed: Option<u64>,
        /// Another duration, such as 30s.
        #[arg(long)]
        duration: Option<String>,
    },
    /// Go on with a load that was stopped, failed or was interrupted.
    Resume {
        #[command(flatten)]
        place: Place,
        /// Its name.
        run: String,
    },
    /// Check that every write a run was acknowledged is accounted for. Ends with 0 if all are, with 1 if some are not, with 2 if nothing can be said.
    Verify {
        #[command(flatten)]
        place: Place,
        /// Its name.
        run: String,
        /// At these sites; at all unless it is told.
        #[arg(long = "site")]
        at: Vec<Site>,
        /// For how long what is missing is looked for again.
        #[arg(long, value_parser = parse_duration, default_value = "30s")]
        wait: Duration,
    },
    /// List the runs.
    Runs {
        #[command(flatten)]
        place: Place,
    },
    /// List the tables, and where each column's values come from.
    Tables {
        #[command(flatten)]
        place: Place,
    },
    /// List the presets.
    Presets {
        #[command(flatten)]
        place: Place,
    },
    /// Print the description of the API (OpenAPI 3.1) as JSON.
    Openapi,
}

/// Where the sites and the journals are.
#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// Folder with one folder a site (server, client-1, …), each with username, password, host, port and dbname.
    #[arg(id = "sites-folder", long = "sites", env = "SYNC_SITES_DIR", value_name = "FOLDER")]
    sites: PathBuf,
    /// Folder of the journals: what was written, and what of it was acknowledged.
    #[arg(
        long,
        env = "SEEDER_JOURNAL",
        value_name = "FOLDER",
        default_value = "seeder-journal"
    )]
    journal: PathBuf,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// What the server is told.
#[derive(Clone, Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where the API is served.
    #[arg(long, env = "SYNC_WEB_LISTEN", default_value = "127.0.0.1:8000")]
    web_listen: SocketAddr,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "SYNC_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder with the files `token` (may change things) and `viewer-token` (may look); they are read again when they change.
    #[arg(
        long,
        env = "SYNC_ACCESS_DIR",
        value_name = "FOLDER",
        required_unless_present = "access"
    )]
    access_dir: Option<PathBuf>,
    /// `none` lets everybody who reaches it do everything: for development, on a machine of one's own.
    #[arg(long, value_name = "none", conflicts_with = "access_dir")]
    access: Option<Open>,
}

/// Who may come in without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Open {
    /// Nobody has to show anything.
    None,
}

/// Why a command does nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Sites(#[from] synccluster_runtime::sites::Error),
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Runs(#[from] runs::Error),
    #[error(transparent)]
    Prepare(#[from] prepare::Error),
    #[error(transparent)]
    Serve(#[from] serve::Error),
    #[error(transparent)]
    Tokens(#[from] synccluster_web::tokens::Error),
    #[error("there is no preset `{0}`; `presets` lists them")]
    NoPreset(String),
}

impl Place {
    fn runs(&self) -> Result<Runs, Error> {
        Ok(Runs::new(Sites::read(&self.sites)?, Folder::open(&self.journal)?))
    }

    /// Prints one thing; people get `human`.
    fn print(&self, value: &impl Serialize, human: impl FnOnce() -> String) {
        match self.output {
            // What is printed is made of texts and numbers; JSON holds it.
            Output::Json => println!("{}", serde_json::to_string(value).unwrap_or_default()),
            Output::Human => println!("{}", human()),
        }
    }
}

/// The process.
#[tokio::main]
pub async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if matches!(command, Command::Serve(_)) {
        telemetry::init();
    }
    // What a check cannot say must not look like a check that failed.
    let cannot = if matches!(command, Command::Verify { .. }) {
        2
    } else {
        1
    };
    match run(command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(cannot)
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Serve(told) => return serve_runs(*told).await,
        Command::Load { place, load } => return follow(&place, Order::Load(load)).await,
        Command::Deltas { place, deltas } => return follow(&place, Order::Deltas(*deltas)).await,
        Command::Preset {
            place,
            name,
            seed,
            duration,
        } => {
            let sites = Sites::read(&place.sites)?.names();
            let preset = presets::all(&sites).into_iter().find(|preset| preset.name == name);
            let mut deltas = preset.ok_or(Error::NoPreset(name))?.deltas;
            deltas.seed = seed.unwrap_or(deltas.seed);
            deltas.duration = duration.or(deltas.duration);
            return follow(&place, Order::Deltas(deltas)).await;
        }
        Command::Resume { place, run } => {
            let runs = place.runs()?;
            runs.resume(&run).await?;
            return wait(&place, &runs, &run).await;
        }
        Command::Verify { place, run, at, wait } => {
            let report = place.runs()?.verify(&run, &at, wait).await?;
            place.print(&report, || report.to_string());
            return Ok(ExitCode::from(u8::from(!report.ok)));
        }
        Command::Runs { place } => {
            let all = place.runs()?.list()?;
            place.print(&all, || all.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        Command::Tables { place } => {
            let values = prepare::look(&Sites::read(&place.sites)?, Site::Server).await?;
            let view = api::view(&values);
            place.print(&view, || {
                view.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            });
        }
        Command::Presets { place } => {
            let all = presets::all(&Sites::read(&place.sites)?.names());
            place.print(&all, || {
                all.iter()
                    .map(|preset| format!("{}: {}", preset.name, preset.about))
                    .collect::<Vec<_>>()
                    .join("\n")
            });
        }
        Command::Openapi => print!("{}", api::document()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve_runs(told: Serve) -> Result<ExitCode, Error> {
    let access = if let Some(folder) = told.access_dir {
        api::Access::by_tokens(folder)?
    } else {
        tracing::warn!("everybody who reaches this seeder may do everything: --access none is for development");
        api::Access::Open
    };
    let app = Arc::new(api::App {
        runs: told.place.runs()?,
        access,
    });
    Ok(serve::process(app, told.web_listen, told.listen).await?)
}

async fn follow(place: &Place, order: Order) -> Result<ExitCode, Error> {
    let runs = place.runs()?;
    let run: Arc<Run> = runs.begin(order).await?;
    let id = run.edit().id.clone();
    wait(place, &runs, &id).await
}

/// Shows how far a run is until it has ended; Ctrl-C and SIGTERM stop it.
async fn wait(place: &Place, runs: &Runs, id: &str) -> Result<ExitCode, Error> {
    let mut asked = Box::pin(synccluster_runtime::health::shutdown_requested());
    let (mut tick, mut told) = (time::interval(Duration::from_millis(200)), 0);
    loop {
        tokio::select! {
            () = &mut asked => {
                runs.tell(id, Control::Stop).ok();
                runs.shut_down().await;
            }
            _ = tick.tick() => {}
        }
        let progress = runs.get(id)?;
        if !matches!(progress.phase, Phase::Running | Phase::Paused) {
            place.print(&progress, || line(&progress));
            return Ok(if progress.phase == Phase::Failed {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        told += 1;
        if told % 10 == 0 && place.output == Output::Human {
            eprintln!("{}", line(&progress));
        }
    }
}

/// A run in a line.
fn line(progress: &Progress) -> String {
    let Progress {
        id,
        phase,
        acknowledged,
        planned,
        missed,
        refused,
        unknown,
        seconds,
        rate,
        ..
    } = progress;
    let planned = planned.map(|planned| format!(" of {planned}")).unwrap_or_default();
    let mut line = format!("{id}: {phase:?}, {acknowledged}{planned} acknowledged").to_lowercase();
    if *seconds > 0.0 {
        line = format!("{line} in {seconds:.1} s ({rate:.0}/s)");
    }
    for (count, what) in [
        (missed, "found no row"),
        (refused, "refused"),
        (unknown, "without an answer"),
    ] {
        if *count > 0 {
            line = format!("{line}, {count} {what}");
        }
    }
    for (why, count) in &progress.refusals {
        line = format!("{line}\n  {count} x {why}");
    }
    match &progress.error {
        Some(error) => format!("{line}\n  {error}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_can_be_read() {
        Arguments::command().debug_assert();
        let read = |line: &str| Arguments::try_parse_from(line.split_ascii_whitespace()).map(|read| read.command);
        let line = "seeder deltas --sites /s --site server --site client-1 --mix insert=0,update=100,delete=0 --pair delete,update --hold client-1=5s";
        let Ok(Command::Deltas { place, deltas }) = read(line) else {
            panic!("{line}")
        };
        assert_eq!(
            (place.sites, deltas.sites.len(), deltas.mix.update),
            (PathBuf::from("/s"), 2, 100)
        );
        for wrong in [
            "seeder load",
            "seeder load --sites /s --site nowhere",
            "seeder serve --sites /s",
            "seeder serve --sites /s --access none --access-dir /a",
            "seeder deltas --sites /s --mix insert",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("seeder serve --sites /s --access none").is_ok());
    }
}
