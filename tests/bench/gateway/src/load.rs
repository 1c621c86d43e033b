//! Many clients in one thread, who take what they are sent and look at the clock.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    server::{Server, usage},
    wire,
};

/// Runs before what is measured.
const WARM: Duration = Duration::from_secs(1);
/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let poll = Poll::new()?;
    let mut clients = Vec::with_capacity(plan.clients);
    for number in 0..plan.clients {
        let mut stream = connect(server.web).with_context(|| format!("client {number}"))?;
        poll.registry()
            .register(&mut stream, Token(number), Interest::READABLE)?;
        clients.push(Client {
            stream,
            rest: Vec::new(),
        });
    }
    let control = net::TcpStream::connect(("127.0.0.1", server.control))?;
    control.set_nodelay(true)?;
    Load {
        clients,
        poll,
        control,
        began: Instant::now(),
        sent: 0,
        reached: HashMap::new(),
        latencies: Vec::new(),
    }
    .measure(server, plan.window, time)
}

fn connect(port: u16) -> Result<TcpStream> {
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
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

/// Reads until a frame with a text like this has come, and nothing is behind it.
fn await_text(stream: &mut net::TcpStream, text: &str) -> Result<()> {
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

struct Load {
    clients: Vec<Client>,
    poll: Poll,
    control: net::TcpStream,
    began: Instant,
    sent: u64,
    /// How many clients an event has reached.
    reached: HashMap<u64, usize>,
    /// In microseconds, of what is measured.
    latencies: Vec<u32>,
}

impl Load {
    fn measure(mut self, server: &Server, window: u64, time: Duration) -> Result<Seen> {
        for _ in 0..window {
            self.send()?;
        }
        self.turn_until(WARM)?;
        self.latencies.clear();
        let (before, mine, began) = (server.usage()?, usage(std::process::id())?, self.began.elapsed());
        self.turn_until(began + time)?;
        let (after, mine_after) = (server.usage()?, usage(std::process::id())?);
        let seconds = self.began.elapsed().saturating_sub(began).as_secs_f64();
        self.latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let delivered = self.latencies.len() as f64;
        ensure!(delivered > 0.0, "nothing was delivered");
        let at = |part: usize| f64::from(self.latencies[(self.latencies.len() - 1) * part / 100]) / 1000.0;
        Ok(Seen {
            rate: delivered / seconds,
            p50: at(50),
            p99: at(99),
            per_cpu_second: delivered / (after.cpu - before.cpu),
            server_cores: (after.cpu - before.cpu) / seconds,
            clients_cores: (mine_after.cpu - mine.cpu) / seconds,
            peak_mb: after.peak_mb,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn send(&mut self) -> Result<()> {
        let line = wire::argument(self.sent, self.now()) + "\n";
        self.sent += 1;
        Ok(self.control.write_all(line.as_bytes())?)
    }

    fn turn_until(&mut self, end: Duration) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        while self.began.elapsed() < end {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                bail!("nothing came for {PATIENCE:?}; on the way were {:?}", self.reached);
            }
            for event in &events {
                self.take(event.token().0, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Everything that a client can read.
    fn take(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        loop {
            let client = &mut self.clients[number];
            let size = match client.stream.read(buffer) {
                Ok(0) => bail!("client {number} was disconnected"),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut rest = std::mem::take(&mut client.rest);
            let mut data: &[u8] = if rest.is_empty() {
                &buffer[..size]
            } else {
                rest.extend_from_slice(&buffer[..size]);
                &rest
            };
            let now = self.now();
            while let Some((text, length)) = wire::first(data) {
                if text.starts_with(wire::EVENT) {
                    self.delivered(text, now)?;
                } else if text == wire::PING {
                    self.clients[number].stream.write_all(&wire::masked("3"))?;
                }
                data = &data[length..];
            }
            self.clients[number].rest = data.to_vec();
            if size < buffer.len() {
                return Ok(());
            }
        }
    }

    fn delivered(&mut self, text: &[u8], now: u64) -> Result<()> {
        let (event, sent) = wire::read(text).with_context(|| String::from_utf8_lossy(text).into_owned())?;
        self.latencies
            .push(u32::try_from(now.saturating_sub(sent) / 1000).unwrap_or(u32::MAX));
        let reached = self.reached.entry(event).or_default();
        *reached += 1;
        if *reached == self.clients.len() {
            self.reached.remove(&event);
            self.send()?;
        }
        Ok(())
    }
}
