//! spec.gateway.

use super::*;

#[test]
fn there_are_up_to_a_hundred_gateways() {
    for wrong in [-1, 101] {
        refused(
            "/spec/gateway",
            json!({ "replicas": wrong }),
            "gateway.replicas must be between 0 and 100",
        );
    }
    accepted("/spec/gateway", json!({ "replicas": 0 }));
    accepted("/spec/gateway", json!({ "replicas": 3 }));
}

#[test]
fn a_gateway_is_exposed_in_one_way() {
    let ingress = || json!({ "host": "todo.example.com" });
    let route = || json!({ "parent": { "name": "public" } });
    for wrong in [
        json!({}),
        json!({ "nodePort": {}, "ingress": ingress() }),
        json!({ "ingress": ingress(), "gatewayApi": route() }),
        json!({ "nodePort": {}, "ingress": ingress(), "gatewayApi": route() }),
    ] {
        refused(
            "/spec/gateway",
            json!({ "expose": wrong }),
            "gateway.expose must have exactly one of nodePort, ingress and gatewayApi",
        );
    }
    for right in [
        json!({ "nodePort": {} }),
        json!({ "nodePort": { "port": 30080 } }),
        json!({ "ingress": ingress() }),
        json!({ "gatewayApi": route() }),
    ] {
        accepted("/spec/gateway", json!({ "expose": right }));
    }
}

#[test]
fn what_exposes_a_gateway_can_exist() {
    let expose = |expose: Value, expected: &str| refused("/spec/gateway", json!({ "expose": expose }), expected);
    for wrong in [80, 29999, 32768] {
        expose(
            json!({ "nodePort": { "port": wrong } }),
            "gateway.expose.nodePort.port must be between 30000 and 32767",
        );
    }
    for wrong in ["", "Todo.example.com", "http://todo", "todo:80", "a..b", "-a"] {
        expose(
            json!({ "ingress": { "host": wrong } }),
            "gateway.expose.ingress.host must be a host name such as todo.example.com",
        );
        expose(
            json!({ "ingress": { "host": "a", "className": wrong } }),
            "gateway.expose.ingress.className must be the name of an IngressClass",
        );
        expose(
            json!({ "ingress": { "host": "a", "tlsSecret": wrong } }),
            "gateway.expose.ingress.tlsSecret must be the name of a Secret",
        );
        expose(
            json!({ "gatewayApi": { "host": wrong, "parent": { "name": "a" } } }),
            "gateway.expose.gatewayApi.host must be a host name",
        );
        expose(
            json!({ "gatewayApi": { "parent": { "name": wrong } } }),
            "gateway.expose.gatewayApi.parent.name must be the name of a Gateway",
        );
        expose(
            json!({ "gatewayApi": { "parent": { "name": "a", "namespace": wrong } } }),
            "parent.namespace must be the name of a namespace",
        );
        expose(
            json!({ "gatewayApi": { "parent": { "name": "a", "sectionName": wrong } } }),
            "parent.sectionName must be the name of a listener",
        );
    }
}

#[test]
fn a_header_is_believed_only_from_a_proxy() {
    let identity = |identity: Value, expected: &str| {
        refused("/spec/gateway", json!({ "access": { "identity": identity } }), expected);
    };
    for wrong in [
        "",
        "X Forwarded User",
        "X-User:",
        "authorization",
        "Cookie",
        "HOST",
        "Origin",
    ] {
        identity(
            json!({ "header": wrong }),
            "gateway.access.identity.header must be a header that only the proxy sets",
        );
    }
    for wrong in ["", "ann,bob", " ann", "ann "] {
        identity(
            json!({ "editors": ["carol", wrong] }),
            "gateway.access.identity.editors must be names as the proxy writes them",
        );
    }
    let people = json!({ "editors": ["ann", "bob@example.com", "Carol Jones"] });
    accepted("/spec/gateway", json!({ "access": { "identity": people } }));
    accepted(
        "/spec/gateway",
        json!({ "access": { "identity": people }, "expose": { "ingress": { "host": "a" } } }),
    );
    refused(
        "/spec/gateway",
        json!({ "access": { "identity": people }, "expose": { "nodePort": {} } }),
        "whoever reaches a node port could write the header too",
    );
}

#[test]
fn counts_are_for_those_who_may_look_unless_anyone_may_read_them() {
    let access = "/properties/spec/properties/gateway/properties/access/properties/counters";
    let schema = schema();
    let counters = schema.pointer(access).unwrap();
    assert_eq!(
        (&counters["enum"], &counters["default"]),
        (&json!(["SignedIn", "Anyone"]), &json!("SignedIn"))
    );
    accepted("/spec/gateway", json!({ "access": { "counters": "Anyone" } }));
}
