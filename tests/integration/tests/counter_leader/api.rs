//! A small server that treats Leases as the Kubernetes API does: every write has a new resourceVersion, and one that names another
//! version than the current is a conflict.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use synccluster_harness::{Link, Proxy};
use tokio::{net::TcpListener, time::sleep};

use super::locked;

/// Later than any node waits for an answer.
const LATE: Duration = Duration::from_secs(1);

/// What becomes of a write that has no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It comes to nothing.
    Write,
    /// It is done.
    Answer,
}

/// What it has.
#[derive(Default)]
pub struct Objects {
    leases: BTreeMap<String, Value>,
    version: u64,
    made: bool,
    lose: Option<Lost>,
    /// Conflicts it has answered.
    pub conflicts: usize,
    /// Every holder and term that was written, in order.
    pub held: Vec<(Option<String>, i64)>,
}

type Shared = Arc<Mutex<Objects>>;

/// The server, and a way to it for each node.
pub struct Api {
    objects: Shared,
    ways: Vec<Proxy>,
    folder: PathBuf,
}

impl Api {
    /// With ways for so many nodes.
    pub async fn start(nodes: usize) -> Result<Self> {
        let objects = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases";
        let app = Router::new()
            .route(leases, post(create))
            .route(&format!("{leases}/{{name}}"), get(read).put(replace))
            .with_state(Arc::clone(&objects));
        tokio::spawn(async { axum::serve(listener, app).await });
        let folder = std::env::temp_dir().join(format!("synccluster-kubernetes-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder)?;
        let mut ways = Vec::new();
        for node in 0..nodes {
            let way = Proxy::start(address).await?;
            std::fs::write(folder.join(node.to_string()), kubeconfig(way.address()))?;
            ways.push(way);
        }
        Ok(Self { objects, ways, folder })
    }

    /// KUBECONFIG of a node, with `{}` for its ordinal.
    pub fn kubeconfig(&self) -> String {
        format!("{}/{{}}", self.folder.display())
    }

    /// Cuts a node from the API, or mends that.
    pub async fn cut(&self, node: usize, link: Link) -> Result<()> {
        self.ways[node].set(link).await
    }

    /// What it has now.
    pub fn objects(&self) -> MutexGuard<'_, Objects> {
        locked(&self.objects)
    }

    /// The Lease is made, and held by nobody: from now on nodes cannot make one.
    pub fn make(&self, name: &str) {
        let mut objects = self.objects();
        objects.made = true;
        objects.store(
            name,
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}),
        );
    }

    /// Somebody else writes a label into the Lease.
    pub fn label(&self, name: &str) {
        let mut objects = self.objects();
        let mut lease = objects.leases[name].clone();
        lease["metadata"]["labels"] = json!({"owner": "somebody"});
        objects.store(name, lease);
    }

    /// The next write has no answer in time.
    pub fn lose(&self, lost: Lost) {
        self.objects().lose = Some(lost);
    }

    /// What was to be lost was.
    pub fn has_lost_it(&self) -> bool {
        self.objects().lose.is_none()
    }

    /// Somebody deletes it.
    pub fn delete(&self, name: &str) {
        self.objects().leases.remove(name);
    }

    /// The Lease.
    pub fn lease(&self, name: &str) -> Value {
        self.objects().leases.get(name).cloned().unwrap_or_default()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Objects {
    fn store(&mut self, name: &str, mut lease: Value) -> Response {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        let spec = &lease["spec"];
        let held = (
            spec["holderIdentity"].as_str().map(str::to_owned),
            spec["leaseTransitions"].as_i64().unwrap_or(0),
        );
        if self.held.last() != Some(&held) {
            self.held.push(held);
        }
        self.leases.insert(name.to_owned(), lease.clone());
        Json(lease).into_response()
    }
}

async fn read(State(shared): State<Shared>, Path((_, name)): Path<(String, String)>) -> Response {
    let objects = locked(&shared);
    match objects.leases.get(&name) {
        Some(lease) => Json(lease).into_response(),
        None => refused(StatusCode::NOT_FOUND, "NotFound"),
    }
}

async fn create(State(shared): State<Shared>, Path(_): Path<String>, Json(lease): Json<Value>) -> Response {
    let mut objects = locked(&shared);
    if objects.made {
        return refused(StatusCode::FORBIDDEN, "Forbidden");
    }
    let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if objects.leases.contains_key(&name) {
        objects.conflicts += 1;
        return refused(StatusCode::CONFLICT, "AlreadyExists");
    }
    if !valid(&lease) || !lease["metadata"]["resourceVersion"].is_null() {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid");
    }
    objects.store(&name, lease)
}

async fn replace(
    State(shared): State<Shared>,
    Path((_, name)): Path<(String, String)>,
    Json(lease): Json<Value>,
) -> Response {
    let lost = locked(&shared).lose.take();
    let answer = if lost == Some(Lost::Write) {
        refused(StatusCode::GATEWAY_TIMEOUT, "Timeout")
    } else {
        replaced(&mut locked(&shared), &name, lease)
    };
    if lost.is_some() {
        sleep(LATE).await;
    }
    answer
}

fn replaced(objects: &mut Objects, name: &str, lease: Value) -> Response {
    let Some(current) = objects.leases.get(name) else {
        return refused(StatusCode::NOT_FOUND, "NotFound");
    };
    if !valid(&lease) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid");
    }
    let version = &lease["metadata"]["resourceVersion"];
    // Without a version it is written over whatever is there.
    if !version.is_null() && *version != current["metadata"]["resourceVersion"] {
        objects.conflicts += 1;
        return refused(StatusCode::CONFLICT, "Conflict");
    }
    objects.store(name, lease)
}

/// As `ValidateLeaseSpec` has it.
fn valid(lease: &Value) -> bool {
    let spec = &lease["spec"];
    lease["kind"] == "Lease"
        && spec["leaseDurationSeconds"].as_i64().is_none_or(|seconds| seconds > 0)
        && spec["leaseTransitions"]
            .as_i64()
            .is_none_or(|transitions| transitions >= 0)
        && spec["holderIdentity"] != ""
}

fn refused(status: StatusCode, reason: &str) -> Response {
    let document = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": status.as_u16(),
    });
    (status, Json(document)).into_response()
}

fn kubeconfig(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "lab"}}],
    })
    .to_string()
}
