//! Tables of cases: a cluster in which all is well, one thing spoilt, one statement expected.

use synccluster_protocol::status::{ConnectorStatus, DigestStatus, SinkStatus};

use super::*;
use crate::apply::Refused;
use crate::fixture::{NOW, after, now, observed, valid};
use crate::observe::Problem;
use crate::validate::Migrations;

mod analytics;
mod connectors;
mod converging;
mod counters;
mod cutting;
mod external;
mod gateways;
mod kafka;
mod looks;
mod resnapshots;
mod rollouts;
mod seeder;
mod topics;
mod unfinished;
mod writing;

type Spoil = Box<dyn Fn(&mut Observed)>;

fn spoil(spoil: impl Fn(&mut Observed) + 'static) -> Spoil {
    Box::new(spoil)
}

/// Status and reason of a condition, and its message.
fn said(status: &SyncClusterStatus, type_: &str) -> (String, String) {
    let condition = condition(status, type_).unwrap();
    (
        format!("{}/{}", condition.status, condition.reason),
        condition.message.clone(),
    )
}

#[track_caller]
fn expect(status: &SyncClusterStatus, type_: &str, verdict: &str, message: &str) {
    let (found, text) = said(status, type_);
    assert!(found == verdict && text.contains(message), "{type_}: {found}: {text}");
}

fn connector(seen: &mut Observed, site: Site) -> &mut ConnectorStatus {
    seen.connectors.get_mut(&site).unwrap()
}

fn sink(seen: &mut Observed, site: Site) -> &mut SinkStatus {
    seen.sinks.get_mut(&site).unwrap()
}

fn digest(seen: &mut Observed, site: Site) -> &mut DigestStatus {
    sink(seen, site).digest.as_mut().unwrap()
}

/// The same, with digests measured a second before `time`.
fn digested(mut observed: Observed, time: i64) -> Observed {
    observed
        .sinks
        .values_mut()
        .for_each(|sink| sink.digest.as_mut().unwrap().measured_at = (NOW + time - 1) * 1000);
    observed
}

/// The status after the cluster was the same for a while: digests count that were measured after it was seen drained.
fn settled(cluster: &ValidatedCluster, observed: &Observed) -> SyncClusterStatus {
    let first = assess(cluster, observed, &SyncClusterStatus::default(), after(-60));
    assess(cluster, observed, &first, now())
}

#[test]
fn a_cluster_in_which_all_is_well() {
    let status = settled(&valid(), &observed(&valid()));
    expect(
        &status,
        "Ready",
        "True/Running",
        "Kafka, the server and 3 clients run, and the gateway",
    );
    expect(&status, "Reconciling", "False/Settled", "");
    expect(&status, "Stalled", "False/NoProblem", "");
    expect(&status, "PartitionEnforced", "False/NoPartition", "");
    expect(
        &status,
        "Converged",
        "True/DigestsEqual",
        "digest 00000000deadbeef over 12 rows",
    );
    expect(&status, "SlotsHealthy", "True/WalKept", "");
    expect(&status, "ClocksAgree", "True/WithinSkew", "");
    expect(
        &status,
        "GatewayReady",
        "True/Running",
        "1 of 1 pods ready, at http://demo-gateway.shop.svc",
    );
    assert_eq!(
        (status.clients, status.ready_clients, status.cut.as_deref()),
        (3, 3, None)
    );
    assert_eq!(
        status.selector.as_deref(),
        Some("synccluster.dev/cluster=demo,app.kubernetes.io/component=postgres")
    );
    let names: Vec<&str> = status.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["server", "client-1", "client-2", "client-3"]);
    assert_eq!(status.convergence.unwrap().digest.as_deref(), Some("00000000deadbeef"));
}

#[test]
fn what_stands_in_the_way_is_named_with_its_remedy() {
    let problem = |reason| Problem {
        reason,
        message: "do this".to_owned(),
    };
    let cases: Vec<(&str, Spoil, &str, &str, &str)> = vec![
        (
            "a pod is missing",
            spoil(|o| {
                o.pods
                    .retain(|p| p.site != Some(Site::Client(2)) || p.component != Component::Sink);
            }),
            "False/Starting",
            "False",
            "demo-client-2-sink",
        ),
        (
            "a pod is of an old template",
            spoil(|o| o.pods.iter_mut().for_each(|p| p.current = false)),
            "False/Starting",
            "False",
            "demo-kafka",
        ),
        (
            "a pod goes away",
            spoil(|o| o.pods[1].terminating = true),
            "False/Starting",
            "False",
            "demo-server",
        ),
        (
            "Kafka is away",
            spoil(|o| o.pods[0].ready = false),
            "False/Starting",
            "False",
            "demo-kafka",
        ),
        (
            "a migration fails",
            spoil(move |o| {
                o.pods[2].problem = Some(problem("MigrationFailed"));
                o.pods[2].ready = false;
            }),
            "False/MigrationFailed",
            "True",
            "do this",
        ),
        (
            "Kubernetes refuses an object",
            spoil(|o| {
                o.outcome.refused.push(Refused {
                    kind: "Service",
                    name: "demo-server".into(),
                    message: "exceeded quota".into(),
                });
            }),
            "False/ObjectRefused",
            "True",
            "Service demo-server was refused: exceeded quota",
        ),
    ];
    for (name, spoil, ready, stalled, message) in cases {
        let mut seen = observed(&valid());
        spoil(&mut seen);
        let status = settled(&valid(), &seen);
        let (found, text) = said(&status, "Ready");
        assert!(found == ready && text.contains(message), "{name}: {found}: {text}");
        assert!(is(&status, "Stalled", stalled), "{name}");
        assert!(
            is(&status, "Reconciling", if stalled == "True" { "False" } else { "True" }),
            "{name}"
        );
    }
}

#[test]
fn a_missing_config_map_is_named_and_the_rest_goes_on() {
    let mut cluster = valid();
    cluster.migrations = Migrations::Missing {
        config_map: "demo-schema".to_owned(),
    };
    let status = settled(&cluster, &observed(&cluster));
    expect(
        &status,
        "Stalled",
        "True/MigrationsNotFound",
        "ConfigMap demo-schema does not exist in namespace shop: create it",
    );
    assert_eq!(status.ready_clients, 3);
    assert!(is(&status, "Converged", "True"));
}

#[test]
fn lost_wal_and_clocks_ahead_are_said() {
    let slot = |wal_status: &'static str| {
        let mut seen = observed(&valid());
        connector(&mut seen, Site::Client(1)).slot.as_mut().unwrap().wal_status = wal_status.to_owned();
        settled(&valid(), &seen)
    };
    expect(&slot("extended"), "SlotsHealthy", "True/WalKept", "");
    expect(&slot("unreserved"), "SlotsHealthy", "False/SlotAtRisk", "client-1");
    expect(&slot("lost"), "SlotsHealthy", "False/SlotLost", "raise");

    let mut seen = observed(&valid());
    sink(&mut seen, Site::Server).sources[0].clock_ahead_millis = Some(12_300);
    let status = settled(&valid(), &seen);
    expect(
        &status,
        "ClocksAgree",
        "False/ClockAhead",
        "client-1 by 13 s, seen at server",
    );
    seen.sinks.clear();
    expect(&settled(&valid(), &seen), "ClocksAgree", "Unknown/CannotSee", "");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let first = assess(
        &valid(),
        &digested(observed(&valid()), -60),
        &SyncClusterStatus::default(),
        after(-60),
    );
    let second = assess(&valid(), &observed(&valid()), &first, now());
    let time =
        |status: &SyncClusterStatus, type_| condition(status, type_).unwrap().last_transition_time.0.as_second() - NOW;
    assert_eq!((time(&second, "Ready"), time(&second, "Converged")), (-60, 0));
}

#[test]
fn a_spec_that_cannot_be_understood_leaves_what_was_known() {
    let before = settled(&valid(), &observed(&valid()));
    let error = validate::Error::NoSuchClient { ordinal: 4, clients: 3 };
    let status = invalid(&error, &before, 8, now());
    expect(&status, "Stalled", "True/InvalidSpec", "use ordinals from 1 to 3");
    assert_eq!((status.observed_generation, status.sites), (Some(8), before.sites));
}

#[test]
fn a_paused_cluster_says_so() {
    let status = paused(&settled(&valid(), &observed(&valid())), 8, now());
    expect(&status, "Reconciling", "False/Paused", "spec.paused is true");
    expect(&status, "Converged", "Unknown/Paused", "");
}

#[test]
fn every_problem_is_told_up_to_three() {
    let mut seen = observed(&valid());
    for (index, pod) in seen.pods.iter_mut().enumerate().take(5) {
        pod.problem = Some(Problem {
            reason: "CrashLooping",
            message: format!("pod {index}"),
        });
    }
    let status = settled(&valid(), &seen);
    expect(
        &status,
        "Stalled",
        "True/CrashLooping",
        "pod 0; also: pod 1; also: pod 2; and 2 more, see status.sites",
    );
}
