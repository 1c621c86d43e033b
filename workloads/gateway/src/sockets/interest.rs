//! What a client of `/sites` wants to hear of. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;

use crate::live::bus::{Kind, News};

/// Tables, or sites, that one subscription may name.
pub const MOST_NAMED: usize = 1000;

/// What `subscribe` is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// These; all of them if it is left out.
    #[serde(default)]
    pub sites: Option<Vec<String>>,
    /// These; all of them if it is left out.
    #[serde(default)]
    pub tables: Option<Vec<String>>,
}

/// What somebody wants to hear of; `None` is everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Interest {
    /// What happens at these sites.
    pub sites: Option<BTreeSet<Site>>,
    /// What happens to these tables.
    pub tables: Option<BTreeSet<String>>,
}

impl Interest {
    /// Whether this is news for who has this interest. The cluster's document concerns everybody.
    pub fn wants(&self, news: &News) -> bool {
        let site = || self.at(news.site);
        match news.kind {
            Kind::Change | Kind::Hop => site() && self.about(news.table.as_deref()),
            Kind::Reset => site(),
            Kind::Cluster => true,
        }
    }

    fn at(&self, site: Option<Site>) -> bool {
        match (&self.sites, site) {
            (Some(wanted), Some(site)) => wanted.contains(&site),
            _ => true,
        }
    }

    fn about(&self, table: Option<&str>) -> bool {
        match (&self.tables, table) {
            (Some(wanted), Some(table)) => wanted.contains(table),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(kind: Kind, site: Option<Site>, table: Option<&str>) -> News {
        News {
            kind,
            table: table.map(Into::into),
            site,
            data: "{}".into(),
            relayed: false,
        }
    }

    fn interest(sites: Option<&[Site]>, tables: Option<&[&str]>) -> Interest {
        Interest {
            sites: sites.map(|sites| sites.iter().copied().collect()),
            tables: tables.map(|tables| tables.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_change_is_heard_where_both_its_site_and_its_table_are_wanted() {
        let change = news(Kind::Change, Some(Site::Client(2)), Some("public.todos"));
        for (sites, tables, heard) in [
            (None, None, true),
            (Some(&[Site::Client(2)][..]), None, true),
            (Some(&[Site::Server]), None, false),
            (None, Some(&["public.todos"][..]), true),
            (None, Some(&["public.other"]), false),
            (Some(&[Site::Client(2)]), Some(&["public.other"]), false),
            (None, Some(&[]), false),
        ] {
            assert_eq!(interest(sites, tables).wants(&change), heard, "{sites:?} {tables:?}");
        }
    }

    #[test]
    fn the_cluster_concerns_everybody_and_a_reset_those_who_watch_its_site() {
        let nothing = interest(Some(&[Site::Server]), Some(&[]));
        assert!(nothing.wants(&news(Kind::Cluster, None, None)));
        assert!(nothing.wants(&news(Kind::Reset, None, None)));
        assert!(nothing.wants(&news(Kind::Reset, Some(Site::Server), None)));
        assert!(!nothing.wants(&news(Kind::Reset, Some(Site::Client(1)), None)));
    }

    #[test]
    fn what_is_asked_is_read_and_a_misspelt_field_is_not_ignored() {
        let asked: Asked = serde_json::from_str(r#"{"sites":["server"]}"#).unwrap();
        assert!(asked.sites.is_some() && asked.tables.is_none());
        assert!(serde_json::from_str::<Asked>(r#"{"site":["server"]}"#).is_err());
        assert!(serde_json::from_str::<Asked>(r#"{"tables":"public.todos"}"#).is_err());
    }
}
