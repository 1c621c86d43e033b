//! A console, Superset and JupyterLab: said by Ready, never in its way.

use serde_json::json;

use super::*;
use crate::fixture::{observed, pod, validated, with};
use crate::names::Component;

#[test]
fn ready_says_what_keeps_a_console_from_running_and_does_not_wait_for_it() {
    let cluster = validated(with("/spec/console", json!({ "image": "console:1" })));
    let mut seen = observed(&cluster);
    let says = |seen: &Observed, message: &str| expect(&settled(&cluster, seen), "Ready", "True/Running", message);
    says(&seen, "the console starts");
    let mut console = pod(&cluster, None, Component::Console);
    console.ready = false;
    console.problem = Some(Problem {
        reason: "ImageCannotBePulled",
        message: "console:1 is not there".to_owned(),
    });
    seen.pods.push(console);
    says(&seen, "the console is not ready: console:1 is not there");
    expect(&settled(&cluster, &seen), "Stalled", "False/NoProblem", "");
    seen.pods.retain(|pod| pod.component != Component::Console);
    seen.pods.push(pod(&cluster, None, Component::Console));
    let (_, message) = said(&settled(&cluster, &seen), "Ready");
    assert!(!message.contains("console"), "{message}");
}

#[test]
fn ready_calls_superset_and_jupyterlab_by_their_names() {
    let cluster = validated(with(
        "/spec/analytics",
        json!({ "superset": { "image": "superset:6" }, "notebooks": { "image": "notebooks:4" } }),
    ));
    let mut seen = observed(&cluster);
    let message = "; Superset starts; JupyterLab starts";
    expect(&settled(&cluster, &seen), "Ready", "True/Running", message);
    seen.pods.push(pod(&cluster, None, Component::Superset));
    let mut notebooks = pod(&cluster, None, Component::Notebooks);
    notebooks.ready = false;
    notebooks.problem = Some(Problem {
        reason: "ImageCannotBePulled",
        message: "notebooks:4 is not there".to_owned(),
    });
    seen.pods.push(notebooks);
    let message = "JupyterLab is not ready: notebooks:4 is not there";
    expect(&settled(&cluster, &seen), "Ready", "True/Running", message);
    let (_, message) = said(&settled(&cluster, &seen), "Ready");
    assert!(!message.contains("Superset"), "{message}");
}
