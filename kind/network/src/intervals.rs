//! Sets of numbers as intervals: addresses (an IPv4 address is a `u32`) and ports. nftables wants intervals that do not overlap.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use thiserror::Error;

/// A set of numbers: sorted, disjoint, inclusive intervals with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intervals(Vec<(u32, u32)>);

impl FromIterator<(u32, u32)> for Intervals {
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(intervals: I) -> Self {
        let mut sorted: Vec<_> = intervals.into_iter().filter(|(first, last)| first <= last).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl FromIterator<Ipv4Addr> for Intervals {
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(addresses: I) -> Self {
        addresses
            .into_iter()
            .map(|address| (address.to_bits(), address.to_bits()))
            .collect()
    }
}

impl Intervals {
    /// The intervals, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is there no number outside?
    pub fn contains_all(&self) -> bool {
        self.0 == [(0, u32::MAX)]
    }

    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        self.0[..after].last().is_some_and(|(_, last)| number <= *last)
    }

    /// This set less one interval.
    #[must_use]
    pub fn without(&self, (first, last): (u32, u32)) -> Self {
        let below = first.checked_sub(1).map(|end| (0, end));
        let above = last.checked_add(1).map(|start| (start, u32::MAX));
        let cut = |keep: Option<(u32, u32)>| {
            keep.into_iter()
                .flat_map(move |(low, high)| self.iter().map(move |(f, l)| (f.max(low), l.min(high))))
        };
        cut(below).chain(cut(above)).collect()
    }
}

/// A block of IPv4 addresses, `10.244.1.0/24`. Host bits are cleared: Kubernetes accepts `10.244.1.7/24` for the same block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    network: Ipv4Addr,
    prefix: u32,
}

/// Why a text is not an IPv4 block.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no IPv4 block: write it as 10.0.0.0/8")]
pub struct NotACidr(String);

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let wrong = || NotACidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(wrong)?;
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        Ok(Self {
            network: Ipv4Addr::from_bits(address.to_bits() & mask),
            prefix,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.network, self.prefix)
    }
}

impl Cidr {
    /// Its first and its last address.
    pub fn interval(&self) -> (u32, u32) {
        let first = self.network.to_bits();
        (first, first | u32::MAX.checked_shr(self.prefix).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(intervals: &[(u32, u32)]) -> Intervals {
        intervals.iter().copied().collect()
    }

    #[test]
    fn overlapping_and_adjacent_intervals_become_one() {
        assert_eq!(
            set(&[(5, 9), (1, 3), (4, 4), (8, 12), (20, 20)]),
            Intervals(vec![(1, 12), (20, 20)])
        );
        assert_eq!(set(&[(0, u32::MAX), (7, 7)]), Intervals(vec![(0, u32::MAX)]));
    }

    #[test]
    fn taking_an_interval_out_leaves_both_sides() {
        assert_eq!(set(&[(0, 100)]).without((10, 20)), set(&[(0, 9), (21, 100)]));
        assert_eq!(set(&[(0, u32::MAX)]).without((0, 5)), set(&[(6, u32::MAX)]));
        assert_eq!(set(&[(3, 4)]).without((0, u32::MAX)), set(&[]));
    }

    #[test]
    fn a_number_is_in_the_set_up_to_both_ends_of_an_interval() {
        let ports = set(&[(80, 80), (8000, 8010)]);
        let inside: Vec<u32> = [79, 80, 81, 7999, 8000, 8010, 8011]
            .into_iter()
            .filter(|port| ports.contains(*port))
            .collect();
        assert_eq!(inside, [80, 8000, 8010]);
    }

    #[test]
    fn a_cidr_is_read_with_host_bits_cleared_and_refused_when_it_is_none() {
        let block: Cidr = "10.244.1.7/24".parse().unwrap();
        assert_eq!(
            (block.to_string(), block.interval()),
            ("10.244.1.0/24".into(), (0x0af4_0100, 0x0af4_01ff))
        );
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().interval(), (0, u32::MAX));
        assert_eq!(
            "10.0.0.1/32".parse::<Cidr>().unwrap().interval(),
            (0x0a00_0001, 0x0a00_0001)
        );
        for wrong in ["10.0.0.0", "10.0.0.0/33", "fd00::/8", ""] {
            assert_eq!(wrong.parse::<Cidr>(), Err(NotACidr(wrong.into())));
        }
    }
}
