//! Whose a session is. Until somebody is let in to a namespace it is nobody's; of those there are few, so that who shows nothing takes
//! nothing from those who do.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use crate::{
    access::{Caller, Holder},
    limit::{Limit, Pass, Place, Shares},
    problem::Problem,
};

/// How many sessions there may be at once.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// All of them.
    pub all: usize,
    /// Of one caller.
    pub caller: usize,
    /// Of those that are nobody's yet, all together,
    pub unknown: usize,
    /// and from one address.
    pub address: usize,
}

/// The places of all sessions.
#[derive(Clone, Debug)]
pub struct Seats {
    all: Limit,
    known: Shares,
    unknown: Shares,
}

/// A session's place; it is free again when this is dropped.
pub struct Seat {
    peer: Option<SocketAddr>,
    known: Shares,
    // Before the pass: so those that are somebody's are never more than there are passes, and nobody who has one meets the limit of all.
    held: Mutex<Held>,
    #[expect(dead_code, reason = "held for its drop")]
    pass: Pass,
}

struct Held {
    known: bool,
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
}

impl Seats {
    /// So many at once.
    pub fn new(most: &Most) -> Self {
        let what = "Socket.IO sessions";
        let unknown = "Socket.IO sessions that have shown no token yet";
        Self {
            all: Limit::new(what, most.all),
            known: Shares::new(what, most.all, most.caller),
            unknown: Shares::new(unknown, most.unknown, most.address).advising(
                "show the token with the request that opens the session, as `Authorization: Bearer <token>`, or try again later",
            ),
        }
    }

    /// Takes a place for a session that is being opened: for who asks, if that request shows it, else for nobody yet. 503 while all are
    /// taken, 429 while he has his share.
    pub fn enter(&self, caller: Option<&Caller>, peer: Option<SocketAddr>) -> Result<Seat, Problem> {
        let pass = self.all.enter()?;
        let shares = if caller.is_some() { &self.known } else { &self.unknown };
        let place = shares.enter(Holder::of(caller, peer))?;
        let held = Held {
            known: caller.is_some(),
            place,
        };
        Ok(Seat {
            peer,
            known: self.known.clone(),
            held: Mutex::new(held),
            pass,
        })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.all.taken()
    }
}

impl Seat {
    /// The session is his who was let in, unless it is somebody's already. 429 while he has his share.
    pub fn give(&self, caller: &Caller) -> Result<(), Problem> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.known {
            let place = self.known.enter(Holder::of(Some(caller), self.peer))?;
            *held = Held { known: true, place };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Means, Role};

    const MOST: Most = Most {
        all: 6,
        caller: 2,
        unknown: 3,
        address: 2,
    };

    fn named(name: &str) -> Caller {
        Caller {
            name: name.to_owned(),
            role: Role::Viewer,
            means: Means::Proxy,
            session: None,
        }
    }

    fn at(host: u8) -> SocketAddr {
        ([10, 0, 0, host], 1).into()
    }

    fn refused(entered: Result<Seat, Problem>) -> Problem {
        entered.map(drop).unwrap_err()
    }

    #[test]
    fn those_who_show_nothing_have_a_small_part_and_a_smaller_one_at_one_address() {
        let seats = Seats::new(&MOST);
        let _two = [
            seats.enter(None, Some(at(1))).unwrap(),
            seats.enter(None, Some(at(1))).unwrap(),
        ];
        let problem = refused(seats.enter(None, Some(at(1))));
        assert_eq!(problem.status, 429);
        assert!(
            problem.detail.contains("no token yet") && problem.detail.contains("Authorization: Bearer"),
            "{}",
            problem.detail
        );
        let _third = seats.enter(None, Some(at(2))).unwrap();
        let problem = refused(seats.enter(None, Some(at(2))));
        assert_eq!(problem.status, 503);
        assert!(problem.detail.contains("Authorization: Bearer"), "{}", problem.detail);
        let _known = seats.enter(Some(&named("ada")), Some(at(1))).unwrap();
        assert_eq!(seats.taken(), 4, "who was refused holds nothing");
    }

    #[test]
    fn a_session_is_nobodys_until_the_first_is_let_in_and_his_from_then_on() {
        let seats = Seats::new(&MOST);
        let of_ada: Vec<Seat> = (0..2).map(|_| seats.enter(None, Some(at(1))).unwrap()).collect();
        for seat in &of_ada {
            seat.give(&named("ada")).unwrap();
            seat.give(&named("bob")).unwrap();
        }
        assert_eq!(
            seats.unknown.taken(),
            0,
            "those who come have the places of those who were let in"
        );
        let late = seats.enter(None, Some(at(1))).unwrap();
        let problem = late.give(&named("ada")).unwrap_err();
        assert!(
            problem.status == 429 && problem.detail.starts_with("ada has 2 Socket.IO sessions open"),
            "{problem:?}"
        );
        assert_eq!(refused(seats.enter(Some(&named("ada")), Some(at(2)))).status, 429);
        late.give(&named("bob")).unwrap();
        drop((of_ada, late));
        assert_eq!((seats.taken(), seats.known.taken()), (0, 0));
    }

    #[test]
    fn all_together_have_a_limit_and_who_has_a_place_in_it_is_not_refused_another() {
        let seats = Seats::new(&MOST);
        let nobodys = seats.enter(None, Some(at(1))).unwrap();
        let callers = ["ada", "ada", "bob", "bob", "eve"].map(named);
        let taken: Vec<Seat> = callers
            .iter()
            .map(|caller| seats.enter(Some(caller), Some(at(1))).unwrap())
            .collect();
        let problem = refused(seats.enter(Some(&named("eve")), Some(at(1))));
        assert!(
            problem.status == 503 && problem.detail.contains("6 Socket.IO sessions at once"),
            "{problem:?}"
        );
        nobodys.give(&named("eve")).unwrap();
        drop(taken);
        assert_eq!(seats.taken(), 1);
    }
}
