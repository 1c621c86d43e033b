//! Runs that go on elsewhere: listed, looked at and told what to do, by a seeder that serves or over a folder of journals.

use std::{env, fs, path::PathBuf, process::ExitCode, time::Duration};

use synccluster_web::tokens::{Files, Role, Token};
use tokio::time;

use super::{
    Error, Journals, Place, follow,
    shown::{Shown, line, lines},
};
use crate::{
    client::{Address, Client, RunName, Verb},
    run::{Control, Progress},
    runs::Runs,
};

/// How often a run that is to end is looked at, and for how long.
const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_mins(1);

/// Who is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// The API of the seeder that serves. It takes a token, from the variable SEEDER_TOKEN or a file.
    #[arg(
        long,
        env = "SEEDER_URL",
        value_name = "URL",
        default_value = "http://localhost:8000"
    )]
    url: Address,
    /// File with the token; comes before SEEDER_TOKEN.
    #[arg(long, env = "SEEDER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Folder with `token` or `viewer-token`, as the serving seeder has it: where neither a file nor SEEDER_TOKEN is told.
    #[arg(long, env = "SYNC_ACCESS_DIR", value_name = "FOLDER")]
    access_dir: Option<PathBuf>,
    /// Nobody serves: work over the folder of --journal, and with the sites of this one.
    #[arg(long, value_name = "FOLDER")]
    sites: Option<PathBuf>,
    #[command(flatten)]
    journals: Journals,
    #[command(flatten)]
    shown: Shown,
}

/// By whom it is done.
enum Asked {
    Serving(Client),
    Here(Runs),
}

impl Reach {
    /// The folders, if nobody is asked.
    pub(super) fn place(&self) -> Option<Place> {
        Some(Place {
            sites: self.sites.clone()?,
            journals: self.journals.clone(),
            shown: self.shown,
        })
    }

    fn asked(&self) -> Result<Asked, Error> {
        Ok(match self.place() {
            Some(place) => Asked::Here(place.runs()?),
            None => Asked::Serving(Client::new(self.url.clone(), self.token()?)),
        })
    }

    fn token(&self) -> Result<Option<Token>, Error> {
        if let Some(file) = &self.token_file {
            let text = fs::read_to_string(file).map_err(|reason| Error::TokenFile(file.clone(), reason))?;
            return parse(&text, &file.display().to_string()).map(Some);
        }
        if let Ok(text) = env::var("SEEDER_TOKEN") {
            return parse(&text, "SEEDER_TOKEN").map(Some);
        }
        let Some(folder) = &self.access_dir else {
            return Ok(None);
        };
        let tokens = Files::read(folder.clone())?.now();
        Ok(tokens.of(Role::Editor).or(tokens.of(Role::Viewer)).cloned())
    }
}

fn parse(text: &str, source: &str) -> Result<Token, Error> {
    Token::parse(text).ok_or_else(|| Error::NoToken(source.to_owned()))
}

impl Asked {
    async fn get(&self, run: &RunName) -> Result<Progress, Error> {
        Ok(match self {
            Self::Serving(client) => client.get(run).await?,
            Self::Here(runs) => runs.get(run.as_str())?,
        })
    }

    async fn tell(&self, run: &RunName, verb: Verb) -> Result<Progress, Error> {
        let control = match verb {
            Verb::Pause => Control::Pause,
            Verb::Resume => Control::Go,
            Verb::Stop => Control::Stop,
        };
        Ok(match self {
            Self::Serving(client) => client.tell(run, verb).await?,
            Self::Here(runs) => runs.tell(run.as_str(), control)?,
        })
    }
}

/// Lists all runs.
pub(super) async fn list(reach: &Reach) -> Result<ExitCode, Error> {
    let all = match reach.asked()? {
        Asked::Serving(client) => client.list().await?,
        Asked::Here(runs) => runs.list()?,
    };
    reach.shown.print(&all, || lines(&all));
    Ok(ExitCode::SUCCESS)
}

/// Shows one run.
pub(super) async fn status(reach: &Reach, run: &RunName) -> Result<ExitCode, Error> {
    let progress = reach.asked()?.get(run).await?;
    Ok(shown(reach, &progress))
}

/// Lets a run wait.
pub(super) async fn pause(reach: &Reach, run: &RunName) -> Result<ExitCode, Error> {
    let progress = reach.asked()?.tell(run, Verb::Pause).await?;
    Ok(shown(reach, &progress))
}

/// Goes on with a run. One that waits does so in its own process; a load that has ended does in that of who is asked.
pub(super) async fn resume(reach: &Reach, run: &RunName) -> Result<ExitCode, Error> {
    let asked = reach.asked()?;
    if let (Asked::Here(runs), Some(place)) = (&asked, reach.place())
        && !runs.get(run.as_str())?.phase.goes_on()
    {
        return follow::resume(&place, runs, run.as_str()).await;
    }
    let progress = asked.tell(run, Verb::Resume).await?;
    Ok(shown(reach, &progress))
}

/// Ends a run, and waits until it has ended.
pub(super) async fn stop(reach: &Reach, run: &RunName) -> Result<ExitCode, Error> {
    let asked = reach.asked()?;
    let mut progress = asked.tell(run, Verb::Stop).await?;
    let end = time::Instant::now() + PATIENCE;
    while progress.phase.goes_on() {
        if time::Instant::now() > end {
            return Err(Error::StillEnding(run.to_string()));
        }
        time::sleep(LOOK).await;
        progress = asked.get(run).await?;
    }
    Ok(shown(reach, &progress))
}

/// Forgets a run that has ended, with its journal.
pub(super) async fn remove(reach: &Reach, run: &RunName) -> Result<ExitCode, Error> {
    match reach.asked()? {
        Asked::Serving(client) => client.remove(run).await?,
        Asked::Here(runs) => runs.remove(run.as_str())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(reach: &Reach, progress: &Progress) -> ExitCode {
    reach.shown.print(progress, || line(progress));
    ExitCode::SUCCESS
}
