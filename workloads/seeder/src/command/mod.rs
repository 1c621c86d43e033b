//! The command line.

mod ask;
mod follow;
mod shown;

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use synccluster_protocol::Site;
use synccluster_runtime::{config::parse_duration, telemetry};

use crate::{
    api,
    client::{self, RunName},
    journal::{self, Folder, Order},
    plan::{Deltas, Load, presets},
    prepare,
    runs::{self, Runs},
    serve,
    sites::Sites,
};
use ask::Reach;
use shown::Shown;

const EXAMPLE: &str = "Examples:\n  synccluster-seeder load --sites ./sites --rows 100000\n  \
                       synccluster-seeder deltas --sites ./sites --rate 500 --duration 1m --conflicts 10\n  \
                       synccluster-seeder preset --sites ./sites dual-writes\n  \
                       synccluster-seeder verify --sites ./sites deltas-2 --wait 1m\n\n\
                       One run at a time writes over a folder of journals. Beside a seeder that serves (--url, SEEDER_URL), from any process:\n  \
                       synccluster-seeder runs\n  \
                       synccluster-seeder pause deltas-2\n  \
                       synccluster-seeder resume deltas-2\n  \
                       synccluster-seeder stop deltas-2";

const ASKING: &str = "Examples:\n  synccluster-seeder runs --json\n  \
                      synccluster-seeder status load-1\n  \
                      SEEDER_TOKEN_FILE=./token synccluster-seeder pause deltas-2 --url http://localhost:8090\n  \
                      kubectl -n demo exec demo-seeder-0 -- synccluster-seeder stop deltas-2\n\n\
                      Without a seeder that serves, over a folder of journals:\n  \
                      synccluster-seeder stop deltas-2 --sites ./sites --journal ./seeder-journal";

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
    /// List the runs.
    #[command(after_help = ASKING)]
    Runs {
        #[command(flatten)]
        reach: Reach,
    },
    /// Show how far a run is, or what it came to.
    #[command(after_help = ASKING)]
    Status {
        #[command(flatten)]
        reach: Reach,
        /// Its name.
        run: RunName,
    },
    /// Let a run wait until it is resumed.
    #[command(after_help = ASKING)]
    Pause {
        #[command(flatten)]
        reach: Reach,
        /// Its name.
        run: RunName,
    },
    /// Go on with a run that waits, or with a load that was stopped, failed or was interrupted: that goes on where the seeder serves, with --sites here.
    #[command(after_help = ASKING)]
    Resume {
        #[command(flatten)]
        reach: Reach,
        /// Its name.
        run: RunName,
    },
    /// End a run, and wait until it has ended.
    #[command(after_help = ASKING)]
    Stop {
        #[command(flatten)]
        reach: Reach,
        /// Its name.
        run: RunName,
    },
    /// Forget a run that has ended, journal and all; the rows stay.
    #[command(after_help = ASKING)]
    Remove {
        #[command(flatten)]
        reach: Reach,
        /// Its name.
        run: RunName,
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
    #[command(flatten)]
    journals: Journals,
    #[command(flatten)]
    shown: Shown,
}

/// Where the journals are.
#[derive(Clone, Debug, clap::Args)]
struct Journals {
    /// Folder of the journals: what was written, and what of it was acknowledged.
    #[arg(
        id = "journal",
        long = "journal",
        env = "SEEDER_JOURNAL",
        value_name = "FOLDER",
        default_value = "seeder-journal"
    )]
    folder: PathBuf,
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
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("cannot read the token's file {0}: {1}")]
    TokenFile(PathBuf, io::Error),
    #[error("{0} holds no token: it must be one line of 16 or more letters, digits and signs, without blanks")]
    NoToken(String),
    #[error("stopped before anything was written")]
    NotBegun,
    #[error(
        "run {0} was told to stop and has not ended within a minute: a site may be away; `status {0}` shows how far it is"
    )]
    StillEnding(String),
}

impl Place {
    fn runs(&self) -> Result<Runs, Error> {
        Ok(Runs::new(
            Sites::read(&self.sites)?,
            Folder::open(&self.journals.folder)?,
        ))
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
        Command::Load { place, load } => return follow::begin(&place, Order::Load(load)).await,
        Command::Deltas { place, deltas } => return follow::begin(&place, Order::Deltas(*deltas)).await,
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
            return follow::begin(&place, Order::Deltas(deltas)).await;
        }
        Command::Runs { reach } => return ask::list(&reach).await,
        Command::Status { reach, run } => return ask::status(&reach, &run).await,
        Command::Pause { reach, run } => return ask::pause(&reach, &run).await,
        Command::Resume { reach, run } => return ask::resume(&reach, &run).await,
        Command::Stop { reach, run } => return ask::stop(&reach, &run).await,
        Command::Remove { reach, run } => return ask::remove(&reach, &run).await,
        Command::Verify { place, run, at, wait } => {
            let report = place.runs()?.verify(&run, &at, wait).await?;
            place.shown.print(&report, || report.to_string());
            return Ok(ExitCode::from(u8::from(!report.ok)));
        }
        Command::Tables { place } => {
            let values = prepare::look(&Sites::read(&place.sites)?, Site::Server).await?;
            let view = api::view(&values);
            place.shown.print(&view, || {
                view.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            });
        }
        Command::Presets { place } => {
            let all = presets::all(&Sites::read(&place.sites)?.names());
            place.shown.print(&all, || {
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
        let line = "seeder stop --sites /s --journal /j load-1";
        let Ok(Command::Stop { reach, .. }) = read(line) else {
            panic!("{line}")
        };
        let place = reach.place().map(|place| (place.sites, place.journals.folder));
        assert_eq!(place, Some((PathBuf::from("/s"), PathBuf::from("/j"))));
        for wrong in [
            "seeder load",
            "seeder load --sites /s --site nowhere",
            "seeder serve --sites /s",
            "seeder serve --sites /s --access none --access-dir /a",
            "seeder deltas --sites /s --mix insert",
            "seeder stop",
            "seeder stop ../load-1",
            "seeder runs --url localhost:8000",
            "seeder runs --json --output human",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for right in [
            "seeder serve --sites /s --access none",
            "seeder runs --json",
            "seeder status load-1 --url http://localhost:8090 --token-file /t",
            "seeder resume --sites /s --journal /j load-1 --output json",
        ] {
            assert!(read(right).is_ok(), "{right}");
        }
    }
}
