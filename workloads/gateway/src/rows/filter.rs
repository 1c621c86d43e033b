//! Which rows are asked for: `title like 'a%' and done = false`. A text is parsed into a tree, and SQL is made of the tree: names are looked
//! up in the catalogue, values are parameters.

use std::fmt;

use super::words::{Reader, SyntaxError, print_name};

/// A filter may not be longer, in bytes.
const MAX_LENGTH: usize = 8 * 1024;
/// Values a filter may have.
const MAX_VALUES: usize = 500;

/// Conditions that all have to hold; none of them: every row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(pub Vec<Condition>);

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Compared with a value.
    Compare(Comparison, Value),
    /// One of these.
    In(Vec<Value>),
    /// Null or, with `false`, not.
    Null(bool),
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`; as in SQL, null is neither equal nor unequal.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `like`, on the value's text.
    Like,
    /// `ilike`, on the value's text.
    Ilike,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In single quotes; of any type.
    Text(String),
    /// Bare, as it was written.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
}

// Longer ones first: `<` would be found in `<=`.
const SIGNS: [(&str, Comparison); 7] = [
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Filter {
    /// Reads a filter; an empty text is none.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut reader = Reader::new(text);
        if text.len() > MAX_LENGTH {
            return Err(reader.wrong(&format!("a filter may have {MAX_LENGTH} bytes")));
        }
        let mut conditions = Vec::new();
        let mut values = 0;
        while !reader.is_done() {
            if !conditions.is_empty() && !reader.word("and") {
                return Err(reader.wrong("`and` or the end is expected"));
            }
            reader.blanks();
            let column = reader.name()?;
            let asked = test(&mut reader)?;
            values += asked.values().len();
            if values > MAX_VALUES {
                return Err(reader.wrong(&format!("a filter may have {MAX_VALUES} values")));
            }
            conditions.push(Condition { column, test: asked });
        }
        Ok(Self(conditions))
    }
}

fn test(reader: &mut Reader<'_>) -> Result<Test, SyntaxError> {
    if reader.word("is") {
        let null = !reader.word("not");
        return if reader.word("null") {
            Ok(Test::Null(null))
        } else {
            reader.blanks();
            Err(reader.wrong("`null` or `not null` is expected"))
        };
    }
    if reader.word("in") {
        return values(reader).map(Test::In);
    }
    for (word, comparison) in [("like", Comparison::Like), ("ilike", Comparison::Ilike)] {
        if reader.word(word) {
            return value(reader).map(|value| Test::Compare(comparison, value));
        }
    }
    reader.blanks();
    let sign = SIGNS.iter().find(|(sign, _)| reader.take(sign));
    let (_, comparison) =
        sign.ok_or_else(|| reader.wrong("one of = != < <= > >= like ilike in (…), is null, is not null is expected"))?;
    value(reader).map(|value| Test::Compare(*comparison, value))
}

fn values(reader: &mut Reader<'_>) -> Result<Vec<Value>, SyntaxError> {
    reader.blanks();
    if !reader.take("(") {
        return Err(reader.wrong("`(` is expected"));
    }
    let mut values = Vec::new();
    loop {
        values.push(value(reader)?);
        reader.blanks();
        if reader.take(")") {
            return Ok(values);
        }
        if !reader.take(",") {
            return Err(reader.wrong("`,` or `)` is expected"));
        }
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Value, SyntaxError> {
    reader.blanks();
    if reader.rest().starts_with('\'') {
        return reader.quoted('\'').map(Value::Text);
    }
    let wrong = reader.wrong("a value is expected: a text in single quotes, a number, true or false");
    if reader.word("true") {
        return Ok(Value::Boolean(true));
    }
    if reader.word("false") {
        return Ok(Value::Boolean(false));
    }
    let number = reader.while_in(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    // f64 decides what a number looks like; inf and nan are no numbers here, and are written in quotes.
    if number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && number.ends_with(|c: char| c.is_ascii_digit() || c == '.')
        && number.parse::<f64>().is_ok()
    {
        Ok(Value::Number(number.to_owned()))
    } else {
        Err(wrong)
    }
}

impl Test {
    /// The values it compares with.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Compare(_, value) => std::slice::from_ref(value),
            Self::In(values) => values,
            Self::Null(_) => &[],
        }
    }
}

impl Value {
    /// As Postgres reads it.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Boolean(true) => "true",
            Self::Boolean(false) => "false",
        }
    }
}

impl Comparison {
    /// As it is written, in a filter and in SQL alike.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "like",
            Self::Ilike => "ilike",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, condition) in self.0.iter().enumerate() {
            let and = if n == 0 { "" } else { " and " };
            write!(f, "{and}{} {}", print_name(&condition.column), condition.test)?;
        }
        Ok(())
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, value) => write!(f, "{} {value}", comparison.sign()),
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(Value::to_string).collect();
                write!(f, "in ({})", values.join(", "))
            }
            Self::Null(true) => f.write_str("is null"),
            Self::Null(false) => f.write_str("is not null"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Number(_) | Self::Boolean(_) => f.write_str(self.text()),
        }
    }
}

#[cfg(test)]
mod tests;
