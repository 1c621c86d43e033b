//! Gateways in front of counter nodes, and the clients that look at them.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::{Method, header::AUTHORIZATION};
use serde_json::Value;
use synccluster_gateway::{
    access::Access,
    app::App,
    counters::{self, Counters},
    sites::Sites,
};
use synccluster_harness::{eventually, repository, socketio};
use synccluster_integration::{
    counter::{Nodes, PATIENCE},
    gateway::Gateway,
    http::Answer,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

pub const NODE: &str = env!("CARGO_BIN_EXE_counter_node");
pub const EDITOR: &str = "editor-token-0123456789";
pub const VIEWER: &str = "viewer-token-0123456789";

/// Secrets of a test; gone when dropped.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("synccluster-gateway-counters-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("token"), EDITOR)?;
        fs::write(folder.join("viewer-token"), VIEWER)?;
        Ok(Self(folder))
    }

    /// A gateway that knows these nodes, if there are some.
    pub async fn gateway(&self, kafka: &str, nodes: Option<&Nodes>) -> Result<Gateway> {
        start(self.app(kafka)?, nodes).await
    }

    /// What a gateway is made of.
    pub fn app(&self, kafka: &str) -> Result<App> {
        let mut app = App::new("demo".parse()?, Sites::new([].into()), kafka.to_owned());
        app.access = Access::guarded("demo".parse()?, Some(self.0.clone()), None)?;
        Ok(app)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Serves this in front of these nodes; it asks the first of them which there are.
pub async fn start(mut app: App, nodes: Option<&Nodes>) -> Result<Gateway> {
    if let Some(first) = nodes.and_then(|nodes| nodes.nodes.first()) {
        let (clients, leader) = (first.clients.to_string().parse()?, first.leader.to_string().parse()?);
        app.counters = Some(Counters::new(&app.cluster, clients, Some(leader)));
    }
    serve(app).await
}

/// Serves this, as `synccluster-gateway run` does.
pub async fn serve(app: App) -> Result<Gateway> {
    let gateway = Gateway::serve(app).await?;
    tokio::spawn(counters::run(Arc::clone(&gateway.app)));
    Ok(gateway)
}

/// A request with a token.
pub async fn ask(gateway: &Gateway, token: &str, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    gateway.send(method, path, &[(AUTHORIZATION, &bearer)], body).await
}

/// Waits until a leader tells the gateway that all of these nodes live: where whose likes go does not change then.
pub async fn settled(gateway: &Gateway, nodes: &Nodes) -> Result<()> {
    eventually(PATIENCE, async || {
        let document = ask(gateway, VIEWER, Method::GET, "/api/v1/counters", None)
            .await?
            .ok()?;
        let listed = document["nodes"].as_array().context("no nodes")?;
        let alive = listed.iter().filter(|node| node["alive"] == true).count();
        ensure!(alive == nodes.nodes.len() && document["leader"].is_u64(), "{document}");
        Ok(())
    })
    .await
}

/// A client of tests/socketio/counters.py, and what it has been told.
pub struct Client {
    child: Child,
    name: String,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// By the window's minutes, id and start: the states in which it was told, in order.
    windows: BTreeMap<(i64, String, i64), Vec<Value>>,
    /// What it said otherwise.
    said: Vec<String>,
    ended: bool,
}

impl Client {
    pub fn run(gateway: &Gateway, scenario: &str, transports: &str) -> Result<Self> {
        let parts = socketio()?;
        let script = repository("tests/socketio/counters.py")?;
        let mut child = Command::new(parts.join("venv/bin/python"))
            .arg(script)
            .args([scenario, &format!("http://{}", gateway.address), VIEWER, transports])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let told = Arc::<Mutex<Told>>::default();
        let telling = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                telling.lock().unwrap_or_else(PoisonError::into_inner).hear(line);
            }
            telling.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        });
        let name = format!("{scenario} over {transports}");
        Ok(Self { child, name, told })
    }

    /// What the windows of so many minutes count of an id together, by the last state of each that was told.
    pub fn counted(&self, minutes: i64, id: &str) -> i64 {
        let states = self.states(minutes, id);
        let last = states.iter().filter_map(|states| states.last());
        last.map(|state| state["count"].as_i64().unwrap_or_default() + state["late"].as_i64().unwrap_or_default())
            .sum()
    }

    /// By window, the states in which it was told.
    pub fn states(&self, minutes: i64, id: &str) -> Vec<Vec<Value>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = told
            .windows
            .iter()
            .filter(|((size, of, _), _)| *size == minutes && of == id);
        mine.map(|(_, states)| states.clone()).collect()
    }

    /// Waits until it has been told something about this id in windows of so many minutes.
    pub async fn listens(&self, minutes: i64, id: &str) -> Result<()> {
        eventually(PATIENCE, async || {
            ensure!(
                !self.states(minutes, id).is_empty(),
                "{}: nothing of {id} in {minutes} min",
                self.name
            );
            Ok(())
        })
        .await
    }

    /// Waits until the windows of all sizes that it asked for count so much.
    pub async fn counts(&self, sizes: &[i64], id: &str, expected: i64) -> Result<()> {
        eventually(PATIENCE, async || {
            for minutes in sizes {
                let counted = self.counted(*minutes, id);
                ensure!(
                    counted == expected,
                    "{}: {id} has {counted} in {minutes} min, not {expected}",
                    self.name
                );
            }
            Ok(())
        })
        .await
    }

    /// It has nothing to object to.
    pub async fn done(mut self) -> Result<()> {
        let status = timeout(Duration::from_mins(4), self.child.wait()).await??;
        ensure!(status.success(), "{} ended with {status}", self.name);
        eventually(PATIENCE, async || {
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            ensure!(
                told.ended && told.said.last().is_some_and(|line| line == "done"),
                "{}: {:?}",
                self.name,
                told.said
            );
            Ok(())
        })
        .await
    }
}

impl Told {
    fn hear(&mut self, line: String) {
        let mut words = line.splitn(3, ' ');
        let (word, minutes, json) = (words.next(), words.next(), words.next());
        let heard = || -> Option<((i64, String, i64), Value)> {
            let state: Value = serde_json::from_str(json?).ok()?;
            let (id, start) = (state["id"].as_str()?.to_owned(), state["window_start"].as_i64()?);
            Some(((minutes?.parse().ok()?, id, start), state))
        };
        match heard() {
            Some((key, state)) if word == Some("live") => self.windows.entry(key).or_default().push(state),
            _ => self.said.push(line),
        }
    }
}
