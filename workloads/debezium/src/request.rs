//! What people ask of a connector: `POST /connector/<what>?id=…`. The operator asks until `/status` says it was done, so asking twice is asking once.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State as Shared},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;
use synccluster_protocol::status::{ConnectRequest, ConnectStatus, RequestKind};
use synccluster_runtime::workload::State;

use crate::run::Debezium;

/// Requests that are remembered as done.
const REMEMBERED: usize = 16;
/// Requests that may wait; there are four kinds.
const WAITING: usize = 8;

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// Where requests come in.
pub fn routes(state: Arc<State<Debezium>>) -> Router {
    Router::new().route("/connector/{what}", post(asked)).with_state(state)
}

async fn asked(
    Shared(state): Shared<Arc<State<Debezium>>>,
    Path(what): Path<RequestKind>,
    Query(Named { id }): Query<Named>,
) -> (StatusCode, &'static str) {
    match take(
        state.edit().connect.get_or_insert_default(),
        ConnectRequest { what, id },
    ) {
        Taken::Done => (StatusCode::OK, "done\n"),
        Taken::Waiting => (StatusCode::ACCEPTED, "it will be done; /status says when\n"),
        Taken::TooMany => (StatusCode::TOO_MANY_REQUESTS, "others wait already; ask again later\n"),
    }
}

/// Asks; whether it is done.
pub fn ask(state: &State<Debezium>, request: ConnectRequest) -> bool {
    take(state.edit().connect.get_or_insert_default(), request) == Taken::Done
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Done,
    Waiting,
    TooMany,
}

fn take(connect: &mut ConnectStatus, request: ConnectRequest) -> Taken {
    if connect.done.contains(&request) {
        return Taken::Done;
    }
    if connect.waiting.contains(&request) {
        return Taken::Waiting;
    }
    if connect.waiting.len() >= WAITING {
        return Taken::TooMany;
    }
    connect.waiting.push(request);
    Taken::Waiting
}

/// Those that wait and fit are done.
pub fn done(connect: &mut ConnectStatus, fits: impl Fn(&ConnectRequest) -> bool) {
    let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut connect.waiting).into_iter().partition(fits);
    connect.waiting = waiting;
    connect.done.extend(done);
    let surplus = connect.done.len().saturating_sub(REMEMBERED);
    connect.done.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(what: RequestKind, id: &str) -> ConnectRequest {
        ConnectRequest {
            what,
            id: id.to_owned(),
        }
    }

    #[test]
    fn asking_twice_is_asking_once_and_what_is_done_is_remembered() {
        let mut connect = ConnectStatus::default();
        let (first, other) = (request(RequestKind::Restart, "1"), request(RequestKind::Reset, "2"));
        for _ in 0..2 {
            assert_eq!(take(&mut connect, first.clone()), Taken::Waiting);
        }
        take(&mut connect, other.clone());
        assert_eq!(connect.waiting, [first.clone(), other.clone()]);
        done(&mut connect, |request| request.what == RequestKind::Restart);
        assert_eq!(take(&mut connect, first.clone()), Taken::Done);
        assert_eq!((&connect.waiting, &connect.done), (&vec![other], &vec![first]));
    }

    #[test]
    fn neither_list_grows_for_ever() {
        let mut connect = ConnectStatus::default();
        for round in 0..10 {
            for n in 0..WAITING + 1 {
                let taken = take(&mut connect, request(RequestKind::Pause, &format!("{round}-{n}")));
                assert_eq!(taken == Taken::TooMany, n == WAITING);
            }
            done(&mut connect, |request| request.what == RequestKind::Pause);
        }
        assert_eq!((connect.waiting.len(), connect.done.len()), (0, REMEMBERED));
    }
}
