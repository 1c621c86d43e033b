//! What goes wrong later is said in a condition while everything else goes on; paused is paused; deleted leaves what should stay.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;
use synccluster_e2e::{Cluster, Owned, PATIENCE, answered, eventually, migrations, stays, with_cluster};
use synccluster_operator::api::SyncCluster;
use synccluster_operator::names::Role;
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
/// Within seconds, where the machine and the API server are not busy with something else.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_said_and_cost_nothing() -> Result<()> {
    with_cluster("lifecycle", 1, async |cluster| {
        what_is_fixed_cannot_be_changed(cluster).await?;
        a_missing_config_map_is_said(cluster).await?;
        a_failing_migration_is_said(cluster).await?;
        a_table_without_a_key_is_said(cluster).await?;
        an_image_that_cannot_be_pulled_is_said(cluster).await?;
        what_has_lost_its_label_is_taken_back(cluster).await?;
        paused_changes_nothing(cluster).await?;
        deleting_leaves_volumes_and_passwords(cluster).await
    })
    .await
}

async fn a_row_arrives(cluster: &Cluster, mark: &str) -> Result<()> {
    cluster
        .sql(
            ONE,
            &format!("insert into notes (mark, site) values ('{mark}', 'client-1')"),
        )
        .await?;
    cluster
        .shows(
            SERVER,
            &format!("select site from notes where mark = '{mark}'"),
            &["client-1"],
        )
        .await
}

/// What must not be deleted because of a typo.
async fn durable(cluster: &Cluster) -> Result<Owned> {
    Ok(cluster.owned().await?.of(&[
        "StatefulSet",
        "Deployment",
        "Service",
        "PersistentVolumeClaim",
        "Secret",
    ]))
}

async fn what_is_fixed_cannot_be_changed(cluster: &Cluster) -> Result<()> {
    for (spec, message) in [
        (
            json!({ "kafka": { "brokers": 3 } }),
            "kafka.brokers cannot be changed after creation",
        ),
        (
            json!({ "postgres": { "storage": { "size": "2Gi" } } }),
            "size cannot be changed after creation",
        ),
    ] {
        let Err(refused) = cluster.patch(&spec).await else {
            bail!("{spec} was taken")
        };
        assert!(refused.to_string().contains(message), "{refused}");
    }
    Ok(())
}

async fn a_missing_config_map_is_said(cluster: &Cluster) -> Result<()> {
    let before = durable(cluster).await?;
    cluster
        .patch(&json!({ "schema": { "migrations": { "configMap": { "name": "absent" } } } }))
        .await?;
    let message = cluster.says(SOON, "Stalled", "True", "MigrationsNotFound").await?;
    assert!(
        message.contains("ConfigMap absent does not exist") && message.contains("create it with files such as"),
        "{message}"
    );
    a_row_arrives(cluster, "without a config map").await?;
    cluster
        .patch(&json!({ "schema": { "migrations": { "configMap": { "name": migrations() } } } }))
        .await?;
    cluster.ready().await?;
    assert_eq!(durable(cluster).await?, before, "nothing is made anew");
    Ok(())
}

async fn a_failing_migration_is_said(cluster: &Cluster) -> Result<()> {
    let before = durable(cluster).await?;
    let tables = include_str!("../src/schema.sql");
    let added = |sql: &str| json!({ "V1__tables.sql": tables, "V2__labels.sql": sql });
    cluster
        .namespace
        .config_map(
            migrations(),
            &added("create table labels (id int primary key, label txet)"),
        )
        .await?;
    let message = cluster.says(SOON, "Stalled", "True", "MigrationFailed").await?;
    assert!(message.contains("V2__labels") && message.contains("txet"), "{message}");
    // Databases go on taking writes; they travel when the migration is right.
    cluster
        .sql(ONE, "insert into notes (mark, site) values ('meanwhile', 'client-1')")
        .await?;
    assert_eq!(durable(cluster).await?, before, "nothing is deleted");

    cluster
        .namespace
        .config_map(
            migrations(),
            &added("create table labels (id int primary key, label text)"),
        )
        .await?;
    eventually(PATIENCE, async || {
        cluster
            .sql(ONE, "insert into labels values (1, 'new') on conflict do nothing")
            .await
            .map(drop)
    })
    .await?;
    cluster.ready().await?;
    cluster.shows(SERVER, "select label from labels", &["new"]).await?;
    cluster
        .shows(SERVER, "select site from notes where mark = 'meanwhile'", &["client-1"])
        .await?;
    cluster.converged().await
}

async fn a_table_without_a_key_is_said(cluster: &Cluster) -> Result<()> {
    let listed = |tables: &[&str]| json!({ "schema": { "tables": tables.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() } });
    for site in [SERVER, ONE] {
        cluster.sql(site, "set role app; create table keyless (a int)").await?;
    }
    cluster.patch(&listed(&["public.notes", "public.keyless"])).await?;
    let message = cluster.says(SOON, "Stalled", "True", "MigrationFailed").await?;
    assert!(
        message.contains("public.keyless has no primary key") && message.contains("add one in a migration"),
        "{message}"
    );
    cluster.patch(&json!({ "schema": { "tables": null } })).await?;
    cluster.ready().await
}

/// Corrected, it goes on by itself: nobody has to delete a pod.
async fn an_image_that_cannot_be_pulled_is_said(cluster: &Cluster) -> Result<()> {
    let before = durable(cluster).await?;
    let image = |image: Option<&str>| json!({ "postgres": { "image": image } });
    cluster.patch(&image(Some("registry.invalid/none:1"))).await?;
    let message = cluster.says(PATIENCE, "Stalled", "True", "ImageCannotBePulled").await?;
    assert!(message.contains("correct the image, or make it available"), "{message}");
    assert_eq!(durable(cluster).await?, before, "nothing is deleted");
    cluster.patch(&image(None)).await?;
    cluster.ready().await?;
    a_row_arrives(cluster, "with the right image").await
}

/// Nobody has to delete it, and it is the same object: the operator knows it by its UID.
async fn what_has_lost_its_label_is_taken_back(cluster: &Cluster) -> Result<()> {
    let before = durable(cluster).await?;
    let without_labels = Patch::Merge(json!({ "metadata": { "labels": null } }));
    let bare = Patch::Merge(json!({ "metadata": { "labels": null, "ownerReferences": null } }));
    let as_asked = PatchParams::default();
    let (services, secrets) = (cluster.namespace.api::<Service>(), cluster.namespace.api::<Secret>());
    // An operator that has just been started knows it by its owner.
    answered(|| services.patch("shop-kafka", &as_asked, &without_labels)).await?;
    answered(|| secrets.patch("shop-client-1-sink", &as_asked, &bare)).await?;
    eventually(PATIENCE, async || {
        let now = durable(cluster).await?;
        ensure!(now == before, "{before:?} became {now:?}");
        Ok(())
    })
    .await?;
    cluster.ready().await?;
    a_row_arrives(cluster, "taken back").await
}

async fn paused_changes_nothing(cluster: &Cluster) -> Result<()> {
    cluster.patch(&json!({ "paused": true })).await?;
    cluster.says(SOON, "Ready", "Unknown", "Paused").await?;
    let before = cluster.settled().await?;
    cluster
        .patch(&json!({ "clients": 2, "partition": { "clients": [1] } }))
        .await?;
    cluster.says(SOON, "PartitionEnforced", "Unknown", "Paused").await?;
    let unchanged = |now: Owned| {
        ensure!(
            now == before,
            "something changed while paused: {before:?} became {now:?}"
        );
        Ok(())
    };
    stays(Duration::from_secs(3), async || cluster.owned().await, unchanged).await?;
    a_row_arrives(cluster, "paused").await?;

    cluster.patch(&json!({ "paused": false, "clients": 1 })).await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    cluster.converged().await
}

async fn deleting_leaves_volumes_and_passwords(cluster: &Cluster) -> Result<()> {
    // The gateway's tokens open nothing that stays.
    let kept = cluster
        .owned()
        .await?
        .of(&["PersistentVolumeClaim", "Secret"])
        .without("Secret/shop-gateway");
    let of_a_site = |site: &str| {
        let secrets = Role::ALL.map(|role| format!("Secret/shop-{site}-{}", role.suffix()));
        secrets
            .into_iter()
            .chain([format!("PersistentVolumeClaim/data-shop-{site}-0")])
    };
    let mut expected: Vec<String> = of_a_site("server").chain(of_a_site("client-1")).collect();
    expected.push("PersistentVolumeClaim/data-shop-kafka-0".to_owned());
    expected.sort();
    assert_eq!(kept.names().into_iter().collect::<Vec<_>>(), expected);

    let background = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    cluster.delete(&background).await?;
    let api = cluster.namespace.api::<SyncCluster>();
    eventually(PATIENCE, async || {
        ensure!(api.get_opt(cluster.name.as_str()).await?.is_none(), "it is still there");
        let left = cluster.owned().await?;
        ensure!(left == kept, "left are {:?}", left.names());
        Ok(())
    })
    .await?;

    // Made again under its name, it has its data.
    cluster.create(1).await?;
    cluster.ready().await?;
    cluster
        .shows(ONE, "select site from notes where mark = 'paused'", &["client-1"])
        .await?;
    a_row_arrives(cluster, "made again").await?;
    cluster.converged().await
}
