//! Where the parts come from and where a test's files lie.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Whose processes and files these are. Postgres refuses to run as root, so root's tests run it as `nobody`
/// (initdb wants a passwd entry for its uid); everybody else runs it as themselves.
#[derive(Clone, Copy, Debug)]
pub struct Unprivileged {
    pub uid: u32,
    pub gid: u32,
}

impl Unprivileged {
    /// `None` for a caller that is not root.
    pub fn for_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let entry = passwd
            .lines()
            .find_map(|line| line.strip_prefix("nobody:"))
            .context("/etc/passwd has no user nobody")?;
        let mut fields = entry.split(':').skip(1);
        let mut id = || {
            fields
                .next()
                .and_then(|field| field.parse().ok())
                .context("/etc/passwd: nobody's line has no ids")
        };
        Ok(Some(Self { uid: id()?, gid: id()? }))
    }
}

/// A folder of this test process, removed on drop.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Result<Self> {
        Self::within(&shared()?, name)
    }

    /// For what a database writes all the time: in memory where there is much of it, so that no test waits for the disk's other users.
    pub fn of_data(name: &str) -> Result<Self> {
        if let Ok(memory) = shared_in(Path::new(MEMORY)) {
            // First: what killed processes left there may be what fills it.
            sweep(&memory);
            if fits_into_memory() {
                return Self::within(&memory, name);
            }
        }
        Self::new(name)
    }

    fn within(shared: &Path, name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(shared);
        loop {
            let path = shared.join(format!(
                "run-{}-{name}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ));
            match fs::create_dir(&path) {
                // Of a process that was killed and had this id.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.with_context(|| format!("creating {}", path.display()))?,
            }
            open_to_all(&path)?;
            return Ok(Self(path));
        }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Linux' file system in memory.
const MEMORY: &str = "/dev/shm";
/// Several times what the largest test writes.
const MUCH: u64 = 10 << 30;

/// That the file system may grow so far, that the machine has the memory, and that a container may take it.
fn fits_into_memory() -> bool {
    let may_grow = rustix::fs::statvfs(MEMORY).map(|of| of.f_bavail * of.f_frsize);
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let of_group = |file: &str| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let left = of_group("memory.max").map(|most| most.saturating_sub(of_group("memory.current").unwrap_or_default()));
    may_grow.is_ok_and(|bytes| bytes >= MUCH)
        && free.is_some_and(|kilobytes| kilobytes << 10 >= MUCH)
        && left.is_none_or(|bytes| bytes >= MUCH)
}

/// What all test processes of a user share: templates, and root's copy of Postgres, which `nobody` could not reach under /root.
pub fn shared() -> Result<PathBuf> {
    shared_in(&std::env::temp_dir())
}

fn shared_in(folder: &Path) -> Result<PathBuf> {
    let me = rustix::process::geteuid().as_raw();
    let path = folder.join(format!("synccluster-tests-{me}"));
    match fs::create_dir(&path) {
        Ok(()) => open_to_all(&path)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("creating {}", path.display())),
    }
    // The name can be guessed: what somebody else put there is not run.
    ensure!(
        fs::symlink_metadata(&path)?.uid() == me,
        "{} belongs to somebody else; remove it, or set TMPDIR",
        path.display()
    );
    Ok(path)
}

/// Folders of test processes that were killed before they could tidy up.
fn sweep(shared: &Path) {
    for entry in fs::read_dir(shared).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix("run-"))
            .and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `shared()/name`, made once by `make` in a folder beside it and renamed: whole or absent, also when two test processes race.
pub async fn once(name: &str, make: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = shared()?.join(name);
    if !path.exists() {
        let beside = Folder::new("template")?;
        let whole = beside.join(name);
        make(&whole).await?;
        if let Err(error) = fs::rename(&whole, &path)
            && !path.exists()
        {
            return Err(error).with_context(|| format!("renaming {} to {}", whole.display(), path.display()));
        }
    }
    Ok(path)
}

/// `cp -a`: owners and modes stay, which Postgres insists on.
pub async fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-a").arg("--reflink=auto").arg(from).arg(to)).await
}

pub fn own(path: &Path, user: Option<Unprivileged>) -> Result<()> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("giving {} to uid {}", path.display(), user.uid)),
        None => Ok(()),
    }
}

/// Runs a command to its end; what it wrote is the error when it fails.
pub async fn run(command: &mut Command) -> Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {program}"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Time a process has to come up, on a machine that builds something else meanwhile, or is several times slower than usual.
pub const PATIENCE: Duration = Duration::from_mins(3);

fn open_to_all(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("opening {} to other users", path.display()))
}
