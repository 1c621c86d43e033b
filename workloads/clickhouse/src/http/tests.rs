use super::*;

#[test]
fn both_forms_of_an_exception_have_their_code() {
    assert_eq!(
        code("Code: 60, e.displayText() = DB::Exception: Table a.b doesn't exist., e.what() = DB::Exception"),
        Some(60)
    );
    assert_eq!(
        code("Code: 241. DB::Exception: Memory limit exceeded (MEMORY_LIMIT_EXCEEDED)"),
        Some(241)
    );
    assert_eq!(code("<html>bad gateway</html>"), None);
}

#[test]
fn only_what_is_known_to_be_about_rows_leaves_rows_out() {
    let refused = |code| {
        Error::Refused {
            url: String::new(),
            code,
            message: String::new(),
        }
        .refusal()
    };
    assert_eq!(refused(Some(27)), Refusal::Rows);
    assert_eq!(refused(Some(60)), Refusal::Schema);
    for passing in [Some(241), Some(252), Some(243), Some(99_999), None] {
        assert_eq!(refused(passing), Refusal::Passing);
    }
}

#[test]
fn a_table_is_given_up_only_for_what_will_be_refused_again() {
    let refused = |code| Error::Refused {
        url: String::new(),
        code,
        message: String::new(),
    };
    // ILLEGAL_TYPE_OF_ARGUMENT and UNKNOWN_TYPE
    assert!(refused(Some(43)).is_lasting() && refused(Some(50)).is_lasting());
    // MEMORY_LIMIT_EXCEEDED, AUTHENTICATION_FAILED, CANNOT_SCHEDULE_TASK, STD_EXCEPTION, and what is no answer of ClickHouse's
    for passing in [Some(241), Some(516), Some(439), Some(1001), None] {
        assert!(!refused(passing).is_lasting(), "{passing:?}");
    }
}

#[test]
fn a_full_disk_is_told_from_other_refusals() {
    assert!(is_full(
        Some(243),
        "Code: 243, e.displayText() = DB::Exception: Cannot reserve 1.00 MiB, not enough space"
    ));
    assert!(is_full(
        Some(75),
        "Code: 75, e.displayText() = DB::ErrnoException: Cannot write to file, errno: 28, strerror: No space left on device"
    ));
    assert!(!is_full(Some(241), "Code: 241. DB::Exception: Memory limit exceeded"));
}

#[test]
fn a_secret_that_lacks_a_key_says_which() {
    let folder = std::env::temp_dir().join(format!("clickhouse-secret-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let said = || ClickHouse::read(&folder).map(|_| ()).unwrap_err().to_string();
    assert!(said().contains("`url`"));
    fs::write(folder.join("url"), "clickhouse:8123").unwrap();
    assert!(said().contains("is no URL"));
    fs::write(folder.join("url"), "http://clickhouse:8123/\n").unwrap();
    assert!(said().contains("`username`"));
    for (key, value) in [
        ("username", "sync"),
        ("password", "s"),
        ("database", "analytics"),
        ("ca", "no pem"),
    ] {
        fs::write(folder.join(key), value).unwrap();
    }
    assert!(said().contains("`ca`"));
    fs::remove_file(folder.join("ca")).unwrap();
    assert_eq!(ClickHouse::read(&folder).unwrap().url, "http://clickhouse:8123");
    fs::remove_dir_all(&folder).unwrap();
}
