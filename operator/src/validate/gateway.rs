//! The gateway, validated.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{Error, range};
use crate::api::{self, CountersAccess, GatewayApi, Identity, Ingress};

/// How the gateway is reached from outside the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Expose {
    /// Not at all.
    Inside,
    /// At a port of every node; absent: any free one.
    NodePort(Option<u16>),
    /// By the ingress controller.
    Ingress(Ingress),
    /// By a Gateway.
    Route {
        /// Which, and for what host.
        route: GatewayApi,
        /// Whether the cluster has HTTPRoutes.
        served: bool,
    },
}

/// A gateway with at least one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// How many pods.
    pub replicas: u16,
    /// The way from outside.
    pub expose: Expose,
    /// Whom a proxy in front names.
    pub identity: Option<Identity>,
    /// Who reads what counter nodes count.
    pub counters: CountersAccess,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
}

/// The gateway that is asked for.
pub fn gateway(written: &api::Gateway, serves_routes: bool) -> Result<Option<Gateway>, Error> {
    let replicas = range("gateway.replicas", written.replicas, 0..=100, "between 0 and 100")?;
    if replicas == 0 {
        return Ok(None);
    }
    let expose = match &written.expose {
        None => Expose::Inside,
        Some(expose) => match (&expose.node_port, &expose.ingress, &expose.gateway_api) {
            (Some(node_port), None, None) => Expose::NodePort(node_port.port.map(port).transpose()?),
            (None, Some(ingress), None) => Expose::Ingress(ingress.clone()),
            (None, None, Some(route)) => Expose::Route {
                route: route.clone(),
                served: serves_routes,
            },
            _ => return Err(Error::Expose),
        },
    };
    Ok(Some(Gateway {
        replicas,
        expose,
        identity: written.access.identity.clone(),
        counters: written.access.counters,
        resources: written.resources.clone(),
    }))
}

fn port(port: i32) -> Result<u16, Error> {
    range(
        "gateway.expose.nodePort.port",
        port,
        30000..=32767,
        "between 30000 and 32767",
    )
}
