//! The way to Kafka, measured: a fresh dial every second, and the connections the kernel still holds.
//!
//! On most networks an established connection survives a new policy. So when fresh dials are blocked the workload closes what it holds:
//! [`Probe::verdict`] turns to [`Verdict::Cut`] after [`BLOCKED_IN_A_ROW`] blocked dials, and back with the first that gets through.
//! DNS is never part of a cut: a name that does not resolve leaves the verdict as it was.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::join_all;
use synccluster_protocol::status::{Dial, LinkStatus, Millis};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::watch,
    task, time,
};

use crate::{
    clock::now_millis,
    kafka::{Kafka, Turned},
    sockets,
};

/// Time between two dials.
const EVERY: Duration = Duration::from_secs(1);
/// A dial that took longer is blocked; a lookup that took longer failed.
const DIAL_LIMIT: Duration = Duration::from_millis(1500);
/// How often connections are counted over an open link that has some. The kernel walks the table of the whole node for it, however few a pod has: 4 ms
/// of a processor for each family of addresses where the table has 262,144 places.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// One lost packet is not a partition.
const BLOCKED_IN_A_ROW: u32 = 2;

/// What the workload does about its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet: wait for the first dial.
    Unknown,
    /// Use it.
    Usable,
    /// Close every connection and wait.
    Cut,
}

/// Measured by one task, read by many.
#[derive(Clone)]
pub struct Probe {
    state: Arc<Mutex<State>>,
    verdict: watch::Receiver<Verdict>,
    kafka: Kafka,
}

/// Why a session over a link has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// The link is cut.
    Cut,
    /// Kafka is to be spoken to in another way.
    Turned(Turned),
}

#[derive(Default)]
struct State {
    status: LinkStatus,
    blocked_in_a_row: u32,
}

impl State {
    /// Takes in one dial and what the kernel says, if it does; pure but for its own memory. [`Verdict::Unknown`] changes nothing.
    fn observe(&mut self, dial: Dial, established: Option<u32>, now: Millis) -> Verdict {
        let status = &mut self.status;
        if status.fresh_dial != dial || status.fresh_dial_since.is_none() {
            status.fresh_dial = dial;
            status.fresh_dial_since = Some(now);
        }
        status.probed_at = Some(now);
        status.established = established.unwrap_or_default();
        status.closed_since = match established {
            Some(0) => status.closed_since.or(Some(now)),
            // What could not be counted may be there.
            Some(_) | None => None,
        };
        self.blocked_in_a_row = match dial {
            Dial::Unknown => return Verdict::Unknown,
            Dial::Blocked => self.blocked_in_a_row + 1,
            Dial::Open | Dial::Refused => 0,
        };
        match self.blocked_in_a_row {
            0 => Verdict::Usable,
            BLOCKED_IN_A_ROW.. => Verdict::Cut,
            // One blocked dial changes nothing; the next decides.
            _ => Verdict::Unknown,
        }
    }
}

/// What was counted last, and when.
#[derive(Clone, Copy)]
struct Count {
    established: Option<u32>,
    dial: Dial,
    at: Instant,
}

impl Count {
    /// Whether it still stands: nothing has changed about an open link that is in use. Whatever is about a cut is counted at every dial.
    fn stands(&self, dial: Dial, now: Instant) -> bool {
        let in_use = self.established.is_some_and(|count| count > 0);
        (self.dial, dial) == (Dial::Open, Dial::Open) && in_use && now.duration_since(self.at) < COUNTED_EVERY
    }
}

impl Probe {
    /// Starts probing the way to this Kafka.
    pub fn start(kafka: &Kafka) -> Self {
        let peer = kafka.bootstrap_servers().to_owned();
        let state = Arc::new(Mutex::new(State {
            status: LinkStatus {
                peer: peer.clone(),
                ..LinkStatus::default()
            },
            ..State::default()
        }));
        let (sender, verdict) = watch::channel(Verdict::Unknown);
        let probe = Self {
            state: Arc::clone(&state),
            verdict,
            kafka: kafka.clone(),
        };
        let kafka = kafka.clone();
        tokio::spawn(async move {
            let mut tick = time::interval(EVERY);
            tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            let mut resolves = true;
            let mut counted: Option<Count> = None;
            loop {
                tick.tick().await;
                let dial = dial_any(&kafka).await;
                if resolves != (dial != Dial::Unknown) {
                    resolves = !resolves;
                    if resolves {
                        tracing::info!(peer, "the name of Kafka resolves again");
                    } else {
                        tracing::warn!("{}; the link stays as it was", unresolved(&peer));
                    }
                }
                let now = Instant::now();
                counted = counted.filter(|counted| counted.stands(dial, now));
                if counted.is_none() {
                    // It can take a tenth of a second: not on a thread that serves.
                    let ports = kafka.clone();
                    let asked = task::spawn_blocking(move || sockets::established_to(ports.ports()));
                    let (established, at) = (asked.await.ok().flatten(), now);
                    counted = Some(Count { established, dial, at });
                }
                let established = counted.and_then(|counted| counted.established);
                let next =
                    state
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .observe(dial, established, now_millis());
                sender.send_if_modified(|current| {
                    let changed = next != Verdict::Unknown && *current != next;
                    if changed {
                        tracing::info!(peer, ?dial, ?established, "link to Kafka: {next:?}");
                        *current = next;
                    }
                    changed
                });
                if sender.is_closed() {
                    break;
                }
            }
        });
        probe
    }

    /// The Kafka it leads to.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Returns when a session has to end.
    pub async fn over(&self) -> Over {
        tokio::select! {
            () = self.wait_for(Verdict::Cut) => Over::Cut,
            turned = self.kafka.turned() => Over::Turned(turned),
        }
    }

    /// What was measured last.
    pub fn status(&self) -> LinkStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).status.clone()
    }

    /// Why Kafka cannot be dialled at all, with what to do; absent while its name resolves.
    pub fn problem(&self) -> Option<String> {
        let status = self.status();
        status.is_unresolved().then(|| unresolved(&status.peer))
    }

    /// Notes that a record went through just now.
    pub fn moved(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .status
            .last_moved_at = Some(now_millis());
    }

    /// The verdict now.
    pub fn verdict(&self) -> Verdict {
        *self.verdict.borrow()
    }

    /// Returns when the verdict is `wanted`.
    pub async fn wait_for(&self, wanted: Verdict) {
        let mut verdict = self.verdict.clone();
        if verdict.wait_for(|v| *v == wanted).await.is_err() {
            // The probing task is gone, which only happens when the process ends.
            std::future::pending::<()>().await;
        }
    }
}

fn unresolved(peer: &str) -> String {
    format!(
        "the name of Kafka ({peer}) does not resolve: see that the pods of the cluster's DNS run, that no NetworkPolicy closes port 53 to \
         them, and that the name is right"
    )
}

/// A fresh dial of every bootstrap server at once.
async fn dial_any(kafka: &Kafka) -> Dial {
    best(&join_all(kafka.servers().map(dial)).await)
}

/// What several dials say: one that is open is a way, and one that refuses is none that is blocked. A name among several that does not
/// resolve says nothing of those that do.
fn best(dials: &[Dial]) -> Dial {
    [Dial::Open, Dial::Refused, Dial::Blocked]
        .into_iter()
        .find(|found| dials.contains(found))
        .unwrap_or_default()
}

/// One fresh TCP connection, closed at once; [`Dial::Unknown`] if the name does not resolve, so that nobody was dialled.
pub async fn dial(peer: &str) -> Dial {
    let Ok(Ok(found)) = time::timeout(DIAL_LIMIT, lookup_host(peer)).await else {
        return Dial::Unknown;
    };
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Dial::Unknown;
    }
    match time::timeout(DIAL_LIMIT, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Dial::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Dial::Refused,
        // No route, an ICMP rejection, silence: nothing gets through.
        Ok(Err(_)) | Err(_) => Dial::Blocked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_blocked_dial_is_not_a_partition_and_two_are() {
        let mut state = State::default();
        assert_eq!(state.observe(Dial::Open, Some(2), 1), Verdict::Usable);
        assert_eq!(state.observe(Dial::Blocked, Some(2), 2), Verdict::Unknown);
        assert_eq!(state.observe(Dial::Blocked, Some(2), 3), Verdict::Cut);
        assert_eq!(state.observe(Dial::Open, Some(0), 4), Verdict::Usable);
    }

    #[test]
    fn connections_are_counted_seldom_only_while_an_open_link_is_in_use() {
        let at = Instant::now();
        let count = |established, dial| Count { established, dial, at };
        let soon = at + Duration::from_secs(9);
        assert!(count(Some(2), Dial::Open).stands(Dial::Open, soon));
        assert!(!count(Some(2), Dial::Open).stands(Dial::Open, at + COUNTED_EVERY));
        assert!(!count(Some(2), Dial::Open).stands(Dial::Blocked, soon), "it is cut");
        assert!(!count(Some(2), Dial::Blocked).stands(Dial::Open, soon), "it is healed");
        assert!(
            !count(Some(2), Dial::Blocked).stands(Dial::Blocked, soon),
            "they are closed"
        );
        assert!(
            !count(Some(0), Dial::Open).stands(Dial::Open, soon),
            "nobody is connected yet"
        );
        assert!(!count(None, Dial::Open).stands(Dial::Open, soon));
    }

    #[test]
    fn a_name_that_does_not_resolve_is_no_cut_and_heals_none() {
        let mut state = State::default();
        for now in 0..5 {
            assert_eq!(state.observe(Dial::Unknown, Some(2), now), Verdict::Unknown);
        }
        assert!(state.status.is_unresolved());
        assert_eq!(
            (state.status.fresh_dial_since, state.status.probed_at),
            (Some(0), Some(4))
        );
        state.observe(Dial::Blocked, Some(2), 5);
        assert_eq!(state.observe(Dial::Unknown, Some(2), 6), Verdict::Unknown);
        assert_eq!(state.observe(Dial::Blocked, Some(2), 7), Verdict::Cut);
        assert_eq!(
            state.observe(Dial::Unknown, Some(0), 8),
            Verdict::Unknown,
            "it stays cut"
        );
    }

    #[test]
    fn names_that_resolve_decide() {
        assert_eq!(best(&[Dial::Unknown, Dial::Open]), Dial::Open);
        assert_eq!(best(&[Dial::Blocked, Dial::Refused]), Dial::Refused);
        assert_eq!(best(&[Dial::Blocked, Dial::Unknown]), Dial::Blocked);
        assert_eq!(best(&[Dial::Unknown, Dial::Unknown]), Dial::Unknown);
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_not_blocked() {
        assert_eq!(dial("kafka.invalid:9092").await, Dial::Unknown);
    }

    #[test]
    fn connections_that_cannot_be_counted_are_not_closed() {
        let mut state = State::default();
        state.observe(Dial::Blocked, Some(0), 1);
        assert_eq!(state.status.connections(), Some(0));
        state.observe(Dial::Blocked, None, 2);
        assert_eq!((state.status.connections(), state.status.closed_since), (None, None));
        state.observe(Dial::Blocked, Some(0), 3);
        assert_eq!(state.status.closed_since, Some(3));
    }

    #[test]
    fn a_kafka_that_is_down_is_not_a_partition() {
        let mut state = State::default();
        for now in 0..5 {
            assert_eq!(state.observe(Dial::Refused, Some(0), now), Verdict::Usable);
        }
    }

    #[test]
    fn closed_since_is_the_first_moment_without_connections() {
        let mut state = State::default();
        state.observe(Dial::Blocked, Some(1), 1);
        assert_eq!(state.status.closed_since, None);
        state.observe(Dial::Blocked, Some(0), 2);
        state.observe(Dial::Blocked, Some(0), 3);
        assert_eq!(state.status.closed_since, Some(2));
        assert_eq!(state.status.fresh_dial_since, Some(1));
    }
}
