//! Where writes have been seen, and when: bounded, the ones nobody heard of for longest go first. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use synccluster_protocol::{Site, Version};

/// What a write costs beside its key: its entries in two maps, with what these keep free, and four allocations.
const OVERHEAD: usize = 260;
/// What each site it was seen at costs.
const A_SITE: usize = 24;

/// One write of one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// The table, `public.todos`.
    pub table: Arc<str>,
    /// The row's key as a path has it.
    pub key: Arc<str>,
    /// The version it made.
    pub version: Version,
}

/// Where a write was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Read from the WAL of the site that made it.
    Captured,
    /// In that site's topic.
    InKafka,
    /// Committed at a site: made there or applied there.
    At(Site),
}

/// When, in microseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Read from the WAL of its site.
    pub captured: Option<i64>,
    /// In the topic of its site.
    pub in_kafka: Option<i64>,
    /// Committed at these sites, in the order they were heard of; they are few, and a map would cost more than all else.
    pub at: Vec<(Site, i64)>,
}

impl Times {
    /// Committed at this site.
    pub fn at(&self, site: Site) -> Option<i64> {
        self.at.iter().find(|(of, _)| *of == site).map(|(_, at)| *at)
    }
}

/// The memory.
pub struct Hops {
    most_bytes: usize,
    bytes: usize,
    clock: u64,
    writes: HashMap<Arc<Write>, (u64, Times)>,
    oldest: BTreeMap<u64, Arc<Write>>,
}

impl Hops {
    /// Remembers nothing yet, and never more than about so many bytes.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: 0,
            clock: 0,
            writes: HashMap::new(),
            oldest: BTreeMap::new(),
        }
    }

    /// Notes where a write was seen at `at`; what is told twice keeps its first time.
    pub fn note(&mut self, write: &Write, seen: Seen, at: i64) {
        self.clock += 1;
        let known = self
            .writes
            .get_key_value(write)
            .map(|(write, (heard, _))| (Arc::clone(write), *heard));
        let write = if let Some((write, heard)) = known {
            self.oldest.remove(&heard);
            write
        } else {
            self.bytes += cost(write);
            Arc::new(write.clone())
        };
        self.oldest.insert(self.clock, Arc::clone(&write));
        let (heard, times) = self.writes.entry(write).or_default();
        *heard = self.clock;
        match seen {
            Seen::Captured => times.captured = times.captured.or(Some(at)),
            Seen::InKafka => times.in_kafka = times.in_kafka.or(Some(at)),
            Seen::At(site) if times.at(site).is_some() => {}
            Seen::At(site) => {
                times.at.push((site, at));
                self.bytes += A_SITE;
            }
        }
        while self.bytes > self.most_bytes {
            self.forget_oldest();
        }
    }

    /// What is known of a write.
    pub fn find(&self, write: &Write) -> Option<&Times> {
        self.writes.get(write).map(|(_, times)| times)
    }

    fn forget_oldest(&mut self) {
        let Some((_, write)) = self.oldest.pop_first() else {
            return;
        };
        if let Some((_, times)) = self.writes.remove(&write) {
            self.bytes -= cost(&write) + times.at.len() * A_SITE;
        }
    }
}

/// The table's name is shared by all its writes.
fn cost(write: &Write) -> usize {
    OVERHEAD + write.key.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Site = Site::Client(1);

    fn write(key: &str, version: i64) -> Write {
        Write {
            table: "public.todos".into(),
            key: key.into(),
            version: Version(version),
        }
    }

    #[test]
    fn the_first_time_of_each_hop_stays() {
        let mut hops = Hops::new(10_000);
        for (seen, at) in [
            (Seen::At(ONE), 1),
            (Seen::Captured, 2),
            (Seen::InKafka, 3),
            (Seen::At(Site::Server), 4),
        ] {
            hops.note(&write("1", 5), seen, at);
            hops.note(&write("1", 5), seen, at + 100);
        }
        let expected = Times {
            captured: Some(2),
            in_kafka: Some(3),
            at: vec![(ONE, 1), (Site::Server, 4)],
        };
        assert_eq!(hops.find(&write("1", 5)), Some(&expected));
        assert_eq!(hops.find(&write("1", 6)), None);
    }

    #[test]
    fn what_nobody_heard_of_for_longest_is_forgotten_first() {
        let mut hops = Hops::new(3 * (OVERHEAD + 1 + A_SITE));
        for version in [1, 2, 3, 1, 4] {
            hops.note(&write("k", version), Seen::At(ONE), 0);
        }
        let known = |version| hops.find(&write("k", version)).is_some();
        assert_eq!([1, 2, 3, 4].map(known), [true, false, true, true]);
    }

    proptest! {
        #[test]
        fn it_never_outgrows_its_limit_and_counts_right(
            notes in prop::collection::vec((0usize..3, 0i64..20, 0u16..4), 0..500), limit in 0usize..4000,
        ) {
            let mut hops = Hops::new(limit);
            for (length, version, node) in notes {
                hops.note(&write(&"k".repeat(length), version), Seen::At(Site::from_node(node).unwrap()), 0);
                let real: usize = hops.writes.iter().map(|(write, (_, times))| cost(write) + times.at.len() * A_SITE).sum();
                prop_assert_eq!(hops.bytes, real);
                prop_assert!(hops.bytes <= limit);
                prop_assert_eq!(hops.writes.len(), hops.oldest.len());
            }
        }
    }
}
