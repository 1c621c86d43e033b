//! The TCP connection below a websocket, written to from two sides: by the Socket.IO server for what concerns this client alone, and
//! directly by whoever has an event for many. An event is one `write` of bytes that all share; a task is woken for it only where the client
//! takes less than it is sent.
//!
//! Both sides hand over whole frames, so that they never mix within one.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use memchr::memmem;
use rustix::net::{Shutdown, shutdown};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::session::Session;
use crate::metrics::Value;

/// What may wait for a client; more closes its connection. Most of it is shared with others who are as slow.
const MOST_WAITING: usize = 4 << 20;
/// For how long a client may take nothing while something waits.
const STALLED: Duration = Duration::from_secs(10);

/// A websocket's connection.
pub struct Line {
    stream: TcpStream,
    out: Mutex<Out>,
    /// Counts the clients that were too slow.
    dropped: Value,
}

struct Out {
    stage: Stage,
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// A task sends what waits.
    draining: bool,
}

enum Stage {
    /// The client began by polling: events that were queued then have still to come through the Socket.IO server. The last of them, as
    /// text, is what is awaited here.
    Behind(Option<Bytes>),
    /// Events are written directly.
    Direct,
    /// The Socket.IO server has said its last; what waits is still sent.
    Ending,
    /// Over.
    Closed,
}

impl Line {
    /// `upgraded`: the session was polling before.
    pub fn new(stream: TcpStream, upgraded: bool, dropped: Value) -> Arc<Self> {
        Arc::new(Self {
            stream,
            out: Mutex::new(Out {
                stage: if upgraded { Stage::Behind(None) } else { Stage::Direct },
                waiting: VecDeque::new(),
                bytes: 0,
                draining: false,
            }),
            dropped,
        })
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends whole frames; never waits. False if they have to go through the Socket.IO server, after [`Self::queued`].
    pub fn send(self: &Arc<Self>, frames: &Bytes) -> bool {
        let mut out = self.out();
        if matches!(out.stage, Stage::Behind(_)) {
            return false;
        }
        if matches!(out.stage, Stage::Direct) {
            self.put(&mut out, frames, |sent| frames.slice(sent..));
        }
        true
    }

    /// Runs `queue`, which gives the event of this text to the Socket.IO server. Once that has come out here nothing is behind any more.
    pub fn queued<T>(&self, text: Bytes, queue: impl FnOnce() -> T) -> T {
        // Held while it is queued: another namespace's event could slip between, and the wrong one would be awaited.
        let mut out = self.out();
        if let Stage::Behind(awaited) = &mut out.stage {
            *awaited = Some(text);
        }
        queue()
    }

    /// Ends the connection at once.
    pub fn close(&self) {
        self.close_now(&mut self.out());
    }

    fn close_now(&self, out: &mut Out) {
        out.stage = Stage::Closed;
        out.waiting.clear();
        out.bytes = 0;
        // Whoever reads or waits for room is woken by it.
        let _ = shutdown(&self.stream, Shutdown::Both);
    }

    fn drop_slow(&self, out: &mut Out, reason: &str) {
        if matches!(out.stage, Stage::Closed) {
            return;
        }
        tracing::debug!(peer = ?self.stream.peer_addr().ok(), reason, "a Socket.IO client is too slow");
        self.dropped.add(1);
        self.close_now(out);
    }

    /// `rest` gives the bytes after so many that were sent.
    fn put(self: &Arc<Self>, out: &mut Out, data: &[u8], rest: impl FnOnce(usize) -> Bytes) {
        let sent = if out.waiting.is_empty() {
            match self.stream.try_write(data) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.close_now(out),
            }
        } else {
            0
        };
        if sent == data.len() {
            return;
        }
        if out.bytes > MOST_WAITING {
            return self.drop_slow(out, "more waits for it than may");
        }
        let rest = rest(sent);
        out.bytes += rest.len();
        out.waiting.push_back(rest);
        if !out.draining {
            out.draining = true;
            tokio::spawn(drain(Arc::clone(self)));
        }
    }

    /// Sends what waits. True when nothing does any more.
    fn flush(&self) -> bool {
        let mut guard = self.out();
        let out = &mut *guard;
        while let Some(first) = out.waiting.front_mut() {
            match self.stream.try_write(first) {
                Ok(sent) => {
                    out.bytes -= sent;
                    first.advance(sent);
                    if first.is_empty() {
                        out.waiting.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.close_now(out),
            }
        }
        out.draining = false;
        if matches!(out.stage, Stage::Ending) {
            let _ = shutdown(&self.stream, Shutdown::Write);
        }
        true
    }
}

async fn drain(line: Arc<Line>) {
    loop {
        match time::timeout(STALLED, line.stream.writable()).await {
            Ok(Ok(())) if line.flush() => return,
            Ok(Ok(())) => {}
            Ok(Err(_)) => return line.close(),
            Err(_) => return line.drop_slow(&mut line.out(), "it takes nothing"),
        }
    }
}

/// The line as the Socket.IO server sees it: a stream whose writes never wait. What is written is bounded by what is asked for, which is read
/// from the same stream, and by [`MOST_WAITING`].
pub struct Wire {
    line: Arc<Line>,
    /// Was read together with the request.
    early: Bytes,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    #[expect(dead_code, reason = "held as long as the connection")]
    session: Option<Arc<Session>>,
}

impl Wire {
    /// `early` comes before what the connection still has to say; `session` is the one it was upgraded from. With `stop` it ends.
    pub fn new(line: Arc<Line>, early: Bytes, session: Option<Arc<Session>>, stop: CancellationToken) -> Self {
        let stop = Box::pin(stop.cancelled_owned());
        Self {
            line,
            early,
            stop,
            session,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.stop.as_mut().poll(cx).is_ready() {
            // Without Engine.IO's word for it, which python-socketio takes for a wish that it stay away.
            self.line.close();
            return Poll::Ready(Ok(()));
        }
        if !self.early.is_empty() {
            let size = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(size));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.line.stream.poll_read_ready(cx))?;
            match self.line.stream.try_read(buf.initialize_unfilled()) {
                Ok(size) => {
                    buf.advance(size);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut out = self.line.out();
        match &out.stage {
            Stage::Behind(Some(awaited)) if memmem::find(data, awaited).is_some() => out.stage = Stage::Direct,
            Stage::Behind(_) | Stage::Direct => {}
            Stage::Ending | Stage::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        self.line
            .put(&mut out, data, |sent| Bytes::copy_from_slice(&data[sent..]));
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.line.out();
        if matches!(out.stage, Stage::Behind(_) | Stage::Direct) {
            out.stage = Stage::Ending;
            if out.waiting.is_empty() {
                let _ = shutdown(&self.line.stream, Shutdown::Write);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut out = self.line.out();
        // What waits, a last word mostly, is still sent, and then the connection ends.
        if out.waiting.is_empty() {
            self.line.close_now(&mut out);
        } else if !matches!(out.stage, Stage::Closed) {
            out.stage = Stage::Ending;
        }
    }
}
