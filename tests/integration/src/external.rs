//! Parts that are somebody else's: a Postgres and a Kafka with TLS, and what a cluster finds of them.

use std::path::Path;

use anyhow::Result;
use synccluster_harness::{Authority, Kafka, Postgres, Role};
use synccluster_runtime::{
    kafka::{Kafka as Brokers, More},
    postgres::{self, PostgresSecret},
};
use synccluster_schema::external::Credentials;
use tokio_postgres::Client;

/// The names a certificate must have for what runs here.
pub const LOCAL: &str = "IP:127.0.0.1,DNS:localhost";

/// A Postgres with a certificate of this authority.
pub async fn postgres(authority: &Authority) -> Result<Postgres> {
    Postgres::external(&authority.issue("server", LOCAL).await?, &authority.certificate()).await
}

/// Its owner, by the Secret he gives.
pub async fn owner(postgres: &Postgres) -> Result<Client> {
    Ok(postgres::connect_once(&PostgresSecret::at(&postgres.secret_dir(Role::Admin)), "test").await?)
}

/// The roles that are made in it, with the passwords their Secrets have.
pub fn credentials(postgres: &Postgres) -> Result<Vec<Credentials>> {
    let of = |role| {
        Ok(Credentials {
            role: postgres.user_of(role).to_owned(),
            password: postgres.password(role)?.to_owned(),
        })
    };
    [Role::Connector, Role::Sink, Role::Gateway]
        .into_iter()
        .map(of)
        .collect()
}

/// A Kafka with a certificate of this authority.
pub async fn kafka(authority: &Authority) -> Result<Kafka> {
    Kafka::external(&authority.issue("kafka", LOCAL).await?, &authority.certificate()).await
}

/// By its secured listener, as a workload that has this folder mounted.
pub fn brokers(kafka: &Kafka, secret: &Path) -> Result<Brokers> {
    let more = More {
        kafka_secret: Some(secret.to_owned()),
        ..More::default()
    };
    Ok(more.kafka(&format!("127.0.0.1:{}", kafka.secured()?.port)))
}
