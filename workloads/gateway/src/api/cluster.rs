//! The cluster as a whole, and its sites.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use futures::future;
use serde::Serialize;
use synccluster_protocol::Site;
use synccluster_runtime::postgres::describe;
use tokio::time;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Shared},
    kubernetes::{
        Kubernetes,
        cluster::Cluster,
        site::{Measured, measured},
    },
    problem::Problem,
};

/// How long a site may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a site is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Where concurrent writes meet.
    Server,
    /// One of those that may be offline.
    Client,
}

/// A site, as it answers now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SiteNow {
    /// `server` or `client-<i>`.
    name: String,
    /// What it is.
    role: Kind,
    /// Whether its database answers the gateway; a partition does not keep it from that.
    reachable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Its Postgres, such as `17.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_version: Option<String>,
    /// What the operator last measured there.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Measured>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_unknown: Option<String>,
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(cluster)).routes(routes!(sites))
}

/// The cluster: what its operator states, and whether the sites are the same
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster", responses(
    (status = 200, body = Cluster),
    (status = 404, description = "there is no such SyncCluster", body = Problem, content_type = "application/problem+json"),
    (status = 501, description = "the gateway does not run in Kubernetes", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Kubernetes does not answer", body = Problem, content_type = "application/problem+json"),
))]
async fn cluster(State(app): State<Shared>) -> Result<Json<Arc<Cluster>>, Problem> {
    app.kubernetes()?.cluster().map(Json)
}

/// The sites, the server first: whether their databases answer, and what the operator measured of each
#[utoipa::path(get, path = "/api/v1/sites", tag = "cluster", responses((status = 200, body = Vec<SiteNow>)))]
async fn sites(State(app): State<Shared>) -> Json<Vec<SiteNow>> {
    let cluster = app.kubernetes().and_then(Kubernetes::cluster);
    let asked = app.sites.names().map(|site| ask(&app, site, &cluster));
    Json(future::join_all(asked).await)
}

async fn ask(app: &App, site: Site, cluster: &Result<Arc<Cluster>, Problem>) -> SiteNow {
    let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
    let version = time::timeout(PATIENCE, version(app, site)).await.unwrap_or_else(late);
    let status = match cluster {
        Ok(cluster) => measured(&cluster.sites, &site.to_string())
            .ok_or_else(|| "the operator has not said anything of this site so far".to_owned()),
        Err(problem) => Err(problem.detail.clone()),
    };
    SiteNow {
        name: site.to_string(),
        role: if site == Site::Server {
            Kind::Server
        } else {
            Kind::Client
        },
        reachable: version.is_ok(),
        error: version.as_ref().err().cloned(),
        postgres_version: version.ok(),
        status_unknown: status.as_ref().err().cloned(),
        status: status.ok(),
    }
}

async fn version(app: &App, site: Site) -> Result<String, String> {
    let connection = app.sites.connect(site).await.map_err(|problem| problem.detail)?;
    // A distribution writes its own version after a blank.
    let asked = connection
        .query_one("select split_part(current_setting('server_version'), ' ', 1)", &[])
        .await;
    asked.map(|row| row.get(0)).map_err(|error| describe(&error))
}
