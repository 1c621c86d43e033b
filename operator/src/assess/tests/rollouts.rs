//! Databases that change one at a time.

use super::*;
use crate::rollout::Rollout;

const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const THREE: Site = Site::Client(3);

/// What is seen while client-3 has the change and these wait: the pods of all are of a template that is planned no more.
fn changing(waiting: &[Site]) -> Observed {
    let mut seen = observed(&valid());
    let databases = seen.pods.iter_mut().filter(|pod| pod.component == Component::Postgres);
    databases.for_each(|pod| pod.current = false);
    seen.outcome.rollout = Some(Rollout {
        under_way: [THREE].into(),
        waiting: waiting.iter().copied().collect(),
    });
    seen
}

fn database(seen: &mut Observed, site: Site) -> &mut crate::observe::PodFact {
    let mut pods = seen.pods.iter_mut();
    pods.find(|pod| pod.site == Some(site) && pod.component == Component::Postgres)
        .unwrap()
}

#[test]
fn a_change_that_is_on_its_way_names_who_waits_for_whom() {
    let status = settled(&valid(), &changing(&[Site::Server, ONE, TWO]));
    let turns = "demo-client-3 now, and until it is ready demo-client-2,demo-client-1,demo-server stay as they are";
    expect(&status, "Ready", "False/RollingOut", turns);
    expect(&status, "Reconciling", "True/RollingOut", turns);
    expect(&status, "Ready", "False/RollingOut", "; waiting for demo-client-3");
    expect(&status, "Stalled", "False/NoProblem", "");
    assert_eq!(status.ready_clients, 2, "those that wait serve as before");
}

#[test]
fn a_database_that_is_away_is_awaited_though_its_turn_has_not_come() {
    let mut seen = changing(&[Site::Server, ONE, TWO]);
    database(&mut seen, ONE).ready = false;
    let status = settled(&valid(), &seen);
    expect(
        &status,
        "Ready",
        "False/RollingOut",
        "; waiting for demo-client-1,demo-client-3",
    );
    assert_eq!(status.ready_clients, 1);
}

#[test]
fn a_change_that_is_wrong_is_said_with_who_is_spared_and_what_to_do() {
    let mut seen = changing(&[Site::Server, ONE, TWO]);
    let pod = database(&mut seen, THREE);
    pod.ready = false;
    pod.problem = Some(Problem {
        reason: "ImageCannotBePulled",
        message: "correct the image".to_owned(),
    });
    let status = settled(&valid(), &seen);
    for remedy in [
        "correct the image; databases change one at a time: demo-client-3 now",
        "corrected or taken back in spec.postgres",
        "kubectl -n shop annotate statefulset demo-client-3 synccluster.dev/under-way-",
    ] {
        expect(&status, "Stalled", "True/ImageCannotBePulled", remedy);
    }
}

#[test]
fn the_last_database_keeps_nobody() {
    let mut seen = changing(&[]);
    seen.pods.iter_mut().for_each(|pod| pod.current = true);
    let status = settled(&valid(), &seen);
    expect(&status, "Ready", "False/RollingOut", "demo-client-3 now, the last");
    let (_, message) = said(&status, "Ready");
    assert!(!message.contains("kubectl"), "{message}");
}
