//! What a client of the counters' namespace has asked for. Pure.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use crate::{
    counters::{self, window::Window},
    problem::Problem,
};

/// Identifiers that one client may register.
pub const MOST_IDS: usize = 1000;
/// Identifiers that all clients of a replica may have registered.
const MOST_TOGETHER: usize = 200_000;

/// Identifiers that are registered by all clients together.
#[derive(Clone, Debug, Default)]
pub struct Together(Arc<AtomicUsize>);

/// Which windows of which identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// Of these identifiers.
    pub ids: BTreeSet<Arc<str>>,
    /// These windows.
    pub windows: BTreeSet<Window>,
}

/// A client's interest as it grows, and what it has not been told yet.
#[derive(Debug)]
pub struct Wishes {
    interest: Interest,
    owed: BTreeSet<(Window, Arc<str>)>,
    together: Together,
}

impl Wishes {
    /// None yet.
    pub fn new(together: &Together) -> Self {
        Self {
            interest: Interest::default(),
            owed: BTreeSet::new(),
            together: together.clone(),
        }
    }

    /// `register_room`: these identifiers too, as an array or, as the first clients did, as its field `rooms`. All of them or none; how many
    /// there are then.
    pub fn register(&mut self, rooms: &Value) -> Result<usize, Problem> {
        let named = rooms
            .as_array()
            .or_else(|| rooms.get("rooms")?.as_array())
            .ok_or_else(|| {
                bad("send identifiers, as [\"tea\", \"coffee\"] or as {\"rooms\": [\"tea\", \"coffee\"]}")
            })?;
        let mut fresh = BTreeSet::new();
        for name in named {
            let id = match name {
                Value::String(text) => counters::id(text)?,
                Value::Number(number) => counters::id(&number.to_string())?,
                other => return Err(bad(&format!("{other} is no identifier; identifiers are text"))),
            };
            if !self.interest.ids.contains(&id) {
                fresh.insert(id);
            }
            if self.interest.ids.len() + fresh.len() > MOST_IDS {
                let detail =
                    format!("one client may register {MOST_IDS} identifiers; open another connection for more");
                return Err(bad(&detail));
            }
        }
        self.together.take(fresh.len())?;
        for window in &self.interest.windows {
            self.owed.extend(fresh.iter().map(|id| (*window, Arc::clone(id))));
        }
        self.interest.ids.extend(fresh);
        Ok(self.interest.ids.len())
    }

    /// `consume_…`: these windows too, from as they are now. How many identifiers there are.
    pub fn consume(&mut self, window: Window) -> usize {
        self.interest.windows.insert(window);
        self.owed
            .extend(self.interest.ids.iter().map(|id| (window, Arc::clone(id))));
        self.interest.ids.len()
    }

    /// What the client wants to hear of, and what it has to be told at once, which is then told.
    pub fn take(&mut self) -> (Interest, BTreeSet<(Window, Arc<str>)>) {
        (self.interest.clone(), std::mem::take(&mut self.owed))
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        self.together.0.fetch_sub(self.interest.ids.len(), Ordering::Relaxed);
    }
}

impl Together {
    fn take(&self, more: usize) -> Result<(), Problem> {
        let before = self.0.fetch_add(more, Ordering::Relaxed);
        if before + more <= MOST_TOGETHER {
            return Ok(());
        }
        self.0.fetch_sub(more, Ordering::Relaxed);
        let detail =
            format!("the clients of this replica have registered {MOST_TOGETHER} identifiers and may not more");
        Err(Problem::unavailable("limit-reached", "Limit reached", detail))
    }
}

fn bad(detail: &str) -> Problem {
    Problem::bad_request("bad-registration", "Bad registration", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owed(wishes: &mut Wishes) -> Vec<String> {
        let (_, owed) = wishes.take();
        owed.iter().map(|(window, id)| format!("{window} {id}")).collect()
    }

    #[test]
    fn windows_and_identifiers_may_come_in_any_order() {
        let mut wishes = Wishes::new(&Together::default());
        assert_eq!(wishes.consume(Window::One), 0);
        assert_eq!(wishes.register(&json!(["a", "b", "a"])).unwrap(), 2);
        assert_eq!(owed(&mut wishes), ["1m a", "1m b"]);
        assert_eq!(wishes.register(&json!({"rooms": ["a", 7]})).unwrap(), 3);
        assert_eq!(owed(&mut wishes), ["1m 7"]);
        assert_eq!(wishes.consume(Window::Ten), 3);
        assert_eq!(owed(&mut wishes), ["10m 7", "10m a", "10m b"]);
        wishes.consume(Window::One);
        assert_eq!(owed(&mut wishes).len(), 3, "asked for again, it is told again");
    }

    #[test]
    fn a_registration_that_is_wrong_changes_nothing() {
        let together = Together::default();
        let mut wishes = Wishes::new(&together);
        wishes.consume(Window::One);
        let many: Vec<String> = (0..=MOST_IDS).map(|number| number.to_string()).collect();
        for (rooms, kind) in [
            (json!("a"), "bad-registration"),
            (json!(null), "bad-registration"),
            (json!({"room": ["a"]}), "bad-registration"),
            (json!({"rooms": "a"}), "bad-registration"),
            (json!({"rooms": ["a", ""]}), "bad-id"),
            (json!(["a", ["b"]]), "bad-registration"),
            (json!(["a", null]), "bad-registration"),
            (json!(["a", ""]), "bad-id"),
            (json!(["a", "x".repeat(257)]), "bad-id"),
            (json!(many), "bad-registration"),
        ] {
            let problem = wishes.register(&rooms).unwrap_err();
            assert!(problem.kind.ends_with(kind), "{rooms}: {problem:?}");
        }
        assert!(owed(&mut wishes).is_empty());
        assert_eq!(wishes.register(&json!(many[1..])).unwrap(), MOST_IDS);
        assert_eq!(together.0.load(Ordering::Relaxed), MOST_IDS);
        drop(wishes);
        assert_eq!(together.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_clients_together_have_a_limit() {
        let together = Together::default();
        let many = json!((0..MOST_IDS).collect::<Vec<_>>());
        let mut clients: Vec<_> = (0..=MOST_TOGETHER / MOST_IDS).map(|_| Wishes::new(&together)).collect();
        let refused = clients
            .iter_mut()
            .filter_map(|client| client.register(&many).err())
            .count();
        assert_eq!(refused, 1);
        clients.truncate(1);
        assert!(Wishes::new(&together).register(&many).is_ok());
    }
}
