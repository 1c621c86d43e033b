//! Ids of counters, each held once as long as a window counts it.

use std::{collections::HashMap, sync::Arc};

/// An id's number. Numbers are used again once nothing refers to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(u32);

struct Slot {
    text: Arc<str>,
    references: u32,
}

/// Numbers of the ids in use.
#[derive(Default)]
pub struct Names {
    // Clients choose ids, so this map keeps its keyed hash.
    numbers: HashMap<Arc<str>, Name>,
    slots: Vec<Slot>,
    free: Vec<Name>,
}

impl Names {
    /// The number of an id; `retain` it, or `release` it again.
    pub fn intern(&mut self, id: &str) -> Name {
        if let Some(name) = self.numbers.get(id) {
            return *name;
        }
        let text: Arc<str> = id.into();
        let slot = Slot {
            text: Arc::clone(&text),
            references: 0,
        };
        let name = if let Some(name) = self.free.pop() {
            self.slots[name.0 as usize] = slot;
            name
        } else {
            self.slots.push(slot);
            Name(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        };
        self.numbers.insert(text, name);
        name
    }

    /// One more refers to it.
    pub fn retain(&mut self, name: Name) {
        self.slots[name.0 as usize].references += 1;
    }

    /// One less refers to it; the last one forgets the id.
    pub fn release(&mut self, name: Name) {
        let slot = &mut self.slots[name.0 as usize];
        slot.references -= 1;
        if slot.references == 0 {
            self.numbers.remove(&slot.text);
            slot.text = Arc::default();
            self.free.push(name);
        }
    }

    /// The id.
    pub fn text(&self, name: Name) -> &str {
        &self.slots[name.0 as usize].text
    }

    /// How many ids are in use.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// Numbers are dense and our own, so spreading them over the buckets is all a hash has to do.
#[derive(Default)]
pub struct Spread(u64);

impl std::hash::Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_when_its_id_is_forgotten() {
        let mut names = Names::default();
        let (a, b) = (names.intern("a"), names.intern("b"));
        names.retain(a);
        names.retain(a);
        names.retain(b);
        names.release(a);
        assert_eq!(names.intern("a"), a);
        names.release(a);
        assert_eq!(names.intern("c"), a);
        names.retain(a);
        assert_eq!((names.text(a), names.text(b), names.len()), ("c", "b", 2));
    }
}
