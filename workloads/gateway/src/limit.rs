//! Limits on what goes on at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

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

#[cfg(test)]
mod tests {
    use super::*;

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
