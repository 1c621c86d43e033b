//! A server that is somebody else's: a Postgres in another namespace, with TLS, that the operator does not own.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use synccluster_e2e::reach::server;
use synccluster_e2e::theirs::POSTGRES_USER;
use synccluster_e2e::{Cluster, Namespace, PATIENCE, START, answered, eventually, migrations, stays, with_namespace};
use synccluster_harness::Authority;
use synccluster_operator::api::{Link, REMOVE_EXTERNAL_ANNOTATION};
use synccluster_protocol::Site;

const ONE: Site = Site::Client(1);
const OWNER: &str = "shop_owner";
const SECRET: &str = "their-postgres";
const GRANTS: &str = include_str!("../../../workloads/schema/sql/external.sql");
const SCHEMA: &str = include_str!("../src/schema.sql");
/// What is wrong is said within seconds, where the machine and the API server are not busy with something else.
const SOON: Duration = Duration::from_mins(1);
/// Its certificates: one that holds, and one whose time is over.
const VALID: &str = "valid";
const EXPIRED: &str = "expired";
const START_SH: &str = r"set -e
initdb --pgdata=/data/pg --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=trust >/dev/null
printf 'local all all trust\nhostssl all all all scram-sha-256\n' >/data/pg/pg_hba.conf
cat >>/data/pg/postgresql.conf <<SETTINGS
ssl_cert_file = '/theirs/valid.crt'
ssl_key_file = '/theirs/valid.key'
SETTINGS
exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/data -c wal_level=logical -c ssl=on
";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ours_is_used_and_left() -> Result<()> {
    with_namespace("theirs", async |theirs| {
        with_namespace("external", async |ours| {
            let cluster = Cluster {
                namespace: ours.clone(),
                name: "shop".parse()?,
            };
            ours.config_map(migrations(), &json!({ "V1__tables.sql": SCHEMA }))
                .await?;
            create(&cluster, theirs).await?;
            cluster.says(SOON, "Stalled", "True", "ExternalSecretNotFound").await?;
            let database = Database::start(theirs).await?;
            what_is_wrong_is_said(&cluster, &database).await?;
            cluster.ready().await?;
            rows_go_both_ways_and_a_cut_is_a_cut(&cluster, &database).await?;
            what_is_spoilt_stops_nothing(&cluster, &database).await?;
            a_new_password_restarts_nothing(&cluster, &database).await?;
            deleted_it_is_left(&cluster, &database).await?;
            create(&cluster, theirs).await?;
            cluster.ready().await?;
            asked_for_it_is_removed(&cluster, &database).await
        })
        .await
    })
    .await
}

async fn create(cluster: &Cluster, theirs: &Namespace) -> Result<()> {
    let there = json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": theirs.name } } }]);
    let more = json!({
        "server": { "external": { "secret": SECRET, "peers": there } },
        "gateway": { "replicas": 0 },
    });
    cluster.create_with(1, &more).await
}

/// Their Postgres.
struct Database {
    namespace: Namespace,
    shell: Cluster,
    authority: Authority,
}

impl Database {
    async fn start(namespace: &Namespace) -> Result<Self> {
        let authority = Authority::new().await?;
        let names = format!("DNS:{}", namespace.host("postgres"));
        let mut files = json!({ "start.sh": START_SH });
        for (name, issued) in [
            (VALID, authority.issue(VALID, &names).await?),
            (EXPIRED, authority.issue_expired(EXPIRED, &names).await?),
        ] {
            files[format!("{name}.crt")] = fs::read_to_string(&issued.certificate)?.into();
            files[format!("{name}.key")] = fs::read_to_string(&issued.key)?.into();
        }
        let container = json!({ "image": namespace.image("postgres").await? });
        namespace
            .server("postgres", POSTGRES_USER, &[5432], &files, &container)
            .await?;
        let (namespace, shell) = (namespace.clone(), namespace.shell()?);
        let database = Self {
            namespace,
            shell,
            authority,
        };
        eventually(START, async || database.sql("postgres", "select 1").await.map(drop)).await?;
        database
            .sql("postgres", &format!("create role {OWNER} login password 'first'"))
            .await?;
        database
            .sql("postgres", &format!("create database app owner {OWNER}"))
            .await?;
        Ok(database)
    }

    async fn sql(&self, database: &str, statement: &str) -> Result<Vec<String>> {
        let place = format!("host=/data user=postgres dbname={database}");
        let psql = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &place, "-c", statement];
        let printed = self.shell.exec("postgres", "postgres", &psql).await?;
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// Waits until a query prints these lines.
    async fn shows(&self, query: &str, expected: &[&str]) -> Result<()> {
        eventually(PATIENCE, async || {
            let seen = self.sql("app", query).await?;
            ensure!(seen == expected, "{query}: {seen:?} instead of {expected:?}");
            Ok(())
        })
        .await
    }

    /// Shows another of its certificates to who comes from now on.
    async fn shows_certificate(&self, name: &str) -> Result<()> {
        for (setting, extension) in [("ssl_cert_file", "crt"), ("ssl_key_file", "key")] {
            let set = format!("alter system set {setting} = '/theirs/{name}.{extension}'");
            self.sql("postgres", &set).await?;
        }
        self.sql("postgres", "select pg_reload_conf()").await.map(drop)
    }

    /// What the Secret has to say that leads to it.
    fn keys(&self, password: &str, authority: &Authority) -> Result<Value> {
        Ok(json!({
            "host": self.namespace.host("postgres"), "port": "5432", "dbname": "app", "username": OWNER, "password": password,
            "ca.crt": fs::read_to_string(authority.certificate())?,
        }))
    }

    /// Writes that Secret.
    async fn secret(&self, cluster: &Cluster, password: &str, authority: &Authority) -> Result<()> {
        cluster.namespace.secret(SECRET, &self.keys(password, authority)?).await
    }
}

async fn what_is_wrong_is_said(cluster: &Cluster, database: &Database) -> Result<()> {
    let mut keys = database.keys("first", &database.authority)?;
    keys.as_object_mut().context("no keys")?.remove("dbname");
    cluster.namespace.secret(SECRET, &keys).await?;
    let lacking = cluster.says(SOON, "Stalled", "True", "ExternalSecretInvalid").await?;
    ensure!(lacking.contains("key `dbname` is missing"), "{lacking}");
    database.secret(cluster, "first", &Authority::new().await?).await?;
    cluster
        .says(SOON, "Stalled", "True", "ExternalPostgresUntrusted")
        .await?;
    database.secret(cluster, "wrong", &database.authority).await?;
    cluster.says(SOON, "Stalled", "True", "ExternalPostgresRefused").await?;
    database.secret(cluster, "first", &database.authority).await?;
    let unfit = cluster.says(SOON, "Stalled", "True", "ExternalPostgresUnfit").await?;
    ensure!(unfit.contains("alter role shop_owner createrole"), "{unfit}");
    let statements = GRANTS
        .lines()
        .filter(|line| !line.starts_with('\\') && !line.starts_with("--"));
    let statements = statements.collect::<Vec<_>>().join("\n");
    let statements = statements.replace(":\"role\"", OWNER).replace(":\"DBNAME\"", "app");
    database.sql("app", &statements).await?;
    cluster.hurry_secrets().await
}

fn insert(mark: &str) -> String {
    format!("insert into notes (mark, site) values ('{mark}', 'x')")
}

async fn rows_go_both_ways_and_a_cut_is_a_cut(cluster: &Cluster, database: &Database) -> Result<()> {
    let marks = "select mark from notes order by 1";
    let both = ["of the client", "of the server"];
    cluster.sql(ONE, &insert("of the client")).await?;
    database.sql("app", &insert("of the server")).await?;
    database.shows(marks, &both).await?;
    cluster.shows(ONE, marks, &both).await?;
    cluster.says(PATIENCE, "Converged", "True", "DigestsEqual").await?;

    cluster.cut(&server(Link::Both)).await?;
    cluster.enforced().await?;
    database.sql("app", &insert("while cut")).await?;
    let is_right = |seen: Vec<String>| {
        ensure!(seen == both, "{seen:?}");
        Ok(())
    };
    stays(Duration::from_secs(3), async || cluster.sql(ONE, marks).await, is_right).await?;
    cluster.heal().await?;
    cluster
        .shows(ONE, marks, &["of the client", "of the server", "while cut"])
        .await?;
    let converged = cluster.says(PATIENCE, "Converged", "True", "DigestsEqual");
    converged.await.map(drop)
}

/// Rows go up and down while this is so.
async fn rows_pass(cluster: &Cluster, database: &Database, meanwhile: &str) -> Result<()> {
    let (up, down) = (format!("up {meanwhile}"), format!("down {meanwhile}"));
    cluster.sql(ONE, &insert(&up)).await?;
    database.sql("app", &insert(&down)).await?;
    let there = |mark: &str| format!("select mark from notes where mark = '{mark}'");
    database.shows(&there(&up), &[&up]).await?;
    cluster.shows(ONE, &there(&down), &[&down]).await
}

/// Who is connected stays so, and what is right again is seen without a restart.
async fn what_is_spoilt_stops_nothing(cluster: &Cluster, database: &Database) -> Result<()> {
    let before = cluster.lives().await?;
    let secrets: Api<Secret> = cluster.namespace.api();
    let without = Patch::Merge(json!({ "data": { "password": null } }));
    let as_asked = PatchParams::default();
    answered(|| secrets.patch(SECRET, &as_asked, &without)).await?;
    let lacking = cluster.says(SOON, "Stalled", "True", "ExternalSecretInvalid").await?;
    ensure!(lacking.contains("key `password` is missing"), "{lacking}");
    rows_pass(cluster, database, "without a key").await?;
    database.secret(cluster, "first", &database.authority).await?;
    cluster.says(SOON, "Ready", "True", "Running").await?;

    database.shows_certificate(EXPIRED).await?;
    let expired = cluster
        .says(SOON, "Stalled", "True", "ExternalPostgresUntrusted")
        .await?;
    ensure!(expired.contains("its certificate has expired: renew it"), "{expired}");
    rows_pass(cluster, database, "with an expired certificate").await?;
    database.shows_certificate(VALID).await?;
    cluster.says(SOON, "Ready", "True", "Running").await?;
    cluster.live_on(&before).await
}

async fn a_new_password_restarts_nothing(cluster: &Cluster, database: &Database) -> Result<()> {
    let before = cluster.lives().await?;
    database
        .sql("app", &format!("alter role {OWNER} password 'second'"))
        .await?;
    database.secret(cluster, "second", &database.authority).await?;
    // Applications find it where they find every site.
    let secrets: Api<Secret> = cluster.namespace.api();
    eventually(SOON, async || {
        let copy = secrets.get("shop-server-app").await?.data.unwrap_or_default();
        let password = copy.get("password").context("no password")?;
        ensure!(password.0 == b"second", "the copy has the old password");
        Ok(())
    })
    .await?;
    cluster.says(SOON, "Ready", "True", "Running").await?;
    cluster.live_on(&before).await
}

const OURS: &str = "select 'slot ' || slot_name from pg_replication_slots
    union all select 'schema ' || nspname from pg_namespace where nspname = 'sync'
    union all select 'role ' || rolname from pg_roles where rolname like 'sync\\_%' order by 1";

async fn deleted_it_is_left(cluster: &Cluster, database: &Database) -> Result<()> {
    // Once it is well it is looked at every few seconds.
    eventually(SOON, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let listed = status.external.and_then(|external| external.postgres);
        let listed = listed.context("nothing is listed")?;
        ensure!(listed.made.contains(&"slot shop_server".to_owned()), "{listed:?}");
        Ok(())
    })
    .await?;
    let said = cluster.goes_and_says("ExternalLeft").await?;
    ensure!(
        said.contains("slot shop_server") && said.contains(REMOVE_EXTERNAL_ANNOTATION),
        "{said}"
    );
    let ours = [
        "role sync_connector",
        "role sync_gateway",
        "role sync_sink",
        "schema sync",
        "slot shop_server",
    ];
    database.shows(OURS, &ours).await
}

async fn asked_for_it_is_removed(cluster: &Cluster, database: &Database) -> Result<()> {
    cluster.ask_for_removal("postgres").await?;
    cluster.goes_and_says("ExternalRemoved").await?;
    database.shows(OURS, &[]).await?;
    database.shows("select count(*) from notes", &["7"]).await
}
