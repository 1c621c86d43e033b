//! The chart's admission policy: what a gateway's account may change. The expressions are those of the template.

use kube_cel::{VapEvaluator, VapExpression};

use super::*;

fn policy() -> Value {
    let template = include_str!("../../../../charts/synccluster/templates/gateway-policy.yaml");
    // Of the first document, what Helm fills nothing in.
    let spec = template.split("---").next().unwrap().split_once("\nspec:\n").unwrap().1;
    serde_yaml::from_str(spec).unwrap()
}

fn expressions(of: &str) -> Vec<VapExpression> {
    let all = policy()[of].as_array().unwrap().clone();
    let one = |expression: &Value| VapExpression {
        expression: expression["expression"].as_str().unwrap().to_owned(),
        message: expression["message"].as_str().map(str::to_owned),
        message_expression: None,
    };
    all.iter().map(one).collect()
}

/// The messages somebody gets who changes `old` to `new`; none if he is not looked at.
fn told(user: &str, old: &Value, new: &Value) -> Vec<String> {
    let request = kube_cel::AdmissionRequest {
        operation: "UPDATE".to_owned(),
        username: user.to_owned(),
        name: "demo".to_owned(),
        namespace: "shop".to_owned(),
        ..Default::default()
    };
    let evaluator = VapEvaluator::builder()
        .object(new.clone())
        .old_object(old.clone())
        .request(request)
        .build();
    if evaluator
        .evaluate(&expressions("matchConditions"))
        .iter()
        .any(|result| !result.passed)
    {
        return Vec::new();
    }
    let results = evaluator.evaluate(&expressions("validations"));
    results.into_iter().filter_map(|result| result.message).collect()
}

const GATEWAY: &str = "system:serviceaccount:shop:demo-gateway";

#[test]
fn a_gateway_changes_the_partition_of_its_cluster_and_nothing_else() {
    let before = resource();
    let after = |pointer: &str, value: Value| told(GATEWAY, &before, &with(pointer, value));
    let cut = with("/spec/partition", json!({ "clients": [2] }));
    assert_eq!(told(GATEWAY, &before, &cut), Vec::<String>::new(), "to cut");
    assert_eq!(told(GATEWAY, &cut, &before), Vec::<String>::new(), "to heal");
    let other = with("/spec/partition", json!({ "server": true, "healAfter": "5m" }));
    assert_eq!(told(GATEWAY, &cut, &other), Vec::<String>::new(), "to cut otherwise");
    let mut tracked = cut.clone();
    set(&mut tracked, "/metadata/generation", json!(8));
    set(
        &mut tracked,
        "/metadata/managedFields",
        json!([{ "manager": "gateway" }]),
    );
    assert_eq!(
        told(GATEWAY, &before, &tracked),
        Vec::<String>::new(),
        "what Kubernetes keeps beside it"
    );

    for (pointer, value) in [
        ("/spec/clients", json!(4)),
        ("/spec/paused", json!(true)),
        ("/spec/gateway", json!({ "expose": { "nodePort": {} } })),
        ("/spec/schema/migrations/configMap/name", json!("other")),
        ("/spec/schema/tables/0/name", json!("public.other")),
    ] {
        let messages = after(pointer, value);
        assert!(
            messages.len() == 1 && messages[0].contains("changes spec.partition and no other field of its spec"),
            "{pointer}: {messages:?}"
        );
    }
    let mut less = before.clone();
    less["spec"].as_object_mut().unwrap().remove("schema");
    assert_eq!(told(GATEWAY, &before, &less).len(), 1, "nor does it take a field away");
    let mut both = cut.clone();
    set(&mut both, "/spec/clients", json!(2));
    assert_eq!(told(GATEWAY, &before, &both).len(), 1, "nor beside a cut");

    for (pointer, value) in [
        ("/metadata/labels", json!({ "a": "b" })),
        ("/metadata/annotations", json!({ "a": "b" })),
        ("/metadata/finalizers", json!(["a.b/c"])),
        ("/metadata/ownerReferences", json!([{ "kind": "Pod", "name": "x" }])),
    ] {
        let changed = with(pointer, value);
        for messages in [told(GATEWAY, &before, &changed), told(GATEWAY, &changed, &before)] {
            assert!(
                messages.len() == 1 && messages[0].contains("not its labels, annotations, finalizers or owners"),
                "{pointer}: {messages:?}"
            );
        }
    }
}

#[test]
fn nobody_else_is_looked_at() {
    let more = with("/spec/clients", json!(4));
    for other in [
        "kubernetes-admin",
        "system:serviceaccount:shop:demo",
        "system:serviceaccount:shop:other-gateway",
        "system:serviceaccount:elsewhere:demo-gateway",
    ] {
        assert_eq!(told(other, &resource(), &more), Vec::<String>::new(), "{other}");
    }
    assert_eq!(told(GATEWAY, &resource(), &more).len(), 1);
}
