//! Tests against a real cluster: the one KUBECONFIG names, with the operator installed.
//!
//! Each test has a namespace of its own, under the restricted pod security standard. What a test says of the data it reads from the databases;
//! the status is checked against that, and is not the witness. A test that fails prints what the cluster looked like. E2E_KEEP=1 keeps the namespaces.

mod always;
mod browser;
mod cluster;
pub mod counters;
mod databases;
mod dump;
mod forward;
mod http;
mod likes;
mod load;
mod looks;
mod make;
mod namespace;
mod pods;
mod psql;
pub mod reach;
mod release;
mod terminal;
pub mod theirs;
mod wait;
mod watch;
mod web;

pub use browser::with_the_example;
pub use cluster::{Cluster, migrations, with_cluster, with_cluster_of};
pub use databases::OneAtATime;
pub use forward::Forward;
pub use likes::Likes;
pub use load::{Load, Written};
pub use looks::Superset;
pub use make::{Ports, Printed};
pub use namespace::{Namespace, node_address, with_namespace};
pub use pods::Owned;
pub use release::{Usual, without_the_usual_operator};
pub use terminal::Terminal;
pub use wait::{PATIENCE, START, answered, eventually, stays};
pub use watch::Watch;
pub use web::{Visitor, Web};
