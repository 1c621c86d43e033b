//! Secrets are created once, and what they hold never changes.

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use rand::distr::{Alphanumeric, SampleString as _};

use super::taken::take_back;
use super::{Applier, Error, Refused, SOMEBODY_ELSES, some_at_once};
use crate::names::MANAGER;
use crate::plan::secrets::{self, Opens};
use crate::validate::ValidatedCluster;
use crate::whose;

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
    let planned = secrets::secret(cluster, wanted, &mut random);
    let secret: DynamicObject =
        serde_json::from_value(planned.clone()).map_err(|e| call(kube::Error::SerdeError(e)))?;
    let manager = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&manager, &secret).await {
        Ok(_) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(source) => return Err(call(source)),
    }
    // Ours, made a moment ago, or without its label; or of a SyncCluster whose name ends in a site: the gateway of `demo-client-1` and the
    // gateway's role at client-1 of `demo` want the same name.
    let found = api.get_metadata_opt(&wanted.name).await.map_err(call)?;
    // It has gone meanwhile: the next look makes it.
    let Some(there) = found.map(|found| found.metadata) else {
        return Ok(None);
    };
    if !whose::is_ours(cluster, &there, known(cluster, wanted)) {
        return Ok(Some(Refused {
            kind: "Secret",
            name: wanted.name.clone(),
            message: SOMEBODY_ELSES.to_owned(),
        }));
    }
    if !whose::is_labelled(cluster, &there) {
        take_back(api, cluster, ("Secret", &wanted.name), &planned, &there)
            .await
            .map_err(call)?;
    }
    Ok(None)
}

/// The UID of the Secret of this name that its database was started with.
fn known<'a>(cluster: &'a ValidatedCluster, wanted: &secrets::Wanted) -> Option<&'a str> {
    let Opens::Database { site, .. } = wanted.opens else {
        return None;
    };
    let secrets = &cluster.passwords.get(&site)?.secrets;
    secrets.get(&wanted.name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use synccluster_protocol::Site;

    use super::*;
    use crate::fixture::valid;
    use crate::names::Role;
    use crate::passwords::Passwords;

    #[test]
    fn a_roles_secret_is_known_by_what_its_database_was_started_with() {
        let mut cluster = valid();
        let (site, name) = (Site::Client(1), "demo-client-1-sink");
        let started_with = Passwords {
            secrets: [(name.to_owned(), "uid".to_owned())].into(),
            mark: None,
        };
        cluster.passwords.insert(site, started_with);
        let wanted = |name: &str, opens| secrets::Wanted {
            name: name.to_owned(),
            opens,
        };
        let role = Role::Sink;
        let of_site = |site| Opens::Database { site, role };
        assert_eq!(known(&cluster, &wanted(name, of_site(site))), Some("uid"));
        assert_eq!(known(&cluster, &wanted("demo-client-1-app", of_site(site))), None);
        assert_eq!(known(&cluster, &wanted(name, of_site(Site::Client(2)))), None);
        assert_eq!(known(&cluster, &wanted(name, Opens::Gateway)), None);
    }
}
