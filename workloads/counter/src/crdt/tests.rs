//! Nodes that lose, repeat, reorder and cut what they tell one another, that forget and truncate, crash and lose their disks: in the end all
//! know the same, and every request counts once.

mod cases;
mod world;

use proptest::prelude::*;

use world::{IDLE, REQUESTS, World};

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
    /// A node says what it knows; that arrives at once, or later.
    Say { from: usize, to: usize },
    /// Nothing happens for so long.
    Wait { time: u64 },
    /// A node forgets what it may.
    Forget { node: usize },
    /// A node drops of its log what it may.
    Truncate { node: usize },
    /// A node begins anew without anything.
    LoseDisk { node: usize },
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
        5 => (node(), node()).prop_map(|(from, to)| Event::Say { from, to }),
        1 => (0..2 * IDLE).prop_map(|time| Event::Wait { time }),
        3 => node().prop_map(|node| Event::Forget { node }),
        2 => node().prop_map(|node| Event::Truncate { node }),
    ]
}

fn after(nodes: usize, events: &[Event]) -> World {
    let mut world = World::new(nodes);
    for event in events {
        world.happen(event);
    }
    world
}

#[test]
fn a_request_that_two_nodes_count_is_taken_back_however_long_the_cut_lasts() {
    for request in [6, 7] {
        let forgets = [0, 1].map(|node| Event::Forget { node });
        let likes = [0, 1].map(|node| Event::Like { node, request });
        let [before, wait] = [
            forgets.clone(),
            [Event::Wait { time: IDLE }, Event::Wait { time: IDLE }],
        ];
        let mut world = after(2, &[&likes[..], &before, &wait, &forgets].concat());
        world.settle(None);
        world.check().unwrap();
    }
}

#[test]
fn what_a_peer_has_in_memory_alone_is_not_yet_known_to_it() {
    let like = |node| Event::Like { node, request: 6 };
    let arrive = || Event::Arrive { packet: 0, lost: true };
    let (from, to) = (1, 0);
    let tell = Event::Tell {
        from,
        to,
        back: 1,
        count: 9,
    };
    let say = Event::Say { from: to, to: from };
    let drops = [Event::Snapshot { node: 1 }, Event::Truncate { node: 1 }];
    let forgets_and_counts = [Event::Crash { node: 0 }, like(0)];
    let events = [
        &[like(1), tell, arrive(), say, arrive()][..],
        &drops,
        &forgets_and_counts,
    ]
    .concat();
    let mut world = after(2, &events);
    world.settle(None);
    world.check().unwrap();
}

fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn all_nodes_end_with_the_same_totals_and_every_request_counts_once(nodes in 2..=5usize, events in events(160), hub in prop::option::of(0..5usize)) {
        let mut world = after(nodes, &events);
        world.settle(hub);
        world.check()?;
    }

    #[test]
    fn a_lost_disk_loses_what_nobody_was_told_and_leaves_the_others_exact(nodes in 2..=5usize, before in events(60), lost in 0..5usize, later in events(60), hub in prop::option::of(0..5usize)) {
        let lost = [Event::LoseDisk { node: lost }];
        let mut world = after(nodes, &[&before[..], &lost, &later].concat());
        world.settle(hub);
        world.check()?;
    }
}
