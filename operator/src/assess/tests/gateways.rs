//! The gateway: said apart, never in the way of what is said of the sites.

use serde_json::{Value, json};

use super::*;
use crate::apply::Refused;
use crate::fixture::{validated, with};
use crate::names::Component;
use crate::observe::{PodFact, Route};
use crate::validate::Expose;

fn with_gateway(gateway: Value) -> ValidatedCluster {
    let mut cluster = validated(with("/spec/gateway", gateway));
    if let Some(wanted) = &mut cluster.gateway
        && let Expose::Route { served, .. } = &mut wanted.expose
    {
        *served = true;
    }
    cluster
}

fn of_gateway(seen: &mut Observed) -> impl Iterator<Item = &mut PodFact> {
    seen.pods.iter_mut().filter(|pod| pod.component == Component::Gateway)
}

#[test]
fn a_gateway_that_is_down_hides_nothing() {
    let problem = || Problem {
        reason: "CrashLooping",
        message: "do this".to_owned(),
    };
    let refused = || Refused {
        kind: "Service",
        name: "demo-gateway".to_owned(),
        message: "port is taken".to_owned(),
    };
    let cases: Vec<(Spoil, &str, &str)> = vec![
        (
            spoil(|seen| of_gateway(seen).for_each(|pod| pod.ready = false)),
            "False/Starting",
            "waiting for demo-gateway: 0 of 1 pods ready",
        ),
        (
            spoil(|seen| of_gateway(seen).for_each(|pod| pod.current = false)),
            "False/Starting",
            "0 of 1",
        ),
        (
            spoil(move |seen| {
                of_gateway(seen).for_each(|pod| (pod.ready, pod.problem) = (false, Some(problem())));
            }),
            "False/CrashLooping",
            "do this",
        ),
        (
            spoil(move |seen| seen.outcome.refused.push(refused())),
            "False/ObjectRefused",
            "Service demo-gateway was refused: port is taken",
        ),
    ];
    for (spoil, verdict, message) in cases {
        let mut seen = observed(&valid());
        spoil(&mut seen);
        let status = settled(&valid(), &seen);
        expect(&status, "GatewayReady", verdict, message);
        expect(
            &status,
            "Ready",
            "True/Running",
            "3 clients run; the gateway is not ready: ",
        );
        expect(&status, "Reconciling", "False/Settled", "");
        expect(&status, "Stalled", "False/NoProblem", "");
        expect(&status, "Converged", "True/DigestsEqual", "");
    }
}

#[test]
fn one_client_is_one() {
    let mut cluster = with_gateway(json!({ "replicas": 0 }));
    cluster.clients = 1;
    let status = settled(&cluster, &observed(&cluster));
    assert_eq!(said(&status, "Ready").1, "Kafka, the server and 1 client run");
}

#[test]
fn without_a_gateway_nothing_is_missing() {
    let cluster = with_gateway(json!({ "replicas": 0 }));
    let status = settled(&cluster, &observed(&cluster));
    expect(&status, "GatewayReady", "False/NoGateway", "spec.gateway.replicas is 0");
    assert_eq!(said(&status, "Ready").1, "Kafka, the server and 3 clients run");
    assert_eq!(status.gateway, None);
}

#[test]
fn the_status_says_where_the_gateway_is() {
    let address = |expose: Value, node_port: Option<i32>| {
        let cluster = with_gateway(json!({ "replicas": 2, "expose": expose }));
        let mut seen = observed(&cluster);
        seen.exposure.node_port = node_port;
        let mut nodes = ["192.0.2.9", "192.0.2.7"].into_iter();
        of_gateway(&mut seen).for_each(|pod| pod.node_ip = nodes.next().map(str::to_owned));
        let status = settled(&cluster, &seen).gateway.unwrap();
        assert_eq!((status.ready_replicas, status.secret.as_str()), (2, "demo-gateway"));
        status.address
    };
    let inside = "http://demo-gateway.shop.svc";
    let parent = json!({ "name": "public" });
    assert_eq!(address(Value::Null, None), inside);
    assert_eq!(
        address(json!({ "nodePort": {} }), Some(31056)),
        "http://192.0.2.7:31056"
    );
    assert_eq!(
        address(json!({ "nodePort": {} }), None),
        inside,
        "until the port is known"
    );
    assert_eq!(
        address(json!({ "ingress": { "host": "todo.example.com" } }), None),
        "http://todo.example.com"
    );
    assert_eq!(
        address(
            json!({ "ingress": { "host": "todo.example.com", "tlsSecret": "tls" } }),
            None
        ),
        "https://todo.example.com"
    );
    assert_eq!(
        address(
            json!({ "gatewayApi": { "host": "todo.example.com", "parent": parent } }),
            None
        ),
        "todo.example.com"
    );
    assert_eq!(address(json!({ "gatewayApi": { "parent": parent } }), None), inside);
}

#[test]
fn a_node_may_have_an_address_of_version_6() {
    let cluster = with_gateway(json!({ "expose": { "nodePort": { "port": 30080 } } }));
    let mut seen = observed(&cluster);
    seen.exposure.node_port = Some(30080);
    of_gateway(&mut seen).for_each(|pod| pod.node_ip = Some("2001:db8::7".to_owned()));
    assert_eq!(
        settled(&cluster, &seen).gateway.unwrap().address,
        "http://[2001:db8::7]:30080"
    );
}

#[test]
fn a_route_has_to_be_served_and_taken() {
    let expose = json!({ "gatewayApi": { "host": "todo.example.com", "parent": { "name": "public" } } });
    let cluster = with_gateway(json!({ "expose": expose }));
    let with = |route: Route| {
        let mut seen = observed(&cluster);
        seen.exposure.route = route;
        settled(&cluster, &seen)
    };
    expect(
        &with(Route::Accepted),
        "GatewayReady",
        "True/Running",
        "at todo.example.com",
    );
    expect(
        &with(Route::Unanswered),
        "GatewayReady",
        "False/RouteNotAccepted",
        "see that Gateway public exists",
    );
    let refused = Route::Refused("NotAllowedByListeners: not from here".to_owned());
    expect(
        &with(refused),
        "GatewayReady",
        "False/RouteNotAccepted",
        "not from here",
    );
    let unseen = Route::Unseen("forbidden".to_owned());
    expect(&with(unseen), "GatewayReady", "Unknown/CannotSee", "forbidden");

    let unserved = validated(crate::fixture::with("/spec/gateway", json!({ "expose": expose })));
    let status = settled(&unserved, &observed(&unserved));
    expect(
        &status,
        "GatewayReady",
        "False/GatewayApiNotServed",
        "install the Gateway API and an implementation of it",
    );
    assert_eq!(status.gateway.unwrap().address, "http://demo-gateway.shop.svc");
    assert!(is(&with(Route::Accepted), "Ready", "True"));
}
