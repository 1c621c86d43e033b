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
            free: Arc::new(Semaphore::new(most)),
        }
    }

    /// Takes a place; 503 while all are taken.
    pub fn enter(&self) -> Result<Pass, Problem> {
        Arc::clone(&self.free).try_acquire_owned().map(Pass).map_err(|_| {
            let detail = format!(
                "this replica of the gateway serves {} {} at once and no more; close one, or try again later",
                self.most, self.what
            );
            Problem::unavailable("limit-reached", "Limit reached", detail)
        })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.most - self.free.available_permits()
    }
}

/// So many at once, and for one caller a share of them: nobody takes all there is.
#[derive(Clone, Debug)]
pub struct Shares {
    all: Limit,
    share: usize,
    held: Held,
}

/// How many each holds; who holds none is not in it.
#[derive(Clone, Debug, Default)]
struct Held(Arc<Mutex<HashMap<Holder, usize>>>);

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
            held: Held::default(),
        }
    }

    /// Takes a place for somebody; 429 while he has his share, 503 while all are taken.
    pub fn enter(&self, holder: Holder) -> Result<Place, Problem> {
        let mut held = self.held.lock();
        let has = held.get(&holder).copied().unwrap_or_default();
        if has >= self.share {
            let detail = format!(
                "{holder} has {has} {} open at this replica of the gateway, and one caller may have no more; close one, such as a page that is \
                 not looked at",
                self.all.what
            );
            let kind = ("share-taken", "Share taken");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, kind.0, kind.1, detail));
        }
        let pass = self.all.enter()?;
        held.insert(holder.clone(), has + 1);
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

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        match held.get_mut(&self.holder) {
            Some(has) if *has > 1 => *has -= 1,
            _ => drop(held.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(shares.held.lock().keys().collect::<Vec<_>>(), [&named("ada")]);
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
