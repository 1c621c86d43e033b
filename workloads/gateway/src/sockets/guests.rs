//! Who comes to a namespace and how he leaves it; the same for every namespace.

use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    extract::{AckSender, SocketRef},
};
use tokio::time;

use super::{
    seats::Seat,
    session::{Session, Sessions},
};
use crate::{
    access::{Access, Caller, Means},
    app::Shared,
    metrics,
    problem::Problem,
};

/// How often a slow client is tried to be told that it is out.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a socket may take to be connected after its client has been told so.
const MOMENT: Duration = Duration::from_secs(5);

/// What a client may send with its CONNECT.
#[derive(Default, Deserialize)]
pub struct Credentials {
    token: Option<String>,
}

/// Why a client may not connect; what it gets to read.
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who connects: by the token he sends on purpose, else as the request showed that opened the session.
pub fn admit(access: &Access, caller: Option<&Caller>, credentials: Credentials) -> Result<Caller, Problem> {
    if let Some(token) = credentials.token {
        let known = access.by_token(&token)?;
        if known.means != Means::Open {
            return Ok(known);
        }
    }
    caller.cloned().ok_or_else(|| {
        let detail = "send the token with the connection, as auth: {token: \"…\"} or as the header `Authorization: Bearer <token>`";
        Problem::new(axum::http::StatusCode::UNAUTHORIZED, "no-token", "Not signed in", detail)
    })
}

/// The same where what is counted is read, and where that may be anyone who shows nothing.
pub fn admit_to_counts(access: &Access, caller: Option<&Caller>, credentials: Credentials) -> Result<Caller, Problem> {
    match access.reader() {
        Some(reader) if credentials.token.is_none() && caller.is_none() => Ok(reader),
        _ => admit(access, caller, credentials),
    }
}

/// The session is his who was let in first, to whichever namespace; 429 while he has as many as one caller may have.
pub fn seat(socket: &SocketRef, caller: &Caller) -> Result<(), Problem> {
    let seat = socket.req_parts().extensions.get::<Arc<Seat>>();
    seat.map_or(Ok(()), |seat| seat.give(caller))
}

/// A client, as it is counted.
pub struct Present(metrics::Value);

impl Present {
    /// Until this is dropped.
    pub fn new(there: &metrics::Value) -> Self {
        there.add(1);
        Self(there.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Ends every client's session when the tokens are others, or its own would be over: those who still may connect again.
pub async fn ask_again(io: SocketIo, namespace: &'static str, app: Shared, sessions: Arc<Sessions>) {
    let mut over = Box::pin(app.access.over());
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = &mut over => {}
        }
        // First, so that no change falls between.
        over = Box::pin(app.access.over());
        let Some(there) = io.of(namespace) else { continue };
        for socket in there.sockets() {
            Session::of(&socket, &sessions).end(socket);
        }
    }
}

/// Waits for what the client knows already: it hears that it is connected a moment before its socket here says so.
pub async fn connected(socket: &SocketRef) {
    let moment = async {
        while !socket.connected() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    // One that has gone meanwhile never is again.
    let _ = time::timeout(MOMENT, moment).await;
}

/// Answers, if the client wants an answer.
pub fn reply(socket: &SocketRef, ack: AckSender, answer: &Value) {
    if let Err(error) = ack.send(answer) {
        tracing::debug!(%error, sid = %socket.id, "an answer could not be given");
    }
}

/// Disconnects a client that missed events, as soon as it takes so much as that. One that takes nothing at all ends with its next heartbeat.
pub async fn farewell(socket: SocketRef) {
    let _ = socket.emit(
        "reset",
        &json!({ "reason": "this client was too slow; it is disconnected" }),
    );
    while socket.connected() && socket.clone().disconnect().is_err() {
        time::sleep(FAREWELL).await;
    }
}
