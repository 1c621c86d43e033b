//! CHECK constraints, as far as values can be made to satisfy them: comparisons of one column with constants, lists of values, lengths; joined by
//! AND. Anything else is left to the rehearsal, in which Postgres itself says what it thinks of the values.

use std::{collections::BTreeMap, iter::Peekable, vec::IntoIter};

/// What a column's values must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// One of these.
    pub values: Option<Vec<String>>,
    /// Not less than this; exclusive if the flag says so.
    pub min: Option<(f64, bool)>,
    /// Not more than this; exclusive if the flag says so.
    pub max: Option<(f64, bool)>,
    /// So many characters at least.
    pub min_length: u32,
    /// So many characters at most.
    pub max_length: Option<u32>,
}

impl Limits {
    /// Both.
    pub fn and(&mut self, other: Self) {
        if let Some(values) = other.values {
            self.values = Some(match self.values.take() {
                None => values,
                Some(own) => own.into_iter().filter(|value| values.contains(value)).collect(),
            });
        }
        if let Some((bound, exclusive)) = other.min {
            self.at_least(bound, exclusive);
        }
        if let Some((bound, exclusive)) = other.max {
            self.at_most(bound, exclusive);
        }
        self.min_length = self.min_length.max(other.min_length);
        self.max_length = [self.max_length, other.max_length].into_iter().flatten().min();
    }

    fn at_least(&mut self, bound: f64, exclusive: bool) {
        match self.min {
            Some((own, own_exclusive)) if own > bound || (own - bound).abs() < f64::EPSILON && own_exclusive => {}
            _ => self.min = Some((bound, exclusive)),
        }
    }

    fn at_most(&mut self, bound: f64, exclusive: bool) {
        match self.max {
            Some((own, own_exclusive)) if own < bound || (own - bound).abs() < f64::EPSILON && own_exclusive => {}
            _ => self.max = Some((bound, exclusive)),
        }
    }
}

/// What an expression of `pg_get_expr` or `pg_get_constraintdef` asks of columns; a domain calls its column `value`.
pub fn understand(expression: &str) -> BTreeMap<String, Limits> {
    let mut found: BTreeMap<String, Limits> = BTreeMap::new();
    let text = expression.trim();
    let text = text.strip_prefix("CHECK").unwrap_or(text);
    if let Some(tokens) = tokens(text) {
        let mut parser = Parser {
            tokens: tokens.into_iter().peekable(),
        };
        if let Some(expression) = parser.either()
            && parser.tokens.peek().is_none()
        {
            collect(&expression, &mut found);
        }
    }
    found
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64, String),
    Sign(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Column(String),
    Length(String),
    Text(String),
    Number(f64, String),
    List(Vec<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Box<Node>, String, Box<Node>),
    IsNull,
    /// Something that says nothing about a single column.
    Unknown,
}

fn collect(node: &Node, found: &mut BTreeMap<String, Limits>) {
    match node {
        Node::And(parts) => parts.iter().for_each(|part| collect(part, found)),
        // `x is null or …`: values that satisfy the rest satisfy it.
        Node::Or(parts) if parts.contains(&Node::IsNull) => {
            if let [one] = parts.iter().filter(|part| **part != Node::IsNull).collect::<Vec<_>>()[..] {
                collect(one, found);
            }
        }
        Node::Compare(left, sign, right) => {
            if let Some((column, limits)) = compare(left, sign, right).or_else(|| compare(right, turned(sign), left)) {
                found.entry(column).or_default().and(limits);
            }
        }
        _ => {}
    }
}

fn turned(sign: &str) -> &str {
    match sign {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn compare(left: &Node, sign: &str, right: &Node) -> Option<(String, Limits)> {
    let mut limits = Limits::default();
    let literal = |node: &Node| match node {
        Node::Text(text) | Node::Number(_, text) => Some(text.clone()),
        _ => None,
    };
    match (left, sign, right) {
        (Node::Column(_), "= any", Node::List(items)) => {
            limits.values = Some(items.iter().map(literal).collect::<Option<_>>()?);
        }
        (Node::Column(_), "=", value) => limits.values = Some(vec![literal(value)?]),
        (Node::Column(_), "<>", Node::Text(text)) if text.is_empty() => limits.min_length = 1,
        (Node::Column(_), ">" | ">=", Node::Number(number, _)) => limits.min = Some((*number, sign == ">")),
        (Node::Column(_), "<" | "<=", Node::Number(number, _)) => limits.max = Some((*number, sign == "<")),
        (Node::Length(_), _, Node::Number(number, _)) => {
            // A text has at most 10^9 characters.
            let length = whole(*number)?;
            match sign {
                ">" => limits.min_length = length + 1,
                ">=" => limits.min_length = length,
                "<" => limits.max_length = Some(length.saturating_sub(1)),
                "<=" => limits.max_length = Some(length),
                "=" => (limits.min_length, limits.max_length) = (length, Some(length)),
                _ => return None,
            }
        }
        _ => return None,
    }
    match left {
        Node::Column(name) | Node::Length(name) => Some((name.clone(), limits)),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is looked at first"
)]
fn whole(number: f64) -> Option<u32> {
    (number.fract() == 0.0 && (0.0..1e9).contains(&number)).then_some(number as u32)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => quoted(rest, first)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                    .unwrap_or(rest.len());
                (Token::Name(rest[..end].to_lowercase()), end)
            }
            '0'..='9' => {
                let end = rest
                    .find(|c: char| !c.is_ascii_digit() && c != '.')
                    .unwrap_or(rest.len());
                (Token::Number(rest[..end].parse().ok()?, rest[..end].to_owned()), end)
            }
            _ => {
                let two = ["::", "<=", ">=", "<>", "!="];
                let sign = two.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.unwrap_or(&rest[..first.len_utf8()]);
                (Token::Sign(sign.to_owned()), sign.len())
            }
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Some(found)
}

/// A text or a name in quotes, which are written twice inside.
fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            let token = if quote == '"' {
                Token::Name(text)
            } else {
                Token::Text(text)
            };
            return Some((token, at + 1));
        }
    }
    None
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    fn sign(&mut self, sign: &str) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Sign(sign.to_owned()))
            .is_some()
    }

    fn word(&mut self, word: &str) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Name(word.to_owned()))
            .is_some()
    }

    fn either(&mut self) -> Option<Node> {
        let mut parts = vec![self.both()?];
        while self.word("or") {
            parts.push(self.both()?);
        }
        Some(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Node::Or(parts)
        })
    }

    fn both(&mut self) -> Option<Node> {
        let mut parts = vec![self.comparison()?];
        while self.word("and") {
            parts.push(self.comparison()?);
        }
        Some(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Node::And(parts)
        })
    }

    fn comparison(&mut self) -> Option<Node> {
        if self.word("not") {
            self.comparison()?;
            return Some(Node::Unknown);
        }
        let left = self.operand()?;
        if self.word("is") {
            let negated = self.word("not");
            let null = self.word("null");
            if !null {
                self.tokens.next()?;
            }
            return Some(if null && !negated { Node::IsNull } else { Node::Unknown });
        }
        let mut sign = String::new();
        while let Some(Token::Sign(part)) = self.tokens.next_if(
            |token| matches!(token, Token::Sign(sign) if !matches!(sign.as_str(), "(" | ")" | "," | "[" | "]")),
        ) {
            sign.push_str(&part);
        }
        if sign.is_empty() {
            return Some(left);
        }
        if self.word("any") {
            sign.push_str(" any");
        }
        let right = self.operand()?;
        if !matches!(sign.as_str(), "=" | "<>" | "<" | "<=" | ">" | ">=" | "= any") {
            return Some(Node::Unknown);
        }
        Some(Node::Compare(Box::new(left), sign, Box::new(right)))
    }

    fn operand(&mut self) -> Option<Node> {
        let mut node = match self.tokens.next()? {
            Token::Sign(sign) if sign == "(" => {
                let inside = self.either()?;
                self.sign(")").then_some(inside)?
            }
            Token::Sign(sign) if sign == "-" => match self.operand()? {
                Node::Number(number, text) => Node::Number(-number, format!("-{text}")),
                _ => Node::Unknown,
            },
            Token::Name(name) if name == "array" && self.sign("[") => Node::List(self.list("]")?),
            Token::Name(name) if self.sign("(") => {
                let arguments = self.list(")")?;
                match (name.as_str(), &arguments[..]) {
                    ("length" | "char_length" | "character_length", [Node::Column(column)]) => {
                        Node::Length(column.clone())
                    }
                    _ => Node::Unknown,
                }
            }
            Token::Name(name) => Node::Column(name),
            Token::Text(text) => Node::Text(text),
            Token::Number(number, text) => Node::Number(number, text),
            Token::Sign(_) => return None,
        };
        while self.sign("::") {
            self.type_name()?;
            // '5'::numeric is a number.
            if let Node::Text(text) = &node
                && let Ok(number) = text.parse::<f64>()
            {
                node = Node::Number(number, text.clone());
            }
        }
        Some(node)
    }

    fn list(&mut self, end: &str) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        if self.sign(end) {
            return Some(items);
        }
        loop {
            items.push(self.either()?);
            if self.sign(end) {
                return Some(items);
            }
            self.sign(",").then_some(())?;
        }
    }

    fn type_name(&mut self) -> Option<()> {
        let Token::Name(_) = self.tokens.next()? else {
            return None;
        };
        while self.sign(".") {
            self.tokens.next()?;
        }
        for word in ["varying", "precision", "without", "with", "time", "zone"] {
            self.word(word);
        }
        if self.sign("(") {
            self.list(")")?;
        }
        for word in ["without", "with", "time", "zone"] {
            self.word(word);
        }
        while self.sign("[") {
            self.sign("]").then_some(())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(expression: &str, column: &str) -> Limits {
        let mut found = understand(expression);
        found
            .remove(column)
            .unwrap_or_else(|| panic!("nothing about {column} in {expression}"))
    }

    #[test]
    fn lists_are_understood_as_postgres_writes_them() {
        for text in [
            "(status = ANY (ARRAY['open'::text, 'it''s done'::text]))",
            "((status)::text = ANY ((ARRAY['open'::character varying, 'it''s done'::character varying])::text[]))",
        ] {
            assert_eq!(one(text, "status").values.unwrap(), ["open", "it's done"]);
        }
        assert_eq!(one("(n = ANY (ARRAY[1, 2, 5]))", "n").values.unwrap(), ["1", "2", "5"]);
    }

    #[test]
    fn bounds_and_lengths_are_understood_wherever_they_stand() {
        let price = one("((price >= (0)::numeric) AND (price < (99.5)::numeric))", "price");
        assert_eq!((price.min, price.max), (Some((0.0, false)), Some((99.5, true))));
        assert_eq!(one("(0 < n)", "n").min, Some((0.0, true)));
        assert_eq!(one("(n > '-5'::integer)", "n").min, Some((-5.0, true)));
        assert_eq!(one("(title <> ''::text)", "title").min_length, 1);
        let code = one("(char_length((code)::text) = 3)", "code");
        assert_eq!((code.min_length, code.max_length), (3, Some(3)));
        assert_eq!(
            one(
                "CHECK (((VALUE >= (0)::numeric) AND (VALUE <= (100)::numeric)))",
                "value"
            )
            .max,
            Some((100.0, false))
        );
        assert_eq!(one("((n IS NULL) OR (n > 3))", "n").min, Some((3.0, true)));
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        for text in [
            "(email ~~ '%@%'::text)",
            "(a < b)",
            "((a > 1) OR (b > 2))",
            "(lower(a) = a)",
            "((a % 2) = 0)",
            "(NOT (a > 3))",
            "(a > 3",
            "'",
        ] {
            assert!(understand(text).is_empty(), "{text}: {:?}", understand(text));
        }
    }

    #[test]
    fn several_constraints_hold_together() {
        let mut limits = one("(n > 0)", "n");
        limits.and(one("(n >= 10)", "n"));
        limits.and(one("(n <= 20)", "n"));
        limits.and(one("(n < 20)", "n"));
        assert_eq!((limits.min, limits.max), (Some((10.0, false)), Some((20.0, true))));
    }
}
