//! A child process that cannot outlive its owner.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::place::Unprivileged;

const POLL: Duration = Duration::from_millis(10);
/// A process that was killed ends when its last write does, which a disk may keep waiting.
const GONE: Duration = Duration::from_mins(1);
/// One that is asked to end writes first what it has.
const STOPPED: Duration = Duration::from_mins(2);

/// What a process gets when its owner, or the whole test process, is gone.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Postgres ends its sessions at once, without a checkpoint, and frees its shared memory, which outlives a killed one.
    Quit,
    Kill,
}

impl End {
    /// As setpriv spells it, and as it is sent.
    fn signal(self) -> (&'static str, Signal) {
        match self {
            Self::Quit => ("QUIT", Signal::QUIT),
            Self::Kill => ("KILL", Signal::KILL),
        }
    }
}

#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    end: End,
    log: PathBuf,
}

impl Process {
    /// Starts `program arguments` with its output appended to `log`.
    pub fn spawn(
        name: &'static str,
        user: Option<Unprivileged>,
        end: End,
        log: &Path,
        program: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        // setpriv asks the kernel for a signal on the parent's death, and so spares us the unsafe code between fork and exec.
        let mut command = wrapped(user);
        command
            .arg(format!("--pdeathsig={}", end.signal().0))
            .arg("--")
            .arg(program);
        configure(&mut command);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("starting {name} through setpriv (util-linux)"))?;
        Ok(Self {
            name,
            child,
            end,
            log: log.to_owned(),
        })
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Waits for the end; after `limit` the process is killed and that is an error.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                self.child.kill()?;
                self.child.wait()?;
                bail!(
                    "{} did not end within {limit:?} and was killed{}",
                    self.name,
                    self.last_words()
                );
            }
            sleep(POLL).await;
        }
    }

    /// An error if it has ended by itself, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended with {status}{}", self.name, self.last_words())),
        }
    }

    /// `kill -9` for it and its children in one instant, as when the machine loses power: stopped first, so that nobody reacts to a death.
    pub async fn crash(&mut self) -> Result<()> {
        let pid = self.pid()?;
        self.signal(Signal::STOP)?;
        let children = children(pid);
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        self.signal(Signal::KILL)?;
        self.ended(GONE).await?;
        // A child that is still being taken apart holds the memory they shared.
        let end = Instant::now() + GONE;
        while children.iter().any(|child| is_running(*child)) && Instant::now() < end {
            sleep(POLL).await;
        }
        Ok(())
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process without an id")
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..]
            .iter()
            .fold(String::from("; the end of its log:"), |words, line| {
                words + "\n    " + line
            })
    }
}

/// A process that is stopped, killed and started again.
#[derive(Debug, Default)]
pub struct Restartable(Option<Process>);

impl Restartable {
    /// Takes the place of the one before.
    pub fn started(&mut self, process: Process) -> &mut Process {
        self.0.insert(process)
    }

    /// Its id, while it runs.
    pub fn id(&self) -> Result<u32> {
        let process = self.0.as_ref().context("the process does not run")?;
        Ok(process.child.id())
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self, signal: Signal) -> Result<()> {
        if let Some(mut process) = self.0.take() {
            process.signal(signal)?;
            process.ended(STOPPED).await?;
        }
        Ok(())
    }

    /// `kill -9`, with all its children.
    pub async fn kill(&mut self) -> Result<()> {
        match self.0.take() {
            Some(mut process) => process.crash().await,
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}{}", self.name, self.last_words());
        }
        let _ = self.signal(self.end.signal().1);
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `setpriv`, dropping root where that is asked.
pub fn wrapped(user: Option<Unprivileged>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid))
            .arg("--clear-groups");
    }
    command
}

/// The kernel's "parent" is the thread that forked, and a test's thread ends while what it started may be shared with other tests.
fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    SPAWNER
        .send((command, answer))
        .map_err(|_| anyhow!("the spawning thread is gone"))?;
    Ok(answered.recv()??)
}

fn is_running(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

/// By /proc/*/stat, `pid (name) state parent …`, whose name may hold anything.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            (stat.rsplit(')').next()?.split_whitespace().nth(1)? == parent).then_some(pid)
        })
        .collect()
}
