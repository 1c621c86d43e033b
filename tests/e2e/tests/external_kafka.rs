//! A Kafka that is somebody else's: in another namespace, with TLS and SASL SCRAM, that the operator does not own.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use synccluster_e2e::reach::clients;
use synccluster_e2e::theirs::KAFKA_USER;
use synccluster_e2e::{Cluster, Namespace, START, eventually, migrations, stays, with_namespace};
use synccluster_harness::{Authority, Certificate};
use synccluster_operator::api::{Link, REMOVE_EXTERNAL_ANNOTATION};
use synccluster_protocol::Site;

const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const SECRET: &str = "their-kafka";
const USER: &str = "shop";
const SCHEMA: &str = include_str!("../src/schema.sql");
const TOPICS: [&str; 3] = ["shop.client-1", "shop.client-2", "shop.server"];
/// A topic of theirs that could be taken for one of ours.
const THEIRS: &str = "shop.orders";
/// What is wrong is said within seconds, where the machine and the API server are not busy with something else.
const SOON: Duration = Duration::from_mins(1);
const PORT: u16 = 9093;
/// At this port the certificate's time is over.
const EXPIRED_PORT: u16 = 9095;
/// Sessions have to show who they are again and again: what an old password opened does not stay.
const SESSION: Duration = Duration::from_secs(10);
const START_SH: &str = r#"set -e
cat >/data/server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9094
controller.listener.names=CONTROLLER
inter.broker.listener.name=LOCAL
listeners=LOCAL://127.0.0.1:9092,CONTROLLER://127.0.0.1:9094,SECURED://:9093,EXPIRED://:9095
advertised.listeners=LOCAL://127.0.0.1:9092,SECURED://$HOST:9093,EXPIRED://$HOST:9095
listener.security.protocol.map=LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,EXPIRED:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
connections.max.reauth.ms=$SESSION_MS
ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location=/theirs/secured.pem
listener.name.expired.ssl.keystore.location=/theirs/expired.pem
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.expired.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=/data/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
PROPERTIES
kafka-storage.sh format --cluster-id=c3luY2NsdXN0ZXItdGVzdA --config /data/server.properties \
  --add-scram "SCRAM-SHA-512=[name=shop,iterations=4096,password=first]"
exec kafka-server-start.sh /data/server.properties
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_not_ours_is_used_and_left() -> Result<()> {
    with_namespace("brokers", async |theirs| {
        with_namespace("outside", async |ours| {
            let cluster = Cluster {
                namespace: ours.clone(),
                name: "shop".parse()?,
            };
            let broker = Broker::start(theirs).await?;
            ours.config_map(migrations(), &json!({ "V1__tables.sql": SCHEMA }))
                .await?;
            cluster.create_with(2, &broker.spec(EXPIRED_PORT)).await?;
            what_is_wrong_is_said(&cluster, &broker).await?;
            cluster.ready().await?;
            rows_pass_and_a_cut_is_a_cut(&cluster).await?;
            a_new_password_restarts_nothing(&cluster, &broker).await?;
            deleted_it_is_left(&cluster, &broker).await?;
            cluster.create_with(2, &broker.spec(PORT)).await?;
            asked_for_it_is_removed(&cluster, &broker).await
        })
        .await
    })
    .await
}

/// Their Kafka.
struct Broker {
    namespace: Namespace,
    shell: Cluster,
    authority: Authority,
    expired: Certificate,
}

fn store(certificate: &Certificate) -> Result<String> {
    Ok(fs::read_to_string(&certificate.key)? + &fs::read_to_string(&certificate.certificate)?)
}

impl Broker {
    /// Does not wait until it answers.
    async fn start(namespace: &Namespace) -> Result<Self> {
        let authority = Authority::new().await?;
        let host = namespace.host("kafka");
        let names = format!("DNS:{host}");
        let issued = authority.issue("secured", &names).await?;
        let expired = authority.issue_expired("expired", &names).await?;
        let files = json!({ "start.sh": START_SH, "secured.pem": store(&issued)?, "expired.pem": store(&expired)? });
        let probe = json!({ "tcpSocket": { "port": PORT }, "periodSeconds": 1 });
        let container = json!({
            "image": namespace.image("kafka").await?,
            "env": [
                { "name": "HOST", "value": host },
                { "name": "SESSION_MS", "value": SESSION.as_millis().to_string() },
                { "name": "KAFKA_HEAP_OPTS", "value": "-Xms128m -Xmx256m" },
            ],
            "readinessProbe": probe,
        });
        namespace
            .server("kafka", KAFKA_USER, &[PORT, EXPIRED_PORT], &files, &container)
            .await?;
        let (namespace, shell) = (namespace.clone(), namespace.shell()?);
        Ok(Self {
            namespace,
            shell,
            authority,
            expired,
        })
    }

    fn spec(&self, port: u16) -> Value {
        let there =
            json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.namespace.name } } }]);
        let external = json!({
            "bootstrapServers": format!("{}:{port}", self.namespace.host("kafka")), "secret": SECRET, "peers": there,
        });
        json!({ "kafka": { "external": external }, "gateway": { "replicas": 0 } })
    }

    /// What one of Kafka's tools prints. Each is a Java of its own, which takes seconds on a busy machine.
    async fn tool(&self, tool: &str, arguments: &[&str]) -> Result<String> {
        let mut command = vec!["env", "KAFKA_HEAP_OPTS=-Xmx64m -XX:TieredStopAtLevel=1", tool];
        command.extend(["--bootstrap-server", "127.0.0.1:9092"]);
        command.extend(arguments);
        eventually(START, async || self.shell.exec("kafka", "kafka", &command).await).await
    }

    /// Topics that could be ours.
    async fn topics(&self) -> Result<Vec<String>> {
        let printed = self.tool("kafka-topics.sh", &["--list"]).await?;
        let shop = printed.lines().filter(|topic| topic.starts_with("shop."));
        Ok(shop.map(str::to_owned).collect())
    }

    fn keys(&self, password: &str) -> Result<Value> {
        Ok(
            json!({ "ca.crt": fs::read_to_string(self.authority.certificate())?, "username": USER, "password": password }),
        )
    }
}

async fn what_is_wrong_is_said(cluster: &Cluster, broker: &Broker) -> Result<()> {
    let ours = &cluster.namespace;
    cluster.says(SOON, "Stalled", "True", "KafkaSecretNotFound").await?;
    ours.secret(SECRET, &json!({ "username": USER })).await?;
    let half = cluster.says(SOON, "Stalled", "True", "KafkaSecretInvalid").await?;
    ensure!(half.contains("add password"), "{half}");
    let mut keys = broker.keys("first")?;
    keys["ca.crt"] = fs::read_to_string(&broker.expired.certificate)?.into();
    ours.secret(SECRET, &keys).await?;
    let expired = cluster.says(SOON, "Stalled", "True", "KafkaCertificateExpired").await?;
    ensure!(expired.contains("ca.crt expired at 2020-01-02"), "{expired}");

    // What only the brokers can say: they have to be there.
    let create = [
        "--create",
        "--topic",
        THEIRS,
        "--partitions",
        "1",
        "--replication-factor",
        "1",
    ];
    broker
        .tool("kafka-topics.sh", &[&create[..], &["--if-not-exists"]].concat())
        .await?;
    ours.secret(SECRET, &broker.keys("first")?).await?;
    refused(cluster, "has expired: renew it there").await?;
    cluster.patch(&broker.spec(PORT)).await?;
    let mut keys = broker.keys("first")?;
    keys["ca.crt"] = fs::read_to_string(Authority::new().await?.certificate())?.into();
    ours.secret(SECRET, &keys).await?;
    refused(cluster, "not signed by ca.crt").await?;
    ours.secret(SECRET, &broker.keys("wrong")?).await?;
    refused(cluster, "do not take username and password").await?;
    ours.secret(SECRET, &broker.keys("first")?).await?;
    cluster.hurry_secrets().await
}

async fn refused(cluster: &Cluster, why: &str) -> Result<()> {
    eventually(SOON, async || {
        let said = cluster
            .says(Duration::from_secs(5), "Stalled", "True", "KafkaRefused")
            .await?;
        ensure!(said.contains(why), "{said}");
        Ok(())
    })
    .await
}

fn insert(mark: &str) -> String {
    format!("insert into notes (mark, site) values ('{mark}', 'x')")
}

const MARKS: &str = "select mark from notes order by id";

async fn rows_pass_and_a_cut_is_a_cut(cluster: &Cluster) -> Result<()> {
    cluster.sql(ONE, &insert("before")).await?;
    cluster.shows(TWO, MARKS, &["before"]).await?;
    cluster.cut(&clients([2], Link::Both)).await?;
    cluster.enforced().await?;
    cluster.sql(ONE, &insert("while cut")).await?;
    cluster.shows(Site::Server, MARKS, &["before", "while cut"]).await?;
    let is_right = |seen: Vec<String>| {
        ensure!(seen == ["before"], "{seen:?}");
        Ok(())
    };
    stays(Duration::from_secs(3), async || cluster.sql(TWO, MARKS).await, is_right).await?;
    cluster.heal().await?;
    cluster.shows(TWO, MARKS, &["before", "while cut"]).await?;
    cluster.converged().await
}

async fn a_new_password_restarts_nothing(cluster: &Cluster, broker: &Broker) -> Result<()> {
    let before = cluster.lives().await?;
    let credential = "SCRAM-SHA-512=[iterations=4096,password=second]";
    let arguments = [
        "--alter",
        "--entity-type",
        "users",
        "--entity-name",
        USER,
        "--add-config",
        credential,
    ];
    broker.tool("kafka-configs.sh", &arguments).await?;
    cluster.namespace.secret(SECRET, &broker.keys("second")?).await?;
    cluster.hurry_secrets().await?;
    // By then nobody is in who came by the old one.
    tokio::time::sleep(SESSION + Duration::from_secs(2)).await;
    cluster.sql(TWO, &insert("with another password")).await?;
    let all = ["before", "while cut", "with another password"];
    for site in [Site::Server, ONE] {
        cluster
            .shows(site, "select mark from notes order by mark", &all)
            .await?;
    }
    cluster.says(SOON, "Ready", "True", "Running").await?;
    cluster.converged().await?;
    cluster.live_on(&before).await
}

/// Waits until the status lists every topic of the cluster, and no other.
async fn listed(cluster: &Cluster) -> Result<()> {
    eventually(START, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let kafka = status.external.and_then(|external| external.kafka);
        let listed = kafka.context("nothing is listed")?.topics;
        ensure!(listed == TOPICS, "{listed:?}");
        Ok(())
    })
    .await
}

async fn deleted_it_is_left(cluster: &Cluster, broker: &Broker) -> Result<()> {
    listed(cluster).await?;
    let said = cluster.goes_and_says("ExternalLeft").await?;
    ensure!(
        said.contains("shop.client-2") && said.contains(REMOVE_EXTERNAL_ANNOTATION),
        "{said}"
    );
    let topics = broker.topics().await?;
    ensure!(topics == [&TOPICS[..2], &[THEIRS, TOPICS[2]]].concat(), "{topics:?}");
    Ok(())
}

async fn asked_for_it_is_removed(cluster: &Cluster, broker: &Broker) -> Result<()> {
    listed(cluster).await?;
    cluster.ask_for_removal("kafka").await?;
    cluster.goes_and_says("ExternalRemoved").await?;
    // A broker has them gone a little after its controller has said so.
    eventually(START, async || {
        let topics = broker.topics().await?;
        ensure!(topics == [THEIRS], "{topics:?}");
        Ok(())
    })
    .await
}
