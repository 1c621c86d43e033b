//! What a log says after crashes and damage.

mod blank;
mod folder;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
};

use proptest::prelude::*;

use super::*;
use crate::crdt::{Add, Entry, Group, Incarnation, Key, Ordinal, Origin, Position, What};
use folder::{Folder, filled, open_at, write};

#[test]
fn a_log_that_is_opened_again_says_what_it_said() {
    let (folder, before) = filled(&[1, 30, 2, 40, 3]);
    assert!(segment::Segment::list(&folder.0).unwrap().len() > 2);
    let (mut state, mut writer, _) = open_at(&folder.0).unwrap();
    assert_eq!(
        (state.digest(), state.position(state.own())),
        (before.digest(), Position(76))
    );
    assert_eq!(write(&mut state, &mut writer, 1)[0].position, Position(77));
}

#[test]
fn cut_anywhere_in_the_last_group_it_says_what_was_before_and_goes_on() {
    let (folder, before) = filled(&[3, 2]);
    let whole = fs::metadata(folder.newest()).unwrap().len();
    let (mut state, mut writer, log) = open_at(&folder.0).unwrap();
    write(&mut state, &mut writer, 2);
    drop((writer, log));
    let end = fs::metadata(folder.newest()).unwrap().len();
    for length in whole..end {
        let copy = folder.copy();
        OpenOptions::new()
            .write(true)
            .open(copy.newest())
            .unwrap()
            .set_len(length)
            .unwrap();
        let (mut state, mut writer, log) = open_at(&copy.0).unwrap();
        assert_eq!(state.digest(), before.digest(), "cut at {length}");
        write(&mut state, &mut writer, 1);
        drop((writer, log));
        let digest = state.digest();
        assert_eq!(
            open_at(&copy.0).unwrap().0.digest(),
            digest,
            "written after a cut at {length}"
        );
    }
}

#[test]
fn cut_anywhere_at_all_no_half_of_a_group_counts() {
    let (folder, _) = filled(&[2, 3, 1]);
    let end = fs::metadata(folder.newest()).unwrap().len();
    for length in 0..end {
        let copy = folder.copy();
        OpenOptions::new()
            .write(true)
            .open(copy.newest())
            .unwrap()
            .set_len(length)
            .unwrap();
        let (state, ..) = open_at(&copy.0).unwrap();
        assert!([0, 2, 5].contains(&state.position(state.own()).0), "cut at {length}");
    }
}

#[test]
fn a_changed_byte_is_never_counted() {
    let (folder, before) = filled(&[2, 1, 2]);
    let bytes = fs::read(folder.newest()).unwrap();
    for (offset, byte) in bytes.iter().enumerate() {
        let copy = folder.copy();
        let file = OpenOptions::new().write(true).open(copy.newest()).unwrap();
        file.write_all_at(&[byte ^ 0x11], offset as u64).unwrap();
        match open_at(&copy.0) {
            // The last group is not told from one that was interrupted.
            Ok((state, ..)) => assert_eq!(state.position(state.own()), Position(3), "byte {offset}"),
            Err(error) => assert!(error.to_string().contains("empty the folder"), "byte {offset}: {error}"),
        }
    }
    assert_eq!(before.position(before.own()), Position(5));
}

#[test]
fn what_the_snapshot_knows_and_the_log_lost_is_noticed() {
    let (folder, state) = filled(&[2, 1]);
    let part = state.part(state.own()).unwrap();
    snapshot::write(&folder.0, &[snapshot::encode(state.own(), part).unwrap()]).unwrap();
    assert_eq!(open_at(&folder.0).unwrap().0.digest(), state.digest());
    let newest = folder.newest();
    let length = fs::metadata(&newest).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&newest)
        .unwrap()
        .set_len(length - 1)
        .unwrap();
    assert!(matches!(
        open_at(&folder.0).err(),
        Some(OpenError::End {
            end: Position(2),
            known: Position(3)
        })
    ));
}

#[test]
fn segments_that_are_stable_go_and_the_snapshot_stands_for_them() {
    let (folder, _) = filled(&[40, 40, 40]);
    let (state, writer, log) = open_at(&folder.0).unwrap();
    snapshot::write(
        &folder.0,
        &[snapshot::encode(state.own(), state.part(state.own()).unwrap()).unwrap()],
    )
    .unwrap();
    log.truncate(Position(80));
    assert_eq!(log.begin(), Position(81));
    drop((writer, log));
    assert_eq!(open_at(&folder.0).unwrap().0.digest(), state.digest());
    fs::remove_file(folder.0.join("snapshot")).unwrap();
    assert!(matches!(
        open_at(&folder.0).err(),
        Some(OpenError::Beginning(Position(80)))
    ));
}

#[test]
fn a_damaged_snapshot_and_a_missing_segment_are_refused() {
    let (folder, state) = filled(&[40, 40, 40]);
    let copy = folder.copy();
    let middle = &segment::Segment::list(&copy.0).unwrap()[1].1;
    fs::remove_file(middle).unwrap();
    assert!(matches!(open_at(&copy.0).err(), Some(OpenError::Damage(_))));
    snapshot::write(
        &folder.0,
        &[snapshot::encode(state.own(), state.part(state.own()).unwrap()).unwrap()],
    )
    .unwrap();
    let path = folder.0.join("snapshot");
    let bytes = fs::read(&path).unwrap();
    for offset in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[offset] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(
            matches!(open_at(&folder.0).err(), Some(OpenError::Snapshot(_))),
            "byte {offset}"
        );
    }
}

#[test]
fn a_snapshot_of_the_first_format_is_read() {
    let folder = Folder::new();
    let (state, writer, log) = open_at(&folder.0).unwrap();
    drop((writer, log));
    let named = |request: &str| Add {
        id: "tea".parse().unwrap(),
        by: "b".parse().unwrap(),
        n: 1,
        request: Some(request.parse().unwrap()),
    };
    let mut before = state.clone();
    let mut group = Group::after(&state, 5);
    for request in ["a/1", "a/2", "text"] {
        group.like(&state, named(request));
    }
    let peer = Origin {
        ordinal: Ordinal(1),
        incarnation: Incarnation(3),
    };
    before.apply(peer, group.entries()).1.unwrap();
    let Key::Other(hash) = Key::from(&"text".parse().unwrap()) else {
        panic!("no hash")
    };
    let numbered = BTreeMap::from([("a", BTreeMap::from([(1_u64, 2_u64)]))]);
    let requests = (numbered, BTreeMap::from([(hash, 5_i64)]), vec![(5_i64, hash)]);
    let sums = BTreeMap::from([("tea", (3_u64, 0_u64))]);
    let part = (3_u64, 5_i64, sums, requests, before.part(peer).unwrap().digest());
    let part = postcard::to_allocvec(&(peer, part)).unwrap();
    let mut content = b"SCPARTS1".to_vec();
    let parts = [&(part.len() as u64).to_le_bytes()[..], &part].concat();
    content.extend(crc32c::crc32c(&parts).to_le_bytes());
    content.extend(parts);
    fs::write(folder.0.join("snapshot"), content).unwrap();
    let (state, writer, log) = open_at(&folder.0).unwrap();
    assert_eq!((state.digest(), state.position(peer)), (before.digest(), Position(3)));
    for request in ["a/1", "a/2", "text"] {
        assert_eq!(state.counted(&request.parse().unwrap()), Some(peer), "{request}");
    }
    snapshot::write(&folder.0, &[snapshot::encode(peer, state.part(peer).unwrap()).unwrap()]).unwrap();
    drop((writer, log));
    assert_eq!(open_at(&folder.0).unwrap().0.part(peer), state.part(peer));
}

#[test]
fn a_group_that_cannot_be_synced_is_told_to_nobody() {
    let (folder, _) = filled(&[2]);
    let (state, writer, log) = open_at(&folder.0).unwrap();
    drop(writer);
    // It takes every write, and has nothing that could be synced: the kernel refuses.
    let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let (settings, last, bytes) = (Settings { segment_bytes: 300 }, Position(2), log.bytes());
    let mut writer = Writer::new(device, settings, last, log.clone());
    let mut group = Group::after(&state, 5);
    let add = Add {
        id: "tea".parse().unwrap(),
        by: "b".parse().unwrap(),
        n: 1,
        request: None,
    };
    group.like(&state, add);
    let error = writer.append(group.entries()).unwrap_err();
    assert!(matches!(error, AppendError::Broken(_)), "{error}");
    writer.tell();
    assert_eq!((*log.end().borrow(), log.bytes()), (last, bytes));
}

#[test]
fn a_group_that_would_not_be_read_again_is_not_written() {
    let (folder, before) = filled(&[1]);
    let (_, mut writer, log) = open_at(&folder.0).unwrap();
    let add = Add {
        id: "i".repeat(256).parse().unwrap(),
        by: "b".repeat(128).parse().unwrap(),
        n: 1000,
        request: Some("r".repeat(128).parse().unwrap()),
    };
    let entry = |position| Entry {
        position: Position(position),
        at: 0,
        what: What::Add(add.clone()),
    };
    let entries: Vec<_> = (2..140_000).map(entry).collect();
    let error = writer.append(&entries).unwrap_err();
    assert!(matches!(error, AppendError::Unencodable(_)), "{error}");
    writer.append(&entries[..1]).unwrap();
    drop((writer, log));
    assert_eq!(open_at(&folder.0).unwrap().0.position(before.own()), Position(2));
}

#[test]
fn a_folder_is_one_nodes_and_one_processes() {
    let (folder, _) = filled(&[1]);
    let take =
        |cluster: &str, ordinal| identity::take(&folder.0, &cluster.parse().unwrap(), Ordinal(ordinal), Incarnation(9));
    assert!(matches!(take("demo", 1), Err(identity::Error::OfAnother { .. })));
    assert!(matches!(take("other", 0), Err(identity::Error::OfAnother { .. })));
    let (origin, lock) = take("demo", 0).unwrap();
    assert_eq!(
        origin,
        Origin {
            ordinal: Ordinal(0),
            incarnation: Incarnation(7)
        }
    );
    assert!(matches!(take("demo", 0), Err(identity::Error::InUse { .. })));
    fs::remove_file(folder.0.join("identity.json")).unwrap();
    drop(lock);
    assert!(matches!(take("demo", 0), Err(identity::Error::Lost { .. })));
}

#[tokio::test]
async fn a_reader_sees_every_entry_once_while_they_are_written() {
    let folder = Folder::new();
    let (mut state, mut writer, log) = open_at(&folder.0).unwrap();
    write(&mut state, &mut writer, 4);
    let mut reader = log.follow(Position(3));
    let reading = tokio::spawn(async move {
        let mut positions = Vec::new();
        while positions.len() < 200 {
            positions.extend(reader.next(7).await.unwrap().iter().map(|entry| entry.position.0));
        }
        positions
    });
    let mut end = 4;
    while end < 202 {
        end += write(&mut state, &mut writer, 11).len() as u64;
        tokio::task::yield_now().await;
    }
    let positions = reading.await.unwrap();
    assert!(positions.iter().copied().eq(3..3 + positions.len() as u64));
}

#[tokio::test]
async fn a_reader_that_is_interrupted_again_and_again_loses_nothing() {
    let (folder, _) = filled(&[40, 40, 40]);
    let (_, _writer, log) = open_at(&folder.0).unwrap();
    let (mut reader, mut positions) = (log.follow(Position(1)), Vec::new());
    while positions.len() < 120 {
        tokio::select! {
            biased;
            entries = reader.next(1) => positions.extend(entries.unwrap().iter().map(|entry| entry.position.0)),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(positions.into_iter().eq(1..=120));
}

#[tokio::test]
async fn a_reader_of_what_is_gone_is_told_from_where_on_there_is_something() {
    let (folder, _) = filled(&[40, 40, 40]);
    let (_, _writer, log) = open_at(&folder.0).unwrap();
    log.truncate(Position(85));
    assert!(matches!(
        log.follow(Position(7)).next(1).await,
        Err(Missing::Truncated(Position(80)))
    ));
    assert_eq!(
        log.follow(Position(81)).next(1).await.unwrap()[0].position,
        Position(81)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_was_written_is_read(groups in prop::collection::vec(1..60usize, 1..12), from in 1..30u64) {
        let (folder, before) = filled(&groups);
        let (state, _writer, log) = open_at(&folder.0).unwrap();
        prop_assert_eq!(state.digest(), before.digest());
        let mut positions = Vec::new();
        scan(&log, |entry| positions.push(entry.position.0)).unwrap();
        let total = groups.iter().sum::<usize>() as u64;
        prop_assert!(positions.iter().copied().eq(1..=total));
        if from <= total {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let first = runtime.block_on(log.follow(Position(from)).next(5)).unwrap()[0].position;
            prop_assert_eq!(first, Position(from));
        }
    }
}
