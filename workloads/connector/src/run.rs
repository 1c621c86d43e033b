//! The uplink, session after session.

use std::{sync::Arc, time::Duration};

use synccluster_protocol::status::ConnectorPhase;
use synccluster_runtime::{
    link::{Probe, Verdict},
    postgres,
    supervise::Sessions,
};
use tokio::time;

use crate::{
    session::{self, Settings},
    slot,
    state::State,
};

/// How often the slot is looked at while the link is cut: its WAL grows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A site's uplink.
pub struct Uplink {
    /// From where, to where.
    pub settings: Settings,
    /// What it tells of itself.
    pub state: Arc<State>,
}

impl Sessions for Uplink {
    type Error = session::Error;

    fn probe(&self) -> &Probe {
        self.state.probe()
    }

    async fn session(&self) -> Result<(), session::Error> {
        session::run(&self.settings, &self.state).await
    }

    async fn wait(&self, verdict: Verdict) {
        if verdict == Verdict::Cut {
            self.state.phase(ConnectorPhase::Cut);
        }
        look(&self.settings, &self.state).await;
    }

    fn failed(&self, error: &session::Error) {
        self.state.edit().error = Some(error.to_string());
        self.state.phase(ConnectorPhase::Failing);
    }
}

/// The slot keeps what is written during a cut; how much is said all along.
async fn look(settings: &Settings, state: &State) {
    state.alive();
    if let Ok(client) = postgres::connect_once(&settings.postgres, "synccluster-connector").await
        && let Ok(Some(slot)) = slot::status(&client, &settings.slot).await
    {
        let lag = slot::lag_bytes(&client, slot.confirmed_flush_lsn.unwrap_or_default())
            .await
            .ok();
        let mut status = state.edit();
        status.lag_bytes = lag;
        status.slot = Some(slot);
        status.measured_at = Some(synccluster_runtime::clock::now_millis());
    }
    time::sleep(LOOK_EVERY).await;
}
