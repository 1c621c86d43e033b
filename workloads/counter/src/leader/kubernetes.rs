//! The Lease at the Kubernetes API.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::coordination::v1::Lease as Object, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Leader, clock,
    lease::{Elector, LEASE, Outcome, Record, Step, Write},
    locked, term,
};

/// An answer that is not here by then is not waited for.
const ANSWER: Duration = Duration::from_millis(700);
/// Whether a majority is heard is looked at so often at least.
const LONGEST: Duration = Duration::from_millis(100);
/// Between two tries after something went wrong.
const RETRY: Duration = Duration::from_millis(100);

/// One Lease.
pub struct Lease {
    api: Api<Object>,
    name: String,
    elector: Mutex<Elector>,
    /// As it was read or written last: what others have put beside, like labels, stays.
    last: Mutex<Option<Object>>,
}

impl Lease {
    /// In this namespace, or that of the service account.
    pub async fn new(name: String, namespace: Option<String>, elector: Elector) -> Result<Self, Error> {
        let client = Client::try_default()
            .await
            .map_err(|error| Error::Kubernetes(Box::new(error)))?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self {
            api: Api::namespaced(client, &namespace),
            name,
            elector: Mutex::new(elector),
            last: Mutex::default(),
        })
    }

    /// The term this node may assign in.
    pub fn leads(&self, now: Duration) -> Option<u64> {
        locked(&self.elector).leads(now)
    }

    async fn read(&self) -> Result<Option<Record>, String> {
        let read = time::timeout(ANSWER, self.api.get_opt(&self.name)).await;
        let read = read.map_err(|_| format!("no answer within {ANSWER:?}"))?;
        let object = read.map_err(|error| error.to_string())?;
        locked(&self.last).clone_from(&object);
        Ok(object.map(record))
    }

    async fn write(&self, write: &Write) -> (Outcome, Option<String>) {
        // It stays, whatever becomes of this write: one whose answer is lost may be followed by one that gives the Lease back, unread.
        let last = locked(&self.last).clone().filter(|_| write.over.is_some());
        let object = object(last.unwrap_or_default(), &self.name, write);
        let params = PostParams::default();
        let writing = async {
            if write.over.is_some() {
                self.api.replace(&self.name, &params, &object).await
            } else {
                self.api.create(&params, &object).await
            }
        };
        match time::timeout(ANSWER, writing).await {
            Ok(Ok(object)) => {
                let version = object.metadata.resource_version.clone().unwrap_or_default();
                *locked(&self.last) = Some(object);
                (Outcome::Written(version), None)
            }
            // Another has written, or the Lease is gone.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => (Outcome::Conflict, None),
            Ok(Err(error)) => (Outcome::Unknown, Some(error.to_string())),
            Err(_) => (Outcome::Unknown, Some(format!("no answer within {ANSWER:?}"))),
        }
    }
}

/// Takes part until `stop`; then what is held is given back.
pub async fn run(leader: &Leader, lease: &Lease, stop: CancellationToken) {
    let elector = &lease.elector;
    let (mut said, mut claimed) = (None, None);
    while !stop.is_cancelled() {
        // What is decided counts from here, should this process stand still before it asks.
        let now = clock::now();
        let next = locked(elector).next(now, leader.highest(), leader.hears_majority());
        let mut error = None;
        let wait = match next {
            Step::Wait(wait) => wait,
            Step::Look => match lease.read().await {
                Ok(record) => {
                    locked(elector).looked(record, clock::now());
                    Duration::ZERO
                }
                Err(failed) => {
                    error = Some(failed);
                    RETRY
                }
            },
            Step::Write(write) => {
                let (outcome, failed) = lease.write(&write).await;
                locked(elector).wrote(write, now, outcome);
                let wait = if failed.is_some() { RETRY } else { Duration::ZERO };
                error = failed;
                wait
            }
        };
        if error.is_some() && error != said {
            tracing::warn!(
                lease = lease.name,
                error = error.as_deref(),
                "the Lease is not in reach"
            );
        }
        said = error;
        let claim = locked(elector).claim(clock::now());
        if claim != claimed {
            tracing::info!(leader = ?claim.map(|claim| claim.leader.0), term = claim.map(|claim| claim.term), "who leads has changed");
            claimed = claim;
            if let Some(claim) = claim.filter(|claim| leader.heard(claim.term))
                && let Err(error) = term::keep(&leader.data, claim).await
            {
                // The Lease knows the term; this is for the day it was deleted.
                tracing::warn!(%error, "the term is not kept");
            }
        }
        leader.members.claim(claim, Instant::now());
        tokio::select! { () = stop.cancelled() => {}, () = time::sleep(wait.min(LONGEST)) => {} }
    }
    leader.members.claim(None, Instant::now());
    let resigned = locked(elector).resign();
    if let Some(write) = resigned {
        give_back(lease, write).await;
    }
    // A renewal whose answer was lost has made another version of it, or what gave it back has had no answer.
    if locked(elector).owes()
        && let Ok(record) = lease.read().await
    {
        locked(elector).looked(record, clock::now());
        let left = locked(elector).give_back();
        if let Some(write) = left {
            give_back(lease, write).await;
        }
    }
}

async fn give_back(lease: &Lease, write: Write) {
    let sent = clock::now();
    let (outcome, _) = lease.write(&write).await;
    tracing::info!(?outcome, "gave the Lease back");
    locked(&lease.elector).wrote(write, sent, outcome);
}

fn record(object: Object) -> Record {
    let spec = object.spec.unwrap_or_default();
    let lasts = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        term: spec
            .lease_transitions
            .and_then(|term| u64::try_from(term).ok())
            .unwrap_or(0),
        lasts: lasts.map_or(LEASE, Duration::from_secs),
        version: object.metadata.resource_version.unwrap_or_default(),
    }
}

/// What is written: the Lease as it was, and who holds it now.
fn object(mut object: Object, name: &str, write: &Write) -> Object {
    let now = Some(MicroTime(Timestamp::now()));
    let metadata = &mut object.metadata;
    metadata.name = Some(name.to_owned());
    metadata.resource_version.clone_from(&write.over);
    metadata.managed_fields = None;
    let spec = object.spec.get_or_insert_default();
    if spec.holder_identity != write.holder {
        spec.acquire_time.clone_from(&now);
    }
    spec.renew_time = now;
    spec.holder_identity.clone_from(&write.holder);
    spec.lease_duration_seconds = i32::try_from(LEASE.as_secs()).ok();
    spec.lease_transitions = i32::try_from(write.term).ok();
    object
}
