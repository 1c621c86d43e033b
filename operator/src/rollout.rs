//! Databases change one at a time. Where the pods of the databases are planned anew (an image, a parameter, resources), one site's Postgres
//! gets the change and the next one only when that is ready again: a change that is wrong takes one client away, not all sites. Pure: what is
//! planned and what the API server has in, whose turn it is out.
//!
//! Nothing is remembered. The hashes in a StatefulSet's pod template say whether it is the planned one. Whether the others have to wait for it
//! says an annotation that is written together with the change, so that there is no crash between the two: it stays until the database is
//! ready. A database that was not ready before the change does not get it: it serves nobody, whatever keeps it away may last, and nobody waits
//! for it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use synccluster_protocol::Site;

use crate::names::{
    COMPONENT_LABEL, CONFIG_ANNOTATION, Component, PASSWORDS_ANNOTATION, SITE_LABEL, TEMPLATE_ANNOTATION,
    UNDER_WAY_ANNOTATION,
};
use crate::plan::{Kind, Object};

/// How a database's StatefulSet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As planned; nobody waits for it.
    Free,
    /// As planned; others wait until it is ready.
    UnderWay,
    /// As planned but for what its pod is made from. Passwords are no change that waits: without them the site does not work.
    Waits,
}

/// Those whose turn it is and those that wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Changed, and not ready yet.
    pub under_way: BTreeSet<Site>,
    /// Not changed yet.
    pub waiting: BTreeSet<Site>,
}

/// What a pod is made from, passwords aside, by its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template([Option<String>; 2]);

impl Template {
    fn of(annotation: impl Fn(&str) -> Option<String>) -> Self {
        Self([TEMPLATE_ANNOTATION, CONFIG_ANNOTATION].map(annotation))
    }
}

/// A database's StatefulSet as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    template: Template,
    ready: bool,
    under_way: bool,
}

impl From<&StatefulSet> for Live {
    fn from(set: &StatefulSet) -> Self {
        let template = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        let annotations = template.and_then(|metadata| metadata.annotations.as_ref());
        let status = set.status.clone().unwrap_or_default();
        let some = |replicas: Option<i32>| replicas.is_some_and(|replicas| replicas > 0);
        // Until its controller has seen what was written, the rest of the status is of what was there before.
        let is_seen = status.observed_generation >= set.metadata.generation;
        let is_done = is_seen && some(status.updated_replicas) && some(status.ready_replicas);
        Self {
            template: Template::of(|name| annotations?.get(name).cloned()),
            ready: some(status.ready_replicas),
            under_way: set.annotations().contains_key(UNDER_WAY_ANNOTATION) && !is_done,
        }
    }
}

/// Whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns(BTreeMap<Site, Turn>);

impl Turns {
    /// Decides. Clients come first, the last one first of all, and the server at the end: what is wrong with a change shows at a client, and
    /// reaches what all others depend on only after every client has shown that it works.
    pub fn new(planned: &BTreeMap<Site, &Object>, live: &BTreeMap<Site, Live>) -> Self {
        let is_busy = planned
            .keys()
            .any(|site| live.get(site).is_some_and(|live| live.under_way));
        let mut is_given = is_busy;
        let mut turns = BTreeMap::new();
        for (site, object) in planned.iter().rev() {
            let turn = match live.get(site) {
                None => Turn::Free,
                // What it has may be what keeps it from being ready: a correction does not wait.
                Some(live) if live.under_way => Turn::UnderWay,
                Some(live) if live.template == of_plan(object) => Turn::Free,
                // Away for a reason of its own. While nobody knows whether the change is good, it keeps what it had, and may come back with that.
                Some(live) if !live.ready && !is_busy => Turn::Free,
                Some(_) if is_given => Turn::Waits,
                Some(_) => {
                    is_given = true;
                    Turn::UnderWay
                }
            };
            turns.insert(*site, turn);
        }
        Self(turns)
    }

    /// How this object is written.
    pub fn of(&self, object: &Object) -> Turn {
        let turn = database(object).and_then(|site| self.0.get(&site));
        turn.copied().unwrap_or(Turn::Free)
    }

    /// What there is to say of it, while somebody's turn lasts.
    pub fn rollout(&self) -> Option<Rollout> {
        let with = |turn: Turn| {
            let sites = self.0.iter().filter(move |(_, has)| **has == turn);
            sites.map(|(site, _)| *site).collect::<BTreeSet<Site>>()
        };
        let rollout = Rollout {
            under_way: with(Turn::UnderWay),
            waiting: with(Turn::Waits),
        };
        (rollout != Rollout::default()).then_some(rollout)
    }
}

/// Whose database an object is, if it is one.
pub fn database(object: &Object) -> Option<Site> {
    let labels = &object.body["metadata"]["labels"];
    let is_one = object.kind == Kind::StatefulSet && labels[COMPONENT_LABEL] == Component::Postgres.as_str();
    is_one.then(|| labels[SITE_LABEL].as_str()?.parse().ok()).flatten()
}

fn of_plan(object: &Object) -> Template {
    let annotations = &object.body["spec"]["template"]["metadata"]["annotations"];
    Template::of(|name| annotations[name].as_str().map(str::to_owned))
}

/// What is written of a planned object in its turn. What waits is a merge patch: whatever it does not have stays as it is.
pub fn written(object: &Object, turn: Turn) -> Cow<'_, Object> {
    if turn == Turn::Free {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    let mark = &mut object.body["metadata"]["annotations"][UNDER_WAY_ANNOTATION];
    *mark = if turn == Turn::UnderWay {
        "true".into()
    } else {
        Value::Null
    };
    if turn == Turn::Waits
        && let Some(spec) = object.body["spec"].as_object_mut()
    {
        let template = spec.remove("template").unwrap_or_default();
        let passwords = &template["metadata"]["annotations"][PASSWORDS_ANNOTATION];
        let of_pod = json!({ "metadata": { "annotations": { PASSWORDS_ANNOTATION: passwords } } });
        spec.insert("template".to_owned(), of_pod);
        // A list would be replaced, without what the API server has added to it.
        spec.remove("volumeClaimTemplates");
    }
    Cow::Owned(object)
}

#[cfg(test)]
mod tests;
