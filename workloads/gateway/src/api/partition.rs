//! Who is cut off: read, cut, heal.

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap,
        header::{ETAG, IF_MATCH},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::Caller,
    app::Shared,
    extract::Body,
    kubernetes::{
        Kubernetes,
        partition::{Expected, version},
        resource::{Link, Partition},
    },
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
    /// The entity tag of this, without its quotes.
    version: String,
    /// The command that makes it so.
    kubectl: String,
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(read, cut, heal))
}

/// Who is to be cut off
#[utoipa::path(get, path = "/api/v1/partition", tag = "partition", responses(
    (status = 200, description = "Who it is; the ETag is `version`.", body = Answer, headers(("ETag" = String))),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn read(State(app): State<Shared>) -> Result<Response, Problem> {
    let kubernetes = app.kubernetes()?;
    let partition = kubernetes.cluster()?.partition.clone();
    Ok(answer(kubernetes, partition))
}

/// Cuts sites off, instead of whoever was before
#[utoipa::path(put, path = "/api/v1/partition", tag = "partition", params(
    ("If-Match" = Option<String>, Header, description = "The partition's ETag: nobody is cut if it is another one by now. Without it whatever is there is replaced."),
), request_body = Wanted, responses(
    (status = 200, description = "As it is now.", body = Answer, headers(("ETag" = String))),
    (status = 400, description = "An If-Match that is no ETag (`bad-if-match`), or a body that is no JSON (`bad-json`)", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "A viewer may not (`read-only`), a page of somebody else asks (`cross-site`), or Kubernetes lets the gateway not (`refused`)", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Something else of the SyncCluster was changed each time it was tried; try again", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "Somebody else changed it since it was read; `current` is the partition as it is now, or null, and `version` its ETag", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Kubernetes refuses it", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn cut(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let partition = Partition {
        clients: wanted.clients,
        server: wanted.server,
        counters: wanted.counters,
        link: wanted.link,
        heal_after: wanted.heal_after,
    };
    set(&app, &caller, &headers, Some(&partition)).await
}

/// Heals: nobody is cut off any more
#[utoipa::path(delete, path = "/api/v1/partition", tag = "partition", params(
    ("If-Match" = Option<String>, Header, description = "The partition's ETag: nobody is healed if it is another one by now. Without it everybody is."),
), responses(
    (status = 200, description = "As it is now.", body = Answer, headers(("ETag" = String))),
    (status = 400, description = "An If-Match that is no ETag (`bad-if-match`)", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "A viewer may not (`read-only`), a page of somebody else asks (`cross-site`), or Kubernetes lets the gateway not (`refused`)", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Something else of the SyncCluster was changed each time it was tried; try again", body = Problem, content_type = "application/problem+json"),
    (status = 412, description = "Somebody else changed it since it was read; `current` is the partition as it is now, or null, and `version` its ETag", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Kubernetes refuses it", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "The gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn heal(State(app): State<Shared>, caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    set(&app, &caller, &headers, None).await
}

async fn set(
    app: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    wanted: Option<&Partition>,
) -> Result<Response, Problem> {
    // Bytes that are no text are no version either.
    let expected = Expected::parse(headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or("?")))?;
    let kubernetes = app.kubernetes()?;
    let partition = kubernetes.partition(wanted, expected.as_ref()).await?;
    tracing::info!(by = caller.name, ?partition, "spec.partition was set");
    Ok(answer(kubernetes, partition))
}

fn answer(kubernetes: &Kubernetes, partition: Option<Partition>) -> Response {
    let (version, kubectl) = (version(partition.as_ref()), kubernetes.kubectl(partition.as_ref()));
    let etag = [(ETAG, format!("\"{version}\""))];
    let answer = Answer {
        partition,
        version,
        kubectl,
    };
    (etag, Json(answer)).into_response()
}
