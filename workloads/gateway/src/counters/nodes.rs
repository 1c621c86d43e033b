//! Which counter nodes there are, by the word of their leader.

use serde::{Deserialize, Serialize};

use super::node::{self, Address};

/// Nodes that are asked who leads, one after another, while those that answer do not know.
const TRIES: usize = 3;

/// A counter node.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub struct Node {
    /// Its ordinal.
    #[serde(rename = "node")]
    pub ordinal: u16,
    /// Where clients find it; null until the leader has heard it.
    pub address: Option<String>,
    /// Whether the leader hears it.
    pub alive: bool,
    /// What it has to do.
    #[serde(default)]
    pub load: Load,
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
}

/// What a node has to do.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Load {
    /// Clients connected to it.
    pub clients: u32,
    /// Likes acknowledged in the last second.
    pub likes_per_second: u32,
}

/// The nodes as their leader knows them, by ordinal; or why it cannot be asked. `leader` leads to any of them: a node that is cut off knows no
/// leader, and another may.
pub async fn known(leader: &Address) -> Result<Vec<Node>, String> {
    let mut known = Err(String::new());
    for _ in 0..TRIES {
        known = ask(leader).await;
        if known.as_ref().is_ok_and(|nodes| nodes.iter().any(|node| node.leader)) {
            break;
        }
    }
    known
}

async fn ask(leader: &Address) -> Result<Vec<Node>, String> {
    let answer = node::get(leader, "/nodes").await.map_err(|error| error.to_string())?;
    let said = || {
        String::from_utf8_lossy(&answer.body)
            .chars()
            .take(300)
            .collect::<String>()
    };
    if !answer.status.is_success() {
        return Err(format!("{leader} answered {}: {}", answer.status, said()));
    }
    let mut nodes: Vec<Node> = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{leader} answered what is no list of nodes ({error}): {}", said()))?;
    nodes.sort_by_key(|node| node.ordinal);
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_leader_says_of_a_node_may_grow() {
        let said = json!([{"node": 1, "address": "demo-counter-1.demo-counter-nodes:5002", "alive": true, "new": 7}]);
        let nodes: Vec<Node> = serde_json::from_value(said).unwrap();
        assert!(nodes[0].alive && !nodes[0].leader && nodes[0].ordinal == 1);
    }
}
