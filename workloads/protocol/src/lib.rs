//! What travels between the parts of a SyncCluster: names, versions, change events, status documents. No IO, no clock.

pub mod codec;
pub mod connect;
pub mod convergence;
pub mod definitions;
pub mod event;
pub mod lsn;
pub mod site;
pub mod status;
pub mod version;

pub use lsn::Lsn;
pub use site::{ClusterName, Site};
pub use version::Version;
