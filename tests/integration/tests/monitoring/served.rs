//! What is served at `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// Labels by metric.
#[derive(Debug, Default)]
pub struct Served(BTreeMap<String, BTreeSet<String>>);

impl Served {
    /// Takes what a workload serves.
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.with(&[], text)
    }

    /// The same, with labels that the target adds.
    pub fn with(&mut self, target: &[&str], text: &str) -> Result<()> {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            ensure!(value.parse::<f64>().is_ok(), "no number: {line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let known = self.0.entry(name.to_owned()).or_default();
            known.extend(target.iter().map(|label| (*label).to_owned()));
            known.extend(labels_of(labels));
        }
        Ok(())
    }

    /// Names of metrics in a program's text, without labels.
    pub fn literals(&mut self, program: &str) {
        let literals = program.split('"').skip(1).step_by(2);
        let names = literals.filter(|text| text.starts_with("synccluster_") || text.starts_with("process_"));
        for name in names {
            self.0.entry(name.to_owned()).or_default();
        }
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The labels of a metric that is served.
    pub fn labels(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.0.get(name)
    }
}

/// Names before `="`; a value that has such a text itself is no label's name, as it has quotes before it.
fn labels_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        names.push(name.trim_start_matches(',').to_owned());
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    names
}

#[test]
fn labels_are_read_whatever_their_values_are() {
    assert_eq!(labels_of(r#"a="x=\"",b="c\\",d=""}"#), ["a", "b", "d"]);
    assert!(labels_of("}").is_empty());
}
