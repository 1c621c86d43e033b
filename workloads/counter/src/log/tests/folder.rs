//! Logs in folders of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    crdt::{Add, Entry, Group, Incarnation, Ordinal, Remember, State},
    log::{Log, OpenError, Settings, Writer, identity, open, segment},
};

const SETTINGS: Settings = Settings { segment_bytes: 300 };

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("synccluster-log-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for file in fs::read_dir(&self.0).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.0.join(file.file_name())).unwrap();
        }
        copy
    }

    pub fn newest(&self) -> PathBuf {
        segment::Segment::list(&self.0).unwrap().pop().unwrap().1
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn open_at(folder: &Path) -> Result<(State, Writer, Log), OpenError> {
    let (origin, lock) = identity::take(folder, &"demo".parse().unwrap(), Ordinal(0), Incarnation(7)).unwrap();
    let mut state = State::new(
        origin,
        Remember {
            time: Duration::from_mins(10),
            count: 100,
            idle: Duration::from_hours(24),
            runs: 100,
        },
    );
    let (writer, log) = open(folder, lock, SETTINGS, &mut state)?;
    Ok((state, writer, log))
}

pub fn write(state: &mut State, writer: &mut Writer, likes: usize) -> Vec<Entry> {
    let mut group = Group::after(state, 5);
    for like in 0..likes {
        let add = Add {
            id: format!("id-{like}").parse().unwrap(),
            by: "b".parse().unwrap(),
            n: 1,
            request: None,
        };
        group.like(state, add);
    }
    writer.append(group.entries()).unwrap();
    writer.tell();
    state.apply(state.own(), group.entries()).1.unwrap();
    group.entries().to_vec()
}

pub fn filled(groups: &[usize]) -> (Folder, State) {
    let folder = Folder::new();
    let (mut state, mut writer, _log) = open_at(&folder.0).unwrap();
    for &likes in groups {
        write(&mut state, &mut writer, likes);
    }
    (folder, state)
}
