//! Rows as COPY takes them, and the statement that does.

use bytes::{BufMut as _, Bytes, BytesMut};
use synccluster_runtime::catalog::{quote, quote_table};

use crate::schema::Table;

/// Bytes that are handed over at once.
const PIECE: usize = 64 * 1024;

/// `copy … from stdin` for all columns that are written.
pub fn statement(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
    format!("copy {} ({}) from stdin", quote_table(&table.name), columns.join(", "))
}

/// Collects rows into pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    full: Vec<Bytes>,
    open: BytesMut,
}

impl Pieces {
    /// Adds a row.
    pub fn row(&mut self, values: &[Option<String>]) {
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.open.put_u8(b'\t');
            }
            match value {
                Some(text) => escape(&mut self.open, text),
                None => self.open.put_slice(b"\\N"),
            }
        }
        self.open.put_u8(b'\n');
        if self.open.len() >= PIECE {
            self.full.push(self.open.split().freeze());
        }
    }

    /// All of them.
    pub fn done(mut self) -> Vec<Bytes> {
        self.full.push(self.open.freeze());
        self.full
    }
}

fn escape(to: &mut BytesMut, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => to.put_slice(b"\\\\"),
            b'\t' => to.put_slice(b"\\t"),
            b'\n' => to.put_slice(b"\\n"),
            b'\r' => to.put_slice(b"\\r"),
            other => to.put_u8(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_or_a_row_is_escaped() {
        let mut pieces = Pieces::default();
        pieces.row(&[
            Some("a\tb\\c".to_owned()),
            None,
            Some(String::new()),
            Some("x\r\ny".to_owned()),
        ]);
        let text = pieces.done().concat();
        assert_eq!(text, b"a\\tb\\\\c\t\\N\t\tx\\r\\ny\n");
    }
}
