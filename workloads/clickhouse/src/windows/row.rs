//! A window's row, from what the counter nodes emit. Pure.

use std::{borrow::Cow, io::Write};

use serde::{Deserialize, Serialize, Serializer};

/// What one window counts of one id, as it is emitted. Times are milliseconds since the Unix epoch.
#[derive(Deserialize)]
struct Emitted<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    window_start: i64,
    window_end: i64,
    count: i64,
    late: i64,
    updated_at: i64,
    r#final: bool,
}

/// The same as the table has it.
#[derive(Serialize)]
struct Row<'a> {
    size: &'a str,
    id: &'a str,
    window_start: Time,
    window_end: Time,
    count: i64,
    late: i64,
    r#final: u8,
    updated_at: Time,
    partition: i32,
    version: u64,
}

/// Seconds since the Unix epoch.
struct Time(u32);

impl Time {
    fn of(millis: i64) -> Option<Self> {
        u32::try_from(millis.div_euclid(1000)).ok().map(Self)
    }
}

impl Serialize for Time {
    /// Of ten digits: what is shorter 18.16 takes for a calendar's date.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:010}", self.0))
    }
}

/// The statement that makes the table.
pub fn table(name: &str) -> String {
    let time = "DateTime('UTC')";
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (size String, id String, window_start {time}, window_end {time}, count Int64, late Int64, final UInt8, \
         updated_at {time}, partition Int32, version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY (size, window_start, id)"
    )
}

/// Adds the row of a record to a batch in `JSONEachRow`; or says why it is none.
pub fn write(batch: &mut Vec<u8>, size: &str, partition: i32, version: u64, value: &[u8]) -> Result<(), String> {
    let emitted: Emitted = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let time = |millis| Time::of(millis).ok_or_else(|| format!("{millis} is not between 1970 and 2106"));
    let row = Row {
        size,
        id: &emitted.id,
        window_start: time(emitted.window_start)?,
        window_end: time(emitted.window_end)?,
        count: emitted.count,
        late: emitted.late,
        r#final: emitted.r#final.into(),
        updated_at: time(emitted.updated_at)?,
        partition,
        version,
    };
    let line = serde_json::to_vec(&row).map_err(|error| error.to_string())?;
    batch
        .write_all(&line)
        .and_then(|()| batch.write_all(b"\n"))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_a_row_of_seconds() {
        let value = r#"{"id":"café \"x\"","window_start":60000,"window_end":120000,"count":-3,"late":2,"updated_at":1795000081999,"final":true}"#;
        let mut batch = Vec::new();
        write(&mut batch, "1m", 3, 7, value.as_bytes()).unwrap();
        let expected = r#"{"size":"1m","id":"café \"x\"","window_start":"0000000060","window_end":"0000000120","count":-3,"late":2,"final":1,"updated_at":"1795000081","partition":3,"version":7}"#;
        assert_eq!(String::from_utf8(batch).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn what_is_no_aggregation_is_said_and_adds_nothing() {
        let mut batch = Vec::new();
        let before_1970 =
            r#"{"id":"a","window_start":-60000,"window_end":0,"count":1,"late":0,"updated_at":9,"final":false}"#;
        for wrong in ["", "{}", "7", before_1970] {
            assert!(write(&mut batch, "1m", 0, 1, wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(batch.is_empty());
    }
}
