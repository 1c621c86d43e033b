//! The cluster as the API server tells it, kept as the small types of `model`: whole objects are dropped as they come in.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{core::v1 as core, networking::v1 as networking};
use kube::{
    Api, Client, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::{
    model::{Cluster, Key, Namespace, Node, Pod, Policy},
    parse,
};

/// Between two tries. At the start of a node the API server's address does not work until kube-proxy has made it work.
const RETRY: Duration = Duration::from_secs(1);

/// Something the API server said.
#[expect(clippy::large_enum_variant, reason = "they come one at a time and are not kept")]
pub enum Seen {
    Pod(Event<core::Pod>),
    Namespace(Event<core::Namespace>),
    Policy(Event<networking::NetworkPolicy>),
    Node(Event<core::Node>),
}

/// All four kinds, for as long as the program runs. What fails is said, and tried again.
pub fn watch(client: &Client) -> BoxStream<'static, Seen> {
    stream::select_all([
        events(client, Seen::Pod),
        events(client, Seen::Namespace),
        events(client, Seen::Policy),
        events(client, Seen::Node),
    ])
    .boxed()
}

fn events<K>(client: &Client, seen: fn(Event<K>) -> Seen) -> BoxStream<'static, Seen>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(Api::all(client.clone()), watcher::Config::default())
        .filter_map(move |event| async move {
            match event {
                Ok(event) => Some(seen(event)),
                Err(error) => {
                    warn!(kind = %K::kind(&()), error = &error as &dyn std::error::Error, "cannot watch; trying again");
                    tokio::time::sleep(RETRY).await;
                    None
                }
            }
        })
        .boxed()
}

/// What is known so far.
#[derive(Default)]
pub struct World {
    cluster: Cluster,
    nodes: BTreeMap<Key, Node>,
    pods_feed: Feed<Pod>,
    namespaces_feed: Feed<Namespace>,
    policies_feed: Feed<Policy>,
    nodes_feed: Feed<Node>,
}

impl World {
    /// Take note; true when it changes anything that matters here.
    pub fn take(&mut self, seen: Seen) -> bool {
        let cluster = &mut self.cluster;
        match seen {
            Seen::Pod(event) => self.pods_feed.take(&mut cluster.pods, event, parse::pod),
            Seen::Namespace(event) => self
                .namespaces_feed
                .take(&mut cluster.namespaces, event, |object| Some(parse::namespace(object))),
            Seen::Policy(event) => self.policies_feed.take(&mut cluster.policies, event, readable),
            Seen::Node(event) => self
                .nodes_feed
                .take(&mut self.nodes, event, |object| Some(parse::node(object))),
        }
    }

    /// Pods, namespaces and policies, once all of them are known: half of them would open what a policy closes.
    pub fn cluster(&self) -> Option<&Cluster> {
        (self.pods_feed.complete && self.namespaces_feed.complete && self.policies_feed.complete)
            .then_some(&self.cluster)
    }

    /// All nodes, once they are known.
    pub fn nodes(&self) -> Option<&BTreeMap<Key, Node>> {
        self.nodes_feed.complete.then_some(&self.nodes)
    }
}

/// Where one watch stands: a list that is still coming in must not replace the one before.
struct Feed<T> {
    arriving: BTreeMap<Key, T>,
    complete: bool,
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self {
            arriving: BTreeMap::new(),
            complete: false,
        }
    }
}

impl<T: PartialEq> Feed<T> {
    fn take<K: Resource>(
        &mut self,
        known: &mut BTreeMap<Key, T>,
        event: Event<K>,
        parse: impl Fn(&K) -> Option<T>,
    ) -> bool {
        match event {
            Event::Init => self.arriving.clear(),
            Event::InitApply(object) => {
                self.arriving.extend(parse(&object).map(|value| (key(&object), value)));
            }
            Event::InitDone => {
                let arrived = std::mem::take(&mut self.arriving);
                let changed = !self.complete || *known != arrived;
                (*known, self.complete) = (arrived, true);
                return changed;
            }
            Event::Apply(object) => {
                return match parse(&object) {
                    Some(value) if known.get(&key(&object)) == Some(&value) => false,
                    Some(value) => {
                        known.insert(key(&object), value);
                        true
                    }
                    None => known.remove(&key(&object)).is_some(),
                };
            }
            Event::Delete(object) => return known.remove(&key(&object)).is_some(),
        }
        false
    }
}

fn key(object: &impl Resource) -> Key {
    let meta = object.meta();
    Key {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

fn readable(policy: &networking::NetworkPolicy) -> Option<Policy> {
    parse::policy(policy)
        .inspect_err(|error| warn!(policy = %key(policy), %error, "this policy is not enforced"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cidr: &str) -> core::Node {
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "spec": {"podCIDR": cidr}})).unwrap()
    }

    fn names(world: &World) -> Option<Vec<&str>> {
        world
            .nodes()
            .map(|nodes| nodes.keys().map(|key| key.name.as_str()).collect())
    }

    #[test]
    fn a_list_counts_when_it_is_complete_and_replaces_the_one_before() {
        let mut world = World::default();
        let started = [
            Event::Init,
            Event::InitApply(node("a", "10.244.0.0/24")),
            Event::InitApply(node("b", "10.244.1.0/24")),
        ];
        assert!(started.into_iter().all(|event| !world.take(Seen::Node(event))));
        assert_eq!(names(&world), None);
        assert!(world.take(Seen::Node(Event::InitDone)));
        assert_eq!(names(&world), Some(vec!["a", "b"]));

        let again = [Event::Init, Event::InitApply(node("b", "10.244.1.0/24"))];
        assert!(again.into_iter().all(|event| !world.take(Seen::Node(event))));
        assert_eq!(names(&world), Some(vec!["a", "b"]), "not before it is complete");
        assert!(world.take(Seen::Node(Event::InitDone)));
        assert_eq!(names(&world), Some(vec!["b"]));
    }

    #[test]
    fn what_does_not_concern_the_network_is_no_change() {
        let mut world = World::default();
        assert!(!world.take(Seen::Node(Event::Init)));
        assert!(world.take(Seen::Node(Event::InitDone)));
        assert!(world.take(Seen::Node(Event::Apply(node("a", "10.244.0.0/24")))));
        let mut heartbeat = node("a", "10.244.0.0/24");
        heartbeat.metadata.annotations = Some([("seen".into(), "now".into())].into());
        assert!(!world.take(Seen::Node(Event::Apply(heartbeat))));
        assert!(world.take(Seen::Node(Event::Delete(node("a", "10.244.0.0/24")))));
    }
}
