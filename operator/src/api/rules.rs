//! The CEL rules of the resource (`x-kubernetes-validations`). Each message says what to write instead.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A rule and what to tell somebody who breaks it.
pub fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// A whole number of seconds, minutes or hours, at least one of them.
pub fn duration(field: &str, example: &str) -> Value {
    json!([rule(
        "self.matches('^[1-9][0-9]{0,5}(s|m|h)$')",
        &format!("{field} must be a whole number of seconds, minutes or hours such as {example}"),
    )])
}

/// The size of a volume.
pub fn volume_size(field: &str) -> Value {
    json!([rule(
        "isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= 0",
        &format!("{field} must be a quantity of at least 64Mi such as 1Gi"),
    )])
}

/// A volume that exists already cannot get another size or class.
pub fn volume_is_fixed(field: &str) -> Value {
    json!([
        rule(
            "self.size == oldSelf.size",
            &format!(
                "{field}.size cannot be changed after creation: set it back; to grow a volume, edit its PersistentVolumeClaim"
            ),
        ),
        rule(
            "(has(self.class) ? self.class : '') == (has(oldSelf.class) ? oldSelf.class : '')",
            &format!("{field}.class cannot be changed after creation: set it back, or make a new SyncCluster"),
        ),
    ])
}

/// A name in the sense of DNS: of a host, or of an object.
pub fn dns_name(field: &str, what: &str, example: &str) -> Value {
    json!([rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        &format!("{field} must be {what} such as {example}: lower-case letters, digits, dashes and dots"),
    )])
}

/// A topic of Kafka, or the beginning of its name.
pub fn topic(field: &str, example: &str) -> Value {
    json!([rule(
        "self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",
        &format!(
            "{field} must be the name of a topic such as {example}: letters, digits, dots, dashes and underscores"
        ),
    )])
}

/// A container image.
pub fn image(field: &str) -> Value {
    json!([rule(
        "self.matches('^[^ ]+$')",
        &format!(
            "{field} must be an image reference such as registry.example.com/name:tag; leave it out for the operator's default"
        ),
    )])
}

/// Settings of Postgres that the operator must decide itself.
pub fn reserved_parameters() -> Value {
    const RESERVED: [&str; 10] = [
        "listen_addresses",
        "port",
        "wal_level",
        "max_replication_slots",
        "max_wal_senders",
        "max_slot_wal_keep_size",
        "track_commit_timestamp",
        "unix_socket_directories",
        "hba_file",
        "data_directory",
    ];
    let clauses: Vec<String> = RESERVED.iter().map(|name| format!("!('{name}' in self)")).collect();
    json!([rule(
        &clauses.join(" && "),
        &format!(
            "postgres.parameters must not set {}: the operator sets them (postgres.maxSlotWalKeepSize for the size kept for slots)",
            RESERVED.join(", ")
        ),
    )])
}

/// Requests and limits of a container, without the page of explanation Kubernetes gives each quantity.
pub fn resources(_: &mut SchemaGenerator) -> Schema {
    let amounts = |description: &str| {
        json!({
            "description": description,
            "type": "object",
            "additionalProperties": { "anyOf": [{ "type": "integer" }, { "type": "string" }], "x-kubernetes-int-or-string": true },
        })
    };
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": amounts("What is kept for it, such as {cpu: 100m, memory: 256Mi}."),
            "limits": amounts("What it may not exceed, such as {memory: 1Gi}."),
        },
    })
}
