//! The counter nodes themselves.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::likes::{Totals, Which, path_of_totals};
use crate::{
    app::{App, Shared},
    counters::{
        node::{self, Address, Answer},
        nodes::{self, Node},
        window::Window,
    },
    extract::Segments,
    kubernetes::Seen,
    problem::Problem,
};

/// The routes of counter nodes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(nodes)).routes(routes!(totals_at))
}

/// The counter nodes of the cluster.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(super) struct Document {
    /// As their leader knows them; empty while it cannot be asked.
    nodes: Vec<Node>,
    /// Who leads; null while nobody does, or it is not known.
    leader: Option<u16>,
    /// Why the leader could not be asked; null if it answered.
    unreachable: Option<String>,
    /// The digest that all nodes have, while they know the same; null otherwise, and while it is not measured.
    digest: Option<String>,
    /// The windows that are counted, of those that the gateway shows.
    windows: Vec<Window>,
    /// `status.counters` of the SyncCluster as it is: what the operator measured at each node. Empty outside Kubernetes.
    #[schema(value_type = Vec<Object>)]
    measured: Vec<Value>,
}

/// The counter nodes, who leads them, and whether they know the same
#[utoipa::path(get, path = "/api/v1/counters", tag = "counters", operation_id = "counters", responses(
    (status = 200, description = "The nodes, as far as they can be seen.", body = Document),
    (status = 404, description = "The cluster has no counter nodes (`counters-off`).", body = Problem, content_type = "application/problem+json"),
))]
async fn nodes(State(app): State<Shared>) -> Result<Json<Document>, Problem> {
    let counters = app.counters()?;
    let mut document = Document {
        measured: measured(&app),
        windows: counters.windows().iter().copied().collect(),
        ..Document::default()
    };
    document.digest = same_digest(&document.measured);
    match nodes::known(&counters.leader).await {
        Ok(nodes) => document.nodes = nodes,
        Err(why) => document.unreachable = Some(why),
    }
    document.leader = document.nodes.iter().find(|node| node.leader).map(|node| node.ordinal);
    Ok(Json(document))
}

/// What ids have, as this node knows it: a node that is cut off knows less, or more
#[utoipa::path(get, path = "/api/v1/counters/{node}/totals", tag = "counters", operation_id = "totals_at",
    params(("node" = u16, Path, description = "Its ordinal."), Which), responses(
    (status = 200, description = "Totals.", body = Totals),
    (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such node (`unknown-node`), or none at all (`counters-off`).", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The node does not answer, or nobody says where it is.", body = Problem, content_type = "application/problem+json"),
))]
async fn totals_at(
    State(app): State<Shared>,
    Segments(node): Segments<u16>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    let nodes = nodes::known(&app.counters()?.leader)
        .await
        .map_err(|why| Problem::unavailable("counter-unreachable", "Counter node unreachable", why))?;
    let found = nodes.iter().find(|known| known.ordinal == node).ok_or_else(|| {
        let known: Vec<_> = nodes.iter().map(|known| known.ordinal.to_string()).collect();
        let detail = format!("there is no counter node {node}; there are {}", known.join(", "));
        Problem::not_found("unknown-node", "Unknown node", detail)
    })?;
    let address = found.address.as_deref().unwrap_or_default();
    let address: Address = address.parse().map_err(|error: node::BadAddress| {
        let detail = format!("the leader does not know where node {node} is: {error}");
        Problem::unavailable("counter-unreachable", "Counter node unreachable", detail)
    })?;
    Ok(node::get(&address, &path_of_totals(query)).await?)
}

fn measured(app: &App) -> Vec<Value> {
    let Some(kubernetes) = &app.kubernetes else {
        return Vec::new();
    };
    match &*kubernetes.seen().borrow() {
        Seen::Cluster(cluster) => cluster.counters.clone(),
        _ => Vec::new(),
    }
}

fn same_digest(measured: &[Value]) -> Option<String> {
    let digest = |node: &Value| node["digest"].as_str().map(str::to_owned);
    let first = digest(measured.first()?)?;
    measured
        .iter()
        .all(|node| digest(node).as_ref() == Some(&first))
        .then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_is_shown_while_all_have_it() {
        assert_eq!(same_digest(&[]), None);
        let (one, other) = (json!({"digest": "a"}), json!({"digest": "b"}));
        assert_eq!(same_digest(&[one.clone(), one.clone()]).as_deref(), Some("a"));
        assert_eq!(same_digest(&[one.clone(), other]), None);
        assert_eq!(same_digest(&[one, json!({})]), None);
    }
}
