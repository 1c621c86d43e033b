//! A client's session: how events get to it, by polling or by a websocket's line.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use socketioxide::{extract::SocketRef, socket::Sid};

use super::{frame::Frame, line::Line};

/// What may wait for a poll; more ends the session.
const MOST_UNREAD: usize = 1 << 20;

/// The sessions that began by polling, by their id: what the route learns of one has to reach those who tell it events.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Sid, Weak<Session>>>);

/// One of them; it is forgotten when nobody holds it any more.
pub struct Session {
    /// Its id and where it is known, if it began by polling.
    known: Option<(Sid, Weak<Sessions>)>,
    line: Mutex<Weak<Line>>,
    /// Bytes of events since the last poll.
    unread: AtomicUsize,
}

/// The client takes less than it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<Sid, Weak<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this id, new if nobody asked for it before.
    pub fn of(self: &Arc<Self>, sid: Sid) -> Arc<Session> {
        let mut all = self.all();
        if let Some(known) = all.get(&sid).and_then(Weak::upgrade) {
            return known;
        }
        let session = Arc::new(Session {
            known: Some((sid, Arc::downgrade(self))),
            line: Mutex::default(),
            unread: AtomicUsize::new(0),
        });
        all.insert(sid, Arc::downgrade(&session));
        session
    }

    /// A poll takes what waits.
    pub fn polled(&self, sid: Sid) {
        // Not while the lock is held: the last to let go of a session takes it itself.
        let session = self.all().get(&sid).and_then(Weak::upgrade);
        if let Some(session) = session {
            session.unread.store(0, Ordering::Relaxed);
        }
    }
}

impl Session {
    /// One that is a websocket from the beginning.
    pub fn direct(line: &Arc<Line>) -> Arc<Self> {
        Arc::new(Self {
            known: None,
            line: Mutex::new(Arc::downgrade(line)),
            unread: AtomicUsize::new(0),
        })
    }

    fn line(&self) -> Option<Arc<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// From now on this is its line. False if it has one.
    pub fn upgrade(&self, line: &Arc<Line>) -> bool {
        let mut known = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let free = known.strong_count() == 0;
        if free {
            *known = Arc::downgrade(line);
        }
        free
    }

    /// Tells these events in this order; `block` is all of them. Never waits.
    pub fn tell(&self, socket: &SocketRef, frames: &[&Frame], block: &Bytes) -> Result<(), TooSlow> {
        let line = self.line();
        if let Some(line) = &line
            && line.send(block)
        {
            return Ok(());
        }
        for frame in frames {
            let queue = || socket.emit(frame.event, &*frame.data);
            let queued = match &line {
                Some(line) => line.queued(frame.text(), queue),
                None if self.unread.fetch_add(frame.wire().len(), Ordering::Relaxed) > MOST_UNREAD => {
                    return Err(TooSlow);
                }
                None => queue(),
            };
            // A closed one is told nothing; its end is on the way.
            if queued.is_err() && socket.connected() {
                return Err(TooSlow);
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((sid, sessions)) = &self.known else { return };
        let Some(sessions) = sessions.upgrade() else { return };
        let mut all = sessions.all();
        // Somebody may have asked for it anew in between.
        if all.get(sid).is_some_and(|known| known.strong_count() == 0) {
            all.remove(sid);
        }
    }
}
