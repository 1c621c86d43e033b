//! What kindnet does on a kind node, for a node image that cannot have kindnet: the CNI configuration of this node,
//! a route to the pods of every other node, and `networking.k8s.io/v1` `NetworkPolicy`. A part of the test bed, never of
//! the product. IPv4 only.
//!
//! ```text
//! watch → model → ruleset → render → nft        policies, on the node of the selected pod
//!           └───→ routes, cni                   who else is there, what a new pod gets
//! ```
//!
//! `model`, `parse`, `select`, `intervals`, `ruleset`, `render` decide and do no IO; `watch`, `nft`, `routes`, `cni` are the edge.
//!
//! What it leaves open, as kindnet does: a connection that is established lives on under a policy that would forbid it, a
//! pod is not isolated before its address has reached the API server, and a node always reaches its own pods.

pub mod agent;
pub mod cni;
pub mod command;
pub mod intervals;
pub mod model;
pub mod nft;
pub mod parse;
pub mod render;
pub mod routes;
pub mod ruleset;
pub mod select;
pub mod watch;
