//! Planned databases, and what an API server and a StatefulSet controller make of what is written.

use super::*;
use crate::fixture::{set, valid, validated, with};
use crate::passwords::Passwords;
use crate::plan::plan;
use crate::validate::ValidatedCluster;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const THREE: Site = Site::Client(3);

fn databases(cluster: &ValidatedCluster) -> BTreeMap<Site, Object> {
    let objects = plan(cluster).apply.into_iter();
    objects
        .filter_map(|object| Some((database(&object)?, object)))
        .collect()
}

fn with_image(image: &str) -> BTreeMap<Site, Object> {
    databases(&validated(with("/spec/postgres/image", json!(image))))
}

/// The StatefulSets that are there.
struct World(BTreeMap<Site, Value>);

impl World {
    /// Each as planned, and its pod ready.
    fn of(planned: &BTreeMap<Site, Object>) -> Self {
        let mut world = Self(BTreeMap::new());
        world.look(planned);
        for site in planned.keys() {
            world.shows(*site, 1, 1);
        }
        world
    }

    /// One look: it is decided from what is there, and written.
    fn look(&mut self, planned: &BTreeMap<Site, Object>) -> Turns {
        let objects = planned.iter().map(|(site, object)| (*site, object)).collect();
        let live = self.0.iter().map(|(site, set)| {
            let set: StatefulSet = serde_json::from_value(set.clone()).unwrap();
            (*site, Live::from(&set))
        });
        let turns = Turns::new(&objects, &live.collect());
        for (site, object) in planned {
            let turn = turns.of(object);
            let body = written(object, turn).into_owned().body;
            let there = self.0.entry(*site).or_insert(Value::Null);
            let mut new = if turn == Turn::Waits {
                there.clone()
            } else {
                Value::Null
            };
            merge(&mut new, &body);
            let changed = i64::from(new["spec"] != there["spec"]);
            new["metadata"]["generation"] = (there["metadata"]["generation"].as_i64().unwrap_or(0) + changed).into();
            new["status"] = there["status"].clone();
            *there = new;
        }
        turns
    }

    /// The controller has seen what was written, and so many of its pods are of the template that was, and so many ready.
    fn shows(&mut self, site: Site, updated: i32, ready: i32) {
        let set = self.0.get_mut(&site).unwrap();
        let seen = set["metadata"]["generation"].clone();
        set["status"] = json!({
            "replicas": 1, "observedGeneration": seen, "updatedReplicas": updated, "readyReplicas": ready,
        });
    }

    fn image(&self, site: Site) -> &str {
        let template = &self.0[&site]["spec"]["template"];
        template["spec"]["containers"][0]["image"].as_str().unwrap()
    }

    /// Who waits for whom, after a look.
    fn rollout(&mut self, planned: &BTreeMap<Site, Object>) -> (Vec<Site>, Vec<Site>) {
        let rollout = self.look(planned).rollout().unwrap_or_default();
        (
            rollout.under_way.into_iter().collect(),
            rollout.waiting.into_iter().collect(),
        )
    }
}

/// A merge patch (RFC 7386).
fn merge(whole: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *whole = patch.clone();
        return;
    };
    if !whole.is_object() {
        *whole = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            whole.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut whole[key], value);
        }
    }
}

#[test]
fn a_change_goes_from_the_last_client_to_the_server_and_waits_for_each_to_be_ready() {
    let (before, after) = (databases(&valid()), with_image("postgres:next"));
    let mut world = World::of(&before);
    assert_eq!(world.look(&before).rollout(), None);
    for site in [THREE, TWO, ONE, SERVER] {
        let waiting: Vec<Site> = after.keys().copied().filter(|other| *other < site).collect();
        let expected = (vec![site], waiting);
        assert_eq!(world.rollout(&after), expected);
        assert_eq!(world.rollout(&after), expected, "before the controller has seen it");
        for (updated, ready) in [(0, 1), (0, 0), (1, 0)] {
            world.shows(site, updated, ready);
            assert_eq!(world.rollout(&after), expected, "{updated} {ready}");
        }
        for other in after.keys() {
            assert_eq!(
                world.image(*other) == "postgres:next",
                *other >= site,
                "{other} at {site}"
            );
        }
        world.shows(site, 1, 1);
    }
    assert_eq!(world.look(&after).rollout(), None);
    let marked = |set: &Value| set["metadata"]["annotations"].get(UNDER_WAY_ANNOTATION).is_some();
    assert!(!world.0.values().any(marked), "nothing of it is left");
    world.shows(THREE, 0, 0);
    assert_eq!(
        world.rollout(&before),
        (vec![TWO], vec![SERVER, ONE]),
        "what goes away later keeps nobody waiting"
    );
}

#[test]
fn a_correction_does_not_wait_for_what_it_corrects() {
    let (before, bad, good) = (
        databases(&valid()),
        with_image("postgres:71"),
        with_image("postgres:18"),
    );
    let stuck = || {
        let mut world = World::of(&before);
        world.look(&bad);
        world.shows(THREE, 1, 0);
        assert_eq!(world.rollout(&bad), (vec![THREE], vec![SERVER, ONE, TWO]));
        world
    };
    let mut corrected = stuck();
    assert_eq!(corrected.rollout(&good), (vec![THREE], vec![SERVER, ONE, TWO]));
    assert_eq!(corrected.image(THREE), "postgres:18");
    corrected.shows(THREE, 1, 1);
    assert_eq!(corrected.rollout(&good), (vec![TWO], vec![SERVER, ONE]));

    let mut taken_back = stuck();
    assert_eq!(taken_back.rollout(&before), (vec![THREE], vec![]));
    assert_eq!(taken_back.image(THREE), taken_back.image(SERVER));
    taken_back.shows(THREE, 1, 1);
    assert_eq!(taken_back.look(&before).rollout(), None);
}

#[test]
fn nobody_waits_for_a_database_that_was_away_before() {
    let (before, after) = (databases(&valid()), with_image("postgres:next"));
    let mut world = World::of(&before);
    world.shows(TWO, 0, 0);
    assert_eq!(world.rollout(&after), (vec![THREE], vec![SERVER, ONE]));
    assert_eq!(world.image(TWO), "postgres:next", "it serves nobody");
    world.shows(THREE, 1, 1);
    assert_eq!(world.rollout(&after), (vec![ONE], vec![SERVER]));
}

#[test]
fn a_database_that_goes_away_meanwhile_comes_back_with_what_it_had() {
    let (before, bad) = (databases(&valid()), with_image("postgres:71"));
    let mut world = World::of(&before);
    world.look(&bad);
    world.shows(THREE, 1, 0);
    world.shows(SERVER, 1, 0);
    assert_eq!(world.rollout(&bad), (vec![THREE], vec![SERVER, ONE, TWO]));
    assert_ne!(world.image(SERVER), "postgres:71");
}

#[test]
fn whoever_takes_the_mark_away_lets_the_others_go_on() {
    let (before, after) = (databases(&valid()), with_image("postgres:next"));
    let mut world = World::of(&before);
    world.look(&after);
    world.shows(THREE, 1, 0);
    let annotations = &mut world.0.get_mut(&THREE).unwrap()["metadata"]["annotations"];
    annotations.as_object_mut().unwrap().remove(UNDER_WAY_ANNOTATION);
    assert_eq!(world.rollout(&after), (vec![TWO], vec![SERVER, ONE]));
}

#[test]
fn a_new_site_is_made_at_once() {
    let mut more = with("/spec/clients", json!(4));
    set(&mut more, "/spec/postgres/image", json!("postgres:next"));
    let mut world = World::of(&databases(&valid()));
    assert_eq!(
        world.rollout(&databases(&validated(more))),
        (vec![THREE], vec![SERVER, ONE, TWO])
    );
    assert_eq!(world.image(Site::Client(4)), "postgres:next");
}

#[test]
fn passwords_do_not_wait_and_nothing_else_comes_with_them() {
    let anew = |resource: Value| {
        let mut cluster = validated(resource);
        let anew = Passwords {
            mark: Some("anew".to_owned()),
            ..Passwords::default()
        };
        cluster.passwords = BTreeMap::from([(ONE, anew)]);
        databases(&cluster)
    };
    let passwords = |world: &World| {
        let template = &world.0[&ONE]["spec"]["template"];
        template["metadata"]["annotations"].get(PASSWORDS_ANNOTATION).cloned()
    };
    let mut alone = World::of(&databases(&valid()));
    assert_eq!(alone.look(&anew(with("/spec/clients", json!(3)))).rollout(), None);
    assert!(passwords(&alone).is_some());

    let mut world = World::of(&databases(&valid()));
    let image = world.image(ONE).to_owned();
    let beside = anew(with("/spec/postgres/image", json!("postgres:next")));
    assert_eq!(world.rollout(&beside), (vec![THREE], vec![SERVER, ONE, TWO]));
    assert_eq!(
        (world.image(ONE), passwords(&world)),
        (image.as_str(), passwords(&alone))
    );
    world.look(&with_image("postgres:next"));
    assert_eq!(passwords(&world), None);
}

#[test]
fn what_becomes_of_the_volumes_does_not_wait() {
    let mut resource = with("/spec/postgres/image", json!("postgres:next"));
    set(
        &mut resource,
        "/spec/postgres/storage",
        json!({ "whenDeleted": "Delete" }),
    );
    let mut world = World::of(&databases(&valid()));
    let before = world.0[&SERVER]["spec"].clone();
    world.look(&databases(&validated(resource)));
    let mut expected = before;
    expected["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] = "Delete".into();
    assert_eq!(world.0[&SERVER]["spec"], expected);
}

#[test]
fn an_operator_that_is_new_restarts_nothing() {
    let planned = databases(&valid());
    let mut world = World::of(&planned);
    // As one before it left them, in the middle of something.
    world.shows(TWO, 1, 0);
    let before = world.0.clone();
    assert_eq!(world.look(&planned).rollout(), None);
    assert_eq!(world.0, before);
}
