//! Postgres' array text (documentation, section 8.15.6 "Array Input and Output Syntax") to nested JSON arrays and back.

use serde_json::Value;

use super::DecodeError;

/// `None` when the text is not an array of plain lower bounds.
pub(super) fn to_json(text: &str, element: &dyn Fn(&str) -> Value) -> Option<Value> {
    let mut rest = text.chars().peekable();
    let value = parse(&mut rest, element)?;
    rest.next().is_none().then_some(value)
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn parse(rest: &mut Rest<'_>, element: &dyn Fn(&str) -> Value) -> Option<Value> {
    if rest.next()? != '{' {
        return None;
    }
    let mut items = Vec::new();
    if rest.next_if_eq(&'}').is_some() {
        return Some(Value::Array(items));
    }
    loop {
        items.push(match rest.peek()? {
            '{' => parse(rest, element)?,
            '"' => element(&quoted(rest)?),
            _ => match bare(rest)?.as_str() {
                "NULL" => Value::Null,
                item => element(item),
            },
        });
        match rest.next()? {
            ',' => {}
            '}' => return Some(Value::Array(items)),
            _ => return None,
        }
    }
}

fn quoted(rest: &mut Rest<'_>) -> Option<String> {
    rest.next();
    let mut item = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(item),
            '\\' => item.push(rest.next()?),
            other => item.push(other),
        }
    }
}

fn bare(rest: &mut Rest<'_>) -> Option<String> {
    let mut item = String::new();
    while let Some(c) = rest.next_if(|c| !matches!(c, ',' | '}')) {
        item.push(if c == '\\' { rest.next()? } else { c });
    }
    Some(item)
}

/// Every element quoted, so that none can be taken for syntax or for NULL.
pub(super) fn from_json(
    items: &[Value],
    element: &dyn Fn(&Value) -> Result<Option<String>, DecodeError>,
) -> Result<String, DecodeError> {
    let mut text = String::from("{");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        match item {
            Value::Array(inner) => text.push_str(&from_json(inner, element)?),
            other => match element(other)? {
                None => text.push_str("NULL"),
                Some(value) => {
                    text.push('"');
                    for c in value.chars() {
                        if matches!(c, '"' | '\\') {
                            text.push('\\');
                        }
                        text.push(c);
                    }
                    text.push('"');
                }
            },
        }
    }
    text.push('}');
    Ok(text)
}
