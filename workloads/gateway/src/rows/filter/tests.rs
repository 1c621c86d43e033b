use proptest::prelude::*;

use super::*;

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::Text),
        "[+-]?[0-9]{1,20}(\\.[0-9]{1,5})?(e[+-]?[0-9]{1,2})?".prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
    ]
}

fn any_comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Ilike, Less, LessOrEqual, Like, NotEqual};
    prop::sample::select(vec![
        Equal,
        NotEqual,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        Like,
        Ilike,
    ])
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        (any_comparison(), any_value()).prop_map(|(comparison, value)| Test::Compare(comparison, value)),
        prop::collection::vec(any_value(), 1..5).prop_map(Test::In),
        any::<bool>().prop_map(Test::Null),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let name = prop_oneof!["[a-zA-Z_][a-z0-9_]{0,9}", "and|is|in|like|null|true", "\\PC{1,8}"];
    let condition = (name, any_test()).prop_map(|(column, test)| Condition { column, test });
    prop::collection::vec(condition, 0..5).prop_map(Filter)
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_to_the_same_tree(filter in any_filter()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn no_text_makes_it_panic_and_an_error_points_into_the_text(text in "\\PC{0,60}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}", error);
        }
    }

    #[test]
    fn nearly_right_texts_do_not_panic(filter in any_filter(), cut in 0usize..80) {
        let printed: String = filter.to_string().chars().take(cut).collect();
        let _ = Filter::parse(&printed);
    }
}

#[test]
fn blanks_and_the_case_of_words_do_not_matter() {
    let expected = Filter::parse(
        "id >= 3 and title ilike '%it''s%' and done = true and at is not null and \"My \"\"Id\" in (1,'b')",
    )
    .unwrap();
    let other = "  id>=3 AND title   ILIKE'%it''s%' and done=TRUE\nand at IS  NOT NULL and \"My \"\"Id\"  IN(1 ,'b' ) ";
    assert_eq!(Filter::parse(other), Ok(expected.clone()));
    assert_eq!(expected.0.len(), 5);
    assert_eq!(expected.0[4].column, "My \"Id");
}

#[test]
fn nothing_is_every_row() {
    assert_eq!(Filter::parse("  "), Ok(Filter::default()));
}

#[test]
fn an_error_says_where_and_what_is_expected() {
    for (text, at, what) in [
        ("title", 6, "is null"),
        ("title ~ 'x'", 7, "like ilike"),
        ("title = 'x", 9, "has no end"),
        ("title = x", 9, "in single quotes"),
        ("title = 1e", 9, "a number"),
        ("id = nan", 6, "a number"),
        ("id = 1 or id = 2", 8, "`and` or the end"),
        ("id = 1 and", 11, "a column's name"),
        ("id in 1", 7, "`(`"),
        ("id in (1 2)", 10, "`,` or `)`"),
        ("id in ()", 8, "a value"),
        ("id is 1", 7, "`not null`"),
        ("ü = 1; drop table todos", 6, "`and` or the end"),
        ("= 1", 1, "a column's name"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
    }
}

#[test]
fn a_filter_has_bounds() {
    let long = format!("title = '{}'", "x".repeat(9000));
    assert!(Filter::parse(&long).unwrap_err().what.contains("8192 bytes"));
    let many = format!("id in ({}1)", "1,".repeat(500));
    assert!(Filter::parse(&many).unwrap_err().what.contains("500 values"));
}
