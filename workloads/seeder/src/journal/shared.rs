//! Several processes over one folder: whose turn it is to write, and what a run is told from outside of its process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::PathBuf,
    process,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use super::file::{Error, Folder, fail};
use crate::run::Control;

/// What each is called in a file.
const WORDS: [(Control, &str); 3] = [(Control::Go, "go"), (Control::Pause, "pause"), (Control::Stop, "stop")];

/// Held while a run is prepared and goes on. It ends with the process, however that ends: the lock is the kernel's.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

/// This process among all that may share the folder: two containers can both be process 1.
static SELF: LazyLock<String> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", process::id(), since.as_nanos())
});

/// What a run was told: the same word once more is not the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The word.
    pub control: Control,
    said: String,
}

impl Told {
    /// Whether this process has said it.
    pub fn is_own(&self) -> bool {
        self.said.ends_with(&format!(" {}", *SELF))
    }
}

impl Folder {
    /// The turn to write; none while somebody else has it, in this process or in another.
    pub fn turn(&self) -> Result<Option<Turn>, Error> {
        let path = self.0.join("turn.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|reason| fail(&path, reason))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(reason)) => Err(fail(&path, reason)),
        }
    }

    fn word(&self, run: &str) -> PathBuf {
        self.0.join(format!("{run}.told"))
    }

    /// Tells a run something, whichever process it goes on in: that one looks here. It stays until the run ends, so that others see whether it waits.
    pub fn tell(&self, run: &str, control: Control) -> Result<(), Error> {
        let word = WORDS.iter().find(|(known, _)| *known == control).map(|(_, word)| *word);
        // A word that is said twice is another each time. Put in place whole: whoever looks meanwhile sees the one before.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let said = format!("{} {} {}", word.unwrap_or_default(), now.as_nanos(), *SELF);
        let (path, new) = (self.word(run), self.0.join(format!("{run}.{}.tell", *SELF)));
        fs::write(&new, said).map_err(|reason| fail(&new, reason))?;
        fs::rename(&new, &path).map_err(|reason| fail(&path, reason))
    }

    /// What a run was told last; none if that is nothing.
    pub fn told(&self, run: &str) -> Option<Told> {
        let said = fs::read_to_string(self.word(run)).ok()?;
        let word = said.split(' ').next()?;
        let (control, _) = WORDS.iter().find(|(_, known)| *known == word)?;
        Some(Told {
            control: *control,
            said,
        })
    }

    /// Forgets what a run was told: whoever goes on with it does not hear what was meant for the one before.
    pub fn untell(&self, run: &str) {
        // Where there is nothing, nothing is forgotten.
        let _ = fs::remove_file(self.word(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("synccluster-shared-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder::open(&path).unwrap()
    }

    #[test]
    fn one_has_the_turn_until_it_lets_go() {
        let folder = folder("turn");
        let first = folder.turn().unwrap();
        assert!(first.is_some() && folder.turn().unwrap().is_none());
        drop(first);
        assert!(folder.turn().unwrap().is_some());
    }

    #[test]
    fn a_run_is_told_the_last_word_and_the_same_one_twice() {
        let folder = folder("told");
        assert_eq!(folder.told("load-1"), None);
        for (control, _) in WORDS {
            folder.tell("load-1", control).unwrap();
            let told = folder.told("load-1").unwrap();
            assert_eq!((told.control, folder.told("load-2")), (control, None));
            assert!(told.is_own());
            folder.tell("load-1", control).unwrap();
            assert_ne!(folder.told("load-1").unwrap(), told);
        }
        folder.untell("load-1");
        assert!(!folder.word("load-1").exists() && folder.runs().unwrap().is_empty());
    }
}
