//! Nodes that lose, repeat, reorder and cut what they tell one another, and that crash: in the end all know the same, and every request
//! counts once.

mod cases;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;

use world::{REQUESTS, World};

/// Something that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Event {
    /// A client sends a request to a node, for the first time or again.
    Like { node: usize, request: usize },
    /// A like without a request.
    Plain { node: usize, n: i32 },
    /// A node puts some of its log on the way; perhaps not from where the other is.
    Tell {
        from: usize,
        to: usize,
        back: u64,
        count: usize,
    },
    /// A node puts a whole part on the way, its own or one it knows.
    TellWhole { from: usize, to: usize, part: usize },
    /// Something on the way arrives, now or again later.
    Arrive { packet: usize, lost: bool },
    /// A link is cut, or mended.
    Cut { one: usize, two: usize, cut: bool },
    /// A node takes back what it knows to be counted twice.
    TakeBack { node: usize },
    /// A node writes its snapshot.
    Snapshot { node: usize },
    /// A node starts anew from snapshot and log.
    Crash { node: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 0..5usize;
    prop_oneof![
        6 => (node(), 0..REQUESTS).prop_map(|(node, request)| Event::Like { node, request }),
        2 => (node(), prop_oneof![-3..0i32, 1..4i32]).prop_map(|(node, n)| Event::Plain { node, n }),
        6 => (node(), node(), 0..3u64, 1..6usize).prop_map(|(from, to, back, count)| Event::Tell { from, to, back, count }),
        2 => (node(), node(), 0..5usize).prop_map(|(from, to, part)| Event::TellWhole { from, to, part }),
        9 => (any::<usize>(), any::<bool>()).prop_map(|(packet, lost)| Event::Arrive { packet, lost }),
        2 => (node(), node(), any::<bool>()).prop_map(|(one, two, cut)| Event::Cut { one, two, cut }),
        3 => node().prop_map(|node| Event::TakeBack { node }),
        1 => node().prop_map(|node| Event::Snapshot { node }),
        1 => node().prop_map(|node| Event::Crash { node }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_nodes_end_with_the_same_totals_and_every_request_counts_once(nodes in 2..=5usize, events in prop::collection::vec(event(), 0..120)) {
        let mut world = World::new(nodes);
        for event in events {
            world.happen(&event);
        }
        world.settle();
        let expected: BTreeMap<_, _> = world.expected();
        for node in &world.nodes {
            prop_assert_eq!(&node.totals(), &expected);
            prop_assert_eq!(node.state.digest(), world.nodes[0].state.digest());
            for summary in node.state.summaries() {
                prop_assert!(node.state.part(summary.origin).unwrap().sound());
            }
        }
    }
}
