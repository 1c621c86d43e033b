//! A script of tests/socketio as a child process.

use std::{
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use synccluster_gateway::{
    access::Access,
    app::App,
    live::bus::{Kind, News},
    sites::Sites,
};
use synccluster_harness::{repository, socketio};
use synccluster_integration::gateway::Gateway;
use synccluster_protocol::Site;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A script gives up after three minutes by itself.
const PATIENCE: Duration = Duration::from_mins(4);
/// What the clients show.
pub const TOKEN: &str = "viewer-token-0123456789";
/// In every text that is told: letters of all lengths in UTF-8, and what JSON has to escape.
pub const TEXT: &str = "äöü \"\\ \u{2028} 😀";

/// Which client.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// `client.cjs`
    Node,
    /// `client.py`
    Python,
}

/// A script that runs.
pub struct Client {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Client {
    /// Runs a script with these arguments.
    pub fn run(who: Who, file: &str, arguments: &[&str]) -> Result<Self> {
        let (parts, scripts) = (socketio()?, repository("tests/socketio")?);
        let mut command = match who {
            Who::Node => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", parts.join("node_modules"));
                command
            }
            Who::Python => Command::new(parts.join("venv/bin/python")),
        };
        command.arg(scripts.join(file)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let name = format!("{file} {}", arguments.join(" "));
        let mut child = command.spawn().with_context(|| name.clone())?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let input = child.stdin.take().context("no input")?;
        Ok(Self {
            child,
            input,
            lines,
            name,
        })
    }

    /// A scenario of the clients over these transports.
    pub fn scenario(who: Who, gateway: &Gateway, scenario: &str, transports: &str) -> Result<Self> {
        let file = match who {
            Who::Node => "client.cjs",
            Who::Python => "client.py",
        };
        Self::run(
            who,
            file,
            &[scenario, &format!("http://{}", gateway.address), TOKEN, transports],
        )
    }

    /// The next line begins with this word; what follows it.
    pub async fn says(&mut self, word: &str) -> Result<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        match line.with_context(|| format!("{} does not say {word}", self.name))?? {
            Some(line) => match line.strip_prefix(word) {
                Some(rest) => Ok(rest.trim().to_owned()),
                None => bail!("{} says {line} instead of {word}", self.name),
            },
            None => bail!("{} ended instead of saying {word}: see what it wrote", self.name),
        }
    }

    /// Lets a script go on that waits to be told.
    pub async fn go_on(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"go on\n").await?)
    }

    /// It has nothing to object to.
    pub async fn done(mut self) -> Result<()> {
        self.says("done").await?;
        let status: ExitStatus = timeout(PATIENCE, self.child.wait()).await??;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

/// What a gateway needs of the disk; gone when dropped.
pub struct Place(PathBuf);

impl Place {
    /// Secrets of three sites where nobody listens, and a token.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = Self(std::env::temp_dir().join(format!("synccluster-sockets-{}-{number}", std::process::id())));
        for site in ["server", "client-1", "client-2"] {
            let folder = place.0.join("sites").join(site);
            fs::create_dir_all(&folder)?;
            for (file, text) in [
                ("username", "none"),
                ("password", "none"),
                ("host", "127.0.0.1"),
                ("port", "1"),
                ("dbname", "none"),
            ] {
                fs::write(folder.join(file), text)?;
            }
        }
        fs::create_dir_all(place.0.join("access"))?;
        place.token(TOKEN)?;
        Ok(place)
    }

    /// From now on this is the viewer's.
    pub fn token(&self, token: &str) -> Result<()> {
        Ok(fs::write(self.0.join("access/viewer-token"), token)?)
    }

    /// A gateway there, with a bus that the test feeds.
    pub fn app(&self) -> Result<App> {
        let sites = Sites::read(&self.0.join("sites"))?;
        let mut app = App::new("demo".parse()?, sites, "127.0.0.1:1".to_owned());
        app.access = Access::guarded("demo".parse()?, Some(self.0.join("access")), None)?;
        Ok(app)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An event of the bus.
pub fn news(kind: Kind, site: Option<Site>, table: Option<&str>, data: &serde_json::Value) -> News {
    News {
        kind,
        table: table.map(Into::into),
        site,
        data: data.to_string().into(),
        relayed: false,
    }
}

/// The change of this number, of `public.todos` at client-1.
pub fn change(number: usize, last: bool) -> News {
    padded(number, number * 37 % 5000, last)
}

/// The same, and most are small: many may wait for who is kept from taking them.
pub fn small_change(number: usize) -> News {
    let pad = if number.is_multiple_of(16) {
        number * 37 % 5000
    } else {
        0
    };
    padded(number, pad, false)
}

fn padded(number: usize, pad: usize, last: bool) -> News {
    let mut data = serde_json::json!({ "number": number, "text": TEXT, "pad": "x".repeat(pad) });
    if last {
        data["last"] = true.into();
    }
    news(Kind::Change, Some(Site::Client(1)), Some("public.todos"), &data)
}
