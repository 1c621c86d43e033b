//! Label selectors: does this set of labels match?

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a pod or of a namespace.
pub type Labels = BTreeMap<String, String>;

/// A `metav1.LabelSelector`. All requirements must hold; one without requirements matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// One line of a selector. `matchLabels: {a: b}` is `a In [b]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            // A label that is absent is not among the values: so says Kubernetes, and many get it wrong.
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(requirements: Vec<Requirement>, labels: &[(&str, &str)]) -> bool {
        Selector(requirements).matches(
            &labels
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        )
    }

    fn values(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).into()).collect()
    }

    #[test]
    fn a_selector_without_requirements_matches_everything() {
        assert!(matches(vec![], &[]));
        assert!(matches(vec![], &[("app", "db")]));
    }

    #[test]
    fn all_requirements_must_hold() {
        let both = vec![
            Requirement::In("app".into(), values(&["db", "web"])),
            Requirement::Exists("tier".into()),
        ];
        assert!(matches(both.clone(), &[("app", "web"), ("tier", "")]));
        assert!(!matches(both.clone(), &[("app", "web")]));
        assert!(!matches(both, &[("app", "cache"), ("tier", "1")]));
    }

    #[test]
    fn not_in_matches_a_label_that_is_absent() {
        let not_db = vec![Requirement::NotIn("app".into(), values(&["db"]))];
        assert!(matches(not_db.clone(), &[]));
        assert!(matches(not_db.clone(), &[("app", "web")]));
        assert!(!matches(not_db, &[("app", "db")]));
    }

    #[test]
    fn does_not_exist_is_about_the_key_not_the_value() {
        let unlabelled = vec![Requirement::DoesNotExist("app".into())];
        assert!(matches(unlabelled.clone(), &[("tier", "1")]));
        assert!(!matches(unlabelled, &[("app", "")]));
    }
}
