//! What people ask of a connector: `PUT /connector`. The operator asks until `/status` says it was done, so asking twice is asking once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{Json, Router, http::StatusCode, routing::put};
use synccluster_protocol::status::{ConnectRequest, ConnectStatus};

/// Requests that are remembered as done.
const REMEMBERED: usize = 16;
/// Requests that may wait; there are four kinds.
const WAITING: usize = 8;

/// What was asked for and what was done, shared between its sessions and its endpoint.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    waiting: Vec<ConnectRequest>,
    done: Vec<ConnectRequest>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was done before.
    Done,
    /// It will be done.
    Waiting,
    /// Others wait already.
    TooMany,
}

impl Requests {
    /// Where requests come in.
    pub fn routes(&self) -> Router {
        let requests = self.clone();
        let ask = async move |Json(request): Json<ConnectRequest>| match requests.ask(request) {
            Taken::Done => StatusCode::OK,
            Taken::Waiting => StatusCode::ACCEPTED,
            Taken::TooMany => StatusCode::TOO_MANY_REQUESTS,
        };
        Router::new().route("/connector", put(ask))
    }

    /// Asks for something.
    pub fn ask(&self, request: ConnectRequest) -> Taken {
        let mut book = self.book();
        if book.done.contains(&request) {
            return Taken::Done;
        }
        if !book.waiting.contains(&request) {
            if book.waiting.len() >= WAITING {
                return Taken::TooMany;
            }
            book.waiting.push(request);
        }
        Taken::Waiting
    }

    /// What is not done yet.
    pub fn waiting(&self) -> Vec<ConnectRequest> {
        self.book().waiting.clone()
    }

    /// Those that wait and fit are done.
    pub fn done(&self, fits: impl Fn(&ConnectRequest) -> bool) {
        let mut book = self.book();
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut book.waiting).into_iter().partition(fits);
        book.waiting = waiting;
        book.done.extend(done);
        let surplus = book.done.len().saturating_sub(REMEMBERED);
        book.done.drain(..surplus);
    }

    /// Into the document.
    pub fn tell(&self, connect: &mut ConnectStatus) {
        let book = self.book();
        connect.waiting.clone_from(&book.waiting);
        connect.done.clone_from(&book.done);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synccluster_protocol::status::RequestKind;

    fn request(what: RequestKind, id: &str) -> ConnectRequest {
        let id = id.to_owned();
        ConnectRequest { what, id }
    }

    #[test]
    fn asking_twice_is_asking_once_and_what_is_done_is_remembered() {
        let requests = Requests::default();
        let (first, other) = (request(RequestKind::Restart, "1"), request(RequestKind::Reset, "2"));
        for _ in 0..2 {
            assert_eq!(requests.ask(first.clone()), Taken::Waiting);
        }
        requests.ask(other.clone());
        assert_eq!(requests.waiting(), [first.clone(), other.clone()]);
        requests.done(|request| request.what == RequestKind::Restart);
        assert_eq!(requests.ask(first.clone()), Taken::Done);
        let mut told = ConnectStatus::default();
        requests.tell(&mut told);
        assert_eq!((told.waiting, told.done), (vec![other], vec![first]));
    }

    #[test]
    fn neither_list_grows_for_ever() {
        let requests = Requests::default();
        for round in 0..10 {
            for n in 0..=WAITING {
                let taken = requests.ask(request(RequestKind::Pause, &format!("{round}-{n}")));
                assert_eq!(taken == Taken::TooMany, n == WAITING);
            }
            requests.done(|_| true);
        }
        let mut told = ConnectStatus::default();
        requests.tell(&mut told);
        assert_eq!((told.waiting.len(), told.done.len()), (0, REMEMBERED));
    }
}
