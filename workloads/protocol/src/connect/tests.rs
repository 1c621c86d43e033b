use super::*;

fn variables(site: Site, snapshot: Option<Vec<crate::event::TableName>>) -> Variables {
    Variables {
        cluster: "demo".parse().unwrap(),
        site,
        bootstrap_servers: "demo-kafka:9092".to_owned(),
        slot: "demo_client_2".to_owned(),
        publication: "sync".to_owned(),
        installation: Installation(1_763_798_765_123_456),
        snapshot,
        generated: vec![(crate::event::TableName::new("public", "todos"), "words".to_owned())],
        postgres: "/etc/synccluster/postgres".to_owned(),
        place: "/etc/synccluster/postgres".to_owned(),
        tls: Settings::new(),
        secrets: "/etc/synccluster/secrets".to_owned(),
    }
}

fn rendered(template: &str) -> Result<Settings, Error> {
    settings(&Template::parse(template)?, &variables(Site::Client(2), None))
}

#[test]
fn our_own_templates_can_be_read_and_every_variable_in_them_is_known() {
    for (name, value) in rendered("").unwrap() {
        let foreign = value.replace("${directory:", "");
        assert!(!foreign.contains("${"), "{name}={value}");
        assert!(
            !value.is_empty() || name == "snapshot.include.collection.list",
            "{name} is empty"
        );
    }
}

#[test]
fn variables_are_filled_in() {
    let settings = rendered("").unwrap();
    let of = |name: &str| settings[name].as_str();
    assert_eq!(of("topic.prefix"), "demo.client-2");
    assert_eq!(of("transforms.tables.topic.regex"), "demo\\.client-2\\.[^.]+\\..+");
    assert_eq!(of("slot.stream.params"), "origin=none");
    assert_eq!(of("signal.data.collection"), "sync.debezium_signal");
    assert_eq!(
        of("predicates.signal.pattern"),
        "demo\\.client-2\\.sync\\.debezium_signal"
    );
    assert_eq!(of("snapshot.mode"), "no_data");
    assert_eq!(of("transforms.installation.value.literal"), "1763798765123456");
    assert_eq!(of("column.exclude.list"), "public\\.todos\\.words");
    assert_eq!(
        of("database.password"),
        "${directory:/etc/synccluster/postgres:password}"
    );
    assert_eq!(
        of("transforms.forget.type"),
        "org.apache.kafka.connect.transforms.ReplaceField$Key"
    );
    let own = rendered("# ours\n\n client.note = ${cluster}/${site} at ${bootstrapServers}\n").unwrap();
    assert_eq!(own["client.note"], "demo/client-2 at demo-kafka:9092");
}

#[test]
fn a_snapshot_sends_the_tables_it_is_told_and_the_server_sends_everybodys_writes() {
    let tables = vec![
        crate::event::TableName::new("public", "to-dos"),
        crate::event::TableName::new("sync", "tombstones"),
    ];
    let settings = settings(&Template::default(), &variables(Site::Server, Some(tables))).unwrap();
    assert_eq!(
        settings["snapshot.include.collection.list"],
        "public\\.to\\-dos,sync\\.tombstones"
    );
    assert_eq!(
        (&*settings["snapshot.mode"], &*settings["slot.stream.params"]),
        ("initial", "origin=any")
    );
}

#[test]
fn a_default_can_be_set_otherwise_and_what_the_guarantees_rest_on_cannot() {
    assert_eq!(rendered("max.batch.size=10").unwrap()["max.batch.size"], "10");
    for name in [
        "slot.name",
        "topic.prefix",
        "transforms",
        "transforms.mine.type",
        "table.include.list",
        "schema.exclude.list",
        "snapshot.mode",
        "name",
    ] {
        assert!(
            matches!(rendered(&format!("{name}=x")), Err(Error::Fixed { line: 1, .. })),
            "{name}"
        );
    }
    assert!(rendered("snapshot.max.threads=2\nheartbeat.interval.ms=1000").is_ok());
}

#[test]
fn a_postgres_that_is_not_ours_is_found_by_its_own_files_and_over_tls() {
    let variables = Variables {
        place: "/etc/synccluster/postgres/external".to_owned(),
        tls: [("database.sslmode".to_owned(), "verify-full".to_owned())].into(),
        ..variables(Site::Server, None)
    };
    let found = settings(&Template::default(), &variables).unwrap();
    assert_eq!(
        found["database.hostname"],
        "${directory:/etc/synccluster/postgres/external:host}"
    );
    assert_eq!(
        found["database.user"],
        "${directory:/etc/synccluster/postgres:username}"
    );
    assert_eq!(found["database.sslmode"], "verify-full");
}

#[test]
fn a_secret_is_a_reference_and_never_a_value() {
    let template = Template::parse("database.sslpassword=${secret:site-tls/pass.word}").unwrap();
    let secret = SecretKey {
        name: "site-tls".to_owned(),
        key: "pass.word".to_owned(),
    };
    assert_eq!(template.secrets().into_iter().collect::<Vec<_>>(), [secret]);
    let settings = settings(&template, &variables(Site::Server, None)).unwrap();
    assert_eq!(
        settings["database.sslpassword"],
        "${directory:/etc/synccluster/secrets/site-tls:pass.word}"
    );
}

#[test]
fn what_is_wrong_is_said_with_the_line_and_the_remedy() {
    let cases = [
        (
            "a=1\nb=${clutser}",
            "line 2: there is no variable ${clutser}: use one of ${cluster}, ",
        ),
        ("a=${origins}", "no variable ${origins}"),
        ("a=${postgres:password}", "no variable ${postgres:password}"),
        (
            "a=${secret:only-a-name}",
            "${secret:only-a-name} is not ${secret:name/key}",
        ),
        ("a=${secret:../postgres/password}", "is not ${secret:name/key}"),
        ("a=${cluster", "line 1: a `${` has no `}`"),
        ("nothing", "line 1 is no setting"),
        ("=x", "line 1 is no setting"),
        ("a=1\n\na=2", "line 3: a is set twice"),
        ("slot.name=mine", "slot.name cannot be set"),
    ];
    for (template, expected) in cases {
        let said = Template::parse(template).unwrap_err().to_string();
        assert!(said.contains(expected), "{template:?}: {said}");
    }
}
