//! The downlink, session after session.

use std::{sync::Arc, time::Duration};

use synccluster_protocol::status::SinkPhase;
use synccluster_runtime::{
    link::{Probe, Verdict},
    supervise::Sessions,
};
use tokio::time;

use crate::{
    session::{self, Settings},
    state::State,
};

/// How often it says it is alive while it waits for the link.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A site's downlink.
pub struct Downlink {
    /// From where, to where.
    pub settings: Settings,
    /// What it tells of itself.
    pub state: Arc<State>,
}

impl Sessions for Downlink {
    type Error = session::Error;

    fn probe(&self) -> &Probe {
        self.state.probe()
    }

    async fn session(&self) -> Result<(), session::Error> {
        session::run(&self.settings, &self.state).await
    }

    async fn wait(&self, verdict: Verdict) {
        self.state.alive();
        if verdict == Verdict::Cut {
            self.state.phase(SinkPhase::Cut);
        }
        time::sleep(SIGN_OF_LIFE).await;
    }

    fn failed(&self, error: &session::Error) {
        self.state.edit().error = Some(error.to_string());
        self.state.phase(SinkPhase::Failing);
    }
}
