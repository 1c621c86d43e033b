//! Who is cut off: read, cut, heal.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Caller,
    app::Shared,
    extract::Body,
    kubernetes::resource::{Link, Partition},
    problem::Problem,
};

/// Who is to be cut off.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Ordinals of clients: `[2]` cuts client-2.
    #[serde(default)]
    clients: Vec<u16>,
    /// Whether to cut the server as well.
    #[serde(default)]
    server: bool,
    /// Ordinals of the counter nodes to cut, from the others and from Kafka.
    #[serde(default)]
    counters: Vec<u16>,
    /// Which way.
    #[serde(default)]
    link: Link,
    /// For how long, such as `30s`, `5m` or `2h`; without it until it is healed.
    #[serde(default)]
    heal_after: Option<String>,
}

/// Who is cut off.
#[derive(Serialize, utoipa::ToSchema)]
struct Answer {
    /// `spec.partition` of the SyncCluster; null: nobody.
    partition: Option<Partition>,
    /// The command that makes it so.
    kubectl: String,
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(read, cut, heal))
}

/// Who is to be cut off
#[utoipa::path(get, path = "/api/v1/partition", tag = "partition", responses(
    (status = 200, body = Answer),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn read(State(app): State<Shared>) -> Result<Json<Answer>, Problem> {
    let kubernetes = app.kubernetes()?;
    let partition = kubernetes.cluster()?.partition.clone();
    let kubectl = kubernetes.kubectl(partition.as_ref());
    Ok(Json(Answer { partition, kubectl }))
}

/// Cuts sites off, instead of whoever was before
#[utoipa::path(put, path = "/api/v1/partition", tag = "partition", request_body = Wanted, responses(
    (status = 200, body = Answer),
    (status = 403, description = "A viewer may not (`read-only`), a page of somebody else asks (`cross-site`), or Kubernetes lets the gateway not (`refused`)", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Somebody else changed it at the same moment", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Kubernetes refuses it", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn cut(State(app): State<Shared>, caller: Caller, Body(wanted): Body<Wanted>) -> Result<Json<Answer>, Problem> {
    let partition = Partition {
        clients: wanted.clients,
        server: wanted.server,
        counters: wanted.counters,
        link: wanted.link,
        heal_after: wanted.heal_after,
    };
    set(&app, &caller, Some(&partition)).await
}

/// Heals: nobody is cut off any more
#[utoipa::path(delete, path = "/api/v1/partition", tag = "partition", responses(
    (status = 200, body = Answer),
    (status = 403, description = "A viewer may not (`read-only`), a page of somebody else asks (`cross-site`), or Kubernetes lets the gateway not (`refused`)", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Somebody else changed it at the same moment", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Kubernetes refuses it", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn heal(State(app): State<Shared>, caller: Caller) -> Result<Json<Answer>, Problem> {
    set(&app, &caller, None).await
}

async fn set(app: &Shared, caller: &Caller, wanted: Option<&Partition>) -> Result<Json<Answer>, Problem> {
    let kubernetes = app.kubernetes()?;
    let partition = kubernetes.partition(wanted).await?;
    tracing::info!(by = caller.name, ?partition, "spec.partition was set");
    let kubectl = kubernetes.kubectl(partition.as_ref());
    Ok(Json(Answer { partition, kubectl }))
}
