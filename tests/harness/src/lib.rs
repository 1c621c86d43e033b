//! Postgres and Kafka as plain processes, for integration tests: real ones, on loopback, in a temporary folder, gone with the test.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use synccluster_harness::{Kafka, Postgres, Role};
//! let postgres = Postgres::start().await?;
//! let kafka = Kafka::start_with_proxies(&["client-1"]).await?;
//! postgres.connect(Role::App).await?.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await?;
//! kafka.proxy("client-1")?.set(synccluster_harness::Link::Blocked).await?;
//! # Ok(()) }
//! ```
//!
//! The parts are fetched once by `tests/harness/fetch.sh`. Every process ends with its owner, and with the test process however that ends.

mod authority;
mod clickhouse;
mod goals;
mod kafka;
mod parts;
mod place;
mod ports;
mod postgres;
mod process;
mod proxy;
mod repository;
mod role;
mod secured;
mod tmux;
mod wait;
mod witness;

pub use authority::{Authority, Certificate};
pub use clickhouse::ClickHouse;
pub use goals::Goals;
pub use kafka::{Broker, Kafka, Record};
pub use parts::{connect, notebooks, socketio, superset};
pub use ports::free_port;
pub use postgres::Postgres;
pub use proxy::{Link, Proxy};
pub use repository::repository;
pub use role::Role;
pub use secured::Secured;
pub use tmux::Tmux;
pub use wait::{eventually, eventually_eq};
pub use witness::Witness;
