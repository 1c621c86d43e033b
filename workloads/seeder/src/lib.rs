//! Fills the tables of a SyncCluster, keeps writing to them, and checks afterwards that nothing it was acknowledged is lost.
