//! Clients come, go and come back; what two clients write while they are cut is settled everywhere alike; and where the databases are to be
//! others, they become so one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use serde_json::json;
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, OneAtATime, PATIENCE, START, answered, eventually, stays, with_cluster};
use synccluster_operator::api::Link;
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const THREE: Site = Site::Client(3);
const MARKS: &str = "select distinct mark from notes order by mark";
/// Tells one database from another one of the same site.
const IDENTITY: &str = "select system_identifier from pg_control_system()";

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_and_go_and_their_conflicts_are_settled() -> Result<()> {
    with_cluster("scale", 1, async |cluster| {
        new_clients_get_what_is_there(cluster).await?;
        conflicts_are_settled_everywhere_alike(cluster).await?;
        a_client_returns_with_its_data(cluster).await?;
        a_change_of_the_databases_goes_site_by_site(cluster).await?;
        a_wrong_image_costs_one_client(cluster).await?;
        a_volume_goes_with_its_client_where_that_is_asked_for(cluster).await
    })
    .await
}

async fn new_clients_get_what_is_there(cluster: &Cluster) -> Result<()> {
    cluster
        .sql(
            SERVER,
            "insert into notes (mark, site) select 'many', 'server' from generate_series(1, 20000)",
        )
        .await?;
    cluster
        .sql(ONE, "insert into notes (mark, site) values ('before', 'client-1')")
        .await?;
    cluster
        .sql(ONE, "insert into items values (100, 'deleted'); delete from items")
        .await?;
    cluster.scale(3).await?;
    cluster.ready().await?;
    let count = "select count(*) || ' ' || count(distinct id) from notes";
    for site in [TWO, THREE] {
        cluster.shows(site, count, &["20001 20001"]).await?;
        cluster.shows(site, "select count(*) from items", &["0"]).await?;
    }
    cluster
        .sql(THREE, "insert into notes (mark, site) values ('new', 'client-3')")
        .await?;
    cluster.shows(ONE, MARKS, &["before", "many", "new"]).await?;
    cluster.converged().await
}

/// Both clients write the same keys, client-2 always after client-1: the later write stays.
async fn conflicts_are_settled_everywhere_alike(cluster: &Cluster) -> Result<()> {
    cluster
        .sql(SERVER, "insert into items select n, 'old' from generate_series(1, 5) n")
        .await?;
    cluster
        .sql(
            SERVER,
            "insert into drafts select n, 'old' from generate_series(1, 3) n",
        )
        .await?;
    cluster.shows(ONE, "select count(*) from drafts", &["3"]).await?;
    cluster.shows(TWO, "select count(*) from drafts", &["3"]).await?;
    cluster.converged().await?;
    cluster.cut(&clients([1, 2], Link::Both)).await?;
    cluster.enforced().await?;
    let cases = [
        (
            "insert into items values (10, 'one')",
            "insert into items values (10, 'two')",
        ),
        (
            "update items set title = 'one' where id = 1",
            "update items set title = 'two' where id = 1",
        ),
        (
            "update items set title = 'one' where id = 2",
            "delete from items where id = 2",
        ),
        (
            "delete from items where id = 3",
            "update items set title = 'two' where id = 3",
        ),
        (
            "update items set title = 'one' where id = 4",
            "delete from items where id = 4; insert into items values (4, 'again')",
        ),
        (
            "update items set title = 'one' where id = 5",
            "update items set id = 50 where id = 5",
        ),
        ("insert into drafts values (4, 'one')", "truncate drafts"),
    ];
    for (one, two) in cases {
        cluster.sql(ONE, one).await?;
        cluster.sql(TWO, two).await?;
    }
    cluster.heal().await?;
    cluster.converged().await?;
    let items = cluster
        .everywhere("select id || ' ' || title from items order by id")
        .await?;
    let drafts = cluster
        .everywhere("select id || ' ' || title from drafts order by id")
        .await?;
    for site in cluster.sites().await? {
        assert_eq!(
            items[&site],
            ["1 two", "3 two", "4 again", "10 two", "50 old"],
            "items at {site}"
        );
        assert_eq!(drafts[&site], ["4 one"], "drafts at {site}");
    }
    // In whatever order the two came to the server, each losing write is recorded: `-` is a delete. A kind says what was there first, so of
    // an update and a delete it depends on that order, as does the kind of what lost to a row made again.
    let losers = "select distinct (key ->> 'id')::int, concat_ws(' ', key ->> 'id', \
                  case when key ->> 'id' = '4' then null when kind like '%delete%' then 'delete with update' else kind end, coalesce(loser ->> 'title', '-')) from sync.conflicts order by 1";
    let recorded = cluster.sql(SERVER, losers).await?;
    let recorded: Vec<&str> = recorded
        .iter()
        .filter_map(|line| line.split_once('|'))
        .map(|(_, said)| said)
        .collect();
    assert_eq!(
        recorded,
        [
            "1 update/update one",
            "2 delete with update one",
            "3 delete with update -",
            "4 one",
            "5 delete with update one",
            "10 insert/insert one"
        ]
    );
    assert_eq!(
        cluster
            .sql(
                SERVER,
                "select count(*) from sync.conflicts where relation like '%drafts'"
            )
            .await?,
        ["0"]
    );
    Ok(())
}

async fn a_client_returns_with_its_data(cluster: &Cluster) -> Result<()> {
    let claims = cluster.namespace.api::<PersistentVolumeClaim>();
    let volume = format!("data-{}-client-3-0", cluster.name);
    let uid = async || anyhow::Ok(answered(|| claims.get(&volume)).await?.metadata.uid);
    let (claim, identity) = (uid().await?, cluster.sql(THREE, IDENTITY).await?);
    cluster
        .sql(THREE, "insert into notes (mark, site) values ('leaving', 'client-3')")
        .await?;
    cluster
        .shows(SERVER, "select site from notes where mark = 'leaving'", &["client-3"])
        .await?;

    cluster.scale(2).await?;
    cluster.ready().await?;
    eventually(START, async || {
        let left = cluster
            .owned()
            .await?
            .of(&["Pod", "StatefulSet", "Deployment", "Service", "NetworkPolicy"]);
        let of_three: Vec<&str> = left
            .names()
            .into_iter()
            .filter(|name| name.contains("client-3"))
            .collect();
        ensure!(of_three.is_empty(), "client-3 still has {of_three:?}");
        Ok(())
    })
    .await?;
    assert_eq!(uid().await?, claim, "the volume is kept");
    cluster
        .sql(ONE, "insert into notes (mark, site) values ('away', 'client-1')")
        .await?;
    cluster.sql(SERVER, "delete from items where id = 50").await?;
    cluster.converged().await?;

    cluster.scale(3).await?;
    cluster.ready().await?;
    cluster
        .shows(THREE, MARKS, &["away", "before", "leaving", "many", "new"])
        .await?;
    cluster
        .shows(THREE, "select count(*) from items where id = 50", &["0"])
        .await?;
    cluster
        .sql(THREE, "insert into notes (mark, site) values ('returned', 'client-3')")
        .await?;
    cluster
        .shows(TWO, "select site from notes where mark = 'returned'", &["client-3"])
        .await?;
    assert_eq!(
        cluster.sql(THREE, IDENTITY).await?,
        identity,
        "the database is the one it had"
    );
    cluster.converged().await
}

/// The identity of each database's pod.
async fn databases(cluster: &Cluster) -> Result<BTreeMap<Site, Option<String>>> {
    let mut databases = BTreeMap::new();
    for site in cluster.sites().await? {
        let pod = cluster.pod(Component::Postgres, Some(site)).await?;
        databases.insert(site, pod.uid());
    }
    Ok(databases)
}

async fn a_change_of_the_databases_goes_site_by_site(cluster: &Cluster) -> Result<()> {
    let watch = OneAtATime::start(cluster).await?;
    cluster
        .patch(&json!({ "postgres": { "parameters": { "work_mem": "5MB" } } }))
        .await?;
    let message = cluster.says(PATIENCE, "Ready", "False", "RollingOut").await?;
    ensure!(message.contains("shop-server stay as they are"), "{message}");
    // The next one finds out whose turn it is.
    cluster.kill_operator().await?;
    eventually(START, async || {
        let seen = cluster.everywhere("show work_mem").await?;
        ensure!(seen.values().all(|lines| *lines == ["5MB"]), "{seen:?}");
        Ok(())
    })
    .await?;
    cluster.ready().await?;
    assert_eq!(watch.stop().await?, [THREE, TWO, ONE, SERVER]);
    cluster.converged().await
}

async fn a_wrong_image_costs_one_client(cluster: &Cluster) -> Result<()> {
    let before = databases(cluster).await?;
    let watch = OneAtATime::start(cluster).await?;
    let image = |image: Option<&str>| json!({ "postgres": { "image": image } });
    cluster.patch(&image(Some("registry.invalid/none:1"))).await?;
    let message = cluster.says(PATIENCE, "Stalled", "True", "ImageCannotBePulled").await?;
    ensure!(
        message.contains("shop-client-3 now")
            && message.contains("shop-client-2,shop-client-1,shop-server stay as they are"),
        "{message}"
    );
    let spared = |now: BTreeMap<Site, Option<String>>| {
        for site in [SERVER, ONE, TWO] {
            ensure!(now[&site] == before[&site], "{site} was restarted");
        }
        Ok(())
    };
    stays(Duration::from_secs(5), async || databases(cluster).await, spared).await?;
    cluster
        .sql(ONE, "insert into notes (mark, site) values ('spared', 'client-1')")
        .await?;
    let row = "select site from notes where mark = 'spared'";
    cluster.shows(TWO, row, &["client-1"]).await?;

    cluster.patch(&image(None)).await?;
    cluster.ready().await?;
    assert_eq!(watch.stop().await?, [THREE]);
    stays(Duration::ZERO, async || databases(cluster).await, spared).await?;
    cluster.shows(THREE, row, &["client-1"]).await?;
    cluster.converged().await
}

async fn a_volume_goes_with_its_client_where_that_is_asked_for(cluster: &Cluster) -> Result<()> {
    let claims = cluster.namespace.api::<PersistentVolumeClaim>();
    let volume = |site: Site| format!("data-{}-{site}-0", cluster.name);
    let identity = cluster.sql(THREE, IDENTITY).await?;
    cluster
        .patch(&json!({ "postgres": { "storage": { "whenScaled": "Delete" } } }))
        .await?;
    cluster.scale(2).await?;
    eventually(START, async || {
        let left = claims.get_opt(&volume(THREE)).await?;
        ensure!(left.is_none(), "the volume is still there");
        Ok(())
    })
    .await?;
    for site in [SERVER, ONE, TWO] {
        let volume = volume(site);
        let claim = answered(|| claims.get(&volume)).await?;
        ensure!(claim.metadata.deletion_timestamp.is_none(), "{site} loses its volume");
    }

    cluster.scale(3).await?;
    cluster.ready().await?;
    assert_ne!(cluster.sql(THREE, IDENTITY).await?, identity, "it begins anew");
    cluster.converged().await?;
    // Its sequences have moved past what its predecessor has made.
    cluster
        .sql(THREE, "insert into notes (mark, site) values ('anew', 'client-3')")
        .await?;
    cluster
        .shows(TWO, "select site from notes where mark = 'anew'", &["client-3"])
        .await?;
    cluster.converged().await
}
