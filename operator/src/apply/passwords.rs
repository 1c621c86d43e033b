//! Secrets are created once and never changed.

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use rand::distr::{Alphanumeric, SampleString as _};

use super::{Applier, Error, Refused, SOMEBODY_ELSES, some_at_once};
use crate::names::{self, MANAGER};
use crate::plan::secrets;
use crate::validate::ValidatedCluster;

const PASSWORD_LENGTH: usize = 32;

impl Applier {
    /// Creates what is missing. Whoever lost a race finds the Secret there and leaves it.
    pub(super) async fn create_secrets(
        &self,
        cluster: &ValidatedCluster,
        wanted: &[secrets::Wanted],
    ) -> Result<Vec<Refused>, Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            &cluster.namespace,
            &ApiResource::erase::<Secret>(&()),
        );
        let writes = wanted
            .iter()
            .map(|wanted| create_secret(&api, cluster, wanted).boxed())
            .collect();
        Ok(some_at_once(writes).await?.into_iter().flatten().collect())
    }
}

async fn create_secret(
    api: &Api<DynamicObject>,
    cluster: &ValidatedCluster,
    wanted: &secrets::Wanted,
) -> Result<Option<Refused>, Error> {
    let call = |source| Error::Call {
        verb: "create",
        kind: "Secret",
        name: wanted.name.clone(),
        source: Box::new(source),
    };
    let mut random = || Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
    let secret = serde_json::from_value(secrets::secret(cluster, wanted, &mut random))
        .map_err(|e| call(kube::Error::SerdeError(e)))?;
    let manager = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&manager, &secret).await {
        Ok(_) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(source) => return Err(call(source)),
    }
    // Ours, made a moment ago; or of a SyncCluster whose name ends in a site: the gateway of `demo-client-1` and the gateway's role
    // at client-1 of `demo` want the same name.
    let ours = ListParams::default()
        .fields(&format!("metadata.name={}", wanted.name))
        .labels(&names::cluster_selector(&cluster.name));
    let found = api.list_metadata(&ours).await.map_err(call)?;
    Ok(found.items.is_empty().then(|| Refused {
        kind: "Secret",
        name: wanted.name.clone(),
        message: SOMEBODY_ELSES.to_owned(),
    }))
}
