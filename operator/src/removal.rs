//! Removes a part of the resource that is done with: a partition whose time is over, an annotation that was followed.

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::SyncCluster;
use crate::names::MANAGER;
use crate::validate::ValidatedCluster;

/// Why it could not be removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The patch could not be written.
    #[error("cannot write the patch that removes {path}: {source}")]
    Patch {
        /// What was to be removed, as a JSON pointer.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The API server did not take it.
    #[error("cannot remove {path} of {name}: {source}")]
    Call {
        /// What was to be removed, as a JSON pointer.
        path: String,
        /// The resource.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// The resource that was looked at.
pub struct Seen {
    namespace: String,
    name: String,
    uid: String,
}

impl From<&ValidatedCluster> for Seen {
    fn from(cluster: &ValidatedCluster) -> Self {
        Self {
            namespace: cluster.namespace.clone(),
            name: cluster.name.to_string(),
            uid: cluster.uid.clone(),
        }
    }
}

impl From<&SyncCluster> for Seen {
    fn from(cluster: &SyncCluster) -> Self {
        Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: cluster.uid().unwrap_or_default(),
        }
    }
}

/// Removes what `path` (a JSON pointer, RFC 6901) points to, but only of the resource that was looked at, and only while `guard` points to
/// `seen`: what somebody changed meanwhile stays, and is looked at anew.
pub async fn remove(
    client: &Client,
    cluster: impl Into<Seen>,
    path: &str,
    guard: &str,
    seen: &Value,
) -> Result<(), Error> {
    let cluster = cluster.into();
    let guarded = json!([
        { "op": "test", "path": "/metadata/uid", "value": cluster.uid },
        { "op": "test", "path": guard, "value": seen },
        { "op": "remove", "path": path },
    ]);
    let operations = serde_json::from_value(guarded).map_err(|source| Error::Patch {
        path: path.to_owned(),
        source,
    })?;
    let api: Api<SyncCluster> = Api::namespaced(client.clone(), &cluster.namespace);
    let manager = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch_metadata(&cluster.name, &manager, &Patch::<()>::Json(operations))
        .await
    {
        Ok(_) => Ok(()),
        // The test failed, or the resource is gone: what is there now will be looked at.
        Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(()),
        Err(source) => Err(Error::Call {
            path: path.to_owned(),
            name: cluster.name.clone(),
            source: Box::new(source),
        }),
    }
}

/// Removes an annotation that still says `written`.
pub async fn annotation(
    client: &Client,
    cluster: &ValidatedCluster,
    annotation: &str,
    written: &str,
) -> Result<(), Error> {
    let path = format!("/metadata/annotations/{}", annotation.replace('/', "~1"));
    remove(client, cluster, &path, &path, &json!(written)).await
}
