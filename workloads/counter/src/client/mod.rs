//! A person's terminal: one types likes and sees the totals of all nodes change.

mod alone;
mod book;
mod command;
mod connection;
mod guide;
mod lines;
mod screen;

use std::{
    env,
    io::{self, BufRead, IsTerminal},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use synccluster_runtime::config::parse_duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time,
};

use crate::{
    crdt::{By, Id},
    leader,
    serve::Totals,
};
use book::{Book, News};
use command::Command;
use connection::Event;
use screen::Screen;

/// Bytes of a name: with what is added it has to be a request.
const NAME: usize = 64;
/// Not more often than this a screen is painted.
const PAINT: Duration = Duration::from_millis(40);
/// What a node did not take is sent again so often.
const AGAIN: Duration = Duration::from_secs(1);
/// Totals that `totals` shows.
const TOTALS: usize = 1000;

const EXAMPLES: &str = "Examples:
  synccluster-counter client --leader localhost:5001
  synccluster-counter client --leader node-0:5001,node-1:5001,node-2:5001 --name ann
  kubectl exec -it demo-counter-0 -- synccluster-counter client --leader demo-counter:5001
  echo 'like tea' | synccluster-counter client --leader localhost:5001
  synccluster-counter client --leader localhost:5001 --json --follow </dev/null

Typed: like, like ID, unlike ID, totals, help, quit. Without a terminal on both ends it reads and writes lines.
The exit code is 0 when every like was acknowledged, and 1 when one was not.";

/// `synccluster-counter client`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where leader APIs are; more than one for the case that one is away.
    #[arg(
        long,
        env = "COUNTER_LEADER",
        value_delimiter = ',',
        required = true,
        value_name = "HOST:PORT",
        value_parser = parse_leader
    )]
    leader: Vec<String>,
    /// By whom the likes are.
    #[arg(long, env = "USER", default_value = "somebody", hide_env_values = true, value_parser = parse_name)]
    name: String,
    /// What `like` likes when it stands by itself.
    #[arg(long, default_value = "tea")]
    id: Id,
    /// Show the totals of these ids instead of all.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    watch: Vec<Id>,
    /// Write a JSON document a line, on a terminal too.
    #[arg(long)]
    json: bool,
    /// Go on showing totals when the input has ended.
    #[arg(long)]
    follow: bool,
    /// How long to wait at the end for what is not acknowledged.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    wait: Duration,
}

fn parse_leader(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty() && !host.contains("//"));
    let good = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    good.then(|| text.to_owned())
        .ok_or_else(|| format!("`{text}` is not an address: write HOST:PORT, like localhost:5001"))
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = text.parse::<By>().map_err(|error| error.to_string())?;
    let length = name.as_str().len();
    (length <= NAME)
        .then(|| text.to_owned())
        .ok_or_else(|| format!("a name has {NAME} bytes at most, and this has {length}"))
}

enum Output {
    Screen(Screen),
    Words,
    Json,
}

struct Client {
    arguments: Arguments,
    book: Book,
    output: Output,
    outgoing: Option<(String, mpsc::Sender<String>)>,
    /// `totals` was typed, and not answered yet.
    asked: bool,
    dirty: bool,
    said: Option<String>,
}

/// Until `quit`, the end of the input, or a signal.
pub async fn main(arguments: Arguments) -> ExitCode {
    let terminal = io::stdout().is_terminal() && io::stdin().is_terminal() && !arguments.json;
    let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
    let output = if terminal {
        Screen::new(format!("likes of {}", lines::plain(&arguments.name)), colour).map(Output::Screen)
    } else {
        Ok(if arguments.json { Output::Json } else { Output::Words })
    };
    // A person who comes again is another client: requests are numbered from 1.
    let client = format!("{}-{:08x}", arguments.name, rand::random::<u32>());
    let ended = match output {
        Ok(output) => {
            let mut state = Client {
                book: Book::new(arguments.name.clone(), client.clone()),
                arguments,
                output,
                outgoing: None,
                asked: false,
                dirty: true,
                said: None,
            };
            state.run(client).await
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok((code, last)) => {
            if let Some(last) = last {
                eprintln!("{last}");
            }
            code
        }
        // Nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Client {
    async fn run(&mut self, client: String) -> io::Result<(ExitCode, Option<String>)> {
        let (happens, mut events) = mpsc::channel(1024);
        let (fetched, mut totals) = mpsc::channel(1);
        let watch = if self.arguments.watch.is_empty() {
            json!({"watch": "*"})
        } else {
            json!({"watch": self.arguments.watch})
        };
        let leaders = self.arguments.leader.clone();
        tokio::spawn(connection::keep(client, leaders, watch.to_string(), happens));
        let mut input = Some(read_lines());
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut resized = signal(SignalKind::window_change())?;
        let (mut paint, mut again) = (time::interval(PAINT), time::interval(AGAIN));
        let mut deadline = None;
        self.paint(true)?;
        loop {
            if let Some(until) = deadline
                && ((self.book.unanswered() == 0 && !self.asked) || time::Instant::now() >= until)
            {
                return Ok(self.end());
            }
            let typed = async {
                match &mut input {
                    Some(input) => input.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                line = typed => {
                    let ends = match line {
                        Some(line) => self.typed(&line)?,
                        None => !self.arguments.follow,
                    };
                    if ends {
                        input = None;
                        deadline = Some(time::Instant::now() + self.arguments.wait);
                    }
                    self.paint(true)?;
                }
                Some(event) = events.recv() => self.happened(event)?,
                Some(found) = totals.recv() => self.found(found)?,
                _ = again.tick() => {
                    for text in self.book.waiting() {
                        self.send(text);
                    }
                    if self.asked && let Some((address, _)) = &self.outgoing {
                        tokio::spawn(fetch(address.clone(), fetched.clone()));
                    }
                }
                _ = paint.tick() => self.paint(false)?,
                _ = resized.recv() => self.paint(true)?,
                _ = interrupt.recv() => return Ok(self.end()),
                _ = terminate.recv() => return Ok(self.end()),
            }
        }
    }

    /// Whether that was the last.
    fn typed(&mut self, line: &str) -> io::Result<bool> {
        let usual = || self.arguments.id.clone();
        match command::read(line) {
            Ok(Command::Like(id)) => {
                let text = self.book.like(id.unwrap_or_else(usual), 1);
                self.send(text);
            }
            Ok(Command::Unlike(id)) => {
                let text = self.book.like(id.unwrap_or_else(usual), -1);
                self.send(text);
            }
            Ok(Command::Totals) => self.asked = true,
            Ok(Command::Help) => self.show(&News::Note(command::HELP.to_owned()))?,
            Ok(Command::Quit) => return Ok(true),
            Ok(Command::Nothing) => {}
            Err(error) => self.show(&News::Note(error.to_string()))?,
        }
        self.dirty = true;
        Ok(false)
    }

    fn send(&self, text: String) {
        // What finds no room is sent with everything else when the node is found again, or is not taken now.
        if let Some((_, outgoing)) = &self.outgoing {
            let _ = outgoing.try_send(text);
        }
    }

    fn happened(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Connected(assignment, outgoing) => {
                self.outgoing = Some((assignment.address.clone(), outgoing));
                self.said = None;
                for text in self.book.again() {
                    self.send(text);
                }
                self.show(&News::Connected {
                    node: assignment.node.0,
                    address: assignment.address,
                    term: assignment.term,
                })
            }
            Event::Lost(reason) => {
                self.outgoing = None;
                if self.said.as_ref() == Some(&reason) {
                    return Ok(());
                }
                self.said = Some(reason.clone());
                self.show(&News::Disconnected { reason })
            }
            Event::Note(note) => self.show(&News::Note(note)),
            Event::Said(text) => match self.book.told(&text) {
                Some(news) => self.show(&news),
                None => Ok(()),
            },
        }
    }

    fn found(&mut self, totals: Totals) -> io::Result<()> {
        if !std::mem::take(&mut self.asked) {
            return Ok(());
        }
        self.show(&News::Totals(totals.totals))
    }

    fn show(&mut self, news: &News) -> io::Result<()> {
        self.dirty = true;
        match &mut self.output {
            Output::Screen(screen) => {
                screen.news(news, Instant::now());
                Ok(())
            }
            Output::Words => lines::words(&mut io::stdout().lock(), news),
            Output::Json => lines::json(&mut io::stdout().lock(), news),
        }
    }

    fn paint(&mut self, typed: bool) -> io::Result<()> {
        if let Output::Screen(screen) = &mut self.output
            && (screen.fades(Instant::now()) || self.dirty || typed)
        {
            screen.paint(&self.book, typed)?;
        }
        self.dirty = false;
        Ok(())
    }

    fn end(&self) -> (ExitCode, Option<String>) {
        let (unknown, refused) = (self.book.unanswered(), self.book.refused);
        let code = if unknown == 0 && refused == 0 && !self.asked {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
        let mut words = vec![format!("{} acknowledged", self.book.acknowledged)];
        if refused > 0 {
            words.push(format!("{refused} refused"));
        }
        if unknown > 0 {
            words.push(format!("of {unknown} it is not known whether they were counted"));
        }
        if self.asked {
            words.push("no node to ask for totals".to_owned());
        }
        let silent = code == ExitCode::SUCCESS && !matches!(self.output, Output::Screen(_));
        (code, (!silent).then(|| words.join(", ")))
    }
}

async fn fetch(address: String, fetched: mpsc::Sender<Totals>) {
    let path = format!("/totals?limit={TOTALS}");
    if let Ok(answer) = leader::get(&address, &path, false).await
        && let Ok(totals) = serde_json::from_slice(&answer.body)
    {
        let _ = fetched.send(totals).await;
    }
}

/// A thread of its own: nothing else can wait for a line and be left alone when the process ends.
fn read_lines() -> mpsc::Receiver<String> {
    let (lines, input) = mpsc::channel(256);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let Ok(line) = line else { return };
            if lines
                .blocking_send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    input
}
