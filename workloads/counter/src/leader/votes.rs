//! Takes part in elections where there is no Lease.

use std::time::{Duration, Instant};

use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{
    Leader,
    ballot::{Ballot, PROMISE},
    clock, locked, term,
};

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Votes, stands and gives up, until `stop`.
pub async fn run(leader: &Leader, ballot: Ballot, stop: CancellationToken) {
    // What was promised before the start is not known any more.
    let bound = time::Instant::now() + PROMISE;
    let mut tick = time::interval(TICK);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let (mut led, mut error) = (None, None);
    loop {
        tokio::select! { () = stop.cancelled() => break, _ = tick.tick() => {} }
        let members = &leader.members;
        if members.give_up(Instant::now(), |members| ballot.is_over(members, clock::now())) {
            tracing::info!("the leader is not there any more");
        }
        let seen = members.all(Instant::now());
        let leads = ballot.leads(&seen, clock::now());
        if leads != led {
            tracing::info!(
                term = leads.or(led),
                leads = leads.is_some(),
                "whether this node leads has changed"
            );
            led = leads;
        }
        let own = seen.iter().find(|member| member.ordinal == members.own());
        if leads.is_none() && own.is_some_and(|own| own.stands.is_some()) {
            // Until it is elected it asks for votes with every tick.
            members.hurry();
        }
        if time::Instant::now() < bound {
            continue;
        }
        let voted = *locked(&leader.voted);
        let Some(claim) = ballot.choose(&seen, voted) else {
            continue;
        };
        // On disk before anybody is told: no vote is given twice in a term.
        let written = if claim == voted {
            Ok(())
        } else {
            term::keep(&leader.data, claim).await
        };
        match written {
            Ok(()) => {
                *locked(&leader.voted) = claim;
                leader.heard(claim.term);
                members.claim(Some(claim), Instant::now());
                tracing::info!(term = claim.term, leader = %claim.leader, "voted");
                error = None;
            }
            Err(failed) => {
                let failed = failed.to_string();
                if error.as_ref() != Some(&failed) {
                    tracing::warn!(error = failed, "this node cannot vote");
                }
                error = Some(failed);
            }
        }
    }
    farewell(leader).await;
}

/// Who stops says so, that nobody waits for it.
async fn farewell(leader: &Leader) {
    leader.members.claim(None, Instant::now());
    time::sleep(TICK).await;
}
