//! Putting a rendered ruleset in force.

use crate::{
    command::{CommandError, run},
    render::TABLE,
};

/// Replace the table, whole or not at all: on an error what was in force stays in force.
pub async fn apply(script: &str) -> Result<(), CommandError> {
    run("nft", &["-f", "-"], script).await.map(drop)
}

/// Is the table still there? Somebody may have flushed all rulesets of the node.
pub async fn in_force() -> bool {
    run("nft", &["--terse", "list", "table", "ip", TABLE], "").await.is_ok()
}
