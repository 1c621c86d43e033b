//! Which records a page takes, when it is full, and where the next one begins. Pure: the time that has passed is an argument.

use std::time::Duration;

use memchr::memmem::Finder;

/// What bounds a page.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages that are returned.
    pub messages: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// Records that are looked at.
    pub seen: usize,
    /// Bytes of these.
    pub seen_bytes: usize,
    /// How long it may take.
    pub time: Duration,
}

/// One page being read.
pub struct Scan<'a> {
    limits: Limits,
    /// Part of the key of what is taken.
    wanted: Option<Finder<'a>>,
    /// The offset that is looked at next.
    position: i64,
    /// One past the last offset when the page was asked for.
    end: i64,
    taken: usize,
    bytes: usize,
    seen: usize,
    seen_bytes: usize,
}

impl<'a> Scan<'a> {
    /// From an offset up to the end as it is now.
    pub fn new(start: i64, end: i64, key: Option<&'a str>, limits: Limits) -> Self {
        Self {
            limits,
            wanted: key.map(Finder::new),
            position: start,
            end,
            taken: 0,
            bytes: 0,
            seen: 0,
            seen_bytes: 0,
        }
    }

    /// Looks at the next record, and says whether the page takes it. Offsets may be missing: compaction leaves holes.
    pub fn look(&mut self, offset: i64, key: Option<&[u8]>, bytes: usize) -> bool {
        if offset < self.position {
            return false;
        }
        if offset >= self.end {
            self.at_end();
            return false;
        }
        self.position = offset + 1;
        self.seen += 1;
        self.seen_bytes += bytes;
        let takes = self
            .wanted
            .as_ref()
            .is_none_or(|wanted| wanted.find(key.unwrap_or_default()).is_some());
        if takes {
            self.taken += 1;
            self.bytes += bytes;
        }
        takes
    }

    /// There is nothing more.
    pub fn at_end(&mut self) {
        self.position = self.end;
    }

    /// Whether the page is to be given back. Limits are looked at after a record and not before, so that every page gets further.
    pub fn is_over(&self, passed: Duration) -> bool {
        let limits = &self.limits;
        self.next().is_none()
            || passed >= limits.time
            || self.taken >= limits.messages
            || self.bytes >= limits.bytes
            || self.seen >= limits.seen
            || self.seen_bytes >= limits.seen_bytes
    }

    /// Where the next page begins; nowhere when this one reached the end.
    pub fn next(&self) -> Option<i64> {
        (self.position < self.end).then_some(self.position)
    }

    /// Records that were looked at, and their bytes.
    pub fn seen(&self) -> (usize, usize) {
        (self.seen, self.seen_bytes)
    }

    /// Whether any record came.
    pub fn moved(&self) -> bool {
        self.seen > 0 || self.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    fn limits(messages: usize) -> Limits {
        Limits {
            messages,
            bytes: usize::MAX,
            seen: usize::MAX,
            seen_bytes: usize::MAX,
            time: Duration::MAX,
        }
    }

    /// A record: offset, key, bytes, and how long after the one before it came.
    type Record = (i64, String, usize, Duration);

    /// A page as Kafka would deliver it: the records from `start`, then word of the end.
    fn page(log: &[Record], start: i64, end: i64, key: Option<&str>, limits: Limits) -> (Vec<i64>, Option<i64>) {
        let mut scan = Scan::new(start, end, key, limits);
        let (mut taken, mut passed) = (Vec::new(), Duration::ZERO);
        let mut coming = log.iter().filter(|record| record.0 >= start);
        while !scan.is_over(passed) {
            match coming.next() {
                Some((offset, key, bytes, wait)) => {
                    passed += *wait;
                    if scan.look(*offset, Some(key.as_bytes()), *bytes) {
                        taken.push(*offset);
                    }
                }
                None => scan.at_end(),
            }
        }
        (taken, scan.next())
    }

    fn log() -> impl Strategy<Value = Vec<Record>> {
        let record = (1i64..4, "[ab]{0,3}", 0usize..200, 0u64..5);
        prop::collection::vec(record, 0..60).prop_map(|records| {
            let mut at = 0;
            let placed = records.into_iter().map(|(step, key, bytes, wait)| {
                at += step;
                (at, key, bytes, Duration::from_millis(wait))
            });
            placed.collect()
        })
    }

    fn any_limits() -> impl Strategy<Value = Limits> {
        (1usize..20, 1usize..500, 1usize..30, 1usize..500, 1u64..20).prop_map(
            |(messages, bytes, seen, seen_bytes, time)| Limits {
                messages,
                bytes,
                seen,
                seen_bytes,
                time: Duration::from_millis(time),
            },
        )
    }

    proptest! {
        /// Whatever the holes, the filter and the limits of each page, and though records come while it is read.
        #[test]
        fn walking_by_next_gives_every_record_once(
            log in log(),
            later in 0i64..5,
            start in 0i64..60,
            key in prop::option::of("[ab]{0,2}"),
            pages in prop::collection::vec(any_limits(), 1..8),
        ) {
            // The log's last records may be gone, or come after the walk began.
            let end = log.last().map_or(0, |record| record.0) + later - 2;
            let mut walked = Vec::new();
            let (mut at, mut turns) = (Some(start), 0);
            while let Some(from) = at {
                let limits = pages[turns % pages.len()];
                let (taken, next) = page(&log, from, end, key.as_deref(), limits);
                prop_assert!(taken.len() <= limits.messages);
                prop_assert!(next.is_none_or(|next| next > from), "no page stands still");
                walked.extend(taken);
                at = next;
                turns += 1;
            }
            let wanted = |record: &&Record| {
                (start..end).contains(&record.0) && key.as_ref().is_none_or(|key| record.1.contains(key.as_str()))
            };
            let expected: Vec<i64> = log.iter().filter(wanted).map(|record| record.0).collect();
            prop_assert_eq!(walked, expected);
        }
    }

    #[test]
    fn a_page_ends_at_whichever_limit_comes_first() {
        let log: Vec<Record> = (0..10)
            .map(|n| (n, "k".to_owned(), 100, Duration::from_millis(10)))
            .collect();
        let taken = |limits: Limits| page(&log, 0, 10, None, limits);
        let nothing_bounds = limits(100);
        assert_eq!(taken(nothing_bounds), ((0..10).collect(), None));
        assert_eq!(taken(limits(3)), (vec![0, 1, 2], Some(3)));
        let bytes = Limits {
            bytes: 150,
            ..nothing_bounds
        };
        assert_eq!(taken(bytes), (vec![0, 1], Some(2)));
        let seen = Limits {
            seen: 4,
            ..nothing_bounds
        };
        assert_eq!(taken(seen), (vec![0, 1, 2, 3], Some(4)));
        let seen_bytes = Limits {
            seen_bytes: 1,
            ..nothing_bounds
        };
        assert_eq!(taken(seen_bytes), (vec![0], Some(1)));
        let time = Limits {
            time: Duration::from_millis(15),
            ..nothing_bounds
        };
        assert_eq!(taken(time), (vec![0, 1], Some(2)));
    }

    #[test]
    fn a_filter_bounds_what_is_taken_and_not_what_is_looked_at() {
        let log: Vec<Record> = (0..10).map(|n| (n, format!("id {n}"), 100, NO_TIME)).collect();
        let seen = Limits { seen: 5, ..limits(3) };
        assert_eq!(page(&log, 0, 10, Some("7"), seen), (vec![], Some(5)));
        assert_eq!(page(&log, 5, 10, Some("7"), seen), (vec![7], None));
        let mut scan = Scan::new(0, 2, Some("x"), limits(1));
        assert!(!scan.look(0, None, 5), "no key has no part");
    }

    #[test]
    fn from_the_end_there_is_nothing_to_read() {
        let scan = Scan::new(7, 7, None, limits(1));
        assert!(scan.is_over(NO_TIME) && scan.moved());
        assert_eq!(scan.next(), None);
    }
}
