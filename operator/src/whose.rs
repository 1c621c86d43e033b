//! Whose an object is that has a name which the plan wants. Pure, from metadata alone.
//!
//! Objects are found by the label with the cluster's name, and anybody may take that off: a person, or a tool that writes an object as it knows it.
//! One that has lost it is taken back where it is proved to be this SyncCluster's, by a UID. A name, other labels and the field manager prove
//! nothing: two SyncClusters of a namespace may want the same name, and the operator writes for both.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::names::{CLUSTER_LABEL, MANAGER};
use crate::validate::ValidatedCluster;

/// Whether it is this SyncCluster's: it says so, or this SyncCluster controls it, as Kubernetes lets one owner alone, or it is the very object that is
/// known to be (`known`, its UID) and nobody has claimed it since.
pub fn is_ours(cluster: &ValidatedCluster, there: &ObjectMeta, known: Option<&str>) -> bool {
    let is_known = known.is_some() && there.uid.as_deref() == known;
    is_labelled(cluster, there) || is_controlled(cluster, there) || (is_known && is_unclaimed(there))
}

/// Whether it says that it is.
pub fn is_labelled(cluster: &ValidatedCluster, there: &ObjectMeta) -> bool {
    label(there, CLUSTER_LABEL) == Some(cluster.name.as_str())
}

/// Whether this SyncCluster is the owner that controls it.
pub fn is_controlled(cluster: &ValidatedCluster, there: &ObjectMeta) -> bool {
    let mut owners = there.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == cluster.uid)
}

/// Whether it says of nobody that he looks after it.
pub fn is_unclaimed(there: &ObjectMeta) -> bool {
    let manager = label(there, "app.kubernetes.io/managed-by");
    label(there, CLUSTER_LABEL).is_none()
        && manager.is_none_or(|manager| manager == MANAGER)
        && there.owner_references.iter().flatten().next().is_none()
}

/// What is merged into an object that is ours and does not say so: what it holds stays as it is, until a look finds it by its label and knows all that
/// is to be known of it (whose turn it is to change, what it was started with). It is written only as it was looked at.
pub fn taken_back(planned: &Value, there: &ObjectMeta) -> Value {
    let planned = &planned["metadata"];
    let mut back = json!({ "labels": planned["labels"], "resourceVersion": there.resource_version });
    if there.owner_references.as_ref().is_none_or(Vec::is_empty) {
        back["ownerReferences"] = planned["ownerReferences"].clone();
    }
    json!({ "metadata": back })
}

fn label<'a>(there: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    there.labels.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;
    use crate::fixture::valid;

    const UID: &str = "11111111-2222-3333-4444-555555555555";

    fn labelled(labels: &[(&str, &str)]) -> ObjectMeta {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ObjectMeta {
            uid: Some(UID.to_owned()),
            labels: Some(labels.collect()),
            ..ObjectMeta::default()
        }
    }

    fn owned(owner: OwnerReference) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![owner]),
            ..labelled(&[])
        }
    }

    fn another() -> OwnerReference {
        OwnerReference {
            uid: "another".to_owned(),
            ..valid().owner
        }
    }

    #[test]
    fn what_is_taken_back_gets_its_labels_and_nothing_that_it_holds_changes() {
        let planned = json!({
            "metadata": { "name": "demo-server", "labels": { "a": "b" }, "ownerReferences": ["ours"] },
            "spec": { "replicas": 1 },
        });
        let version = Some("7".to_owned());
        let mut there = ObjectMeta {
            resource_version: version,
            ..labelled(&[])
        };
        let mut back = json!({ "labels": { "a": "b" }, "resourceVersion": "7", "ownerReferences": ["ours"] });
        assert_eq!(taken_back(&planned, &there), json!({ "metadata": back }));
        there.owner_references = Some(vec![another()]);
        back.as_object_mut().unwrap().remove("ownerReferences");
        assert_eq!(taken_back(&planned, &there), json!({ "metadata": back }));
    }

    #[test]
    fn what_says_that_it_is_ours_is() {
        assert!(is_ours(&valid(), &labelled(&[(CLUSTER_LABEL, "demo")]), None));
        assert!(!is_ours(&valid(), &labelled(&[(CLUSTER_LABEL, "demo-2")]), None));
        assert!(!is_ours(&valid(), &labelled(&[]), None));
    }

    #[test]
    fn what_lost_its_label_is_ours_while_this_very_syncclusters_controls_it() {
        let cluster = valid();
        assert!(is_ours(&cluster, &owned(cluster.owner.clone()), None));
        let mut relabelled = owned(cluster.owner.clone());
        relabelled.labels = labelled(&[(CLUSTER_LABEL, "demo-2")]).labels;
        assert!(is_ours(&cluster, &relabelled, None));
        assert!(
            !is_ours(&cluster, &owned(another()), None),
            "one of the same name that is gone, or anybody else"
        );
        // So that it goes with the SyncCluster, somebody may name it as the owner of what is his own.
        let kept = OwnerReference {
            controller: None,
            ..cluster.owner.clone()
        };
        assert!(!is_ours(&cluster, &owned(kept), None));
    }

    #[test]
    fn what_was_written_over_as_a_whole_is_ours_if_it_is_known_and_nobody_claims_it() {
        let cluster = valid();
        let known = |there: &ObjectMeta, uid: &str| is_ours(&cluster, there, Some(uid));
        assert!(known(&labelled(&[]), UID));
        assert!(known(&labelled(&[("app.kubernetes.io/managed-by", MANAGER)]), UID));
        assert!(!known(&labelled(&[]), "made-anew"), "another object under the name");
        assert!(!known(&labelled(&[("app.kubernetes.io/managed-by", "Helm")]), UID));
        assert!(!known(&labelled(&[(CLUSTER_LABEL, "demo-2")]), UID));
        assert!(!known(&owned(another()), UID));
        assert!(!is_ours(&cluster, &ObjectMeta::default(), None), "no UID is no proof");
    }
}
