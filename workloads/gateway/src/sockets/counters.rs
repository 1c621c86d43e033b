//! The main namespace: what the windows count of the identifiers a client registered. The events' names are those that clients of the
//! aggregation service had before there were counter nodes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Event, SocketRef, TryData},
    handler::ConnectHandler,
};
use synccluster_runtime::clock::now_millis;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};

use super::{
    frame::Frame,
    guests::{Credentials, Present, Refused, admit_to_counts, ask_again, connected, farewell, reply, seat},
    rooms::{self, Member, Members, Rooms},
    session::{Session, Sessions},
    wishes::{Interest, Together, Wishes},
};
use crate::{
    access::Caller,
    app::Shared,
    counters::{Counters, aggregation::Aggregation, window::Window},
    metrics,
    problem::Problem,
};

/// Its name.
pub const NAMESPACE: &str = "/";
/// A window that changes often is told so often at most.
const COALESCE: Duration = Duration::from_millis(100);
/// Clients whose wishes wait to be looked at; more wait to be waiting.
const WAITING: usize = 1024;

/// Rooms by what is asked for.
type Listeners = Arc<Rooms<Arc<Interest>>>;

/// A client whose wishes have changed.
struct Guest {
    member: Arc<Member>,
    wishes: Arc<Mutex<Wishes>>,
}

/// What a client's handlers need.
#[derive(Clone)]
struct Desk {
    app: Shared,
    wishes: Arc<Mutex<Wishes>>,
    session: Arc<Session>,
    changed: mpsc::Sender<Guest>,
}

/// Opens the namespace, and tells its clients what changes until the process stops.
pub fn open(io: &SocketIo, app: &Shared, sessions: &Arc<Sessions>, dropped: metrics::Value) {
    let (listeners, together) = (Listeners::default(), Together::default());
    let (changed, guests) = mpsc::channel(WAITING);
    let admitted = {
        let (app, sessions, listeners) = (Arc::clone(app), Arc::clone(sessions), Arc::clone(&listeners));
        let there = app.metrics.gauge(
            "synccluster_gateway_sockets",
            "Socket.IO clients",
            &[("namespace", NAMESPACE)],
        );
        move |socket: SocketRef, TryData(credentials): TryData<Credentials>| {
            let caller = socket.req_parts().extensions.get::<Caller>();
            let admitted = admit_to_counts(&app.access, caller, credentials.unwrap_or_default());
            let admitted = admitted.and_then(|caller| seat(&socket, &caller));
            // Here and not once it is connected: a client that is quick asks before what comes after that has run.
            if admitted.is_ok() {
                let desk = Desk {
                    app: Arc::clone(&app),
                    wishes: Arc::new(Mutex::new(Wishes::new(&together))),
                    session: Session::of(&socket, &sessions),
                    changed: changed.clone(),
                };
                welcome(&socket, &desk, &listeners, Arc::new(Present::new(&there)));
            }
            async { admitted.map_err(|problem| Refused(problem.detail)) }
        }
    };
    io.ns(NAMESPACE, (async || {}).with(admitted));
    tokio::spawn(tell(Arc::clone(app), listeners, guests, dropped));
    tokio::spawn(ask_again(io.clone(), NAMESPACE, Arc::clone(app), Arc::clone(sessions)));
}

/// What a client may ask for. A handler is kept by its socket: it must not hold that.
fn welcome(socket: &SocketRef, desk: &Desk, listeners: &Listeners, present: Arc<Present>) {
    // The wishes change before a handler first waits: in the order in which the client asked.
    socket.on("register_room", {
        let desk = desk.clone();
        move |socket: SocketRef, TryData(rooms): TryData<Value>, ack: AckSender| {
            let rooms = rooms.unwrap_or_default();
            let registered = desk.change(|wishes| wishes.register(&rooms));
            let desk = desk.clone();
            async move { desk.answer(socket, ack, registered).await }
        }
    });
    for window in Window::ALL {
        let desk = desk.clone();
        socket.on(window.consume(), move |socket: SocketRef, ack: AckSender| {
            let registered = desk.consume(window);
            let desk = desk.clone();
            async move { desk.answer(socket, ack, registered).await }
        });
    }
    socket.on_fallback({
        let desk = desk.clone();
        move |socket: SocketRef, Event(event): Event, ack: AckSender| {
            let desk = desk.clone();
            let counted = desk.app.counters.as_ref().map(Counters::windows).cloned();
            let problem = unknown(&event, &counted.unwrap_or_default());
            async move { desk.answer(socket, ack, Err(problem)).await }
        }
    });
    socket.on_disconnect({
        let listeners = Arc::clone(listeners);
        move |socket: SocketRef| {
            listeners.leave(socket.id);
            let _ = &present;
            async {}
        }
    });
}

impl Desk {
    fn change(&self, change: impl FnOnce(&mut Wishes) -> Result<usize, Problem>) -> Result<usize, Problem> {
        self.app.counters()?;
        change(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Windows that are not counted are not asked for: nothing would ever come of them.
    fn consume(&self, window: Window) -> Result<usize, Problem> {
        let counters = self.app.counters()?;
        if !counters.windows().contains(&window) {
            return Err(unknown_window(counters.none(window.name())));
        }
        self.change(|wishes| Ok(wishes.consume(window)))
    }

    /// Has the client told what it asked for, or what was wrong with it.
    async fn answer(self, socket: SocketRef, ack: AckSender, registered: Result<usize, Problem>) {
        connected(&socket).await;
        match registered {
            Ok(registered) => {
                reply(&socket, ack, &json!({ "ok": true, "registered": registered }));
                let (session, wishes) = (self.session, self.wishes);
                let member = Arc::new(Member { socket, session });
                let _ = self.changed.send(Guest { member, wishes }).await;
            }
            Err(problem) => {
                let _ = socket.emit("error", &problem);
                reply(&socket, ack, &json!({ "error": problem }));
            }
        }
    }
}

fn unknown_window(detail: String) -> Problem {
    Problem::bad_request("unknown-window", "Unknown window", detail)
}

fn unknown(event: &str, counted: &BTreeSet<Window>) -> Problem {
    let known: Vec<_> = counted.iter().map(|window| window.consume()).collect();
    let known = known.join(", ");
    let event: String = event.chars().take(100).collect();
    if event.starts_with("consume_") {
        let detail = format!("there are no windows for `{event}`; there are {known}");
        return unknown_window(detail);
    }
    let detail = format!("`{event}` is not known here; there are register_room, {known}");
    Problem::bad_request("unknown-event", "Unknown event", detail)
}

fn frame(window: Window, aggregation: &Aggregation) -> Option<Frame> {
    Frame::new(NAMESPACE, window.live(), &serde_json::to_string(aggregation).ok()?)
}

/// One task tells everything, so that nobody is told an older state after a newer one.
async fn tell(app: Shared, listeners: Listeners, mut guests: mpsc::Receiver<Guest>, dropped: metrics::Value) {
    let Some(counters) = &app.counters else { return };
    let told = app.metrics.counter(
        "synccluster_gateway_socket_events_total",
        "events told to Socket.IO clients",
        &[("namespace", NAMESPACE)],
    );
    let mut changes = counters.changes();
    let mut round = Round {
        counters,
        seen: counters.book().last(),
        read: BTreeMap::new(),
    };
    let (mut due, mut next) = (false, Instant::now());
    loop {
        let (members, frames) = tokio::select! {
            () = app.stop.cancelled() => return,
            Some(Guest { member, wishes }) = guests.recv() => {
                let (interest, owed) = wishes.lock().unwrap_or_else(PoisonError::into_inner).take();
                let frames = round.current(&owed);
                listeners.enter(Arc::clone(&member), Arc::new(interest));
                (Members::new(vec![member]), frames)
            }
            more = changes.changed(), if !due => {
                if more.is_err() {
                    return;
                }
                due = true;
                continue;
            }
            () = time::sleep_until(next), if due => {
                due = false;
                next = Instant::now() + COALESCE;
                round.tell(&listeners, &told, &dropped).await;
                continue;
            }
        };
        let frames: Vec<&Frame> = frames.iter().collect();
        say(&members, &frames, &listeners, &told, &dropped).await;
    }
}

struct Round<'a> {
    counters: &'a Counters,
    /// The number of the last change that was told.
    seen: u64,
    /// Windows whose topics had been read then, by the reading: before that nobody was told that nothing was counted.
    read: BTreeMap<Window, u64>,
}

impl Round<'_> {
    /// The current windows.
    fn current<'a>(&self, owed: impl IntoIterator<Item = &'a (Window, Arc<str>)>) -> Vec<Frame> {
        let (now, book) = (now_millis(), self.counters.book());
        let owed = owed.into_iter();
        owed.filter_map(|(window, id)| frame(*window, &book.at(*window, id, now)?))
            .collect()
    }

    /// What can be told to be nothing since a topic has been read.
    fn nothing(&self, interest: &Interest, windows: &BTreeSet<Window>) -> Vec<Frame> {
        let (now, book) = (now_millis(), self.counters.book());
        let asked = windows.intersection(&interest.windows);
        asked
            .flat_map(|window| interest.ids.iter().map(|id| (*window, id)))
            .filter_map(|(window, id)| frame(window, &book.nothing(window, id, now)?))
            .collect()
    }

    /// What has changed, to those who want to hear of it.
    async fn tell(&mut self, listeners: &Listeners, told: &metrics::Value, dropped: &metrics::Value) {
        let (changed, fresh) = {
            let book = self.counters.book();
            let changed = book.since(self.seen, |_| true);
            self.seen = book.last();
            (changed, book.newly_read(&mut self.read))
        };
        let rooms = listeners.all();
        if rooms.is_empty() {
            return;
        }
        let mut by_id: HashMap<Arc<str>, Vec<(usize, Window)>> = HashMap::new();
        for (index, (window, aggregation)) in changed.iter().enumerate() {
            by_id
                .entry(Arc::clone(&aggregation.id))
                .or_default()
                .push((index, *window));
        }
        // Made when the first client wants it: most of a big cluster's identifiers interest nobody here.
        let mut frames: HashMap<usize, Frame> = HashMap::new();
        for (interest, members) in rooms {
            let wanted = wanted(&interest, &by_id);
            for index in &wanted {
                if let (false, Some((window, aggregation))) = (frames.contains_key(index), changed.get(*index))
                    && let Some(frame) = frame(*window, aggregation)
                {
                    frames.insert(*index, frame);
                }
            }
            let nothing = self.nothing(&interest, &fresh);
            let wanted = wanted.iter().filter_map(|index| frames.get(index));
            let wanted: Vec<&Frame> = wanted.chain(&nothing).collect();
            say(&members, &wanted, listeners, told, dropped).await;
        }
    }
}

/// Which of the changes somebody wants, in their order. Looks through the smaller of the two.
fn wanted(interest: &Interest, by_id: &HashMap<Arc<str>, Vec<(usize, Window)>>) -> Vec<usize> {
    let mut wanted = Vec::new();
    let mut take = |changes: &[(usize, Window)]| {
        let windows = changes.iter().filter(|(_, window)| interest.windows.contains(window));
        wanted.extend(windows.map(|(index, _)| *index));
    };
    if interest.ids.len() < by_id.len() {
        interest
            .ids
            .iter()
            .filter_map(|id| by_id.get(id))
            .for_each(|changes| take(changes));
    } else {
        let changed = by_id.iter().filter(|(id, _)| interest.ids.contains(*id));
        changed.for_each(|(_, changes)| take(changes));
    }
    wanted.sort_unstable();
    wanted
}

async fn say(
    members: &Members,
    frames: &[&Frame],
    listeners: &Listeners,
    told: &metrics::Value,
    dropped: &metrics::Value,
) {
    told.add(i64::try_from(frames.len() * members.len()).unwrap_or(i64::MAX));
    for slow in rooms::tell(members, frames).await {
        dropped.add(1);
        listeners.leave(slow.socket.id);
        tokio::spawn(farewell(slow.socket.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_windows_of_its_identifiers_in_the_order_of_the_changes() {
        let mut by_id: HashMap<Arc<str>, Vec<(usize, Window)>> = HashMap::new();
        for (index, (id, window)) in [
            ("b", Window::One),
            ("a", Window::One),
            ("a", Window::Ten),
            ("c", Window::One),
        ]
        .into_iter()
        .enumerate()
        {
            by_id.entry(id.into()).or_default().push((index, window));
        }
        let interest = |ids: &[&str], windows: &[Window]| Interest {
            ids: ids.iter().map(|id| Arc::from(*id)).collect(),
            windows: windows.iter().copied().collect(),
        };
        assert_eq!(wanted(&interest(&["a", "b"], &[Window::One]), &by_id), [0, 1]);
        assert_eq!(wanted(&interest(&["a"], &Window::ALL), &by_id), [1, 2]);
        assert_eq!(
            wanted(&interest(&["a", "b", "d", "e"], &[Window::One, Window::Ten]), &by_id),
            [0, 1, 2]
        );
        assert!(wanted(&interest(&["a"], &[]), &by_id).is_empty());
        assert!(wanted(&interest(&[], &[Window::One]), &by_id).is_empty());
    }

    #[test]
    fn what_is_not_known_is_answered_with_what_is() {
        let counted = [Window::Ten].into();
        let problem = unknown("consume_2_min_aggregations", &counted);
        assert!(
            problem.kind.ends_with(":unknown-window")
                && problem.detail.ends_with("there are consume_10_min_aggregations")
        );
        let problem = unknown(&"x".repeat(100_000), &counted);
        assert!(problem.kind.ends_with(":unknown-event") && problem.detail.len() < 400);
    }
}
