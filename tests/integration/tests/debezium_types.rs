//! Both engines read the same tables of the same site, side by side: every field of every record is compared, every value of every built-in type.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{
    World,
    debezium::{Engine, PATIENCE},
};
use synccluster_protocol::{
    ClusterName, Site,
    codec::{self, debezium::decode_debezium, unavailable::is_unavailable},
    event::{TABLE_IDENTIFIER, TableName},
    status::{ConnectorPhase, RequestKind},
};
use synccluster_runtime::catalog;
use synccluster_sink::event;

const SERVER: Site = Site::Server;

const SCHEMA: &str = "create type mood as enum ('sad', 'so so');
    create type pair as (a int, b text);
    create domain percent as numeric check (value between 0 and 100);
    create domain share as percent;
    create domain moment as date;
    create domain due as moment;
    create domain words as text[];
    create domain keywords as words;
    create table large (id int primary key, n int not null default 0, t text, j json, jb jsonb, x bytea, pr pair, ts tsvector,
      ta text[], va varchar(40)[], ja jsonb[], xa bytea[], ia int[], da date[], i8a int8[], ua uuid[]);
    create table every (id uuid primary key, b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(10, 2), p percent,
      t text, v varchar(20), c char(5), bin bytea, d date, ti time, ts timestamp, tsz timestamptz, iv interval, j json, jb jsonb,
      m mood, ina inet, ci cidr, mac macaddr, mac8 macaddr8, mon money, x xml, tsv tsvector, tsq tsquery, pt point, bx box, ln line, ls lseg, pa path,
      po polygon, cr circle, b1 bit(1), bi bit(3), b20 bit(20), r int4range, r8 int8range, nr numrange, tr tsrange, tzr tstzrange, dr daterange,
      mr int4multirange, lsn pg_lsn, o oid, xx xid, nm name, ch \"char\", jp jsonpath, pr pair, rc regclass,
      ia int[], i8a int8[], ta text[], va varchar(5)[], na numeric[], fa float8[], ba bool[], bya bytea[], da date[], tia time[], tsa timestamp[],
      tza timestamptz[], ua uuid[], ja jsonb[], mo mood[], ineta inet[], oa oid[], sh share, du due, kw keywords,
      g int generated always as (i4 / 2) stored)";

const ROWS: [&str; 5] = [
    r#"('00000000-0000-0000-0000-000000000001', true, -32768, 2147483647, -9223372036854775808, 'NaN', 'Infinity', 'NaN', 1.50, 33.3, E'tab\tnew\nline "q" \\',
      'vär', 'ab', '\x00ff', '0044-03-15 BC', '24:00', 'infinity', '0001-01-01 00:00:00+00 BC', '1 year 2 mons -3 days 04:05:06.789', '{"a": [1, 2]}',
      '{"z": 1e3, "a": null}', 'so so', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '12.34', '<a>1</a>', 'a fat cat', 'fat & cat',
      '(1.5,2)', '(1,2),(3,4)', '{1,2,3}', '[(1,2),(3,4)]', '[(1,2),(3,4)]', '((1,2),(3,4),(5,6))', '<(1,2),3>', '1', '101', '10000000000000000001', '[1,5)', '[1,2)',
      '[1.5,2)', '[2024-01-01,2024-02-01)', '[2024-01-01,2024-02-01)', '[2024-01-01,2024-02-01)', '{[1,3),[5,8)}', '16/B374D848', 42, '7', 'nme', 'c', '$.a[*]',
      '(1,"x y")', 'every', '{1,NULL,3}', '{9223372036854775807}', '{"a b",NULL,"NULL","{\"}"}', '{"é"}', '{1.50,-3}', '{0.1,NaN,-Infinity}', '{t,f,NULL}', '{"\\x00ff"}',
      '{2024-02-29,infinity}', '{12:00:00.5}', '{"2024-01-01 10:00:00.5"}', '{"2024-01-01 00:00:00+05"}', '{00000000-0000-0000-0000-000000000001}', '{"{\"a\": 1}"}', '{sad}',
      '{10.0.0.1}', '{1,2}', 33.30, '2024-02-29', '{"a b",NULL}')"#,
    r"('00000000-0000-0000-0000-000000000002', false, 32767, -1, 0, 0.1, 1e-300, 1e100, -0.01, 0, '', '', '', '', 'infinity', '00:00:00.000001',
      '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00.123456+02', '0', 'null', 'null', 'sad', '::1', '::/0', null, null, '-1', null, '', null, '(-1,1e300)',
      null, null, null, '((1,2),(3,4))', null, null, '0', '000', '00000000000000000000', 'empty', null, null, null, null, null, '{}', '0/0', 0, null, '', null, null, '(,)', null,
      '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0, 'infinity', '{}')",
    r"('00000000-0000-0000-0000-000000000003', null, null, null, null, '-Infinity', 'NaN', 'Infinity', null, null, null, null, null, null, '-infinity', '23:59:59.999999',
      '-infinity', 'infinity')",
    r"('00000000-0000-0000-0000-000000000004', null, null, null, null, '3.4028235e38', 1e15, '-Infinity', null, null, '__debezium_unavailable', null, null, null, '2024-02-29', '12:00',
      '1999-12-31 23:59:59', '-infinity', '-1 day 00:00:01')",
    r"('00000000-0000-0000-0000-000000000005', null, null, null, null, null, 123456789.125, 123456789012345678901234567890.10, null, null, repeat('long ', 20000), null, null, null,
      '9999-12-31', null, '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00')",
];

/// A topic's changes of a table, once so many of an operation are there: the last thing that is written.
async fn until_all_was_sent(topic: &str, table: &str, (op, count): (&str, usize)) -> Result<Vec<(Value, Value)>> {
    eventually(PATIENCE, async || {
        let records = Kafka::shared().await?.records(topic).await?;
        let mut changes = Vec::new();
        for record in records {
            let (Some(key), Some(value)) = (record.key, record.value) else {
                continue;
            };
            changes.push((
                serde_json::from_slice::<Value>(&key)?,
                serde_json::from_slice::<Value>(&value)?,
            ));
        }
        changes.retain(|(_, value)| value["source"]["table"] == table);
        let seen = changes.iter().filter(|(_, value)| value["op"] == op).count();
        ensure!(
            seen == count,
            "{topic}: {} records of {table}, {seen} {op}",
            changes.len()
        );
        Ok(changes)
    })
    .await
}

/// What must be the same, whichever engine sent it. Their own clocks and versions may differ, and what we know of a transaction and Debezium does not.
fn frame(key: &Value, value: &Value, topic: &str) -> Value {
    let mut key = key.clone();
    key[TABLE_IDENTIFIER] = key[TABLE_IDENTIFIER]
        .as_str()
        .unwrap_or_default()
        .replace(topic, "TOPIC")
        .into();
    let source = &value["source"];
    let number = value["transaction"]["id"].as_str().and_then(|id| id.split(':').next());
    let fields = [
        "connector",
        "snapshot",
        "db",
        "schema",
        "table",
        "txId",
        "origin",
        "ts_ms",
        "ts_us",
        "ts_ns",
    ];
    json!({
        "key": key,
        "op": value["op"],
        "name": source["name"].as_str().unwrap_or_default().replace(topic, "TOPIC"),
        "source": fields.map(|field| source[field].clone()),
        "transaction": [json!(number), value["transaction"]["total_order"].clone(), value["transaction"]["data_collection_order"].clone()],
        "columns": [columns(&value["before"]), columns(&value["after"])],
    })
}

fn columns(row: &Value) -> Value {
    row.as_object().map_or(Value::Null, |row| row.keys().cloned().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_type_is_the_same_through_both_engines() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let world = World::start(0, SCHEMA).await?;
    let other: ClusterName = format!("{}d", world.cluster).parse()?;
    let (ours, theirs) = (world.cluster.topic(SERVER), other.topic(SERVER));
    kafka.create_topic(&theirs, &[("cleanup.policy", "compact")]).await?;
    // Rows that are there before: Debezium sends them by its snapshot, which reads them another way than the stream, and loses the era of years before 1.
    let insert = |rows: &[&str]| {
        let one = |row: &&str| format!("insert into every values {row}; ");
        rows.iter().map(one).collect::<String>()
    };
    world.run(SERVER, &insert(&ROWS).replace(" BC'", "'")).await?;
    let engine = Engine::beside(
        &other,
        SERVER,
        &world.at(SERVER).postgres,
        kafka.bootstrap(),
        "# nothing else\nmax.batch.size=64\n",
    )?;
    engine.is(ConnectorPhase::Streaming).await?;
    let changes = "begin; update every set b = true where id::text like '%5'; update every set i4 = 7, t = 'short' where i4 is null; commit;
        update every set id = '00000000-0000-0000-0000-00000000000a' where id::text like '%4'; delete from every;";
    world
        .run(SERVER, &format!("{changes} {} delete from every", insert(&ROWS)))
        .await?;
    let (ours_sent, theirs_sent) = (
        until_all_was_sent(&ours, "every", ("d", 11)).await?,
        until_all_was_sent(&theirs, "every", ("d", 11)).await?,
    );
    // The first five are the snapshot's: what they say is in their columns.
    let (snapshot, streamed) = theirs_sent.split_at(ROWS.len());
    ensure!(snapshot.iter().all(|(_, value)| value["op"] == "r"), "{snapshot:?}");
    let pairs: Vec<_> = ours_sent.iter().zip(snapshot.iter().chain(streamed)).collect();
    ensure!(
        ours_sent.len() == theirs_sent.len(),
        "{} records and {}",
        ours_sent.len(),
        theirs_sent.len()
    );
    for ((key, value), (their_key, their_value)) in &pairs[ROWS.len()..] {
        assert_eq!(frame(key, value, &ours), frame(their_key, their_value, &theirs));
    }
    // A generated column is nowhere, not even in a snapshot.
    for ((_, value), (_, their_value)) in &pairs {
        assert_eq!(columns(&value["after"]), columns(&their_value["after"]));
    }
    let otherwise = values_alike(&world, &pairs).await?;
    // The forms docs/engines.md lists, and no others.
    let differ: Vec<&str> = otherwise.keys().map(String::as_str).collect();
    assert_eq!(differ, DIFFER);
    what_is_not_sent_again_is_no_value(&world, [&ours, &theirs]).await?;
    what_would_be_lost_is_refused(&world, &engine).await?;
    engine.stop().await
}

type Sent = (Value, Value);

/// Compares every value, as the sink reads it and as Postgres prints it; the first of each column that is written otherwise.
async fn values_alike(world: &World, pairs: &[(&Sent, &Sent)]) -> Result<BTreeMap<String, (Value, Value)>> {
    let site = world.at(SERVER).postgres.superuser().await?;
    let settings = codec::SESSION_SETTINGS.map(|(name, value)| format!("set {name} = '{value}'"));
    site.batch_execute(&settings.join("; ")).await?;
    let table = catalog::table(&site, &TableName::new("public", "every"))
        .await?
        .context("no table")?;
    let (mut same, mut otherwise, mut wrong) = (0, BTreeMap::new(), Vec::new());
    for ((_, value), (_, their_value)) in pairs {
        for (image, row) in ["before", "after"].map(|image| (image, &value[image])) {
            for (name, of_ours) in row.as_object().into_iter().flatten() {
                let of_theirs = &their_value[image][name];
                ensure!(!is_unavailable(true, of_theirs), "{name}");
                let column = table.column(name).context("no column")?;
                let text = codec::decode(&column.kind, of_ours)?;
                let form = column
                    .debezium
                    .as_ref()
                    .map_err(|lost| anyhow::anyhow!("{name}: {lost}"))?;
                let their_text = match decode_debezium(form, &column.kind, of_theirs) {
                    Ok(text) => text,
                    Err(error) => {
                        wrong.push(format!("{name} ({image}): {error}; {of_ours} and {of_theirs}"));
                        continue;
                    }
                };
                if of_ours == of_theirs {
                    same += 1;
                } else {
                    otherwise
                        .entry(name.clone())
                        .or_insert_with(|| (of_ours.clone(), of_theirs.clone()));
                }
                // Not the same text always, but the same value: as Postgres prints it.
                if text != their_text {
                    let statement = format!("select ($1::text)::{0}::text, ($2::text)::{0}::text", column.sql_type);
                    let printed = site
                        .query_one(&statement, &[&text, &their_text])
                        .await
                        .with_context(|| format!("{name}: {text:?} {their_text:?}"))?;
                    let (first, second): (Option<String>, Option<String>) = (printed.get(0), printed.get(1));
                    if first != second {
                        wrong.push(format!(
                            "{name} ({image}): {first:?} and {second:?}; {of_ours} and {of_theirs}"
                        ));
                    }
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{same} values alike; otherwise written: {otherwise:#?}");
    Ok(otherwise)
}

/// Large values that an update leaves alone, where the identity is the key: each engine has its own form for each type, and the sink leaves all of them out.
async fn what_is_not_sent_again_is_no_value(world: &World, topics: [&str; 2]) -> Result<()> {
    let stored: Vec<_> = LARGE
        .map(|(column, _)| format!("alter {column} set storage external"))
        .into();
    let (names, values): (Vec<_>, Vec<_>) = LARGE.into_iter().unzip();
    let stored = format!("alter table large replica identity default, {}", stored.join(", "));
    let insert = format!(
        "insert into large (id, {}) select 1, {}",
        names.join(", "),
        values.join(", ")
    );
    for statement in [&*stored, &insert, "update large set n = 1"] {
        world.run(SERVER, statement).await?;
    }
    for (topic, of_debezium) in topics.into_iter().zip([false, true]) {
        let changes = until_all_was_sent(topic, "large", ("u", 1)).await?;
        let (_, update) = changes.last().context("no update")?;
        for name in names.iter().copied() {
            let value = &update["after"][name];
            ensure!(is_unavailable(of_debezium, value), "{topic} {name}: {value}");
        }
        let event = event::parse(&update.to_string())?.context("no change")?;
        let event::Content::Row(row) = event.content else {
            anyhow::bail!("no row")
        };
        let left: Vec<&String> = row.keys().collect();
        assert_eq!(left, ["id", "n", "sync_version", "sync_parent"], "{topic}");
    }
    Ok(())
}

/// With the columns named; the slot keeps what is written meanwhile.
async fn what_would_be_lost_is_refused(world: &World, engine: &Engine) -> Result<()> {
    world
        .run(
            SERVER,
            "create table clocks (id int primary key, at timetz, flags varbit(8), grid int[][], shares share[])",
        )
        .await?;
    world.migrate(SERVER, None).await?;
    let restart = engine.ask(RequestKind::Restart);
    let said = eventually(PATIENCE, async || {
        let status = engine.status();
        let error = status.error.context("no error yet")?;
        ensure!(
            status.phase == ConnectorPhase::Failing && error.contains("public.clocks.at"),
            "{error}"
        );
        Ok(error)
    });
    let said = tokio::select! { said = said => said?, done = restart => anyhow::bail!("restarted: {done:?}") };
    for part in [
        "public.clocks.at (time with time zone)",
        "public.clocks.flags",
        "public.clocks.grid",
        "public.clocks.shares (share[])",
        "use engine Native",
    ] {
        assert!(said.contains(part), "{said}");
    }
    Ok(())
}

/// Columns of every type that may be stored apart and that Debezium has a form for, and values that are.
const LARGE: [(&str, &str); 14] = [
    ("t", "repeat('long ', 2000)"),
    ("j", "json_build_object('a', repeat('long ', 2000))"),
    ("jb", "jsonb_build_object('a', repeat('long ', 2000))"),
    ("x", "decode(repeat('00ff', 4000), 'hex')"),
    ("pr", "(1, repeat('long ', 2000))::pair"),
    (
        "ts",
        "(select to_tsvector('simple', string_agg('w' || w, ' ')) from generate_series(1, 1000) w)",
    ),
    ("ta", "array[repeat('long ', 2000)]"),
    ("va", "array_fill('some words'::varchar, array[1000])"),
    ("ja", "array_fill('{\"a\": 1}'::jsonb, array[1000])"),
    ("xa", "array_fill('\\x00ff'::bytea, array[1000])"),
    ("ia", "array_fill(7, array[2000])"),
    ("da", "array_fill('2024-02-29'::date, array[2000])"),
    ("i8a", "array_fill(7::int8, array[2000])"),
    ("ua", "array_fill(gen_random_uuid(), array[1000])"),
];

const DIFFER: [&str; 24] = [
    "b1", "b20", "bi", "bx", "cr", "d", "da", "du", "iv", "jp", "ln", "ls", "lsn", "mon", "mr", "n", "pa", "po", "pr",
    "pt", "rc", "ts", "tsq", "xx",
];
