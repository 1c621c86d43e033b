//! Reading filters and orders: names, quoted or bare, and where in the text something is wrong.

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct SyntaxError {
    /// Characters from 1.
    pub at: usize,
    /// What was expected, and what is there.
    pub what: String,
}

/// A text and how far it has been read.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// At the beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    /// What is left.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Passes blanks.
    pub fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Whether nothing but blanks is left.
    pub fn is_done(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    /// Passes this text, if it comes next.
    pub fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Passes this word in any case, if it comes next, behind blanks, and ends there.
    pub fn word(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        ahead.blanks();
        let found = ahead.bare().eq_ignore_ascii_case(word);
        if found {
            *self = ahead;
        }
        found
    }

    /// Passes letters, digits, `_` and `$`.
    pub fn bare(&mut self) -> &'a str {
        self.while_in(|c| c.is_alphanumeric() || c == '_' || c == '$')
    }

    /// Passes characters of a kind.
    pub fn while_in(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Passes a column's name: letters, digits and `_`, or anything in double quotes, where `""` is one of them.
    pub fn name(&mut self) -> Result<String, SyntaxError> {
        if self.rest.starts_with('"') {
            return self.quoted('"');
        }
        match self.bare() {
            "" => Err(self.wrong(
                "a column's name is expected (in double quotes, if it has other characters than letters, digits and _)",
            )),
            name => Ok(name.to_owned()),
        }
    }

    /// Passes a text in quotes; two of them are one inside.
    pub fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let unclosed = self.wrong(&format!("the {quote} that begins here has no end"));
        let mut text = String::new();
        self.rest = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        loop {
            let Some((before, after)) = self.rest.split_once(quote) else {
                return Err(unclosed);
            };
            text.push_str(before);
            self.rest = after;
            if !self.take(quote.encode_utf8(&mut [0; 4])) {
                return Ok(text);
            }
            text.push(quote);
        }
    }

    /// An error here.
    pub fn wrong(&self, what: &str) -> SyntaxError {
        let passed = self.text.len() - self.rest.len();
        let at = self.text.get(..passed).unwrap_or_default().chars().count() + 1;
        let found = match self.rest.chars().take(20).collect::<String>() {
            rest if rest.is_empty() => "the end".to_owned(),
            rest => format!("`{rest}`"),
        };
        SyntaxError {
            at,
            what: format!("{what}, and here is {found}"),
        }
    }
}

/// A column's name as [`Reader::name`] reads it.
pub fn print_name(name: &str) -> String {
    let mut reader = Reader::new(name);
    if !name.is_empty() && reader.bare() == name {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
