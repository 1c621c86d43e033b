//! The seeder: what it is hides nothing of the sites.

use serde_json::json;

use super::*;
use crate::fixture::{pod, validated, with};
use crate::names::Component;
use crate::observe::PodFact;

#[test]
fn one_that_does_not_run_is_mentioned_and_hides_nothing() {
    let cluster = validated(with("/spec/seeder", json!({})));
    let ready = |seeder: Option<PodFact>| {
        let mut seen = observed(&cluster);
        seen.pods.extend(seeder);
        said(&settled(&cluster, &seen), "Ready")
    };
    let whole = pod(&cluster, None, Component::Seeder);
    let failing = PodFact {
        ready: false,
        problem: Some(Problem {
            reason: "CrashLooping",
            message: "container seeder ends again and again".to_owned(),
        }),
        ..whole.clone()
    };
    for (seeder, mentioned) in [
        (None, "; the seeder starts"),
        (
            Some(failing),
            "; the seeder is not ready: container seeder ends again and again",
        ),
        (Some(whole), ""),
    ] {
        let (verdict, message) = ready(seeder);
        assert_eq!(verdict, "True/Running", "{message}");
        let of_seeder = message.find("; the seeder").map_or("", |at| &message[at..]);
        assert_eq!(of_seeder, mentioned, "{message}");
    }
}
