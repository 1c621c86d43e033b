//! Who is to be cut off: read, and changed so that nobody's change is lost. What is sent and what is compared is pure.

use axum::http::StatusCode;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use synccluster_web::tags::{Tag, tags};

use super::{Kubernetes, resource::Partition, within};
use crate::problem::Problem;

/// Who changes `spec.partition`, as `metadata.managedFields` shows it.
const MANAGER: &str = "synccluster-gateway";
/// The version while nobody is cut off.
const NOBODY: &str = "nobody";
/// How often a change is tried that only something else of the resource came before, such as what the operator states.
const TRIES: usize = 10;

/// Versions of the partition one of which must be there, as `If-Match` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Vec<String>);

impl Expected {
    /// Reads an `If-Match`: entity tags, which are versions. `*` asks for nothing, since there is always an answer to who is cut off.
    pub fn parse(header: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(header) = header.filter(|header| header.trim() != "*") else {
            return Ok(None);
        };
        let version = |tag: &Tag<'_>| tag.strong().map(str::to_owned);
        let versions: Option<Vec<String>> = tags(header).and_then(|tags| tags.iter().map(version).collect());
        versions.map(|versions| Some(Self(versions))).ok_or_else(|| {
            let detail = format!("If-Match is * or the ETag of the partition, such as \"{NOBODY}\", and not {header}");
            Problem::bad_request("bad-if-match", "Bad If-Match", detail)
        })
    }

    /// 412 where the partition is another one.
    fn met_by(&self, current: Option<&Partition>) -> Result<(), Problem> {
        let now = version(current);
        if self.0.contains(&now) {
            return Ok(());
        }
        let status = StatusCode::PRECONDITION_FAILED;
        let detail = "somebody else changed who is cut off; look at `current`, and ask again with its `version`";
        Err(Problem::new(status, "changed-since", "Changed since", detail)
            .with("current", json!(current))
            .with("version", now))
    }
}

/// Tells partitions apart: the same for the same sites, whatever their order. 64 bits, since nobody gains from two that are alike.
pub fn version(partition: Option<&Partition>) -> String {
    let Some(partition) = partition else {
        return NOBODY.to_owned();
    };
    let mut canonical = partition.clone();
    for ordinals in [&mut canonical.clients, &mut canonical.counters] {
        ordinals.sort_unstable();
        ordinals.dedup();
    }
    let digest = Sha256::digest(json!(canonical).to_string())
        .iter()
        .take(8)
        .fold(0, |number: u64, &byte| (number << 8) | u64::from(byte));
    format!("{digest:016x}")
}

impl Kubernetes {
    /// Replaces `spec.partition`, or removes it, and returns what the API server holds then. 412 if it is none of the expected ones.
    pub async fn partition(
        &self,
        wanted: Option<&Partition>,
        expected: Option<&Expected>,
    ) -> Result<Option<Partition>, Problem> {
        let Some(expected) = expected else {
            return self.send(&patch(wanted)).await;
        };
        let api = self.resources();
        let mut left = TRIES;
        loop {
            let found = within(api.get(self.cluster.as_str()), "spec.partition cannot be read").await?;
            expected.met_by(found.spec.partition.as_ref())?;
            // Whoever changes it here makes another version of the resource, so that the patch is a conflict.
            let patch = only_at(patch(wanted), found.metadata.resource_version.as_deref());
            left -= 1;
            match self.send(&patch).await {
                Err(problem) if problem.status == StatusCode::CONFLICT.as_u16() && left > 0 => {}
                answer => return answer,
            }
        }
    }

    /// What people would type for the same.
    pub fn kubectl(&self, wanted: Option<&Partition>) -> String {
        let (namespace, cluster, patch) = (&self.namespace, &self.cluster, patch(wanted));
        // Nothing in it needs more than quotes: numbers, words of ours, and a duration the API server has accepted.
        format!("kubectl -n {namespace} patch synccluster {cluster} --type merge -p '{patch}'")
    }

    async fn send(&self, patch: &Value) -> Result<Option<Partition>, Problem> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let (api, patch) = (self.resources(), Patch::Merge(patch));
        let patched = within(
            api.patch(self.cluster.as_str(), &params, &patch),
            "spec.partition cannot be set",
        );
        Ok(patched.await?.spec.partition)
    }
}

/// The merge patch that leaves exactly this. A merge keeps what is not named, so what is not wanted is named too.
fn patch(wanted: Option<&Partition>) -> Value {
    let partition = wanted.map(|wanted| {
        json!({
            "clients": wanted.clients,
            "server": wanted.server,
            "counters": wanted.counters,
            "link": wanted.link,
            "healAfter": wanted.heal_after,
        })
    });
    json!({ "spec": { "partition": partition } })
}

/// The same for this version of the resource alone: the API server refuses it for any other.
fn only_at(mut patch: Value, version: Option<&str>) -> Value {
    patch["metadata"] = json!({ "resourceVersion": version });
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::resource::Link;

    fn cutting(clients: &[u16]) -> Partition {
        Partition {
            clients: clients.to_vec(),
            ..Partition::default()
        }
    }

    #[test]
    fn the_patch_leaves_nothing_of_an_earlier_partition() {
        let wanted = Partition {
            link: Link::Uplink,
            ..cutting(&[2])
        };
        let expected =
            r#"{"spec":{"partition":{"clients":[2],"server":false,"counters":[],"link":"Uplink","healAfter":null}}}"#;
        assert_eq!(patch(Some(&wanted)).to_string(), expected);
        assert_eq!(patch(None).to_string(), r#"{"spec":{"partition":null}}"#);
    }

    #[test]
    fn a_patch_that_expects_something_names_the_version_it_was_made_for() {
        let patch = only_at(patch(Some(&cutting(&[2]))), Some("42"));
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "42" }));
        assert_eq!(patch["spec"]["partition"]["clients"], json!([2]));
    }

    #[test]
    fn a_version_is_of_what_is_cut_and_not_of_how_it_is_written() {
        let one = cutting(&[1, 2]);
        assert_eq!(version(Some(&one)), version(Some(&cutting(&[2, 1]))));
        assert_eq!(version(Some(&one)).len(), 16);
        let others = [
            None,
            Some(cutting(&[1])),
            Some(cutting(&[12])),
            Some(Partition {
                server: true,
                ..one.clone()
            }),
            Some(Partition {
                counters: vec![0],
                ..one.clone()
            }),
            Some(Partition {
                link: Link::Downlink,
                ..one.clone()
            }),
            Some(Partition {
                heal_after: Some("5m".to_owned()),
                ..one.clone()
            }),
        ];
        for other in &others {
            assert_ne!(version(Some(&one)), version(other.as_ref()), "{other:?}");
        }
    }

    #[test]
    fn what_is_expected_is_a_star_or_versions() {
        let of = |versions: &[&str]| Some(Expected(versions.iter().map(|&version| version.to_owned()).collect()));
        assert_eq!(Expected::parse(None).unwrap(), None);
        assert_eq!(Expected::parse(Some(" * ")).unwrap(), None);
        assert_eq!(
            Expected::parse(Some("\"nobody\", \"ab12\"")).unwrap(),
            of(&["nobody", "ab12"])
        );
        for wrong in ["nobody", "W/\"nobody\"", "\"", ""] {
            assert_eq!(Expected::parse(Some(wrong)).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_change_of_what_is_there_no_more_is_refused_with_what_is() {
        let nobody = Expected(vec![version(None)]);
        assert!(nobody.met_by(None).is_ok());
        let now = cutting(&[1]);
        let refused = nobody.met_by(Some(&now)).unwrap_err();
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (412, "urn:synccluster:problem:changed-since")
        );
        let more = refused.more.unwrap();
        assert_eq!(more["current"]["clients"], json!([1]));
        assert_eq!(more["version"], json!(version(Some(&now))));
        // With the version that was told, it is accepted.
        assert!(Expected(vec![version(Some(&now))]).met_by(Some(&now)).is_ok());
        let healed = Expected(vec![version(Some(&now))]).met_by(None).unwrap_err();
        assert_eq!(healed.more.unwrap()["current"], Value::Null);
    }
}
