//! From what is known to what the node does.

use std::path::PathBuf;

use thiserror::Error;
use tracing::{error, info};

use crate::{
    cni::{self, CniError},
    command::CommandError,
    model::Key,
    nft,
    render::Script,
    routes::{self, RouteError},
    ruleset::Ruleset,
    watch::World,
};

/// Why a node is not as it should be.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error("policies are as they were before: {0}")]
    Policies(#[from] CommandError),
    #[error(transparent)]
    Routes(#[from] RouteError),
    #[error(transparent)]
    Cni(#[from] CniError),
}

/// Keeps one node.
pub struct Agent {
    node: String,
    cni_dir: PathBuf,
    enforced: Option<String>,
}

impl Agent {
    pub fn new(node: String, cni_dir: PathBuf) -> Self {
        Self {
            node,
            cni_dir,
            enforced: None,
        }
    }

    /// Make the node what `world` asks for; false when something could not be done and has to be tried again.
    /// What fails leaves what was there in force, and does not keep the other parts from being done.
    pub async fn keep(&mut self, world: &World) -> bool {
        let outcome = [self.policies(world).await, self.routes(world).await, self.cni(world)];
        outcome
            .into_iter()
            .filter_map(Result::err)
            .inspect(|error| error!(%error, "not done; trying again"))
            .count()
            == 0
    }

    /// Have the next `keep` enforce the policies again if somebody has taken them away.
    pub async fn verify(&mut self) {
        if self.enforced.is_some() && !nft::in_force().await {
            error!("the policies were taken from this node; putting them back");
            self.enforced = None;
        }
    }

    async fn policies(&mut self, world: &World) -> Result<(), AgentError> {
        let Some(cluster) = world.cluster() else { return Ok(()) };
        let ruleset = Ruleset::build(cluster, &self.node);
        let script = Script::new(&ruleset).to_string();
        if self.enforced.as_ref() == Some(&script) {
            return Ok(());
        }
        nft::apply(&script).await?;
        let (egress, ingress) = (ruleset.egress.isolated.len(), ruleset.ingress.isolated.len());
        info!(
            policies = cluster.policies.len(),
            egress, ingress, "policies in force: pods isolated on this node"
        );
        self.enforced = Some(script);
        Ok(())
    }

    async fn routes(&self, world: &World) -> Result<(), AgentError> {
        let Some(nodes) = world.nodes() else { return Ok(()) };
        let changes = routes::sync(&self.node, nodes).await?;
        for route in changes.replace {
            info!(pods = %route.to, via = %route.via, "route made");
        }
        for pods in changes.remove {
            info!(%pods, "route removed");
        }
        Ok(())
    }

    /// Last, and only when policies are in force: from here on the node takes pods.
    fn cni(&self, world: &World) -> Result<(), AgentError> {
        let own = Key {
            namespace: String::new(),
            name: self.node.clone(),
        };
        let pods = world
            .nodes()
            .and_then(|nodes| nodes.get(&own))
            .and_then(|node| node.pod_cidr);
        if let (Some(pods), Some(_)) = (pods, &self.enforced)
            && cni::write(&self.cni_dir, pods)?
        {
            info!(%pods, "CNI configuration written");
        }
        Ok(())
    }
}
