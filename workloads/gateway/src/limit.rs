//! Limits on what goes on at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{access::Holder, problem::Problem};

/// So many at once, and no more.
#[derive(Clone, Debug)]
pub struct Limit {
    what: &'static str,
    most: usize,
    advice: &'static str,
    free: Arc<Semaphore>,
}

/// A place that was taken; it is free again when this is dropped.
#[derive(Debug)]
pub struct Pass(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Limit {
    /// `what`, in the plural, is said to those who are turned away.
    pub fn new(what: &'static str, most: usize) -> Self {
        Self {
            what,
            most,
            advice: "close one, or try again later",
            free: Arc::new(Semaphore::new(most)),
        }
    }

    /// Takes a place; 503 while all are taken.
    pub fn enter(&self) -> Result<Pass, Problem> {
        Arc::clone(&self.free).try_acquire_owned().map(Pass).map_err(|_| {
            let detail = format!(
                "this replica of the gateway serves {} {} at once and no more; {}",
                self.most, self.what, self.advice
            );
            Problem::unavailable("limit-reached", "Limit reached", detail)
        })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.most - self.free.available_permits()
    }
}

/// So many at once, for one caller a share of them, and for all with one token at one address seven eighths: nobody takes all there is.
#[derive(Clone, Debug)]
pub struct Shares {
    all: Limit,
    share: usize,
    together: usize,
    advice: &'static str,
    held: Held,
}

#[derive(Clone, Debug, Default)]
struct Held(Arc<Mutex<Counts>>);

/// How many each holds, and how many those hold together whom he counts among; who holds none is not in it.
#[derive(Debug, Default)]
struct Counts {
    each: HashMap<Holder, usize>,
    together: HashMap<Holder, usize>,
}

/// A place of somebody's share; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    holder: Holder,
    held: Held,
    #[expect(dead_code, reason = "held for its drop")]
    pass: Pass,
}

impl Shares {
    /// `what`, in the plural, is said to those who are turned away.
    pub fn new(what: &'static str, most: usize, share: usize) -> Self {
        Self {
            all: Limit::new(what, most),
            share,
            together: (most - most / 8).max(share),
            advice: "close one, such as a page that is not looked at",
            held: Held::default(),
        }
    }

    /// The same, and those who are turned away are told to do this.
    #[must_use]
    pub fn advising(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self.all.advice = advice;
        self
    }

    /// Takes a place for somebody; 429 while he, or those he counts among, have their share, 503 while all are taken.
    pub fn enter(&self, holder: Holder) -> Result<Place, Problem> {
        let (what, advice) = (self.all.what, self.advice);
        let among = holder.among();
        let mut held = self.held.lock();
        let has = count(&held.each, &holder);
        if has >= self.share {
            return Err(taken(format!(
                "{holder} has {has} {what} open at this replica of the gateway, and one caller may have no more; {advice}"
            )));
        }
        if let Some(among) = &among {
            let have = count(&held.together, among);
            if have >= self.together {
                return Err(taken(format!(
                    "all who come as {among} have {have} {what} open together at this replica of the gateway, and may have no more; {advice}"
                )));
            }
        }
        let pass = self.all.enter()?;
        *held.each.entry(holder.clone()).or_default() += 1;
        if let Some(among) = among {
            *held.together.entry(among).or_default() += 1;
        }
        drop(held);
        Ok(Place {
            holder,
            held: self.held.clone(),
            pass,
        })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.all.taken()
    }
}

fn taken(detail: String) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "share-taken", "Share taken", detail)
}

fn count(counts: &HashMap<Holder, usize>, holder: &Holder) -> usize {
    counts.get(holder).copied().unwrap_or_default()
}

fn take_off(counts: &mut HashMap<Holder, usize>, holder: &Holder) {
    match counts.get_mut(holder) {
        Some(has) if *has > 1 => *has -= 1,
        _ => drop(counts.remove(holder)),
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        take_off(&mut held.each, &self.holder);
        if let Some(among) = self.holder.among() {
            take_off(&mut held.together, &among);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::access::SessionId;

    #[test]
    fn nobody_takes_more_than_his_share_and_the_others_have_theirs() {
        let shares = Shares::new("live tails", 3, 2);
        let named = |name: &str| Holder::Named(name.to_owned());
        let (first, _second) = (shares.enter(named("ada")).unwrap(), shares.enter(named("ada")).unwrap());
        let problem = shares.enter(named("ada")).unwrap_err();
        assert_eq!(problem.status, 429);
        assert!(
            problem.detail.starts_with("ada has 2 live tails open"),
            "{}",
            problem.detail
        );
        let bobs = shares.enter(named("bob")).unwrap();
        assert_eq!(shares.enter(named("eve")).unwrap_err().status, 503);
        drop(first);
        let _again = shares.enter(named("ada")).unwrap();
        assert_eq!(shares.enter(named("ada")).unwrap_err().status, 429);
        drop(bobs);
        assert_eq!(shares.taken(), 2);
        assert_eq!(shares.held.lock().each.keys().collect::<Vec<_>>(), [&named("ada")]);
    }

    #[test]
    fn each_session_has_its_share_and_those_of_one_token_at_one_address_leave_the_others_an_eighth() {
        let shares = Shares::new("live tails", 8, 4);
        let viewer = || "viewer".to_owned();
        let at = |host: u8| Some(IpAddr::from([10, 0, 0, host]));
        let session = |id| Holder::Session(SessionId::new(id), viewer(), at(1));
        let mut first: Vec<Place> = (0..4).map(|_| shares.enter(session(1)).unwrap()).collect();
        let problem = shares.enter(session(1)).unwrap_err();
        assert!(
            problem.status == 429
                && problem
                    .detail
                    .starts_with("a session of viewer at 10.0.0.1 has 4 live tails"),
            "{problem:?}"
        );
        let second: Vec<Place> = (0..3).map(|_| shares.enter(session(2)).unwrap()).collect();
        for one_more in [session(2), session(3), Holder::Token(viewer(), at(1))] {
            let problem = shares.enter(one_more).unwrap_err();
            let told = "all who come as viewer at 10.0.0.1 have 7 live tails open together";
            assert!(problem.status == 429 && problem.detail.starts_with(told), "{problem:?}");
        }
        let elsewhere = shares.enter(Holder::Token(viewer(), at(2))).unwrap();
        first.pop();
        let third = shares.enter(session(3)).unwrap();
        drop((first, second, elsewhere, third));
        let held = shares.held.lock();
        assert!(held.each.is_empty() && held.together.is_empty(), "{held:?}");
    }

    #[test]
    fn a_place_is_free_again_when_its_pass_is_dropped() {
        let limit = Limit::new("live tails", 2);
        let (first, _second) = (limit.enter().unwrap(), limit.enter().unwrap());
        let problem = limit.enter().unwrap_err();
        assert_eq!(problem.status, 503);
        assert!(problem.detail.contains("2 live tails"), "{}", problem.detail);
        assert_eq!(limit.taken(), 2);
        drop(first);
        assert_eq!(limit.taken(), 1);
        limit.enter().unwrap();
    }
}
