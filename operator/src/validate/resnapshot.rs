//! What the annotation `synccluster.dev/resnapshot` asks for, for either engine.

use synccluster_protocol::{Site, event::TableName};

/// Every row of a site, or of one of its tables, once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resnapshot {
    /// The annotation's value.
    pub written: String,
    /// Whose rows, and of which table, if not of all; or why that is not known, with what to write.
    pub what: Result<(Site, Option<TableName>), String>,
}

/// Reads the annotation. What cannot be understood is said where its progress would be; nothing else stops because of it.
pub fn resnapshot(written: &str, clients: u16) -> Resnapshot {
    Resnapshot {
        written: written.to_owned(),
        what: parse(written, clients),
    }
}

fn parse(written: &str, clients: u16) -> Result<(Site, Option<TableName>), String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{written}` {why}: write a site such as client-2, or a site and a table such as server/public.todos"
        ))
    };
    let (site, table) = match written.split_once('/') {
        Some((site, table)) => (site, Some(table)),
        None => (written, None),
    };
    let Ok(site) = site.parse::<Site>() else {
        return wrong("names no site");
    };
    if let Site::Client(ordinal) = site
        && ordinal > clients
    {
        return wrong(&format!("names {site}, and spec.clients is {clients}"));
    }
    match table.map(TableName::parse) {
        None => Ok((site, None)),
        Some(Some(table)) if !table.schema.is_empty() && !table.table.is_empty() => Ok((site, Some(table))),
        Some(_) => wrong("names no table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_or_one_of_its_tables_is_asked_for() {
        let todos = TableName::new("public", "todos");
        assert_eq!(parse("client-2", 2), Ok((Site::Client(2), None)));
        assert_eq!(parse("server/public.todos", 0), Ok((Site::Server, Some(todos))));
        for (wrong, why) in [
            ("", "names no site"),
            ("all", "names no site"),
            ("client-0", "names no site"),
            ("client-3", "spec.clients is 2"),
            ("server/", "names no table"),
            ("server/todos", "names no table"),
            ("server/.todos", "names no table"),
        ] {
            let error = parse(wrong, 2).unwrap_err();
            assert!(
                error.contains(why) && error.contains("server/public.todos"),
                "{wrong}: {error}"
            );
        }
    }
}
