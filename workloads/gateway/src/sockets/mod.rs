//! Socket.IO (protocol 5 on Engine.IO 4) at `/socket.io/`.
//!
//! socketioxide speaks the protocol. What is special here is how an event for many goes out: it is made once ([`frame`]), clients that asked
//! for the same share a room ([`rooms`]), and each of them gets it by one write on its connection ([`line`]), past the server's queues.
//! [`entrance`] takes websockets over from HTTP for that, [`session`] knows how a client is reached, [`seats`] whose a session is. Each
//! replica serves its own clients from its own bus, which hears what the others learnt; so any number of replicas can stand behind a Service
//! that keeps a session at one of them.
//!
//! A namespace is a file: [`sites`], [`counters`]. A further one opens itself in [`router`] likewise, with rooms of its own; [`guests`] lets
//! clients in and out of all of them.

pub mod counters;
mod entrance;
mod frame;
mod guests;
mod interest;
mod line;
mod rooms;
pub mod seats;
mod session;
pub mod sites;
mod wishes;

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::any};
use socketioxide::{ParserConfig, SocketIo};

use crate::{app::Shared, extract::MAX_BODY};
use entrance::{Entrance, Nowhere, enter};
use seats::Most;
use session::Sessions;

/// Where it is.
pub const PATH: &str = "/socket.io/";
/// Sessions at once. One that is nobody's yet is somebody's a moment later, or over within ten seconds.
pub const MOST: Most = Most {
    all: 10_000,
    caller: 5_000,
    unknown: 1_200,
    address: 900,
};

/// How long a client may take to connect to a namespace.
const CONNECT: Duration = Duration::from_secs(10);
/// Packets that wait for a poll.
const QUEUED: usize = 4096;
/// Read from a client at once; clients say little.
const READ: usize = 1024;

/// The route, and behind it all namespaces.
pub fn router(app: &Shared) -> Router<Shared> {
    let (service, io) = SocketIo::builder()
        .max_payload(MAX_BODY as u64)
        .ws_max_message_size(MAX_BODY)
        .ws_max_frame_size(MAX_BODY)
        .ws_read_buffer_size(READ)
        .max_buffer_size(QUEUED)
        .connect_timeout(CONNECT)
        .with_parser(ParserConfig::common().max_incoming_binary_buf_size(MAX_BODY))
        .build_with_inner_svc(Nowhere);
    let sessions = Arc::new(Sessions::default());
    let dropped = app.metrics.counter(
        "synccluster_gateway_slow_sockets_total",
        "Socket.IO clients that were too slow",
        &[],
    );
    sites::open(&io, app, &sessions, dropped.clone());
    counters::open(&io, app, &sessions, dropped.clone());
    let entrance = Entrance {
        service,
        seats: app.sockets.clone(),
        sessions,
        dropped,
        stop: app.stop.clone(),
    };
    Router::new().route(PATH, any(enter).with_state(entrance))
}
