//! Single statements about the state.

use std::time::Duration;

use super::world::add;
use crate::crdt::{
    Add, Entry, Full, Gap, Group, Incarnation, Key, Ordinal, Origin, Position, Remember, Search, State, What,
};

fn origin(ordinal: u16, incarnation: u64) -> Origin {
    Origin {
        ordinal: Ordinal(ordinal),
        incarnation: Incarnation(incarnation),
    }
}

fn state(ordinal: u16) -> State {
    State::new(
        origin(ordinal, 1),
        Remember {
            time: Duration::from_mins(10),
            count: 10,
            idle: Duration::from_hours(24),
            runs: 10,
        },
    )
}

fn entry(position: u64, request: usize) -> Entry {
    Entry {
        position: Position(position),
        at: 5,
        what: What::Add(add(request)),
    }
}

#[test]
fn a_gap_is_not_applied_and_what_is_known_is_passed_over() {
    let (mut state, peer) = (state(0), origin(1, 1));
    let (learned, gap) = state.apply(peer, &[entry(2, 0)]);
    assert_eq!(
        gap,
        Err(Gap {
            known: Position(0),
            begins: Position(2)
        })
    );
    assert!(learned.changed.is_empty() && state.part(peer).is_none());
    state.apply(peer, &[entry(1, 0), entry(2, 1)]).1.unwrap();
    let before = state.digest();
    state.apply(peer, &[entry(1, 0), entry(2, 1)]).1.unwrap();
    assert_eq!((state.digest(), state.position(peer)), (before, Position(2)));
    let (learned, gap) = state.apply(peer, &[entry(3, 2), entry(5, 3)]);
    assert_eq!(
        (learned.changed.len(), gap.is_err(), state.position(peer)),
        (1, true, Position(3))
    );
}

#[test]
fn a_node_that_lost_its_disk_counts_beside_its_former_self() {
    let mut state = state(0);
    state.apply(origin(1, 1), &[entry(1, 0)]).1.unwrap();
    state.apply(origin(1, 2), &[entry(1, 3)]).1.unwrap();
    let total = state.total(add(0).id.as_str());
    let sum = i64::from(add(0).n + add(3).n);
    assert_eq!((total.total, total.nodes[&Ordinal(1)]), (sum, sum));
}

#[test]
fn a_request_is_counted_once_in_a_group_and_once_over_all_nodes() {
    let mut state = state(1);
    state.apply(origin(0, 1), &[entry(1, 7)]).1.unwrap();
    let mut group = Group::after(&state, 9);
    assert_eq!(group.like(&state, add(7)), None);
    assert_eq!(group.like(&state, add(8)), Some(Position(1)));
    assert_eq!(group.like(&state, add(8)), None);
    assert_eq!(group.entries().len(), 1);
}

#[test]
fn ids_are_counted_before_a_new_one_is_taken_in() {
    let state = state(0);
    let mut group = Group::after(&state, 9);
    assert_eq!(group.has_room(&state, &[add(0)], 1), Ok(()));
    assert_eq!(group.has_room(&state, &[add(0), add(1)], 1), Err(Full::Ids));
    group.like(&state, add(0));
    assert_eq!(group.has_room(&state, &[add(0)], 1), Ok(()));
    assert_eq!(group.has_room(&state, &[add(1)], 1), Err(Full::Ids));
}

#[test]
fn ids_are_counted_over_all_logs_and_each_once() {
    let (mut state, peer, third) = (state(0), origin(1, 1), origin(2, 1));
    // Ids 0, 1 and 2 are those of the requests with these remainders.
    state.apply(peer, &[entry(1, 0), entry(2, 1)]).1.unwrap();
    state.apply(third, &[entry(1, 1), entry(2, 2)]).1.unwrap();
    assert_eq!((state.ids(), state.part(peer).unwrap().ids()), (3, 2));
    let mut group = Group::after(&state, 9);
    group.like(&state, add(3));
    let new = Add {
        id: "new".parse().unwrap(),
        ..add(4)
    };
    assert_eq!(
        group.has_room(&state, &[add(4), add(5)], 3),
        Ok(()),
        "they are in other logs"
    );
    assert_eq!(group.has_room(&state, &[new], 3), Err(Full::Ids), "no log has so many");
    let mut again = State::new(state.own(), state.remember());
    for part in [peer, third] {
        again.restore(part, state.part(part).unwrap().clone());
    }
    assert_eq!(again.ids(), 3);
    // What takes another's place may lack what that had.
    let mut teller = self::state(1);
    teller.apply(teller.own(), &[entry(1, 1), entry(2, 1)]).1.unwrap();
    again.merge(peer, teller.part(peer).unwrap().clone(), true);
    assert_eq!(again.ids(), 2);
    again.merge(peer, state.part(peer).unwrap().clone(), true);
    assert_eq!(again.ids(), 3);
}

#[test]
fn what_was_taken_back_is_not_taken_back_again() {
    let mut state = state(1);
    state.apply(state.own(), &[entry(1, 7)]).1.unwrap();
    let void = || {
        let mut search = Search::new([Key::from(&add(7).request.unwrap())].into());
        search.read(&entry(1, 7));
        search.end().0
    };
    let mut group = Group::after(&state, 9);
    group.take_back(&state, void());
    group.take_back(&state, void());
    assert_eq!(group.entries().len(), 1);
    state.apply(state.own(), group.entries()).1.unwrap();
    assert_eq!(state.total(add(7).id.as_str()).total, 0);
    let mut group = Group::after(&state, 9);
    group.take_back(&state, void());
    assert!(group.entries().is_empty());
}

fn named(request: &str) -> Add {
    Add {
        request: Some(request.parse().unwrap()),
        ..add(0)
    }
}

/// Writes one like, if there is room for it.
fn write(state: &mut State, now: i64, request: &str) -> Result<Entry, Full> {
    let mut group = Group::after(state, now);
    group.has_room(state, &[named(request)], 9)?;
    group.like(state, named(request));
    state.apply(state.own(), group.entries()).1.unwrap();
    Ok(group.entries().last().cloned().unwrap())
}

#[test]
fn a_clock_that_was_ahead_dates_what_it_dated_then_and_nothing_later() {
    let (mut state, year) = (state(0), 365 * 86_400_000);
    let dated = [100, year, 200, 150].map(|now| write(&mut state, now, &format!("at {now}")).unwrap().at);
    assert_eq!(dated, [100, year, 200, 150]);
    let counted = |state: &State| {
        let counts = |now: i64| state.counted(&format!("at {now}").parse().unwrap()).is_some();
        [100, year, 200, 150].map(counts)
    };
    for minutes in [0, 9] {
        state.forget(Duration::from_mins(minutes), |_| Position(2));
        assert_eq!(counted(&state), [true; 4], "however the clock jumped");
    }
    state.forget(Duration::from_mins(10), |_| Position(2));
    assert_eq!(
        counted(&state),
        [false, false, true, true],
        "what not every node knows is remembered"
    );
}

#[test]
fn requests_that_nobody_knows_yet_have_a_limit_and_numbers_go_on() {
    let mut state = state(0);
    for number in 0..10 {
        write(&mut state, 0, &format!("text {number}")).unwrap();
        write(&mut state, 0, &format!("a/{number}")).unwrap();
    }
    assert_eq!(write(&mut state, 0, "text 10").unwrap_err(), Full::Requests);
    assert!(state.counted(&"text 0".parse().unwrap()).is_some());
    write(&mut state, 0, "a/10").unwrap();
    let group = Group::after(&state, 0);
    assert_eq!(
        group.has_room(&state, &[named("text 3"), named("text 3")], 9),
        Ok(()),
        "counted before"
    );
    state.forget(Duration::ZERO, |_| Position(1));
    write(&mut state, 0, "text 10").unwrap();
    assert_eq!(write(&mut state, 0, "text 11").unwrap_err(), Full::Requests);
}

#[test]
fn clients_and_the_gaps_in_their_numbers_have_a_limit() {
    let mut state = state(0);
    for client in 0..9 {
        write(&mut state, 0, &format!("{client}/1")).unwrap();
    }
    let mut group = Group::after(&state, 0);
    let likes = ["a/1", "a/2", "1/2", "a/1"].map(named);
    assert_eq!(group.has_room(&state, &likes, 9), Ok(()), "one run more");
    assert_eq!(
        group.has_room(&state, &["a/1", "1/3"].map(named), 9),
        Err(Full::Runs),
        "a gap"
    );
    group.like(&state, named("a/1"));
    assert_eq!(group.has_room(&state, &["a/2", "2/2"].map(named), 9), Ok(()));
    assert_eq!(group.has_room(&state, &["b/1"].map(named), 9), Err(Full::Runs));
}

#[test]
fn clients_that_were_idle_make_room_when_every_node_knows_what_they_sent() {
    let mut state = state(0);
    for client in 0..10 {
        write(&mut state, 0, &format!("{client}/1")).unwrap();
    }
    assert_eq!(write(&mut state, 0, "new/1").unwrap_err(), Full::Runs);
    state.forget(Duration::ZERO, |_| Position(9));
    write(&mut state, 0, "0/2").unwrap();
    state.forget(Duration::from_hours(23), |_| Position(9));
    assert_eq!(
        write(&mut state, 0, "new/1").unwrap_err(),
        Full::Runs,
        "idle for less than a day"
    );
    state.forget(Duration::from_hours(24), |_| Position(9));
    let counted = |client: u8, number: u8| state.counted(&format!("{client}/{number}").parse().unwrap()).is_some();
    assert_eq!(
        [
            counted(0, 1),
            counted(0, 2),
            counted(1, 1),
            counted(8, 1),
            counted(9, 1)
        ],
        [true, true, false, false, true],
        "who went on is remembered, and what not every node knows"
    );
    assert_eq!(state.held().1, 2);
    write(&mut state, 0, "new/1").unwrap();
}

#[test]
fn what_is_still_to_be_taken_back_is_not_forgotten() {
    for request in ["x", "a/1"] {
        is_taken_back_though_others_have_forgotten(request);
    }
}

fn is_taken_back_though_others_have_forgotten(request: &str) {
    let (mut state, peer) = (state(1), origin(0, 1));
    write(&mut state, 0, request).unwrap();
    state.forget(Duration::ZERO, |_| Position(9));
    let entries = [Entry {
        position: Position(1),
        at: 0,
        what: What::Add(named(request)),
    }];
    let (learned, result) = state.apply(peer, &entries);
    assert_eq!((learned.doubled, result, state.doubled().len()), (true, Ok(()), 1));
    state.forget(Duration::from_hours(24), |_| Position(9));
    // Another node has forgotten it when it tells what it knows.
    let mut further = State::new(origin(2, 1), state.remember());
    further.apply(peer, &entries).1.unwrap();
    further.apply(peer, &[entry(2, 0)]).1.unwrap();
    for hours in [0, 24] {
        further.forget(Duration::from_hours(hours), |_| Position(9));
    }
    assert!(further.counted(&request.parse().unwrap()).is_none());
    state.merge(peer, further.part(peer).unwrap().clone(), false);
    let mut again = State::new(state.own(), state.remember());
    for part in [state.own(), peer] {
        again.restore(part, state.part(part).unwrap().clone());
    }
    again.find_doubled();
    assert_eq!((state.position(peer), again.doubled()), (Position(2), state.doubled()));
    let missing = again.doubled().clone();
    again.give_up(&missing);
    assert!(again.doubled().is_empty());
}

#[test]
fn a_part_that_does_not_add_up_is_not_taken_in() {
    let (mut state, mut teller, peer) = (state(0), state(1), origin(1, 1));
    teller.apply(peer, &[entry(1, 0)]).1.unwrap();
    let mut part = teller.part(peer).unwrap().clone();
    part.sums.values_mut().for_each(|sums| sums.plus += 1);
    assert!(state.merge(peer, part, true).changed.is_empty() && state.part(peer).is_none());
}

#[test]
fn at_the_same_position_a_nodes_own_word_is_taken() {
    let (mut state, mut teller, peer) = (state(0), state(1), origin(1, 1));
    teller.apply(peer, &[entry(1, 0)]).1.unwrap();
    state.apply(peer, &[entry(1, 1)]).1.unwrap();
    let part = teller.part(peer).unwrap().clone();
    assert!(state.merge(peer, part.clone(), false).changed.is_empty());
    assert_eq!(state.merge(peer, part, true).changed.len(), 2);
    assert_eq!(state.part(peer).unwrap().digest(), teller.part(peer).unwrap().digest());
}

#[test]
fn ids_are_listed_in_order_page_after_page() {
    let mut state = state(0);
    let entries = ["b/2", "a", "b/1", "b/3", "c"]
        .iter()
        .enumerate()
        .map(|(index, id)| Entry {
            position: Position(index as u64 + 1),
            at: 0,
            what: What::Add(Add {
                id: id.parse().unwrap(),
                ..add(0)
            }),
        });
    state.apply(origin(1, 1), &entries.collect::<Vec<_>>()).1.unwrap();
    let page = |after, limit| -> Vec<_> { state.page("b/", after, limit).iter().map(ToString::to_string).collect() };
    assert_eq!(page(None, 2), ["b/1", "b/2"]);
    assert_eq!(page(Some("b/2"), 2), ["b/3"]);
    assert_eq!(page(Some("a"), 9), ["b/1", "b/2", "b/3"]);
    assert!(page(Some("c"), 9).is_empty());
}
