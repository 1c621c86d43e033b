use std::collections::BTreeSet;

use proptest::prelude::*;
use synccluster_protocol::event::TableName;

use super::*;
use crate::schema::{Column, ForeignKey};

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: format!("{kind:?}"),
        kind,
        not_null: true,
        sequence: None,
        limits: Limits::default(),
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        name: TableName::new("public", name),
        columns,
        key: vec![0],
        unique: vec![vec![0]],
        foreign: vec![],
        referenced: false,
    }
}

fn id() -> Column {
    Column {
        sequence: Some("s".to_owned()),
        ..column("id", Kind::Integer(i64::MAX))
    }
}

fn refers(to: &str, columns: Vec<usize>) -> ForeignKey {
    ForeignKey {
        columns,
        table: TableName::new("public", to),
        target: vec!["id".to_owned()],
    }
}

fn rows(count: u64) -> Rows {
    Rows { first: 0, count }
}

/// Ids as a site's sequence gives them.
fn ids(_: usize, _: usize, row: u64) -> Option<i64> {
    i64::try_from(row * 1024 + 1).ok()
}

fn choose(tables: Vec<(Table, Rows)>) -> Result<Values, Error> {
    Values::choose(1, tables, &[], &Facts::default())
}

#[test]
fn a_todo_looks_like_one() {
    let todos = table(
        "todos",
        vec![
            id(),
            column("title", Kind::Text(Some(40))),
            column("done", Kind::Bool),
            column("created_at", Kind::TimestampTz),
        ],
    );
    let values = choose(vec![(todos, rows(1000))]).unwrap();
    let all: Vec<Vec<Option<String>>> = (0..1000).map(|row| values.row(0, row, &ids)).collect();
    let done = all.iter().filter(|row| row[2].as_deref() == Some("true")).count();
    assert!((200..400).contains(&done), "{done} are done");
    assert!(
        all.iter()
            .all(|row| row[1].as_ref().is_some_and(|title| title.contains(' '))),
        "{:?}",
        all[0]
    );
    assert!(
        all.iter()
            .all(|row| row[3].as_ref().is_some_and(|at| at.starts_with("2025-"))),
        "{:?}",
        all[0]
    );
    assert_eq!(all[3][0].as_deref(), Some("3073"));
}

#[test]
fn what_ends_ends_after_it_began() {
    let trips = table(
        "trips",
        vec![
            id(),
            column("starts_at", Kind::Timestamp),
            column("ends_at", Kind::Timestamp),
        ],
    );
    let values = choose(vec![(trips, rows(500))]).unwrap();
    for row in 0..500 {
        let row = values.row(0, row, &ids);
        assert!(row[1] < row[2], "{row:?}");
    }
}

#[test]
fn children_refer_to_rows_that_are_made() {
    let lists = table("lists", vec![id()]);
    let mut todos = table("todos", vec![id(), column("list_id", Kind::Integer(i64::MAX))]);
    todos.foreign = vec![refers("lists", vec![1])];
    let values = choose(vec![(lists, rows(7)), (todos, rows(500))]).unwrap();
    let referred: BTreeSet<String> = (0..500).filter_map(|row| values.value(1, row, 1, &ids)).collect();
    let made: BTreeSet<String> = (0..7).filter_map(|row| values.value(0, row, 0, &ids)).collect();
    assert_eq!(referred, made, "all of them, and no other");
}

#[test]
fn pairs_of_a_join_table_differ() {
    let mut tags = table(
        "todo_tags",
        vec![
            column("todo_id", Kind::Integer(i64::MAX)),
            column("tag_id", Kind::Integer(i64::MAX)),
        ],
    );
    tags.foreign = vec![refers("todos", vec![0]), refers("tags", vec![1])];
    (tags.key, tags.unique) = (vec![0, 1], vec![vec![0, 1]]);
    let of = |count| {
        choose(vec![
            (table("todos", vec![id()]), rows(20)),
            (table("tags", vec![id()]), rows(5)),
            (tags.clone(), rows(count)),
        ])
    };
    let values = of(100).unwrap();
    let pairs: BTreeSet<_> = (0..100).map(|row| values.row(2, row, &ids)).collect();
    assert_eq!(pairs.len(), 100);
    let refused = of(101).unwrap_err().to_string();
    assert!(
        refused.contains("(todo_id, tag_id) must be unique, and only 100 rows"),
        "{refused}"
    );
}

#[test]
fn a_tree_begins_with_a_row_that_refers_to_nothing() {
    let mut nodes = table("nodes", vec![id(), column("parent_id", Kind::Integer(i64::MAX))]);
    nodes.columns[1].not_null = false;
    nodes.foreign = vec![refers("nodes", vec![1])];
    let values = choose(vec![(nodes.clone(), rows(100))]).unwrap();
    assert_eq!(values.value(0, 0, 1, &ids), None);
    for row in 1..100 {
        let parent = values
            .value(0, row, 1, &ids)
            .map(|parent| parent.parse::<i64>().unwrap());
        assert!(
            parent.is_none_or(|parent| Some(parent) < ids(0, 0, row)),
            "{row} refers to {parent:?}"
        );
    }
    nodes.columns[1].not_null = true;
    let values = choose(vec![(nodes, rows(2))]).unwrap();
    assert_eq!(
        values.value(0, 0, 1, &ids),
        values.value(0, 0, 0, &ids),
        "where it must refer, to itself"
    );
}

#[test]
fn what_cannot_be_filled_is_said_with_what_to_do() {
    let said = |columns: Vec<Column>, overrides: &[&str]| {
        let overrides: Vec<Override> = overrides.iter().map(|text| text.parse().unwrap()).collect();
        Values::choose(1, vec![(table("t", columns), rows(10))], &overrides, &Facts::default())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let odd = || vec![id(), column("place", Kind::Other("geography".to_owned()))];
    assert!(
        said(odd(), &[])
            .unwrap_err()
            .contains("--value public.t.place=one|other")
    );
    assert_eq!(said(odd(), &["public.t.place=POINT(1 2)"]), Ok(()));
    assert!(
        said(vec![id()], &["public.t.nothing=1"])
            .unwrap_err()
            .contains("no column public.t.nothing")
    );
    let mut empty = column("n", Kind::Integer(100));
    (empty.limits.min, empty.limits.max) = (Some((5.0, false)), Some((4.0, false)));
    assert!(said(vec![id(), empty], &[]).unwrap_err().contains("leave no value"));
    let flag = vec![column("flag", Kind::Bool)];
    assert!(said(flag, &[]).unwrap_err().contains("only 2 rows can differ"));
    let mut child = table("child", vec![id(), column("list_id", Kind::Integer(100))]);
    child.foreign = vec![refers("lists", vec![1])];
    let orphan = choose(vec![(child, rows(1))]).unwrap_err().to_string();
    assert!(orphan.contains("public.lists, which is empty"), "{orphan}");
}

#[test]
fn numbers_go_on_from_the_highest_there_is() {
    let highest = Facts {
        highest: HashMap::from([(("public.t".to_owned(), 0), 41)]),
        ..Facts::default()
    };
    let numbered = table("t", vec![column("nr", Kind::Integer(100))]);
    let values = Values::choose(1, vec![(numbered, Rows { first: 10, count: 59 })], &[], &highest).unwrap();
    assert_eq!(values.value(0, 10, 0, &ids).as_deref(), Some("42"));
    assert_eq!(values.value(0, 68, 0, &ids).as_deref(), Some("100"));
}

fn kinds() -> impl Strategy<Value = Kind> {
    let plain = prop_oneof![
        Just(Kind::Integer(i16::MAX.into())),
        Just(Kind::Integer(i64::MAX)),
        Just(Kind::Numeric(Some((8, 3)))),
        (1_u32..30).prop_map(|max| Kind::Text(Some(max))),
        Just(Kind::Text(None)),
        Just(Kind::Uuid),
        Just(Kind::Date),
        Just(Kind::Bool),
    ];
    plain.boxed()
}

proptest! {
    #[test]
    fn values_are_of_their_type_and_the_same_for_the_same_seed(seed: u64, row: u64, name in "[a-z]{1,8}|price|title|email|city|age", kind in kinds()) {
        let of = |seed| {
            let table = table("t", vec![id(), column(&name, kind.clone())]);
            Values::choose(seed, vec![(table, Rows { first: 0, count: 1 })], &[], &Facts::default()).unwrap().value(0, row, 1, &ids).unwrap()
        };
        let value = of(seed);
        prop_assert_eq!(&value, &of(seed));
        match &kind {
            Kind::Integer(most) => prop_assert!((-most..=*most).contains(&value.parse::<i64>().unwrap())),
            Kind::Numeric(_) => {
                let (whole, parts) = value.trim_start_matches('-').split_once('.').unwrap();
                prop_assert!(whole.len() <= 5 && parts.len() == 3, "{}", value);
            }
            Kind::Text(Some(max)) => prop_assert!(value.chars().count() <= *max as usize, "{}", value),
            Kind::Uuid => prop_assert!(value.len() == 36 && value.as_bytes()[14] == b'4', "{}", value),
            Kind::Date => prop_assert!(value.len() == 10, "{}", value),
            Kind::Bool => prop_assert!(value == "true" || value == "false"),
            _ => {}
        }
    }

    #[test]
    fn bounds_hold(seed: u64, low in -500_i32..500, width in 0_i32..500, exclusive: bool, kind in prop_oneof![Just(Kind::Integer(i64::from(i16::MAX))), Just(Kind::Numeric(Some((9, 2))))]) {
        let mut bounded = column("price", kind);
        bounded.limits.min = Some((low.into(), exclusive));
        bounded.limits.max = Some(((low + width + 2).into(), exclusive));
        let values = Values::choose(seed, vec![(table("t", vec![id(), bounded]), rows(50))], &[], &Facts::default()).unwrap();
        for row in 0..50 {
            let value: f64 = values.value(0, row, 1, &ids).unwrap().parse().unwrap();
            let inside = if exclusive { value > low.into() && value < (low + width + 2).into() } else { value >= low.into() && value <= (low + width + 2).into() };
            prop_assert!(inside, "{} is not between {} and {}", value, low, low + width + 2);
        }
    }

    #[test]
    fn unique_columns_never_repeat(seed: u64, first in 0_u64..1_000_000, name in "name|email|title|code|x", max in 8_u32..40) {
        let mut unique = table("t", vec![id(), column(&name, Kind::Text(Some(max)))]);
        unique.unique.push(vec![1]);
        let values = Values::choose(seed, vec![(unique, Rows { first, count: 300 })], &[], &Facts::default()).unwrap();
        let all: BTreeSet<String> = (first..first + 300).map(|row| values.value(0, row, 1, &ids).unwrap()).collect();
        prop_assert_eq!(all.len(), 300);
        prop_assert!(all.iter().all(|value| value.chars().count() <= max as usize));
    }
}
