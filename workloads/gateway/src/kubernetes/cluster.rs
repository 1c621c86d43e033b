//! What the page shows of the cluster as a whole, from the resource alone. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as Stated, Time};
use serde::Serialize;
use serde_json::Value;

use super::{
    partition::version,
    resource::{Partition, Status, SyncCluster},
};

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Cluster {
    /// The SyncCluster's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Counts changes of its spec.
    pub generation: i64,
    /// How many clients there are.
    pub clients: i32,
    /// Whether the operator leaves everything as it is.
    pub paused: bool,
    /// What the operator states.
    pub conditions: Vec<Condition>,
    /// `status.sites` of the SyncCluster as it is: connectivity, uplink, downlink, digest, conflicts, parked, problem.
    #[schema(value_type = Vec<Object>)]
    pub sites: Vec<Value>,
    /// `status.counters` of the SyncCluster as it is: what the operator measured at each counter node.
    #[schema(value_type = Vec<Object>)]
    pub counters: Vec<Value>,
    /// Who is to be cut off; null: nobody.
    pub partition: Option<Partition>,
    /// The partition's entity tag without its quotes, for the `If-Match` of a change of it.
    pub partition_version: String,
    /// Since when and until when; null while nobody is cut off.
    pub cut: Option<Cut>,
    /// Whether the sites are the same, in a word.
    pub convergence: Convergence,
}

/// A statement of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Condition {
    /// What it is about, such as `Ready` or `Converged`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when its status is so.
    pub last_transition_time: String,
}

/// A partition's times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Cut {
    /// When the operator first saw it.
    pub since: Option<String>,
    /// When it was first measured to hold.
    pub enforced_at: Option<String>,
    /// When it ends by itself.
    pub heal_at: Option<String>,
}

/// Whether the sites are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum Word {
    /// They were measured to be.
    Converged,
    /// Something is on its way, or not compared yet.
    Converging,
    /// Somebody is cut off.
    Cut,
    /// Nothing is on its way, or nothing that moves by itself, and they are not.
    Differs,
    /// It cannot be seen.
    Unknown,
}

/// Whether the sites are the same, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Convergence {
    /// In a word.
    pub word: Word,
    /// The digest all sites have, while they are the same.
    pub digest: Option<String>,
    /// Rows it covers.
    pub rows: Option<i64>,
    /// Since when the word is so.
    pub since: Option<String>,
    /// Seconds the last heal took until the sites were the same again.
    pub heal_seconds: Option<i64>,
    /// In a sentence.
    pub detail: String,
}

impl Cluster {
    /// Of this resource.
    pub fn of(resource: &SyncCluster) -> Self {
        let status = resource.status.clone().unwrap_or_default();
        let (metadata, spec) = (&resource.metadata, &resource.spec);
        let convergence = convergence(
            metadata.generation.unwrap_or_default(),
            spec.partition.is_some(),
            &status,
        );
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            clients: spec.clients,
            paused: spec.paused,
            conditions: status.conditions.iter().map(condition).collect(),
            sites: status.sites,
            counters: status.counters,
            partition: spec.partition.clone(),
            partition_version: version(spec.partition.as_ref()),
            cut: status.partition.as_ref().map(|partition| Cut {
                since: text(partition.since.as_ref()),
                enforced_at: text(partition.enforced_at.as_ref()),
                heal_at: text(partition.heal_at.as_ref()),
            }),
            convergence,
        }
    }
}

fn condition(stated: &Stated) -> Condition {
    Condition {
        kind: stated.type_.clone(),
        status: stated.status.clone(),
        reason: stated.reason.clone(),
        message: stated.message.clone(),
        last_transition_time: stated.last_transition_time.0.to_string(),
    }
}

fn text(time: Option<&Time>) -> Option<String> {
    time.map(|time| time.0.to_string())
}

/// The word, from what the operator states. A spec it has not looked at yet counts for more than a statement about the one before.
fn convergence(generation: i64, wants_cut: bool, status: &Status) -> Convergence {
    let known = status.convergence.clone().unwrap_or_default();
    let stated = |kind: &str| status.conditions.iter().find(|stated| stated.type_ == kind);
    let converged = stated("Converged");
    let changed = status.observed_generation != Some(generation) && wants_cut != status.partition.is_some();
    let (word, since, detail) = match converged {
        Some(stated) if stated.status != "Unknown" => match (stated.status.as_str(), stated.reason.as_str()) {
            _ if changed && wants_cut => (
                Word::Cut,
                None,
                "the cut was asked for; the operator has not seen it yet".to_owned(),
            ),
            _ if changed => (
                Word::Converging,
                None,
                "the heal was asked for; the operator has not seen it yet".to_owned(),
            ),
            ("True", _) => (Word::Converged, known.since.as_ref(), stated.message.clone()),
            (_, "Partitioned") => (
                Word::Cut,
                status.partition.as_ref().and_then(|cut| cut.since.as_ref()),
                enforced(status, stated),
            ),
            (_, "DigestsDiffer" | "Parked") => (
                Word::Differs,
                Some(&stated.last_transition_time),
                stated.message.clone(),
            ),
            _ => (
                Word::Converging,
                known.healed_at.as_ref().or(Some(&stated.last_transition_time)),
                stated.message.clone(),
            ),
        },
        Some(stated) => (
            Word::Unknown,
            Some(&stated.last_transition_time),
            stated.message.clone(),
        ),
        None => (
            Word::Unknown,
            None,
            "the operator has not looked at this SyncCluster yet; see whether it runs".to_owned(),
        ),
    };
    Convergence {
        word,
        digest: known.digest,
        rows: known.rows,
        since: text(since),
        heal_seconds: known.last_heal_seconds,
        detail,
    }
}

/// Of a cut it is told whether it holds, rather than that the sites cannot be the same.
fn enforced(status: &Status, otherwise: &Stated) -> String {
    let stated = status
        .conditions
        .iter()
        .find(|stated| stated.type_ == "PartitionEnforced");
    stated.unwrap_or(otherwise).message.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The resource as the API server gives it: spec.partition, and conditions as (type, status, reason).
    fn cluster(partition: &Value, status: &Value, conditions: &[(&str, &str, &str)]) -> Cluster {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, reason)| {
                json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} {reason}"),
                       "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        let mut status = status.clone();
        status["conditions"] = conditions.into();
        let resource: SyncCluster = serde_json::from_value(json!({
            "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster",
            "metadata": {"name": "demo", "namespace": "default", "generation": 4},
            "spec": {"clients": 3, "partition": partition, "sync": {"maxClockSkew": "10s"}},
            "status": status,
        }))
        .unwrap();
        Cluster::of(&resource)
    }

    fn word(partition: &Value, status: &Value, conditions: &[(&str, &str, &str)]) -> (Word, Option<String>, String) {
        let convergence = cluster(partition, status, conditions).convergence;
        (convergence.word, convergence.since, convergence.detail)
    }

    const THEN: &str = "2026-01-01T00:00:00Z";
    const SINCE: &str = "2026-01-02T03:04:05Z";

    #[test]
    fn sites_that_were_measured_to_be_the_same_are_converged() {
        let status = json!({"observedGeneration": 4, "convergence": {"digest": "ab12", "rows": 7, "since": SINCE, "lastHealSeconds": 9}});
        let convergence = cluster(&Value::Null, &status, &[("Converged", "True", "DigestsEqual")]).convergence;
        assert_eq!(
            convergence,
            Convergence {
                word: Word::Converged,
                digest: Some("ab12".to_owned()),
                rows: Some(7),
                since: Some(SINCE.to_owned()),
                heal_seconds: Some(9),
                detail: "Converged DigestsEqual".to_owned(),
            }
        );
    }

    #[test]
    fn a_cut_is_said_with_whether_it_holds() {
        let status =
            json!({"observedGeneration": 4, "partition": {"sites": ["client-2"], "link": "Both", "since": SINCE}});
        let conditions = [
            ("PartitionEnforced", "True", "Verified"),
            ("Converged", "False", "Partitioned"),
        ];
        let expected = (
            Word::Cut,
            Some(SINCE.to_owned()),
            "PartitionEnforced Verified".to_owned(),
        );
        assert_eq!(word(&json!({"clients": [2]}), &status, &conditions), expected);
    }

    #[test]
    fn what_was_asked_for_just_now_counts_before_what_was_measured_before() {
        let before = json!({"observedGeneration": 3});
        let (word_now, since, _) = word(
            &json!({"clients": [2]}),
            &before,
            &[("Converged", "True", "DigestsEqual")],
        );
        assert_eq!((word_now, since), (Word::Cut, None));
        let before = json!({"observedGeneration": 3, "partition": {"since": SINCE}});
        let (word_now, since, _) = word(&Value::Null, &before, &[("Converged", "False", "Partitioned")]);
        assert_eq!((word_now, since), (Word::Converging, None));
        // Another field was changed: nothing is known to be different.
        let before = json!({"observedGeneration": 3});
        assert_eq!(
            word(&Value::Null, &before, &[("Converged", "True", "DigestsEqual")]).0,
            Word::Converged
        );
    }

    #[test]
    fn the_other_words_follow_the_reason() {
        for (status, reason, expected) in [
            ("False", "DigestsDiffer", Word::Differs),
            ("False", "Parked", Word::Differs),
            ("False", "Draining", Word::Converging),
            ("False", "Comparing", Word::Converging),
            ("Unknown", "CannotSee", Word::Unknown),
            ("Unknown", "DigestStale", Word::Unknown),
            ("Unknown", "Paused", Word::Unknown),
        ] {
            let (word, since, detail) = word(
                &Value::Null,
                &json!({"observedGeneration": 4}),
                &[("Converged", status, reason)],
            );
            assert_eq!((word, since.as_deref()), (expected, Some(THEN)), "{reason}");
            assert_eq!(detail, format!("Converged {reason}"));
        }
        let healing = json!({"observedGeneration": 4, "convergence": {"healedAt": SINCE}});
        assert_eq!(
            word(&Value::Null, &healing, &[("Converged", "False", "Draining")])
                .1
                .as_deref(),
            Some(SINCE)
        );
    }

    #[test]
    fn without_a_statement_nothing_is_known() {
        let (word, since, detail) = word(&Value::Null, &json!({}), &[]);
        assert_eq!((word, since), (Word::Unknown, None));
        assert!(detail.contains("has not looked"), "{detail}");
    }

    #[test]
    fn the_document_has_the_partition_in_our_words_and_the_sites_as_they_are() {
        let status = json!({"observedGeneration": 4, "partition": {"since": SINCE, "enforcedAt": SINCE, "healAt": THEN},
            "sites": [{"name": "client-2", "uplink": {"lagBytes": 5}, "new": true}]});
        let partition = json!({"clients": [2], "link": "Uplink", "healAfter": "5m"});
        let document = serde_json::to_value(cluster(&partition, &status, &[])).unwrap();
        let expected = json!({"clients": [2], "server": false, "counters": [], "link": "Uplink", "heal_after": "5m"});
        assert_eq!(document["partition"], expected);
        let healed = cluster(&Value::Null, &status, &[]).partition_version;
        assert!(healed != document["partition_version"], "{healed}");
        assert_eq!(document["sites"][0]["uplink"]["lagBytes"], 5);
        assert_eq!(document["sites"][0]["new"], true);
        assert_eq!(document["cut"]["heal_at"], THEN);
        assert_eq!(
            (&document["generation"], &document["clients"], &document["paused"]),
            (&json!(4), &json!(3), &json!(false))
        );
    }
}
