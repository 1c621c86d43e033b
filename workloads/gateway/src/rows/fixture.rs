//! Tables for unit tests.

use synccluster_protocol::{
    codec::{ColumnType, debezium::Form},
    event::TableName,
};

use super::{
    catalogue::{Column, Kind, Table},
    words::Reader,
};

/// `public.things` with columns like `id bigint key` or `title text null`.
pub fn table(columns: &[&str]) -> Table {
    let columns: Vec<Column> = columns.iter().map(|column| self::column(column)).collect();
    Table {
        name: TableName::new("public", "things"),
        key: columns
            .iter()
            .filter(|column| column.in_key)
            .map(|column| column.name.clone())
            .collect(),
        columns,
    }
}

fn column(text: &str) -> Column {
    let mut reader = Reader::new(text);
    let name = reader.name().unwrap();
    let words: Vec<&str> = reader.rest().split_whitespace().collect();
    let kind = words[0];
    Column {
        name,
        sql_type: kind.into(),
        nullable: words.contains(&"null"),
        default: None,
        generated: words.contains(&"generated").then(|| "1".into()),
        identity: words.contains(&"identity").then_some("always"),
        in_key: words.contains(&"key"),
        enum_values: None,
        cast: kind.into(),
        kind: match kind {
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "jsonb" => Kind::Json,
            _ => Kind::Text,
        },
        wire: match kind {
            "boolean" => ColumnType::Bool,
            "integer" | "bigint" => ColumnType::Integer,
            "date" => ColumnType::Date,
            "date[]" => ColumnType::Array(Box::new(ColumnType::Date)),
            _ => ColumnType::Text,
        },
        debezium: Ok(match kind {
            "date" | "date[]" => Form::Date,
            "money" => Form::Money,
            "bit(3)" => Form::Bits(3),
            "point" => Form::Point,
            _ => Form::Same,
        }),
        collated: kind == "text",
    }
}
