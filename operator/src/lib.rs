//! The operator: SyncCluster to Kubernetes objects, and what was measured to status.
