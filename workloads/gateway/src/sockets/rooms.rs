//! Who gets what: the members of a namespace by what they asked for. Those who asked for the same are in one room, so that what they get is
//! put together once, however many they are.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZero,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use socketioxide::{extract::SocketRef, socket::Sid};
use tokio::task::{self, JoinSet};

use super::{
    frame::{Block, Frame, blocks},
    session::Session,
};

/// Members that are told something before others get their turn on this thread; half a millisecond.
const TURN: usize = 256;
/// Members that are worth a task of their own; half a millisecond of writes.
const PART: usize = 192;

/// A client in a namespace.
pub struct Member {
    /// Its socket there.
    pub socket: SocketRef,
    /// Its connection.
    pub session: Arc<Session>,
}

/// All who are in a room; told something while others come and go.
pub type Members = Arc<Vec<Arc<Member>>>;

/// The rooms of a namespace; `K` is what is asked for. Who is in no room gets nothing.
pub struct Rooms<K>(Mutex<Inner<K>>);

struct Inner<K> {
    rooms: HashMap<K, Members>,
    room_of: HashMap<Sid, K>,
}

impl<K> Default for Rooms<K> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            rooms: HashMap::new(),
            room_of: HashMap::new(),
        }))
    }
}

impl<K: Clone + Eq + Hash> Rooms<K> {
    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a member into this room, and out of the one it was in.
    pub fn enter(&self, member: Arc<Member>, room: K) {
        let mut inner = self.inner();
        inner.leave(member.socket.id);
        // It may have gone while it asked; its end was told before it is put here, or will find it here.
        if member.socket.connected() {
            inner.room_of.insert(member.socket.id, room.clone());
            Arc::make_mut(inner.rooms.entry(room).or_default()).push(member);
        }
    }

    /// Takes a member out of its room. False if it was in none.
    pub fn leave(&self, sid: Sid) -> bool {
        self.inner().leave(sid)
    }

    /// Every room.
    pub fn all(&self) -> Vec<(K, Members)> {
        let inner = self.inner();
        inner
            .rooms
            .iter()
            .map(|(room, members)| (room.clone(), Arc::clone(members)))
            .collect()
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    fn leave(&mut self, sid: Sid) -> bool {
        let Some(room) = self.room_of.remove(&sid) else {
            return false;
        };
        if let Some(members) = self.rooms.get_mut(&room) {
            let place = members.iter().position(|member| member.socket.id == sid);
            if let Some(place) = place {
                Arc::make_mut(members).swap_remove(place);
            }
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
        true
    }
}

/// Tells all of them these events; many are told by several tasks at once. Those who take less than they are told are given back.
pub async fn tell(members: &Members, frames: &[&Frame]) -> Vec<Arc<Member>> {
    let blocks: Arc<[Block]> = blocks(frames).into();
    let parts = parts(members.len(), thread::available_parallelism().map_or(1, NonZero::get));
    if parts == 1 {
        return tell_some(members, &blocks).await;
    }
    // All of them are tasks, this one's share too: the task that was spawned last stays with this thread, and no other thread takes it.
    let mut tasks = JoinSet::new();
    for part in ranges(members.len(), parts) {
        let (members, blocks) = (Arc::clone(members), Arc::clone(&blocks));
        tasks.spawn(async move { tell_some(&members[part], &blocks).await });
    }
    // Everybody has been told when this ends, so that nobody is told what comes next before this.
    tasks.join_all().await.into_iter().flatten().collect()
}

/// In how many parts of about the same size so many members are told: no more than processors, and none smaller than is worth a task.
fn parts(members: usize, processors: usize) -> usize {
    (members / PART).clamp(1, processors.max(1))
}

fn ranges(members: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let end = move |part: usize| members * part / parts;
    (0..parts).map(move |part| end(part)..end(part + 1))
}

async fn tell_some(members: &[Arc<Member>], blocks: &[Block]) -> Vec<Arc<Member>> {
    let mut slow = Vec::new();
    for block in blocks {
        for (turn, member) in members.iter().enumerate() {
            if turn % TURN == TURN - 1 {
                task::yield_now().await;
            }
            // A later block without the ones before would be a gap.
            let gone = slow.iter().any(|slow| Arc::ptr_eq(slow, member));
            if !gone && member.session.tell(&member.socket, block).is_err() {
                slow.push(Arc::clone(member));
            }
        }
    }
    slow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_member_once_and_are_worth_a_task() {
        let told = |members, processors| ranges(members, parts(members, processors));
        let sizes = |members, processors| told(members, processors).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0, 8), [0]);
        assert_eq!(sizes(383, 8), [383]);
        assert_eq!(sizes(500, 8), [250, 250]);
        assert_eq!(sizes(2000, 2), [1000, 1000]);
        assert_eq!(sizes(600, 8), [200, 200, 200]);
        assert_eq!(sizes(2000, 0), [2000]);
        assert_eq!(
            told(2000, 8).flatten().collect::<Vec<_>>(),
            (0..2000).collect::<Vec<_>>()
        );
    }
}
