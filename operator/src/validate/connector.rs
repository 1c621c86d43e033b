//! Engine, template and requests of the uplinks. What is wrong with a template is said in a condition, and nothing else stops because of it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ResourceRequirements;
use synccluster_protocol::Site;
use synccluster_protocol::connect::{SecretKey, TEMPLATE_KEY, Template};
use synccluster_protocol::status::RequestKind;

use crate::api::{self, CONNECTOR_ANNOTATIONS};
use crate::plan::hash;

/// What sends changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// Our own connector.
    Native,
    /// Kafka Connect.
    Debezium(Debezium),
}

/// How workers of Kafka Connect are to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Debezium {
    /// Their image.
    pub image: String,
    /// Settings that are to be otherwise; or why that is not known, with what to do.
    pub templates: Result<Option<Templates>, String>,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
}

/// A ConfigMap with a template that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// Its name.
    pub config_map: String,
    /// Hash of the template: pods are made anew when it changes.
    pub hash: String,
    /// Secrets it takes values from.
    pub secrets: BTreeSet<String>,
}

/// Which keys Secrets have, by the Secrets' names; one that does not exist is not among them.
pub type Keys = BTreeMap<String, BTreeSet<String>>;

/// What is asked of connectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub what: RequestKind,
    /// The annotation.
    pub annotation: &'static str,
    /// Its value.
    pub written: String,
    /// Of which; or why that is not known, with what to write.
    pub sites: Result<BTreeSet<Site>, String>,
}

/// Reads it. `found` is the content of the ConfigMap with templates, if that exists, and `secrets` what there is of those that it names.
pub fn engine(spec: &api::Connector, found: Option<&BTreeMap<String, String>>, secrets: &Keys, image: &str) -> Engine {
    if spec.engine == api::Engine::Native {
        return Engine::Native;
    }
    let templates = spec
        .templates
        .as_ref()
        .map(|named| templates(&named.config_map.name, found, secrets));
    Engine::Debezium(Debezium {
        image: spec.image.clone().unwrap_or_else(|| image.to_owned()),
        templates: templates.transpose(),
        resources: spec.resources.clone(),
    })
}

/// The Secrets a template names; none while it cannot be read.
pub fn secrets(found: &BTreeMap<String, String>) -> BTreeSet<String> {
    let template = found.get(TEMPLATE_KEY).and_then(|text| Template::parse(text).ok());
    names(&template.unwrap_or_default())
}

fn names(template: &Template) -> BTreeSet<String> {
    template.secrets().into_iter().map(|secret| secret.name).collect()
}

fn templates(config_map: &str, found: Option<&BTreeMap<String, String>>, secrets: &Keys) -> Result<Templates, String> {
    let Some(data) = found else {
        return Err(format!(
            "ConfigMap {config_map} does not exist: create it with the key {TEMPLATE_KEY}, or correct spec.connector.templates"
        ));
    };
    let Some(text) = data.get(TEMPLATE_KEY) else {
        return Err(format!("ConfigMap {config_map} has no key {TEMPLATE_KEY}: add it"));
    };
    let wrong = |wrong: String| format!("ConfigMap {config_map}, {TEMPLATE_KEY}: {wrong}");
    let template = Template::parse(text).map_err(|error| wrong(error.to_string()))?;
    // Connectors could not begin without it, and those that run would end for it: better that they go on as they are.
    let lacking: Vec<String> = template
        .secrets()
        .iter()
        .filter_map(|secret| lacking(secret, secrets))
        .collect();
    if !lacking.is_empty() {
        return Err(wrong(lacking.join("; ")));
    }
    Ok(Templates {
        config_map: config_map.to_owned(),
        hash: hash(text),
        secrets: names(&template),
    })
}

/// What is not there of what a template names, and what to do.
fn lacking(SecretKey { name, key }: &SecretKey, secrets: &Keys) -> Option<String> {
    match secrets.get(name) {
        None => Some(format!(
            "Secret {name} does not exist: create it with the key {key}, or name another"
        )),
        Some(has) if !has.contains(key) => Some(format!("Secret {name} has no key {key}: add it, or name another")),
        Some(_) => None,
    }
}

/// Reads the annotations.
pub fn requests(annotations: &BTreeMap<String, String>, clients: u16) -> Vec<Request> {
    use RequestKind::{Pause, Reset, Restart, Resume};
    let kinds = [Restart, Pause, Resume, Reset];
    let asked = CONNECTOR_ANNOTATIONS.into_iter().zip(kinds);
    asked
        .filter_map(|(annotation, what)| {
            let written = annotations.get(annotation)?.clone();
            let sites = sites(&written, clients);
            Some(Request {
                what,
                annotation,
                written,
                sites,
            })
        })
        .collect()
}

fn sites(written: &str, clients: u16) -> Result<BTreeSet<Site>, String> {
    let site = |text: &str| match text.trim().parse() {
        Ok(Site::Client(ordinal)) if ordinal > clients => {
            Err(format!("`{text}` is no site: spec.clients is {clients}"))
        }
        Ok(site) => Ok(site),
        Err(_) => Err(format!(
            "`{text}` is no site: write server or client-1, several with commas between them"
        )),
    };
    written.split(',').map(site).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debezium(data: Option<&str>) -> Result<Option<Templates>, String> {
        let spec = serde_json::json!({"engine": "Debezium", "templates": {"configMap": {"name": "mine"}}});
        let spec: api::Connector = serde_json::from_value(spec).unwrap();
        let data = data.map(|text| BTreeMap::from([(TEMPLATE_KEY.to_owned(), text.to_owned())]));
        let there = Keys::from([("tls".to_owned(), BTreeSet::from(["password".to_owned()]))]);
        match engine(&spec, data.as_ref(), &there, "connect:test") {
            Engine::Debezium(debezium) => debezium.templates,
            Engine::Native => panic!("native"),
        }
    }

    #[test]
    fn a_template_names_the_secrets_it_needs() {
        let templates = debezium(Some("database.sslpassword=${secret:tls/password}"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (&*templates.config_map, templates.secrets),
            ("mine", BTreeSet::from(["tls".to_owned()]))
        );
    }

    #[test]
    fn whose_keys_are_to_be_looked_at_is_in_the_template() {
        let of = |text: &str| secrets(&BTreeMap::from([(TEMPLATE_KEY.to_owned(), text.to_owned())]));
        let both = BTreeSet::from(["other", "tls"].map(str::to_owned));
        assert_eq!(of("a=${secret:tls/a}\nb=${secret:other/b}\nc=${secret:tls/c}"), both);
        assert_eq!(of("a=${secret:tls/a}\nb=${nothing}"), BTreeSet::new());
        assert_eq!(secrets(&BTreeMap::new()), BTreeSet::new());
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said_with_the_remedy() {
        let cases = [
            (None, "ConfigMap mine does not exist: create it"),
            (
                Some("max.batch.size=${batch}"),
                "mine, connector.properties: line 1: there is no variable ${batch}: use one of",
            ),
            (Some("slot.name=x"), "line 1: slot.name cannot be set"),
            (
                Some("database.sslkey=${secret:tls/key}"),
                "mine, connector.properties: Secret tls has no key key: add it",
            ),
            (
                Some("a=${secret:tls/password}\nb=${secret:other/b}\nc=${secret:tls/c}"),
                "Secret other does not exist: create it with the key b, or name another; Secret tls has no key c",
            ),
        ];
        for (data, expected) in cases {
            let said = debezium(data).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let spec = serde_json::json!({"engine": "Debezium", "templates": {"configMap": {"name": "mine"}}});
        let spec: api::Connector = serde_json::from_value(spec).unwrap();
        let Engine::Debezium(empty) = engine(&spec, Some(&BTreeMap::new()), &Keys::new(), "") else {
            panic!("native")
        };
        assert!(
            empty
                .templates
                .unwrap_err()
                .contains("has no key connector.properties: add it")
        );
    }

    #[test]
    fn an_annotation_lists_sites() {
        let of = |value: &str| {
            let annotations = BTreeMap::from([("synccluster.dev/connector-pause".to_owned(), value.to_owned())]);
            let requests = requests(&annotations, 2);
            assert_eq!((requests.len(), requests[0].what), (1, RequestKind::Pause));
            requests[0].sites.clone()
        };
        assert_eq!(
            of("client-2, server"),
            Ok(BTreeSet::from([Site::Server, Site::Client(2)]))
        );
        assert!(of("client-3").unwrap_err().contains("spec.clients is 2"));
        assert!(of("").unwrap_err().contains("write server or client-1"));
    }
}
