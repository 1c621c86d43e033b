//! Totals as clients read them.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{Shared, problem::Problem};
use crate::crdt::{self, Ordinal};

/// Totals of one answer at most.
const MOST: usize = 1000;
/// Without a limit.
const USUAL: usize = 100;

/// What an id has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Of what.
    pub id: String,
    /// Likes less unlikes, over all nodes.
    pub total: i64,
    /// The same by node, as far as this one knows.
    pub nodes: BTreeMap<Ordinal, i64>,
}

impl Total {
    /// What is known of an id; an id nobody has liked has 0.
    pub fn of(state: &crdt::State, id: &str) -> Self {
        let crdt::Total { total, nodes } = state.total(id);
        Self {
            id: id.to_owned(),
            total,
            nodes,
        }
    }
}

/// Some totals.
#[derive(Debug, Serialize, Deserialize)]
pub struct Totals {
    /// Of these ids.
    pub totals: Vec<Total>,
}

/// Either some ids, or those that begin so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    ids: Option<String>,
    #[serde(default)]
    prefix: String,
    limit: Option<usize>,
    after: Option<String>,
}

/// `GET /totals`.
pub async fn totals(
    State(shared): State<Shared>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Totals>, Problem> {
    let Query(which) = which.map_err(|error| Problem::bad_parameter(error.body_text()))?;
    let limit = which.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_parameter(format!("limit is {limit}: write 1 to {MOST}")));
    }
    let state = shared.node.state();
    let totals = match &which.ids {
        Some(_) if !which.prefix.is_empty() || which.after.is_some() => {
            return Err(Problem::bad_parameter(
                "ids stands by itself: leave out prefix and after",
            ));
        }
        Some(ids) => {
            let ids: Vec<_> = ids.split(',').filter(|id| !id.is_empty()).collect();
            if ids.len() > MOST {
                return Err(Problem::bad_parameter(format!(
                    "{} ids: write {MOST} at most",
                    ids.len()
                )));
            }
            ids.into_iter().map(|id| Total::of(&state, id)).collect()
        }
        None => {
            let ids = state.page(&which.prefix, which.after.as_deref(), limit);
            ids.iter().map(|id| Total::of(&state, id.as_str())).collect()
        }
    };
    Ok(Json(Totals { totals }))
}
