//! What somebody says a column's values are to be.

use std::str::FromStr;

use synccluster_protocol::event::TableName;

/// `public.todos.state=open|done`: one of these each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: String,
    /// What to choose from.
    pub values: Vec<String>,
}

/// It was not written like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` says no values of a column: write schema.table.column=value|value, such as public.todos.state=open|done"
)]
pub struct OverrideError(String);

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let wrong = || OverrideError(text.to_owned());
        let (column, values) = text.split_once('=').ok_or_else(wrong)?;
        let (table, column) = column.rsplit_once('.').ok_or_else(wrong)?;
        let table = TableName::parse(table).ok_or_else(wrong)?;
        if column.is_empty() || table.table.is_empty() || table.schema.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            table,
            column: column.to_owned(),
            values: values.split('|').map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_and_its_values() {
        let read: Override = "public.todos.state=open|it's|".parse().unwrap();
        assert_eq!(
            (read.table.to_string().as_str(), read.column.as_str()),
            ("public.todos", "state")
        );
        assert_eq!(read.values, ["open", "it's", ""]);
        for wrong in [
            "",
            "state=open",
            "todos.state=open",
            "public.todos.=a",
            "public.todos.state",
        ] {
            assert!(wrong.parse::<Override>().is_err(), "{wrong}");
        }
    }
}
