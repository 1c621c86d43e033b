//! What is wrong is refused by the API server itself, with what to write instead.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use synccluster_e2e::{Namespace, with_namespace};

#[tokio::test(flavor = "multi_thread")]
async fn bad_resources_are_refused_with_what_to_write_instead() -> Result<()> {
    with_namespace("refused", async |namespace| {
        let good = json!({ "clients": 3, "partition": { "clients": [3], "healAfter": "5m" }, "schema": { "tables": [{ "name": "public.todos" }] } });
        namespace.dry_run("shop", &good).await.context("a good resource")?;
        namespace.dry_run(&"a".repeat(32), &json!({})).await.context("the longest name, and every default")?;

        refused(namespace, &"a".repeat(33), json!({}), "metadata.name must have 1 to 32 lower-case letters, digits and dashes").await?;
        refused(namespace, "1shop", json!({}), "begin with a letter").await?;
        let mut wrong = Vec::new();
        for (spec, message) in [
            (json!({ "clients": 1001 }), "clients must be between 0 and 1000"),
            (json!({ "clients": "three" }), ".spec.clients: expected numeric"),
            (json!({ "cliens": 3 }), "spec.cliens: field not declared in schema"),
            (
                json!({ "clients": 3, "partition": { "clients": [4] } }),
                "partition.clients names a client that does not exist: use ordinals from 1 to spec.clients, or raise spec.clients first",
            ),
            (json!({ "partition": {} }), "partition cuts nobody: list ordinals in partition.clients or partition.counters, or set partition.server to true"),
            (json!({ "partition": { "clients": [1, 1] } }), "duplicate"),
            (json!({ "partition": { "clients": [1], "link": "Sideways" } }), "supported values: \"Both\", \"Uplink\", \"Downlink\""),
            (
                json!({ "partition": { "clients": [1], "healAfter": "5 minutes" } }),
                "partition.healAfter must be a whole number of seconds, minutes or hours such as 30s, 5m or 2h",
            ),
            (json!({ "sync": { "digestInterval": "1.5s" } }), "sync.digestInterval must be a whole number of seconds, minutes or hours"),
            (json!({ "schema": { "tables": [{ "name": "todos" }] } }), "must be schema and table joined by a dot, such as public.todos"),
            (json!({ "schema": { "tables": [{ "name": "sync.conflicts" }] } }), "list your own tables only"),
            (json!({ "schema": { "tables": [{ "name": "public.todos" }, { "name": "public.todos" }] } }), "duplicate"),
            (json!({ "schema": { "migrations": { "configMap": { "name": "Shop_Schema" } } } }), "must be the name of a ConfigMap"),
            (json!({ "kafka": { "brokers": 2 } }), "kafka.brokers must be 1 or 3"),
            (json!({ "gateway": { "replicas": -1 } }), "gateway.replicas must be between 0 and 100"),
            (json!({ "gateway": { "expose": {} } }), "gateway.expose must have exactly one of nodePort, ingress and gatewayApi"),
            (json!({ "gateway": { "expose": { "nodePort": { "port": 80 } } } }), "gateway.expose.nodePort.port must be between 30000 and 32767"),
            (json!({ "gateway": { "expose": { "ingress": { "host": "http://todo" } } } }), "gateway.expose.ingress.host must be a host name such as todo.example.com"),
            (
                json!({ "gateway": { "expose": { "nodePort": {} }, "access": { "identity": {} } } }),
                "whoever reaches a node port could write the header too",
            ),
            (json!({ "kafka": { "topics": { "cleanupPolicy": "delete" } } }), "kafka.topics.retention goes with cleanupPolicy delete"),
            (json!({ "postgres": { "storage": { "size": "1Mo" } } }), "must be a quantity of at least 64Mi such as 1Gi"),
            (json!({ "postgres": { "parameters": { "wal_level": "replica" } } }), "the operator sets them"),
            (json!({ "postgres": { "maxSlotWalKeepSize": "4GB" } }), "must be a whole number of Mi, Gi or Ti such as 512Mi"),
            (json!({ "postgres": { "maxSlotWalKeepSize": "4Gi" } }), "maxSlotWalKeepSize must be less than postgres.storage.size"),
        ] {
            wrong.extend(refused(namespace, "shop", spec, message).await.err());
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}

async fn refused(namespace: &Namespace, name: &str, spec: Value, expected: &str) -> Result<()> {
    match namespace.dry_run(name, &spec).await {
        Ok(_) => anyhow::bail!("{name} was taken with {spec}"),
        Err(kube::Error::Api(status)) => {
            let said = status.message.to_lowercase();
            ensure!(
                said.contains(&expected.to_lowercase()),
                "{name} with {spec}: {:?} instead of {expected:?}",
                status.message
            );
            Ok(())
        }
        Err(other) => Err(other.into()),
    }
}
