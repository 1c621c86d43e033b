//! The end of a node's work, while its process goes on.

use std::time::Duration;

use tokio::time;

use super::{Node, order::Order};

/// How long the writer may take for what was ordered before.
const PATIENCE: Duration = Duration::from_secs(5);

impl Node {
    /// Takes no more likes, for good: what was ordered before is written, the rest is refused, and clients are sent elsewhere.
    pub async fn leave(&self) {
        self.members.leave();
        if self.orders.send(Order::Stop).await.is_ok() {
            let _ = time::timeout(PATIENCE, self.orders.closed()).await;
        }
    }
}
