//! Segments without a record: whoever began them was interrupted, or had a disk that failed.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::folder::{Folder, filled, open_at, write};
use crate::{
    crdt::{Incarnation, Position, State},
    log::{
        OpenError, scan,
        segment::{HEAD, Segment},
        snapshot,
    },
};

/// The first position of each segment.
fn positions(folder: &Path) -> Vec<u64> {
    let segments = Segment::list(folder).unwrap();
    segments.into_iter().map(|(first, _)| first.0).collect()
}

/// The head of a segment, as it is written.
fn head(first: Position) -> Vec<u8> {
    let folder = Folder::new();
    let (segment, _) = Segment::create(&folder.0, Incarnation(7), first).unwrap();
    fs::read(segment.path).unwrap()
}

/// The newest file that is not what is left at position 41.
fn written_last(folder: &Path) -> PathBuf {
    let mut segments = Segment::list(folder).unwrap();
    segments.retain(|(first, _)| *first != Position(41));
    segments.pop().unwrap().1
}

fn keep_snapshot(folder: &Path, state: &State) {
    let part = snapshot::encode(state.own(), state.part(state.own()).unwrap()).unwrap();
    snapshot::write(folder, &[part]).unwrap();
}

/// Opens it, writes what may need new segments, and opens it again: everything is there.
fn goes_on(folder: &Path, before: &State) {
    let (mut state, mut writer, log) = open_at(folder).unwrap();
    assert_eq!(state.digest(), before.digest());
    for likes in [40, 1] {
        write(&mut state, &mut writer, likes);
    }
    drop((writer, log));
    assert_eq!(open_at(folder).unwrap().0.digest(), state.digest());
}

/// A log that went on past position 41, where a segment could neither be begun nor removed, and what is left there of that.
fn gone_on(after: &[usize], left: &[u8]) -> (Folder, State) {
    let folder = Folder::new();
    let (mut state, mut writer, log) = open_at(&folder.0).unwrap();
    let orphan = Segment::path(&folder.0, Position(41));
    // Nobody opens this as a file, or removes it as one.
    fs::create_dir(&orphan).unwrap();
    write(&mut state, &mut writer, 40);
    for likes in after {
        write(&mut state, &mut writer, *likes);
    }
    let begun = positions(&folder.0).len();
    assert_eq!(begun > 2, !after.is_empty(), "newer ones are begun all the same");
    drop((writer, log));
    fs::remove_dir(&orphan).unwrap();
    fs::write(&orphan, left).unwrap();
    (folder, state)
}

#[test]
fn a_segment_whose_head_cannot_be_synced_is_not_begun_and_the_next_one_is() {
    let folder = Folder::new();
    let (mut state, mut writer, log) = open_at(&folder.0).unwrap();
    // It takes every write, and has nothing that could be synced: the kernel refuses.
    symlink("/dev/null", Segment::path(&folder.0, Position(41))).unwrap();
    write(&mut state, &mut writer, 40);
    assert_eq!(positions(&folder.0), [1], "what is left of it is removed");
    write(&mut state, &mut writer, 1);
    assert_eq!(positions(&folder.0), [1, 42]);
    write(&mut state, &mut writer, 1);
    drop((writer, log));
    assert_eq!(open_at(&folder.0).unwrap().0.digest(), state.digest());
}

#[test]
fn a_segment_that_lost_its_end_is_refused_and_named_though_the_next_one_has_no_record() {
    // Of two records: what is left may end between them.
    let (folder, _) = filled(&[40, 2, 40]);
    assert_eq!(positions(&folder.0), [1, 41, 83]);
    let end = fs::metadata(Segment::path(&folder.0, Position(41))).unwrap().len();
    for length in 0..end {
        let copy = folder.copy();
        let path = Segment::path(&copy.0, Position(41));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let refused = open_at(&copy.0).err().unwrap();
        assert!(matches!(refused, OpenError::Damage(_)), "cut at {length}");
        let named = refused.to_string().starts_with(&path.display().to_string());
        assert!(named, "cut at {length}: {refused}");
        // Whoever looks for the lost end finds everything as it was.
        assert_eq!(positions(&copy.0), [1, 41, 83]);
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
    }
}

#[test]
fn a_segment_that_lost_all_it_had_is_named_and_not_the_good_one_behind_it() {
    let (folder, _) = filled(&[40, 2, 40, 1]);
    assert_eq!(positions(&folder.0), [1, 41, 83]);
    for length in 0..=HEAD as u64 {
        let copy = folder.copy();
        let path = Segment::path(&copy.0, Position(41));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let refused = open_at(&copy.0).err().unwrap().to_string();
        assert!(refused.starts_with(&path.display().to_string()), "{length}: {refused}");
    }
}

#[test]
fn a_disk_that_fails_at_the_start_does_not_take_the_only_file_away() {
    let (folder, before) = filled(&[40]);
    keep_snapshot(&folder.0, &before);
    fs::remove_file(Segment::path(&folder.0, Position(1))).unwrap();
    let only = Segment::path(&folder.0, Position(41));
    fs::remove_file(&only).unwrap();
    // It takes every write, and the kernel refuses to sync it.
    symlink("/dev/null", &only).unwrap();
    assert!(open_at(&folder.0).is_err());
    assert_eq!(positions(&folder.0), [41]);
    fs::remove_file(&only).unwrap();
    fs::write(&only, []).unwrap();
    goes_on(&folder.0, &before);
}

#[test]
fn a_file_that_is_no_beginning_of_this_segment_is_refused() {
    for first in [40, 42] {
        let (folder, _) = gone_on(&[2], &head(Position(first)));
        assert!(
            matches!(open_at(&folder.0).err(), Some(OpenError::Damage(_))),
            "of {first}"
        );
    }
}

#[test]
fn what_is_left_before_a_segment_that_has_records_is_removed() {
    let (folder, before) = gone_on(&[80, 40], &head(Position(41)));
    assert_eq!(positions(&folder.0), [1, 41, 121, 161]);
    let (_, writer, log) = open_at(&folder.0).unwrap();
    drop((writer, log));
    assert_eq!(positions(&folder.0), [1, 121, 161]);
    goes_on(&folder.0, &before);
}

#[test]
fn what_is_left_before_all_segments_that_truncation_left_is_passed_over() {
    let (folder, before) = gone_on(&[80, 40], &head(Position(41)));
    keep_snapshot(&folder.0, &before);
    let older = folder.copy();
    fs::remove_file(Segment::path(&folder.0, Position(1))).unwrap();
    assert_eq!(positions(&folder.0), [41, 121, 161]);
    let all = folder.copy();
    fs::remove_file(Segment::path(&all.0, Position(121))).unwrap();
    for (left, kept) in [
        (&older, vec![1, 121, 161]),
        (&folder, vec![41, 121, 161]),
        (&all, vec![41, 161]),
    ] {
        let (_, writer, log) = open_at(&left.0).unwrap();
        drop((writer, log));
        assert_eq!(positions(&left.0), kept);
        goes_on(&left.0, &before);
    }
}

#[test]
fn what_is_left_of_a_segment_stands_for_no_record_that_is_gone() {
    let (folder, before) = gone_on(&[80, 40], &head(Position(41)));
    fs::remove_file(Segment::path(&folder.0, Position(1))).unwrap();
    let refused = open_at(&folder.0).err();
    assert!(
        matches!(refused, Some(OpenError::Beginning(Position(120)))),
        "{refused:?}"
    );
    assert_eq!(positions(&folder.0), [41, 121, 161]);
    keep_snapshot(&folder.0, &before);
    goes_on(&folder.0, &before);
}

#[test]
fn a_segment_that_cannot_be_removed_keeps_those_behind_it() {
    let (folder, _) = filled(&[40, 40, 40]);
    let (state, writer, log) = open_at(&folder.0).unwrap();
    keep_snapshot(&folder.0, &state);
    assert!(log.could_truncate(Position(80)));
    let first = Segment::path(&folder.0, Position(1));
    let content = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    log.truncate(Position(80));
    let kept = (log.begin(), positions(&folder.0));
    assert_eq!(kept, (Position(1), vec![1, 41, 81, 121]));
    assert!(!log.could_truncate(Position(80)), "that is no reason for a snapshot");
    fs::remove_dir(&first).unwrap();
    fs::write(&first, content).unwrap();
    drop((writer, log));

    let (again, _writer, log) = open_at(&folder.0).unwrap();
    assert_eq!(again.digest(), state.digest());
    log.truncate(Position(80));
    let kept = (log.begin(), positions(&folder.0));
    assert_eq!(kept, (Position(81), vec![81, 121]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_left_of_a_segment_that_was_not_begun_costs_nothing(
        after in prop::collection::vec(1..30usize, 0..5),
        written in 0..=HEAD,
        zeros in any::<bool>(),
        torn in 0..40usize,
    ) {
        let mut left = head(Position(41));
        left.truncate(written);
        if zeros {
            left.resize(HEAD, 0);
        }
        let (folder, before) = gone_on(&after, &left);
        // A part of a group that was never acknowledged, as a crash leaves it.
        let content = fs::read(Segment::path(&folder.0, Position(1))).unwrap();
        let mut file = OpenOptions::new().append(true).open(written_last(&folder.0)).unwrap();
        file.write_all(&content[HEAD..HEAD + torn]).unwrap();

        let (mut state, mut writer, log) = open_at(&folder.0).unwrap();
        prop_assert_eq!(state.digest(), before.digest());
        write(&mut state, &mut writer, 3);
        drop((writer, log));
        let (again, _writer, log) = open_at(&folder.0).unwrap();
        prop_assert_eq!(again.digest(), state.digest());
        let mut read = Vec::new();
        scan(&log, |entry| read.push(entry.position.0)).unwrap();
        let total = 43 + after.iter().sum::<usize>() as u64;
        prop_assert!(read.into_iter().eq(1..=total));
    }
}
