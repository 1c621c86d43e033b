//! What people are told of rows that are sent once more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The annotation that asks for rows to be sent once more: `client-2` for all of a site's, `server/public.todos` for those of one table. The operator
/// removes it when it is done.
pub const RESNAPSHOT_ANNOTATION: &str = "synccluster.dev/resnapshot";

/// What the annotation asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resnapshot {
    /// The annotation's value.
    pub requested: String,
    /// What the request is known by.
    pub id: String,
    /// When the operator first saw it.
    pub since: Option<Time>,
    /// How far it is.
    pub state: ResnapshotState,
    /// How far it is, in words, or why it goes no further, with what to do.
    pub message: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResnapshotState {
    /// The site's connector has not taken it up.
    #[default]
    Waiting,
    /// Rows are being sent.
    Sending,
    /// It cannot be done as it is written.
    Refused,
    /// It does not go on: a table cannot be read, say. It is tried again until it does.
    Failing,
    /// Kafka has every row. The annotation goes.
    Done,
}

/// The rows a site has sent once more, now or last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteSnapshot {
    /// What the request is known by.
    pub id: String,
    /// The table that is being sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Rows that Kafka has, tombstones included.
    pub rows: i64,
    /// Rows there were at the beginning, by Postgres' estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Time>,
    /// When every row was sent; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
}
