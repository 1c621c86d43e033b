//! What sessions cost that are there and are told nothing: memory, and how much of it each.

use std::{io::Write, net, thread, time::Duration};

use anyhow::{Context, Result};

use crate::{
    load::{await_text, session},
    server::Server,
    wire,
};

/// Sessions before it is looked at for the first time: they have what all share made.
const FIRST: usize = 50;
/// What connecting used is given back meanwhile.
const REST: Duration = Duration::from_secs(3);

/// Sessions at rest.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// How many, without the first ones.
    pub sessions: usize,
    /// What the server had before them.
    pub before_mb: f64,
    /// What it has with them.
    pub at_rest_mb: f64,
    /// The most it ever had.
    pub peak_mb: f64,
}

impl Held {
    /// What each takes.
    pub fn bytes_a_session(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let sessions = self.sessions as f64;
        (self.at_rest_mb - self.before_mb) * 1024.0 * 1024.0 / sessions
    }
}

/// Connects and subscribes so many, one after another, and lets them rest. Each has to be told what happens then: one that was closed costs nothing.
pub fn run(server: &Server, sessions: usize) -> Result<Held> {
    let connect = |number: usize| session(server.web).with_context(|| format!("session {number}"));
    let mut all = (0..FIRST).map(connect).collect::<Result<Vec<_>>>()?;
    thread::sleep(REST);
    let before = server.usage()?;
    for number in 0..sessions {
        all.push(connect(number)?);
    }
    thread::sleep(REST);
    let at_rest = server.usage()?;
    let mut control = net::TcpStream::connect(("127.0.0.1", server.control))?;
    control.write_all((wire::argument(0, 0) + "\n").as_bytes())?;
    let event = str::from_utf8(wire::EVENT)?;
    for (number, stream) in all.iter_mut().enumerate() {
        await_text(stream, event).with_context(|| format!("session {number} at rest"))?;
    }
    Ok(Held {
        sessions,
        before_mb: before.resident_mb,
        at_rest_mb: at_rest.resident_mb,
        peak_mb: at_rest.peak_mb,
    })
}
