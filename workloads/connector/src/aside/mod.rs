//! Rows whose record Kafka does not take: put aside at their own site, so that the stream goes on and nobody forgets them.
//!
//! Each has a row of `sync.parked` with the site's own topic, which no sink of the site reads, and with the key and version of the row instead of the
//! event: the row itself is in its table. A later write of the row takes the entry away when its record goes through. Somebody who has asked
//! for another try (`asked_at`), or an hour, has the row read and sent again: see [`retry`].
//!
//! Crash windows: the entry is committed before the rest of its transaction is sent, and so before the transaction is confirmed to Postgres. If
//! the process dies in between, the transaction is read again: the record is tried again, and finds its entry if it is refused again. An entry
//! is taken away when the newer record was handed over, or later if somebody holds it then; if the process dies before Kafka has it, that record is read again, too. Nobody would read
//! again what was tried again, so that is handed over alone, and its entry goes when Kafka has it.

pub mod retry;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use synccluster_protocol::event::{TABLE_IDENTIFIER, VERSION_COLUMN};
use tokio_postgres::{Client, Error};

use crate::{
    envelope::{LeftOut, Record},
    producer::{LARGEST, Outcome},
};

/// After which time a row is tried again if nobody asks for it.
const AGAIN_AFTER: &str = "1 hour";

/// What is put aside at a site.
pub struct Aside {
    topic: String,
    /// Numbers in `sync.parked`, by [`Place::canonical`].
    entries: HashMap<String, i64>,
    /// Numbers of those that are over, but that somebody holds. After a restart each is tried again like any other.
    held: Vec<i64>,
}

/// One that is to be tried again.
pub struct Entry {
    /// Its number in `sync.parked`.
    pub id: i64,
    /// Which row.
    pub place: Place,
}

/// A row.
pub struct Place {
    /// Its table.
    pub relation: String,
    /// The columns of its key, as records have them.
    pub key: Value,
}

impl Place {
    /// From the key of a record.
    fn of(key: &str, topic: &str) -> Self {
        let mut key: Value = serde_json::from_str(key).unwrap_or_default();
        let table = key.as_object_mut().and_then(|columns| columns.remove(TABLE_IDENTIFIER));
        let table = table.as_ref().and_then(Value::as_str).unwrap_or_default();
        let relation = table.strip_prefix(topic).and_then(|rest| rest.strip_prefix('.'));
        Self {
            relation: relation.unwrap_or(table).to_owned(),
            key,
        }
    }

    /// The same text for the same row: jsonb has an order of its own.
    fn canonical(&self) -> String {
        let columns: Option<BTreeMap<_, _>> = self.key.as_object().map(|columns| columns.iter().collect());
        format!("{} {}", self.relation, json!(columns))
    }
}

impl Aside {
    /// What was put aside before.
    pub async fn load(client: &Client, topic: &str) -> Result<Self, Error> {
        let statement = "select id, relation, event->'key' from sync.parked where topic = $1 order by id";
        let (mut entries, mut held) = (HashMap::new(), Vec::new());
        for row in client.query(statement, &[&topic]).await? {
            let place = Place {
                relation: row.get(1),
                key: row.get::<_, Option<Value>>(2).unwrap_or_default(),
            };
            // The older of two of one row was held when the newer was put aside.
            held.extend(entries.insert(place.canonical(), row.get(0)));
        }
        Ok(Self {
            topic: topic.to_owned(),
            entries,
            held,
        })
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Puts a row aside, in place of an earlier version of it.
    pub async fn put(&mut self, client: &Client, record: &Record, outcome: Outcome) -> Result<(), Error> {
        let place = Place::of(&record.key, &self.topic);
        let (key, event) = (place.canonical(), essence(record, &place));
        let reason = reason(record, outcome, &place.relation, &self.topic);
        // What its table has is read at once.
        let asked = matches!(record.left_out, Some(LeftOut::Elsewhere(_)));
        let again = "with free as (select id from sync.parked where id = $1 for update skip locked)
                     update sync.parked p set event = $2, reason = $3, tried_at = clock_timestamp(),
                            asked_at = case when $4 then clock_timestamp() end from free where p.id = free.id";
        if let Some(id) = self.entries.get(&key).copied() {
            if client.execute(again, &[&id, &event, &reason, &asked]).await? == 1 {
                return Ok(());
            }
            // It is gone, or somebody holds it: then it goes later.
            self.held.push(id);
        }
        let statement = "insert into sync.parked (topic, relation, event, reason, asked_at)
                         values ($1, $2, $3, $4, case when $5 then clock_timestamp() end) returning id";
        let row = client
            .query_one(statement, &[&self.topic, &place.relation, &event, &reason, &asked])
            .await?;
        tracing::warn!(row = key, reason, "put aside");
        self.entries.insert(key, row.get(0));
        Ok(())
    }

    /// A record of this key was sent: what was put aside of it is older, or the same.
    pub async fn sent(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        if self.entries.is_empty() {
            return Ok(());
        }
        match self.entries.remove(&Place::of(key, &self.topic).canonical()) {
            Some(id) => self.drop_entry(client, id).await,
            None => Ok(()),
        }
    }

    /// Nothing is left to be sent of it.
    pub async fn forget(&mut self, client: &Client, id: i64) -> Result<(), Error> {
        self.entries.retain(|_, entry| *entry != id);
        self.drop_entry(client, id).await
    }

    /// Takes away what is over and was held, if it is held no more.
    pub async fn release(&mut self, client: &Client) -> Result<(), Error> {
        for id in std::mem::take(&mut self.held) {
            self.drop_entry(client, id).await?;
        }
        Ok(())
    }

    /// Does not wait for who holds it: the stream would.
    async fn drop_entry(&mut self, client: &Client, id: i64) -> Result<(), Error> {
        let statement = "with free as (select id from sync.parked where id = $1 and topic = $2 for update skip locked)
                         delete from sync.parked p using free where p.id = free.id";
        let there = "select from sync.parked where id = $1";
        if client.execute(statement, &[&id, &self.topic]).await? == 1 {
            tracing::info!(id, topic = self.topic, "no longer put aside");
        } else if client.query_opt(there, &[&id]).await?.is_some() {
            self.held.push(id);
        }
        Ok(())
    }

    /// The next that is to be tried again and that nobody holds. Asks Postgres only while something is put aside: a quiet site stays quiet.
    pub async fn due(&self, client: &Client) -> Result<Option<Entry>, Error> {
        if self.entries.is_empty() {
            return Ok(None);
        }
        let statement = format!(
            "select id, relation, event->'key' from sync.parked
              where topic = $1 and (asked_at is not null or tried_at < clock_timestamp() - interval '{AGAIN_AFTER}')
              order by coalesce(asked_at, tried_at + interval '{AGAIN_AFTER}') limit 1 for update skip locked"
        );
        let row = client.query_opt(&statement, &[&self.topic]).await?;
        Ok(row.map(|row| Entry {
            id: row.get(0),
            place: Place {
                relation: row.get(1),
                key: row.get::<_, Option<Value>>(2).unwrap_or_default(),
            },
        }))
    }

    /// Notes that it was tried, and why it stays. `again`: it is due at once, after all others that are.
    pub async fn stays(&self, client: &Client, id: i64, reason: &str, again: bool) -> Result<(), Error> {
        let statement = "update sync.parked set tried_at = clock_timestamp(), reason = $2,
                         asked_at = case when $3 then clock_timestamp() end where id = $1";
        client.execute(statement, &[&id, &reason, &again]).await.map(drop)
    }
}

/// The same record without the row before, if that makes it smaller: Debezium leaves it out as well where a table has no full identity. A delete keeps
/// the key.
pub fn without_before(record: &Record) -> Option<Record> {
    let mut value: Value = serde_json::from_str(record.value.as_deref()?).ok()?;
    let smaller = match value["op"].as_str() {
        Some("d") => Place::of(&record.key, "").key,
        _ => Value::Null,
    };
    let before = value
        .get_mut("before")
        .filter(|before| !before.is_null() && **before != smaller)?;
    *before = smaller;
    Some(Record {
        value: Some(value.to_string()),
        ..record.clone()
    })
}

/// What is kept of an event: which row, in which version, and how large it was.
fn essence(record: &Record, place: &Place) -> Value {
    let value: Value = record
        .value
        .as_deref()
        .and_then(|value| serde_json::from_str(value).ok())
        .unwrap_or_default();
    json!({
        "key": place.key,
        "op": value["op"],
        "sync_version": value["after"][VERSION_COLUMN],
        "bytes": bytes(record),
    })
}

fn bytes(record: &Record) -> usize {
    record.left_out.map_or(record.size(), LeftOut::bytes)
}

fn reason(record: &Record, outcome: Outcome, relation: &str, topic: &str) -> String {
    let bytes = bytes(record);
    if let Some(LeftOut::Elsewhere(_)) = record.left_out {
        return format!(
            "a row of {relation} was not sent: it was so large before that its change did not bring all of it; it is read from its table and sent by itself"
        );
    }
    match outcome {
        Outcome::LargerThanTaken => format!(
            "a row of {relation} was not sent: Kafka takes no record of its {bytes} bytes; make the row smaller, or raise max.message.bytes \
             of topic {topic} (message.max.bytes of the brokers) and ask for another try"
        ),
        Outcome::LargerThanSent | Outcome::Sent => format!(
            "a row of {relation} was not sent: its {bytes} bytes are more than the {LARGEST} of the largest record; make the row smaller, or divide it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r#"{"b":1,"a":"x","__dbz__physicalTableIdentifier":"demo.client-1.public.notes"}"#;

    fn record(value: &Value) -> Record {
        Record {
            key: KEY.to_owned(),
            value: Some(value.to_string()),
            left_out: None,
        }
    }

    #[test]
    fn a_row_is_the_same_whatever_the_order_of_its_key() {
        let row = Place::of(KEY, "demo.client-1");
        assert_eq!(row.canonical(), r#"public.notes {"a":"x","b":1}"#);
        let as_jsonb = Place {
            relation: "public.notes".to_owned(),
            key: json!({"a": "x", "b": 1}),
        };
        assert_eq!(row.canonical(), as_jsonb.canonical());
    }

    #[test]
    fn what_is_kept_is_small_and_says_which_row_it_was() {
        let large =
            record(&json!({"op": "c", "after": {"a": "x", "b": 1, "body": "y".repeat(99), "sync_version": 2048}}));
        let kept = essence(&large, &Place::of(KEY, "demo.client-1"));
        let expected = json!({"key": {"b": 1, "a": "x"}, "op": "c", "sync_version": 2048, "bytes": large.size()});
        assert_eq!(kept, expected);
    }

    #[test]
    fn the_row_before_is_left_out_first() {
        let update = json!({"op": "u", "before": {"a": "x", "b": 1, "body": "long"}, "after": {"b": 1}});
        let smaller = without_before(&record(&update)).unwrap();
        let value: Value = serde_json::from_str(smaller.value.as_deref().unwrap()).unwrap();
        assert_eq!(value, json!({"op": "u", "before": null, "after": {"b": 1}}));
        assert_eq!(without_before(&smaller), None);

        let delete = json!({"op": "d", "before": {"b": 1, "a": "x", "body": "long"}, "after": null});
        let smaller = without_before(&record(&delete)).unwrap();
        let value: Value = serde_json::from_str(smaller.value.as_deref().unwrap()).unwrap();
        assert_eq!(value["before"], json!({"b": 1, "a": "x"}));
        assert_eq!(without_before(&smaller), None);
    }

    #[test]
    fn the_reason_says_what_to_do() {
        let said = |outcome| reason(&record(&Value::Null), outcome, "public.notes", "demo.client-1");
        let taken = said(Outcome::LargerThanTaken);
        assert!(
            taken.contains("public.notes") && taken.contains("max.message.bytes of topic demo.client-1"),
            "{taken}"
        );
        assert!(said(Outcome::LargerThanSent).contains("10000000"));
        let lacking = Record {
            left_out: Some(LeftOut::Elsewhere(7)),
            ..record(&Value::Null)
        };
        let why = reason(&lacking, Outcome::LargerThanSent, "public.notes", "demo.client-1");
        assert!(why.contains("read from its table"), "{why}");
    }
}
