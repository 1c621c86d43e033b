//! A client's session: how events get to it, by polling or by a websocket's line.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use socketioxide::{extract::SocketRef, socket::Sid};

use super::{frame::Block, line::Line};

/// Bytes that may wait for a poll; more ends the session.
const MOST_UNREAD: usize = 1 << 20;
/// Bytes that may wait for the polls of all sessions together: beyond it, a session that has more than its share is ended.
const MOST_TOGETHER: usize = 32 << 20;
const SHARE: usize = 16 << 10;

/// The sessions that began by polling, by their id: what the route learns of one has to reach those who tell it events.
#[derive(Default)]
pub struct Sessions {
    known: Mutex<HashMap<Sid, Weak<Session>>>,
    unread: AtomicUsize,
}

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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
            let read = session.unread.swap(0, Ordering::Relaxed);
            self.unread.fetch_sub(read, Ordering::Relaxed);
        }
    }
}

impl Session {
    /// One that is a websocket from the beginning.
    fn direct(line: &Arc<Line>) -> Arc<Self> {
        Arc::new(Self {
            known: None,
            line: Mutex::new(Arc::downgrade(line)),
            unread: AtomicUsize::new(0),
        })
    }

    /// The one of this socket.
    pub fn of(socket: &SocketRef, sessions: &Arc<Sessions>) -> Arc<Self> {
        let line = socket.req_parts().extensions.get::<Arc<Line>>();
        line.map_or_else(|| sessions.of(socket.id), Self::direct)
    }

    /// Ends it; the client may begin another.
    pub fn end(&self, socket: SocketRef) {
        match self.line() {
            Some(line) => line.close(),
            // One that cannot be told ends when its heartbeat cannot.
            None => drop(socket.disconnect()),
        }
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

    /// Tells these events in their order. Never waits.
    pub fn tell(&self, socket: &SocketRef, block: &Block) -> Result<(), TooSlow> {
        let line = self.line();
        if let Some(line) = &line
            && line.send(&block.wire)
        {
            return Ok(());
        }
        for frame in &block.frames {
            let queue = || socket.emit(frame.event, &*frame.data);
            let queued = match (&line, &self.known) {
                (Some(line), _) => line.queued(frame.text(), queue),
                (None, Some((_, sessions))) if self.has_room(sessions, frame.wire().len()) => queue(),
                (None, Some(_)) => return Err(TooSlow),
                (None, None) => return Ok(()),
            };
            // A closed one is told nothing; its end is on the way.
            if queued.is_err() && socket.connected() {
                return Err(TooSlow);
            }
        }
        Ok(())
    }

    /// Whether so much more may wait for a poll, which it then does.
    fn has_room(&self, sessions: &Weak<Sessions>, bytes: usize) -> bool {
        // In this order: what a poll takes off the sum is in it already.
        let sessions = sessions.upgrade();
        let together = sessions.map_or(0, |sessions| sessions.unread.fetch_add(bytes, Ordering::Relaxed));
        let mine = self.unread.fetch_add(bytes, Ordering::Relaxed);
        mine <= SHARE || (mine <= MOST_UNREAD && together <= MOST_TOGETHER)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((sid, sessions)) = &self.known else { return };
        let Some(sessions) = sessions.upgrade() else { return };
        sessions.unread.fetch_sub(*self.unread.get_mut(), Ordering::Relaxed);
        let mut all = sessions.all();
        // Somebody may have asked for it anew in between.
        if all.get(sid).is_some_and(|known| known.strong_count() == 0) {
            all.remove(sid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each of these sessions may be told so much more, again and again.
    fn fill(sessions: &Arc<Sessions>, all: &[Arc<Session>], bytes: usize, times: usize) -> usize {
        let room = |session: &Arc<Session>| session.has_room(&Arc::downgrade(sessions), bytes);
        (0..times).take_while(|_| all.iter().all(room)).count()
    }

    #[test]
    fn one_session_may_wait_for_a_megabyte_and_for_more_after_its_poll() {
        let sessions = Arc::<Sessions>::default();
        let sid = Sid::new();
        let one = [sessions.of(sid)];
        assert_eq!(fill(&sessions, &one, 1024, 5000), 1025);
        sessions.polled(sid);
        assert_eq!(sessions.unread.load(Ordering::Relaxed), 0);
        assert_eq!(fill(&sessions, &one, 1024, 5000), 1025);
    }

    #[test]
    fn many_sessions_have_a_share_of_what_all_may_wait_for() {
        let sessions = Arc::<Sessions>::default();
        let many: Vec<_> = (0..5000).map(|_| sessions.of(Sid::new())).collect();
        // 5,000 of 6 KiB are 30 MiB; from then on each has its share and no more.
        assert_eq!(fill(&sessions, &many, 1024, 100), 17);
        drop(many);
        assert_eq!(sessions.unread.load(Ordering::Relaxed), 0);
        assert!(sessions.all().is_empty(), "what ended is forgotten");
    }
}
