//! The counter nodes: which there are (`nodes`) and what they count is asked of them (`node`), and likes go to the one that is their client's
//! (`send`, `lines`). What their windows count is read from Kafka (`read`) into a bounded memory (`book`), from which Socket.IO and the page
//! are told. `window`, `aggregation`, `book`, `named` and `roster` are pure.

pub mod aggregation;
pub mod book;
pub mod lines;
mod named;
pub mod node;
pub mod nodes;
mod read;
mod roster;
mod send;
pub mod window;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;
use synccluster_protocol::ClusterName;
use tokio::sync::watch;

use crate::{app::Shared, problem::Problem};
use aggregation::Aggregation;
use book::Book;
use lines::Lines;
use node::Address;
use roster::Roster;
use window::{Counted, Window};

/// What the memory of windows may take.
const BOOK_BYTES: usize = 16 << 20;
/// The longest id, in bytes, as the nodes have it.
pub const LONGEST_ID: usize = 256;
/// Where the nodes' leader answers, beside their port for clients.
const LEADER_PORT: u16 = 5001;

/// The counter nodes of a cluster.
pub struct Counters {
    /// Any of them, for who asks for totals; for likes while it is not known which there are.
    pub clients: Address,
    /// Any of them, for who asks about the nodes.
    pub leader: Address,
    /// The topics of aggregations are this and a window's name.
    topics: String,
    /// The windows that are counted, of those that are known here.
    windows: BTreeSet<Window>,
    /// Which of them likes go to.
    roster: Mutex<Roster>,
    /// Held by who asks which there are.
    asking: tokio::sync::Mutex<()>,
    lines: Lines,
    book: Mutex<Book>,
    changed: watch::Sender<u64>,
}

impl Counters {
    /// Nodes behind this address. Without another one for their leader it is the same host's port 5001.
    pub fn new(cluster: &ClusterName, clients: Address, leader: Option<Address>) -> Self {
        Self {
            leader: leader.unwrap_or_else(|| clients.with_port(LEADER_PORT)),
            clients,
            topics: format!("{cluster}.aggregations-"),
            windows: Window::ALL.into(),
            roster: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            lines: Lines::default(),
            book: Mutex::new(Book::new(BOOK_BYTES)),
            changed: watch::Sender::new(0),
        }
    }

    /// With topics of aggregations that begin otherwise than `<cluster>.aggregations-`.
    #[must_use]
    pub fn with_topics(mut self, begin: Option<String>) -> Self {
        self.topics = begin.unwrap_or(self.topics);
        self
    }

    /// With other windows than all that are known here.
    #[must_use]
    pub fn with_windows(mut self, counted: Option<Counted>) -> Self {
        self.windows = counted.map_or(self.windows, |Counted(windows)| windows);
        self
    }

    /// The windows that are counted.
    pub fn windows(&self) -> &BTreeSet<Window> {
        &self.windows
    }

    /// A window that is counted, by its name.
    pub fn window(&self, name: &str) -> Result<Window, Problem> {
        let known = self.windows.iter().copied().find(|window| window.name() == name);
        known.ok_or_else(|| Problem::not_found("unknown-window", "Unknown window", self.none(name)))
    }

    /// What is said of windows that are not counted.
    pub fn none(&self, asked: &str) -> String {
        let asked: String = asked.chars().take(100).collect();
        let known: Vec<_> = self.windows.iter().map(|window| window.name()).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        format!(
            "there are no windows of `{asked}`: of 1m, 5m and 10m, which the gateway knows, spec.counter.windows has {known}"
        )
    }

    /// What is known of the windows.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that the book has something new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A window is so now.
    pub fn note(&self, window: Window, aggregation: Aggregation) {
        let last = {
            let mut book = self.book();
            book.note(window, aggregation);
            book.last()
        };
        self.changed.send_replace(last);
    }

    /// The topic of a window begins to be read, all of these partitions.
    pub fn begin(&self, window: Window, partitions: BTreeSet<i32>) {
        let is_read = partitions.is_empty();
        self.book().begin(window, partitions);
        if is_read {
            self.tell();
        }
    }

    /// A partition has been read up to where it ended.
    pub fn reached(&self, window: Window, partition: i32) {
        // The guard is gone before those who wait are woken: they look into the book.
        let is_read = self.book().reached(window, partition);
        if is_read {
            self.tell();
        }
    }

    /// Those who wait may be told what is not counted.
    fn tell(&self) {
        let last = self.book().last();
        self.changed.send_replace(last);
    }

    fn topic(&self, window: Window) -> String {
        format!("{}{window}", self.topics)
    }
}

/// 404: the cluster has no counter nodes.
pub fn off() -> Problem {
    let detail = "this cluster has no counter nodes; set spec.counter.nodes of the SyncCluster (3, for instance), or start the gateway with COUNTER_ADDRESS";
    Problem::not_found("counters-off", "Counters are off", detail)
}

/// An id as the nodes take it.
pub fn id(text: &str) -> Result<Arc<str>, Problem> {
    let wrong = if !(1..=LONGEST_ID).contains(&text.len()) {
        format!("an id has {} bytes; it must have 1 to {LONGEST_ID}", text.len())
    } else if text.chars().any(char::is_control) {
        "an id has a control character; leave it out".to_owned()
    } else {
        return Ok(text.into());
    };
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad-id",
        "Not an id",
        wrong,
    ))
}

/// Reads the windows until the process is asked to stop.
pub async fn run(app: Shared) {
    if app.counters.is_some() {
        app.stop.run_until_cancelled(read::run(&app)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_the_nodes_take_for_one() {
        assert_eq!(&*id("café ☕, x").unwrap(), "café ☕, x");
        for wrong in [String::new(), "x".repeat(257), "a\nb".to_owned(), "\u{7f}".to_owned()] {
            assert_eq!(id(&wrong).unwrap_err().status, 422, "{wrong}");
        }
    }

    #[test]
    fn the_leader_is_asked_at_the_same_host_unless_another_is_named() {
        let of = |leader: Option<&str>| {
            let clients = "demo-counter:5002".parse().unwrap();
            Counters::new(
                &"demo".parse().unwrap(),
                clients,
                leader.map(|text| text.parse().unwrap()),
            )
            .leader
        };
        assert_eq!(of(None).to_string(), "demo-counter:5001");
        assert_eq!(of(Some("[::1]:7")).to_string(), "[::1]:7");
    }

    #[test]
    fn windows_that_are_not_counted_are_not_known() {
        let counters = Counters::new(&"demo".parse().unwrap(), "a:1".parse().unwrap(), None);
        assert_eq!(counters.window("10m").unwrap(), Window::Ten);
        let some = counters.with_windows(Some("1m,90s".parse().unwrap()));
        assert_eq!(some.window("1m").unwrap(), Window::One);
        for name in ["10m", "90s", "x"] {
            let problem = some.window(name).unwrap_err();
            assert_eq!(problem.status, 404);
            assert!(problem.detail.contains(&format!("`{name}`")) && problem.detail.ends_with("has 1m"));
        }
    }

    #[test]
    fn topics_are_named_as_the_nodes_name_them() {
        let counters = || Counters::new(&"demo".parse().unwrap(), "a:1".parse().unwrap(), None);
        assert_eq!(counters().topic(Window::One), "demo.aggregations-1m");
        assert_eq!(
            counters().with_topics(Some("w.".to_owned())).topic(Window::Ten),
            "w.10m"
        );
    }
}
