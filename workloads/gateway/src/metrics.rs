//! What the gateway counts, in Prometheus' text format. Whoever counts something asks for its counter once and keeps it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

/// Every metric of the process.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<BTreeMap<&'static str, Family>>);

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: &'static str,
    /// By labels, as they are written.
    series: BTreeMap<String, Value>,
}

/// One number; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Value(Arc<AtomicI64>);

impl Value {
    /// Adds to it.
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Replaces it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// A number that only grows; the same one for the same name and labels.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Value {
        self.value("counter", name, help, labels)
    }

    /// A number that goes up and down.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Value {
        self.value("gauge", name, help, labels)
    }

    fn value(&self, kind: &'static str, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Value {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family {
            kind,
            help,
            series: BTreeMap::new(),
        });
        family.series.entry(written(labels)).or_default().clone()
    }

    /// All of them, as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, family) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (labels, value) in &family.series {
                let _ = writeln!(out, "{name}{labels} {}", value.get());
            }
        }
        out
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!(r#"{name}="{}""#, escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_labels_are_the_same_number() {
        let metrics = Metrics::default();
        metrics.counter("made_total", "things made", &[("kind", "a")]).add(2);
        metrics.counter("made_total", "things made", &[("kind", "a")]).add(1);
        metrics
            .counter("made_total", "things made", &[("kind", "b\"\n")])
            .add(5);
        metrics.gauge("open", "things open", &[]).set(7);
        let expected = "# HELP made_total things made\n# TYPE made_total counter\nmade_total{kind=\"a\"} 3\n\
                        made_total{kind=\"b\\\"\\n\"} 5\n# HELP open things open\n# TYPE open gauge\nopen 7\n";
        assert_eq!(metrics.text(), expected);
    }
}
