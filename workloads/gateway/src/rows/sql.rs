//! A statement that is being put together: text of ours and quoted identifiers of the catalogue, and parameters. Nothing of a request is
//! ever part of the text.

use std::{
    fmt::{self, Write},
    pin::pin,
};

use futures::TryStreamExt;
use tokio_postgres::{
    GenericClient, Row,
    types::{ToSql, Type},
};

use super::failure::Failure;

/// Bytes of an answer that are taken at most: many rows, or large ones, but not many large ones.
const MOST: usize = 16 * 1024 * 1024;

/// A statement and its parameters.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    text: String,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
enum Parameter {
    Text(Option<String>),
    Texts(Vec<Option<String>>),
    Number(i64),
    Numbers(Vec<i64>),
}

impl Sql {
    /// Begins with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            parameters: Vec::new(),
        }
    }

    /// What it is so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds formatted text.
    pub fn add(&mut self, text: fmt::Arguments<'_>) -> &mut Self {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(text);
        self
    }

    /// A parameter of type text, as an expression.
    pub fn text_value(&mut self, value: Option<&str>) -> String {
        self.bind(Parameter::Text(value.map(str::to_owned)), "text")
    }

    /// A parameter of type text[], as an expression.
    pub fn texts(&mut self, values: Vec<Option<String>>) -> String {
        self.bind(Parameter::Texts(values), "text[]")
    }

    /// A parameter of type bigint, as an expression.
    pub fn number(&mut self, value: i64) -> String {
        self.bind(Parameter::Number(value), "bigint")
    }

    /// A parameter of type bigint[], as an expression.
    pub fn numbers(&mut self, values: Vec<i64>) -> String {
        self.bind(Parameter::Numbers(values), "bigint[]")
    }

    fn bind(&mut self, parameter: Parameter, kind: &str) -> String {
        self.parameters.push(parameter);
        format!("${}::{kind}", self.parameters.len())
    }

    /// Runs it in one round trip. It is not prepared and kept: filters and orders come in any number, and each would be kept for good.
    pub async fn rows(&self, client: &impl GenericClient) -> Result<Vec<Row>, Failure> {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = self.parameters.iter().map(Parameter::typed).collect();
        let mut found = pin!(client.query_typed_raw(&self.text, parameters).await?);
        let (mut rows, mut size) = (Vec::new(), 0);
        while let Some(row) = found.try_next().await? {
            size += row.raw_size_bytes();
            // One row is always taken: it may be what a write returns, and that has been made.
            if size > MOST && !rows.is_empty() {
                return Err(Failure::TooLarge);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Runs it for the first row.
    pub async fn first(&self, client: &impl GenericClient) -> Result<Option<Row>, Failure> {
        Ok(self.rows(client).await?.into_iter().next())
    }
}

impl Parameter {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(value) => (value, Type::TEXT),
            Self::Texts(values) => (values, Type::TEXT_ARRAY),
            Self::Number(value) => (value, Type::INT8),
            Self::Numbers(values) => (values, Type::INT8_ARRAY),
        }
    }
}
