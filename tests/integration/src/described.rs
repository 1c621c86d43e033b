//! Whether an answer is one that the gateway's own description knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use anyhow::{Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::Value;
use synccluster_gateway::api::openapi;

/// By path as it is described, and by method in small letters: the statuses.
type Described = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&openapi::document()).unwrap_or_default();
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let statuses = |operation: &Value| {
        fields(&operation["responses"])
            .into_iter()
            .map(|(status, _)| status)
            .collect()
    };
    let operations = |item: &Value| {
        let operations = fields(item).into_iter();
        operations
            .map(|(method, operation)| (method, statuses(&operation)))
            .collect()
    };
    let paths = fields(&document["paths"]).into_iter();
    paths.map(|(path, item)| (path, operations(&item))).collect()
});

/// Fails for a status that an operation may not answer by `/openapi.json`. What is no operation says nothing.
pub fn check(method: &Method, path: &str, status: StatusCode) -> Result<()> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut matching: Vec<_> = DESCRIBED
        .iter()
        .filter(|(described, _)| fits(described, path))
        .collect();
    // A word is meant rather than a variable.
    matching.sort_by_key(|(described, _)| described.matches('{').count());
    let Some((described, operations)) = matching.first() else {
        return Ok(());
    };
    let Some(statuses) = operations.get(&method.as_str().to_lowercase()) else {
        return Ok(());
    };
    ensure!(
        statuses.contains(status.as_str()),
        "{method} {path} was answered {status}, which /openapi.json does not have for {method} {described}"
    );
    Ok(())
}

fn fits(described: &str, path: &str) -> bool {
    let (described, path): (Vec<_>, Vec<_>) = (described.split('/').collect(), path.split('/').collect());
    let mut parts = described.iter().zip(&path);
    described.len() == path.len()
        && parts.all(|(known, part)| known == part || (known.starts_with('{') && !part.is_empty()))
}
