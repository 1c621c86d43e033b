//! Runs of this process: begun or gone on with, and followed to their end.

use std::{
    pin::{Pin, pin},
    process::ExitCode,
    time::Duration,
};

use synccluster_runtime::health::shutdown_requested;
use tokio::time;

use super::{Error, Place, shown::line};
use crate::{
    journal::Order,
    run::{Control, Phase, Progress},
    runs::Runs,
};

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After how many looks people are told how far it is.
const TELL: u32 = 10;

/// Begins a run and follows it.
pub(super) async fn begin(place: &Place, order: Order) -> Result<ExitCode, Error> {
    let runs = place.runs()?;
    let mut asked = pin!(shutdown_requested());
    let run = tokio::select! {
        begun = runs.begin(order) => begun?,
        () = &mut asked => return Err(Error::NotBegun),
    };
    let id = run.edit().id.clone();
    to_its_end(place, &runs, &id, asked).await
}

/// Goes on with a load that has ended before its end, and follows it.
pub(super) async fn resume(place: &Place, runs: &Runs, run: &str) -> Result<ExitCode, Error> {
    let mut asked = pin!(shutdown_requested());
    tokio::select! {
        resumed = runs.resume(run) => resumed?,
        () = &mut asked => return Err(Error::NotBegun),
    };
    to_its_end(place, runs, run, asked).await
}

/// Shows how far a run is until it has ended; Ctrl-C and SIGTERM stop it.
async fn to_its_end(
    place: &Place,
    runs: &Runs,
    id: &str,
    mut asked: Pin<&mut impl Future<Output = ()>>,
) -> Result<ExitCode, Error> {
    let (mut tick, mut looks) = (time::interval(LOOK), 0_u32);
    let progress = loop {
        tokio::select! {
            () = &mut asked => {
                place.shown.say("stopping: what was sent is waited for");
                break stop(runs, id).await?;
            }
            _ = tick.tick() => {}
        }
        let progress = runs.get(id)?;
        if !progress.phase.goes_on() {
            break progress;
        }
        looks += 1;
        // Where nobody reads any more, as when the terminal it was begun at has gone, nobody could stop it there either.
        if looks.is_multiple_of(TELL) && !place.shown.say(&line(&progress)) {
            break stop(runs, id).await?;
        }
    };
    place.shown.print(&progress, || line(&progress));
    if let Some(next) = next(&progress, place) {
        place.shown.say(&next);
    }
    Ok(if progress.phase == Phase::Failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn stop(runs: &Runs, id: &str) -> Result<Progress, Error> {
    // One that has ended by itself need not be told.
    let _ = runs.tell(id, Control::Stop);
    runs.shut_down().await;
    Ok(runs.get(id)?)
}

/// What can be done about a run that did not come to its end.
fn next(progress: &Progress, place: &Place) -> Option<String> {
    let (what, verb) = match (&progress.order, progress.phase) {
        (Order::Load(_), Phase::Stopped | Phase::Failed) => ("to go on with it", "resume"),
        (Order::Deltas(_), Phase::Stopped | Phase::Failed) => {
            ("deltas are not resumed; to see what became of its writes", "verify")
        }
        _ => return None,
    };
    let (sites, journal) = (place.sites.display(), place.journals.folder.display());
    Some(format!(
        "{what}: synccluster-seeder {verb} --sites {sites} --journal {journal} {}",
        progress.id
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::plan::{Deltas, Load};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        place: Place,
    }

    #[test]
    fn what_was_stopped_says_how_to_go_on() {
        let place = Line::parse_from(["seeder", "--sites", "/s", "--journal", "/j"]).place;
        let said = |order: &Order, phase| {
            let mut progress = Progress::new("run-1".to_owned(), order.clone(), 0, None);
            progress.phase = phase;
            next(&progress, &place)
        };
        let (load, deltas) = (Order::Load(Load::default()), Order::Deltas(Deltas::default()));
        let resume = "to go on with it: synccluster-seeder resume --sites /s --journal /j run-1";
        let verify = "deltas are not resumed; to see what became of its writes: synccluster-seeder verify --sites /s --journal /j run-1";
        for ended_early in [Phase::Stopped, Phase::Failed] {
            assert_eq!(said(&load, ended_early).as_deref(), Some(resume), "{ended_early:?}");
            assert_eq!(said(&deltas, ended_early).as_deref(), Some(verify), "{ended_early:?}");
        }
        for phase in [Phase::Running, Phase::Paused, Phase::Done] {
            assert_eq!(said(&load, phase), None, "{phase:?}");
            assert_eq!(said(&deltas, phase), None, "{phase:?}");
        }
    }
}
