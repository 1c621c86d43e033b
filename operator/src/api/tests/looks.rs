//! spec.console, spec.analytics.superset and spec.analytics.notebooks.

use super::*;

#[test]
fn a_console_has_an_image_a_port_and_variables() {
    accepted("/spec/console", json!({ "image": "console:1" }));
    accepted(
        "/spec/console",
        json!({ "image": "console:1", "port": 9000, "env": { "SERVER_SERVLET_CONTEXTPATH": "/console" } }),
    );
    refused(
        "/spec/console",
        json!({ "image": "a console" }),
        "console.image must be an image reference",
    );
    for port in [80, 65536] {
        refused(
            "/spec/console",
            json!({ "image": "console:1", "port": port }),
            "between 1024 and 65535",
        );
    }
    refused(
        "/spec/console",
        json!({ "image": "console:1", "env": { "1A": "b" } }),
        "must have names of variables",
    );
}

#[test]
fn a_superset_has_an_image_and_a_volume() {
    let superset = |superset: Value| json!({ "superset": superset });
    accepted(
        "/spec/analytics",
        superset(json!({ "image": "superset:6", "storage": { "size": "2Gi" } })),
    );
    refused(
        "/spec/analytics",
        superset(json!({ "image": "" })),
        "analytics.superset.image must be an image reference",
    );
    refused(
        "/spec/analytics",
        superset(json!({ "image": "superset:6", "storage": { "size": "1Mi" } })),
        "storage.size must be a quantity of at least 64Mi",
    );
}

#[test]
fn notebooks_have_an_image_and_a_volume_and_only_look() {
    let notebooks = |notebooks: Value| json!({ "notebooks": notebooks });
    for wanted in [
        json!({ "image": "notebooks:4" }),
        json!({ "image": "notebooks:4", "writes": true, "storage": { "size": "2Gi", "class": "fast" } }),
    ] {
        accepted("/spec/analytics", notebooks(wanted));
    }
    refused(
        "/spec/analytics",
        notebooks(json!({ "image": "a notebook" })),
        "analytics.notebooks.image must be an image reference",
    );
    refused(
        "/spec/analytics",
        notebooks(json!({ "image": "notebooks:4", "storage": { "size": "lots" } })),
        "storage.size must be a quantity of at least 64Mi",
    );
}
