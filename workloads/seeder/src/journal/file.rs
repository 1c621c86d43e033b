//! The files: records with their length and checksum, one behind another.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::Record;

/// The longest record; a longer length is no length.
const LONGEST: u32 = 256 << 20;
/// How often a journal that somebody has locked is tried again, and what lies between: whoever looks whether it is written locks it for a moment.
const LOOKERS: (u32, Duration) = (20, Duration::from_millis(1));

/// Why a journal cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("journal {file}: {reason}; the folder must be writable and have room (SEEDER_JOURNAL)")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// There is no such run.
    #[error("there is no run {0} here; `runs` lists them")]
    NoRun(String),
    /// A record that is damaged, and others behind it: what they said cannot be known.
    #[error(
        "journal {file} is damaged at byte {at}: what was acknowledged there is not known; remove the file if you can do without it"
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// Where.
        at: u64,
    },
    /// Somebody writes it.
    #[error("run {0} is going on in another process")]
    Busy(String),
    /// A record that cannot be written.
    #[error("a record cannot be written: {0}")]
    Record(#[from] postcard::Error),
}

/// Where journals are.
#[derive(Clone, Debug)]
pub struct Folder(pub(super) PathBuf);

impl Folder {
    /// Made if it is not there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(|reason| fail(path, reason))?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, run: &str) -> PathBuf {
        self.0.join(format!("{run}.journal"))
    }

    /// The runs there are, oldest first.
    pub fn runs(&self) -> Result<Vec<String>, Error> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(|reason| fail(&self.0, reason))? {
            let name = entry.map_err(|reason| fail(&self.0, reason))?.file_name();
            let run = name.to_str().and_then(|name| name.strip_suffix(".journal"));
            runs.extend(run.filter(|run| is_name(run)).map(str::to_owned));
        }
        runs.sort_by_key(|run| (number(run), run.clone()));
        Ok(runs)
    }

    /// A new one: `<kind>-<number>`, with a number no other has.
    pub fn create(&self, kind: &str) -> Result<(String, Writer), Error> {
        let highest = self.runs()?.iter().map(|run| number(run)).max().unwrap_or_default();
        for next in highest + 1.. {
            let run = format!("{kind}-{next}");
            let path = self.path(&run);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    self.untell(&run);
                    let writer = Writer { file, path };
                    writer.lock(&run)?;
                    return Ok((run, writer));
                }
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(reason) => return Err(fail(&path, reason)),
            }
        }
        Err(Error::NoRun(kind.to_owned()))
    }

    /// Reads one from its beginning.
    pub fn read(&self, run: &str) -> Result<Reader, Error> {
        // Names come from outside, and none leads out of the folder.
        if !is_name(run) {
            return Err(Error::NoRun(run.to_owned()));
        }
        let path = self.path(run);
        match File::open(&path) {
            Ok(file) => Ok(Reader {
                file: BufReader::with_capacity(1 << 16, file),
                path,
                at: 0,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoRun(run.to_owned())),
            Err(reason) => Err(fail(&path, reason)),
        }
    }

    /// Goes on with one: what a killed process had begun to write at its end is cut off.
    pub fn append(&self, run: &str) -> Result<Writer, Error> {
        let (mut reader, path) = (self.read(run)?, self.path(run));
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|reason| fail(&path, reason))?;
        let writer = Writer { file, path };
        writer.lock(run)?;
        // It may have been removed before the lock was there: what is written to a file without a name is lost.
        let is_named = fs::metadata(&writer.path).is_ok_and(|named| {
            writer
                .file
                .metadata()
                .is_ok_and(|file| file.ino() == named.ino() && file.dev() == named.dev())
        });
        if !is_named {
            return Err(Error::NoRun(run.to_owned()));
        }
        while reader.next()?.is_some() {}
        writer
            .file
            .set_len(reader.at)
            .map_err(|reason| fail(&writer.path, reason))?;
        Ok(writer)
    }

    /// Whether somebody writes it now.
    pub fn is_open(&self, run: &str) -> bool {
        File::open(self.path(run)).is_ok_and(|file| file.try_lock_shared().is_err())
    }

    /// How long it is, in bytes; none if it is not there.
    pub fn length(&self, run: &str) -> Option<u64> {
        fs::metadata(self.path(run)).map(|file| file.len()).ok()
    }

    /// Removes one that nobody writes.
    pub fn remove(&self, run: &str) -> Result<(), Error> {
        let path = self.path(run);
        // Held until the file has no name: nobody goes on with it in between.
        let held = File::open(&path).ok();
        if held.as_ref().is_some_and(|file| file.try_lock().is_err()) {
            return Err(Error::Busy(run.to_owned()));
        }
        self.untell(run);
        fs::remove_file(&path).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => Error::NoRun(run.to_owned()),
            _ => fail(&path, reason),
        })
    }
}

/// Whether a run can be called that; a file that is called otherwise is somebody's copy.
fn is_name(run: &str) -> bool {
    !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn number(run: &str) -> u64 {
    run.rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or_default()
}

pub(super) fn fail(file: &Path, reason: io::Error) -> Error {
    Error::File {
        file: file.to_owned(),
        reason,
    }
}

/// Appends records.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Held until the file is closed, however the process ends.
    fn lock(&self, run: &str) -> Result<(), Error> {
        let (times, between) = LOOKERS;
        for _ in 0..times {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(between),
                Err(fs::TryLockError::Error(reason)) => return Err(fail(&self.path, reason)),
            }
        }
        Err(Error::Busy(run.to_owned()))
    }

    /// Appends one. When this returns, it outlives the process.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let mut bytes = vec![0; 8];
        bytes = postcard::to_extend(record, bytes)?;
        let length = u32::try_from(bytes.len() - 8).unwrap_or(u32::MAX);
        let sum = crc32c::crc32c(&bytes[8..]);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all(&bytes).map_err(|reason| fail(&self.path, reason))
    }

    /// Forces it to disk: from now on it outlives the machine.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|reason| fail(&self.path, reason))
    }
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low(number: u64) -> u32 {
    number as u32
}

/// Reads records.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    at: u64,
}

impl Reader {
    /// The next one; none at the end. A last record that is not whole was being written when the process ended, and counts as not written.
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<Record>, Error> {
        let mut head = [0; 8];
        if self.fill(&mut head)? < head.len() {
            return Ok(None);
        }
        let [length, sum] = [u64::from_le_bytes(head), u64::from_le_bytes(head) >> 32].map(low);
        // No record is empty: these are bytes that never reached the disk.
        if length == 0 {
            return Ok(None);
        }
        let (file, at) = (self.path.clone(), self.at);
        let damaged = || Error::Damaged { file: file.clone(), at };
        if length > LONGEST {
            return Err(damaged());
        }
        let mut bytes = vec![0; length as usize];
        if self.fill(&mut bytes)? < bytes.len() {
            return Ok(None);
        }
        if crc32c::crc32c(&bytes) != sum {
            let last = self.fill(&mut [0])? == 0;
            return if last { Ok(None) } else { Err(damaged()) };
        }
        let record = postcard::from_bytes(&bytes).map_err(|_| damaged())?;
        self.at += 8 + u64::from(length);
        Ok(Some(record))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(reason) => return Err(fail(&self.path, reason)),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn folder() -> Folder {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("synccluster-journal-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder::open(&path).unwrap()
    }

    fn loaded(number: u64) -> Record {
        Record::Loaded { number }
    }

    fn all(folder: &Folder, run: &str) -> Result<Vec<Record>, Error> {
        let mut reader = folder.read(run)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn what_is_appended_is_read() {
        let folder = folder();
        let (run, mut writer) = folder.create("load").unwrap();
        let batch = Record::Batch {
            number: 3,
            site: synccluster_protocol::Site::Client(2),
            writes: vec![Sent {
                table: 1,
                kind: crate::plan::WriteKind::Delete,
                key: vec!["a".to_owned(), "ü".to_owned()],
            }],
        };
        let records = [loaded(1), batch, Record::End(End::Failed("why".to_owned()))];
        for record in &records {
            writer.append(record).unwrap();
        }
        assert_eq!(all(&folder, &run).unwrap(), records);
        let (second, _) = folder.create("deltas").unwrap();
        assert_eq!((run.as_str(), second.as_str()), ("load-1", "deltas-2"));
        assert_eq!(folder.runs().unwrap(), ["load-1", "deltas-2"]);
        drop(writer);
        folder.remove("load-1").unwrap();
        assert!(matches!(folder.read("load-1"), Err(Error::NoRun(_))));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = folder();
        fs::create_dir_all(folder.0.join("inner")).unwrap();
        fs::write(folder.0.join("load-1.old.journal"), "somebody's copy").unwrap();
        assert!(folder.runs().unwrap().is_empty());
        let (run, _) = folder.create("load").unwrap();
        let inner = Folder::open(&folder.0.join("inner")).unwrap();
        assert!(folder.read(&run).is_ok());
        assert!(matches!(inner.read(&format!("../{run}")), Err(Error::NoRun(_))));
    }

    #[test]
    fn a_record_that_was_being_written_is_cut_off() {
        let folder = folder();
        let (run, mut writer) = folder.create("load").unwrap();
        writer.append(&loaded(1)).unwrap();
        let whole = fs::metadata(folder.path(&run)).unwrap().len();
        writer.append(&loaded(2)).unwrap();
        drop(writer);
        let bytes = fs::read(folder.path(&run)).unwrap();
        for end in usize::try_from(whole).unwrap()..bytes.len() {
            fs::write(folder.path(&run), &bytes[..end]).unwrap();
            assert_eq!(all(&folder, &run).unwrap(), [loaded(1)], "cut at {end}");
        }
        // A machine that lost its power may have kept the length and not the bytes.
        fs::write(
            folder.path(&run),
            [&bytes[..usize::try_from(whole).unwrap()], &[0; 40]].concat(),
        )
        .unwrap();
        assert_eq!(all(&folder, &run).unwrap(), [loaded(1)]);
        let mut writer = folder.append(&run).unwrap();
        assert!(matches!(folder.append(&run), Err(Error::Busy(_))) && folder.is_open(&run));
        assert!(matches!(folder.remove(&run), Err(Error::Busy(_))));
        writer.append(&loaded(3)).unwrap();
        drop(writer);
        assert!(!folder.is_open(&run));
        assert_eq!(all(&folder, &run).unwrap(), [loaded(1), loaded(3)]);
    }

    #[test]
    fn damage_in_the_middle_is_said() {
        let folder = folder();
        let (run, mut writer) = folder.create("load").unwrap();
        writer.append(&loaded(1)).unwrap();
        writer.append(&loaded(2)).unwrap();
        let mut bytes = fs::read(folder.path(&run)).unwrap();
        bytes[9] ^= 1;
        fs::write(folder.path(&run), bytes).unwrap();
        let said = all(&folder, &run).unwrap_err().to_string();
        assert!(said.contains("damaged at byte 0"), "{said}");
    }

    #[test]
    fn a_range_gives_its_rows_their_numbers() {
        let range = KeyRange {
            row: 10,
            first: 3,
            step: 1024,
            count: 2,
        };
        assert_eq!(
            [9, 10, 11, 12].map(|row| range.number(row)),
            [None, Some(3), Some(1027), None]
        );
    }
}
