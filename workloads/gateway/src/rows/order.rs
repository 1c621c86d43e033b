//! The order rows come in, and what comes after a row in it.
//!
//! Nulls are last, and first where the order is descending, as Postgres has it; the key is always the last part of an order, so that no two
//! rows have the same place.

use super::{
    catalogue::{Column, Table},
    sql::Sql,
    words::{Reader, SyntaxError, print_name},
};

/// The values of a row's order columns, as texts.
pub type Position = Vec<Option<String>>;

/// What to order by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<Term>);

/// One column of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    column: Column,
    descending: bool,
    comparing: Comparing,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparing {
    /// As the column's own type and collation say; an index can help.
    Natively,
    /// As the type says, but texts by their bytes: the same at every site, whatever its collation.
    Alike,
    /// By the bytes of the text: the same at every site, whatever the type is there.
    AsText,
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It does not parse.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A column the table has not.
    #[error("there is no column `{0}`")]
    Unknown(String),
    /// The same column twice.
    #[error("column `{0}` is named twice")]
    Twice(String),
}

impl Order {
    /// From `-title,id` (`-` is descending), with the key appended. `comparing` says of each column how its values are compared.
    pub fn parse(text: &str, table: &Table, comparing: impl Fn(&Column) -> Comparing) -> Result<Self, OrderError> {
        let mut terms: Vec<Term> = Vec::new();
        let mut reader = Reader::new(text);
        while !reader.is_done() {
            if !terms.is_empty() && !reader.take(",") {
                return Err(reader.wrong("`,` or the end is expected").into());
            }
            reader.blanks();
            let descending = reader.take("-");
            let name = reader.name()?;
            let column = table.column(&name).ok_or(OrderError::Unknown(name))?;
            if terms.iter().any(|term| term.column.name == column.name) {
                return Err(OrderError::Twice(column.name.clone()));
            }
            terms.push(Term {
                column: column.clone(),
                descending,
                comparing: comparing(column),
            });
        }
        for column in table.key_columns() {
            if terms.iter().all(|term| term.column.name != column.name) {
                terms.push(Term {
                    column: column.clone(),
                    descending: false,
                    comparing: comparing(column),
                });
            }
        }
        Ok(Self(terms))
    }

    /// By the key alone.
    pub fn key(table: &Table, comparing: impl Fn(&Column) -> Comparing) -> Self {
        let term = |column: &Column| Term {
            column: column.clone(),
            descending: false,
            comparing: comparing(column),
        };
        Self(table.key_columns().map(term).collect())
    }

    /// As [`Self::parse`] reads it, the key included.
    pub fn print(&self) -> String {
        let term = |term: &Term| {
            let sign = if term.descending { "-" } else { "" };
            format!("{sign}{}", print_name(&term.column.name))
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(",")
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// For `order by`.
    pub fn by(&self, alias: &str) -> String {
        let terms: Vec<_> = self.0.iter().map(|term| term.by(&term.expression(alias))).collect();
        terms.join(", ")
    }

    /// For `order by`, where the relation `alias` has positions: columns `p0`, `p1`, … of texts.
    pub fn by_positions(&self, alias: &str) -> String {
        let terms = self.0.iter().enumerate();
        let terms: Vec<_> = terms
            .map(|(n, term)| term.by(&term.value(&format!("{alias}.p{n}"))))
            .collect();
        terms.join(", ")
    }

    /// An array of the position's texts.
    pub fn position(&self, alias: &str) -> String {
        let texts: Vec<_> = self.0.iter().map(|term| term.column.text(alias)).collect();
        format!("array[{}]::text[]", texts.join(", "))
    }

    /// The condition that a row comes after this position.
    pub fn after(&self, sql: &mut Sql, alias: &str, position: &[Option<String>]) -> String {
        let bounds = self.bounds(sql, alias, position);
        let descending = self.0.first().is_some_and(|term| term.descending);
        let one_way = |term: &Term| !term.column.nullable && term.descending == descending;
        if self.0.iter().all(one_way) && bounds.iter().all(|bound| bound.value.is_some()) {
            return as_rows(&bounds, if descending { "<" } else { ">" });
        }
        let mut condition = "false".to_owned();
        for bound in bounds.iter().rev() {
            condition = format!("({} or ({} and {condition}))", bound.after(), bound.same());
        }
        match bounds.first().and_then(Bound::at_or_after) {
            // Says nothing new, but an index can use it.
            Some(at_or_after) => format!("({at_or_after} and {condition})"),
            None => condition,
        }
    }

    /// The condition that a row does not come after this position; for the key's order, which is ascending and without nulls.
    pub fn up_to(&self, sql: &mut Sql, alias: &str, position: &[Option<String>]) -> String {
        as_rows(&self.bounds(sql, alias, position), "<=")
    }

    fn bounds(&self, sql: &mut Sql, alias: &str, position: &[Option<String>]) -> Vec<Bound<'_>> {
        let terms = self.0.iter().zip(position);
        terms
            .map(|(term, value)| term.bound(sql, alias, value.as_deref()))
            .collect()
    }
}

/// One comparison of rows: an index on the columns answers it.
fn as_rows(bounds: &[Bound<'_>], sign: &str) -> String {
    let left: Vec<_> = bounds.iter().map(|bound| bound.expression.as_str()).collect();
    let right: Vec<_> = bounds.iter().filter_map(|bound| bound.value.as_deref()).collect();
    format!("({}) {sign} ({})", left.join(", "), right.join(", "))
}

impl Term {
    fn expression(&self, alias: &str) -> String {
        match self.comparing {
            Comparing::AsText => format!("({}) collate \"C\"", self.column.text(alias)),
            Comparing::Natively | Comparing::Alike => self.collated(self.column.of(alias)),
        }
    }

    fn value(&self, text: &str) -> String {
        match self.comparing {
            Comparing::AsText => format!("{text} collate \"C\""),
            Comparing::Natively | Comparing::Alike => self.collated(self.column.value(text)),
        }
    }

    fn collated(&self, expression: String) -> String {
        if self.comparing == Comparing::Alike && self.column.collated {
            format!("{expression} collate \"C\"")
        } else {
            expression
        }
    }

    fn by(&self, expression: &str) -> String {
        let direction = if self.descending {
            "desc nulls first"
        } else {
            "asc nulls last"
        };
        format!("{expression} {direction}")
    }

    fn bound<'a>(&'a self, sql: &mut Sql, alias: &str, value: Option<&str>) -> Bound<'a> {
        Bound {
            term: self,
            expression: self.expression(alias),
            value: value.map(|value| {
                let parameter = sql.text_value(Some(value));
                self.value(&parameter)
            }),
        }
    }
}

/// A column of an order and the value to compare it with; `None` is null.
struct Bound<'a> {
    term: &'a Term,
    expression: String,
    value: Option<String>,
}

impl Bound<'_> {
    fn after(&self) -> String {
        let it = &self.expression;
        match (&self.value, self.term.descending) {
            // Nothing is after null where it is last; everything else is where it is first.
            (None, false) => "false".to_owned(),
            (None, true) => format!("{it} is not null"),
            (Some(value), true) => format!("{it} < {value}"),
            (Some(value), false) if self.term.column.nullable => format!("({it} > {value} or {it} is null)"),
            (Some(value), false) => format!("{it} > {value}"),
        }
    }

    fn same(&self) -> String {
        match &self.value {
            None => format!("{} is null", self.expression),
            Some(value) => format!("{} = {value}", self.expression),
        }
    }

    fn at_or_after(&self) -> Option<String> {
        let value = self.value.as_ref().filter(|_| !self.term.column.nullable)?;
        let sign = if self.term.descending { "<=" } else { ">=" };
        Some(format!("{} {sign} {value}", self.expression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::fixture;

    fn natively(_: &Column) -> Comparing {
        Comparing::Natively
    }

    fn todos() -> Table {
        fixture::table(&["id bigint key", "title text null", "\"Due\" date"])
    }

    #[test]
    fn the_key_is_always_the_last_part() {
        let order = |text| Order::parse(text, &todos(), natively).map(|order| order.print());
        assert_eq!(order("").unwrap(), "id");
        assert_eq!(order("-title , \"Due\"").unwrap(), "-title,Due,id");
        assert_eq!(order("-id").unwrap(), "-id");
        assert_eq!(order("nope").unwrap_err(), OrderError::Unknown("nope".into()));
        assert_eq!(order("id,-id").unwrap_err(), OrderError::Twice("id".into()));
        assert!(matches!(order("id title"), Err(OrderError::Syntax(_))));
        assert!(matches!(order("id,"), Err(OrderError::Syntax(_))));
    }

    #[test]
    fn columns_that_are_never_null_are_compared_as_a_row() {
        let order = Order::parse("-\"Due\",-id", &todos(), natively).unwrap();
        let mut sql = Sql::default();
        let condition = order.after(&mut sql, "t", &[Some("2024-01-01".into()), Some("7".into())]);
        assert_eq!(
            condition,
            r#"(t."Due", t."id") < (($1::text)::date, ($2::text)::bigint)"#
        );
    }

    #[test]
    fn after_null_there_is_only_what_has_null_too() {
        let order = Order::parse("title", &todos(), natively).unwrap();
        let condition = order.after(&mut Sql::default(), "t", &[None, Some("7".into())]);
        assert_eq!(
            condition,
            r#"(false or (t."title" is null and (t."id" > ($1::text)::bigint or (t."id" = ($1::text)::bigint and false))))"#
        );
    }
}
