use serde_json::json;

use super::*;
use crate::rows::fixture;

const ONE: Site = Site::Client(1);
/// 1970-01-01T00:00:01Z, by client-1.
const VERSION: &str = "1024000001";

fn shape() -> Shape {
    let table = fixture::table(&["id bigint key", "title text null", "done boolean"]);
    let columns = ["id", "title", "done", "sync_version", "sync_parent"].map(str::to_owned);
    Shape::new("public.things".into(), Arc::new(table), columns)
}

fn row(id: &str, title: Datum) -> Vec<Datum> {
    let text = |text: &str| Datum::Text(text.into());
    vec![text(id), title, text("t"), text(VERSION), Datum::Null]
}

fn text(text: &str) -> Datum {
    Datum::Text(text.into())
}

fn open(by_sink: bool) -> Open {
    Open {
        by_sink,
        ..Open::new(Lsn(0x16_0000_0020), 250_000)
    }
}

fn told(site: Site, open: Open, old: Option<&[Datum]>, new: &[Datum]) -> Value {
    json!(shape().change(site, open, old, new, Map::new()).unwrap())
}

#[test]
fn an_insert_is_told_with_its_row() {
    let expected = json!({
        "site": "client-1", "table": "public.things", "op": "c", "key": {"id": "7"}, "key_path": "7", "version": VERSION, "parent": null,
        "row": {
            "key": {"id": "7"}, "key_path": "7", "values": {"id": "7", "title": "milk", "done": true}, "version": VERSION, "parent": null,
            "written_at": "1970-01-01T00:00:01.000000Z", "written_at_site": "client-1"
        },
        "at": "2000-01-01T00:00:00.250000Z", "applied": false, "lsn": "16/20"
    });
    assert_eq!(told(ONE, open(false), None, &row("7", text("milk"))), expected);
}

#[test]
fn a_value_that_an_update_left_alone_is_the_one_before() {
    let (before, after) = (row("7", text("long")), row("7", Datum::Unchanged));
    let told = told(ONE, open(false), Some(&before), &after);
    assert_eq!(
        (&told["op"], &told["row"]["values"]["title"]),
        (&json!("u"), &json!("long"))
    );
}

#[test]
fn a_changed_key_makes_a_row_that_was_not_there() {
    let told = told(ONE, open(false), Some(&row("7", Datum::Null)), &row("8", Datum::Null));
    assert_eq!((&told["op"], &told["key_path"]), (&json!("c"), &json!("8")));
}

#[test]
fn applied_is_what_a_sink_wrote_and_another_site_made() {
    let applied = |site, by_sink| told(site, open(by_sink), None, &row("7", Datum::Null))["applied"].clone();
    assert_eq!(applied(Site::Server, true), json!(true));
    assert_eq!(applied(ONE, false), json!(false));
    assert_eq!(applied(ONE, true), json!(false));
}

#[test]
fn what_was_computed_is_part_of_the_row() {
    let computed = Map::from_iter([("length".to_owned(), json!(4))]);
    let told = shape().change(ONE, open(false), None, &row("7", text("milk")), computed);
    let expected = json!({"id": "7", "title": "milk", "done": true, "length": 4});
    assert_eq!(json!(told.unwrap())["row"]["values"], expected);
}

#[test]
fn a_large_row_is_told_without_its_values() {
    let told = |length| told(ONE, open(false), None, &row("7", text(&"x".repeat(length))));
    assert_eq!(told(60_000)["truncated"], Value::Null);
    let large = told(70_000);
    assert_eq!((&large["row"], &large["truncated"]), (&Value::Null, &json!(true)));
    assert_eq!(large["version"], json!(VERSION));
}

#[test]
fn a_row_that_does_not_fit_is_an_error_and_not_a_guess() {
    let change = |new: &[Datum]| shape().change(ONE, open(false), None, new, Map::new()).unwrap_err();
    assert!(matches!(
        change(&[Datum::Null]),
        Error::Width {
            got: 1,
            expected: 5,
            ..
        }
    ));
    let mut lacking = row("7", Datum::Null);
    lacking[3] = Datum::Null;
    assert!(change(&lacking).to_string().contains("sync_version"));
    lacking[0] = Datum::Null;
    assert!(change(&lacking).to_string().contains("key"));
}

#[test]
fn a_boolean_key_is_written_as_a_cast_writes_it() {
    let table = fixture::table(&["yes boolean key"]);
    let shape = Shape::new(
        "public.things".into(),
        Arc::new(table),
        ["yes", "sync_version"].map(str::to_owned),
    );
    let change = shape
        .change(ONE, open(false), None, &[text("f"), text(VERSION)], Map::new())
        .unwrap();
    assert_eq!(json!(change)["key_path"], json!("false"));
}

#[test]
fn a_deletion_has_no_row() {
    let change = shape().deletion(ONE, open(false), &Key(vec!["7".into()]), Version(5), Some(Version(4)));
    let told = json!(change);
    assert_eq!(
        (&told["op"], &told["row"], &told["parent"]),
        (&json!("d"), &Value::Null, &json!("4"))
    );
    assert_eq!(&*change.write().key, "7");
}
