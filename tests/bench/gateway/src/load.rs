//! Many clients in as many threads as there are processors, who take what they are sent and look at the clock. One thread alone would be what
//! limits a server that uses more than one.

use std::{
    io::{ErrorKind, Read, Write},
    net,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    server::{Server, usage},
    wire,
};

/// Runs before what is measured.
const WARM: Duration = Duration::from_secs(1);
/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a thread that is sent nothing looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// What comes within this is read at once. Clients that wake for every message would take from the server what they need themselves: the
/// processors are the same.
const GATHER: Duration = Duration::from_micros(200);
/// More than events are on the way at once.
const SLOTS: usize = 64;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plan {
    /// Clients.
    pub clients: usize,
    /// Events on the way at once: a further one is handed in when one has reached the last client.
    pub window: u64,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Delivered per second.
    pub rate: f64,
    /// From handing an event in to reading it at a client, in milliseconds.
    pub p50: f64,
    /// The same.
    pub p99: f64,
    /// Delivered per second of the server's processor time.
    pub per_cpu_second: f64,
    /// Processors that the server used.
    pub server_cores: f64,
    /// Processors that the clients used.
    pub clients_cores: f64,
    /// The server's peak.
    pub peak_mb: f64,
}

struct Client {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
}

/// Connects the clients and measures for as long as that.
pub fn run(server: &Server, plan: Plan, time: Duration) -> Result<Seen> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut shards = Vec::new();
    for _ in 0..threads {
        shards.push(Shard {
            clients: Vec::new(),
            poll: Poll::new()?,
            latencies: Vec::new(),
        });
    }
    for number in 0..plan.clients {
        let stream = session(server.web).with_context(|| format!("client {number}"))?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let Shard { clients, poll, .. } = &mut shards[number % threads];
        poll.registry()
            .register(&mut stream, Token(clients.len()), Interest::READABLE)?;
        clients.push(Client {
            stream,
            rest: Vec::new(),
        });
    }
    let control = net::TcpStream::connect(("127.0.0.1", server.control))?;
    control.set_nodelay(true)?;
    let load = Load {
        clients: plan.clients,
        control: Mutex::new(control),
        began: Instant::now(),
        sent: AtomicU64::new(0),
        reached: [const { AtomicUsize::new(0) }; SLOTS],
        is_measured: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    };
    ensure!(plan.window < SLOTS as u64, "fewer than {SLOTS} can be on the way");
    for _ in 0..plan.window {
        load.send()?;
    }
    thread::scope(|scope| {
        let mut running = Vec::new();
        for shard in shards {
            running.push(scope.spawn(|| {
                let latencies = shard.run(&load);
                // Nobody is left to wait for what one has missed.
                load.is_over.store(true, Ordering::Relaxed);
                latencies
            }));
        }
        let measured = load.measure(server, time);
        let mut latencies = Vec::new();
        for thread in running {
            latencies.extend(
                thread
                    .join()
                    .map_err(|_| anyhow!("a thread of the clients panicked"))??,
            );
        }
        measured?.seen(latencies)
    })
}

/// Connects and subscribes.
pub fn session(port: u16) -> Result<net::TcpStream> {
    let mut stream = net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    await_text(&mut stream, "0{")?;
    stream.write_all(&wire::masked("40/sites,"))?;
    await_text(&mut stream, "40/sites,")?;
    stream.write_all(&wire::masked(r#"42/sites,0["subscribe",{"tables":["public.todos"]}]"#))?;
    await_text(&mut stream, r#"43/sites,0[{"ok":true"#)?;
    Ok(stream)
}

/// Reads until a frame with a text like this has come, and nothing is behind it.
pub fn await_text(stream: &mut net::TcpStream, text: &str) -> Result<()> {
    let mut got = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let size = stream.read(&mut buffer)?;
        let so_far = || String::from_utf8_lossy(&got).into_owned();
        ensure!(size > 0, "closed instead of {text}, after {}", so_far());
        got.extend_from_slice(&buffer[..size]);
        let head = got
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .map_or(0, |end| end + 4);
        let mut data = &got[head..];
        let mut found = false;
        while let Some((frame, length)) = wire::first(data) {
            found |= frame.starts_with(text.as_bytes());
            data = &data[length..];
        }
        if found && data.is_empty() {
            return Ok(());
        }
    }
}

/// What all threads of the clients know.
struct Load {
    clients: usize,
    control: Mutex<net::TcpStream>,
    began: Instant,
    sent: AtomicU64,
    /// How many clients an event has reached; of those on the way each has its own.
    reached: [AtomicUsize; SLOTS],
    is_measured: AtomicBool,
    is_over: AtomicBool,
}

/// What was used while it was measured.
struct Measured {
    seconds: f64,
    server_seconds: f64,
    clients_seconds: f64,
    peak_mb: f64,
}

impl Load {
    /// Lets the threads warm up, then measure, and ends them.
    fn measure(&self, server: &Server, time: Duration) -> Result<Measured> {
        self.wait(WARM);
        let (before, mine) = (server.usage()?, usage(std::process::id())?);
        let began = Instant::now();
        self.is_measured.store(true, Ordering::Relaxed);
        self.wait(time);
        self.is_measured.store(false, Ordering::Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        let (after, mine_after) = (server.usage()?, usage(std::process::id())?);
        self.is_over.store(true, Ordering::Relaxed);
        Ok(Measured {
            seconds,
            server_seconds: after.cpu - before.cpu,
            clients_seconds: mine_after.cpu - mine.cpu,
            peak_mb: after.peak_mb,
        })
    }

    /// Less long if a thread has failed.
    fn wait(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time && !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(LOOK.min(time.saturating_sub(began.elapsed())));
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn send(&self) -> Result<()> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let line = wire::argument(number, self.now()) + "\n";
        Ok(control.write_all(line.as_bytes())?)
    }

    /// A client has read this event; the last one hands in the next.
    fn reached(&self, event: u64) -> Result<()> {
        let slot = usize::try_from(event % SLOTS as u64)?;
        let reached = &self.reached[slot];
        if reached.fetch_add(1, Ordering::Relaxed) + 1 == self.clients {
            reached.store(0, Ordering::Relaxed);
            self.send()?;
        }
        Ok(())
    }
}

impl Measured {
    fn seen(self, mut latencies: Vec<u32>) -> Result<Seen> {
        latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let delivered = latencies.len() as f64;
        ensure!(delivered > 0.0, "nothing was delivered");
        let at = |part: usize| f64::from(latencies[(latencies.len() - 1) * part / 100]) / 1000.0;
        Ok(Seen {
            rate: delivered / self.seconds,
            p50: at(50),
            p99: at(99),
            per_cpu_second: delivered / self.server_seconds,
            server_cores: self.server_seconds / self.seconds,
            clients_cores: self.clients_seconds / self.seconds,
            peak_mb: self.peak_mb,
        })
    }
}

/// The clients of one thread.
struct Shard {
    clients: Vec<Client>,
    poll: Poll,
    /// In microseconds, of what is measured.
    latencies: Vec<u32>,
}

impl Shard {
    fn run(mut self, load: &Load) -> Result<Vec<u32>> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        let mut last = Instant::now();
        while !load.is_over.load(Ordering::Relaxed) {
            self.poll.poll(&mut events, Some(LOOK))?;
            if events.is_empty() {
                ensure!(last.elapsed() < PATIENCE, "nothing came for {PATIENCE:?}");
                continue;
            }
            last = Instant::now();
            for event in &events {
                self.take(load, event.token().0, &mut buffer)?;
            }
            thread::sleep(GATHER);
        }
        Ok(self.latencies)
    }

    /// Everything that a client can read.
    fn take(&mut self, load: &Load, number: usize, buffer: &mut [u8]) -> Result<()> {
        let Client { stream, rest } = &mut self.clients[number];
        loop {
            let size = match stream.read(buffer) {
                Ok(0) => bail!("a client was disconnected"),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let before = std::mem::take(rest);
            let joined;
            let mut data = if before.is_empty() {
                &buffer[..size]
            } else {
                joined = [&before, &buffer[..size]].concat();
                &joined[..]
            };
            let now = load.now();
            while let Some((text, length)) = wire::first(data) {
                if text.starts_with(wire::EVENT) {
                    let (event, sent) = wire::read(text).with_context(|| String::from_utf8_lossy(text).into_owned())?;
                    if load.is_measured.load(Ordering::Relaxed) {
                        let micros = now.saturating_sub(sent) / 1000;
                        self.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
                    }
                    load.reached(event)?;
                } else if text == wire::PING {
                    stream.write_all(&wire::masked("3"))?;
                }
                data = &data[length..];
            }
            *rest = data.to_vec();
            if size < buffer.len() {
                return Ok(());
            }
        }
    }
}
