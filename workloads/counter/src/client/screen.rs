//! What is shown on a terminal: the totals of all nodes above, and a line to type on at the bottom. The terminal itself echoes and edits
//! that line; everything else is painted around it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    io::{self, Write},
    time::{Duration, Instant},
};

use super::{
    book::{Book, News},
    command::HELP,
    lines,
};
use crate::{crdt::Ordinal, serve::Total};

/// Lines for what happened.
const NOTES: usize = 4;
/// How long a total that has changed is marked.
const MARKED: Duration = Duration::from_secs(1);

/// A terminal, its other screen while this lives.
pub struct Screen {
    title: String,
    colour: bool,
    where_to: String,
    connected: bool,
    notes: VecDeque<String>,
    changed: BTreeMap<String, Instant>,
}

impl Screen {
    /// Takes the terminal over.
    pub fn new(title: String, colour: bool) -> io::Result<Self> {
        let mut out = io::stdout().lock();
        out.write_all(b"\x1b[?1049h\x1b[2J")?;
        out.flush()?;
        Ok(Self {
            title,
            colour,
            where_to: "looking for a node".to_owned(),
            connected: false,
            notes: VecDeque::new(),
            changed: BTreeMap::new(),
        })
    }

    /// Takes a piece of news in.
    pub fn news(&mut self, news: &News, now: Instant) {
        match news {
            News::Total(total) => drop(self.changed.insert(total.id.clone(), now)),
            News::Totals(_) => {}
            News::Connected { node, address, term } => {
                self.where_to = lines::plain(&format!("node {node} · {address} · term {term}"));
                self.connected = true;
            }
            News::Disconnected { reason } => {
                self.where_to = lines::plain(&format!("looking for a node: {reason}"));
                self.connected = false;
            }
            other => {
                self.notes.extend(lines::sentence(other));
                while self.notes.len() > NOTES {
                    self.notes.pop_front();
                }
            }
        }
    }

    /// Whether a mark is to go.
    pub fn fades(&mut self, now: Instant) -> bool {
        let before = self.changed.len();
        self.changed.retain(|_, at| now < *at + MARKED);
        before != self.changed.len()
    }

    /// Paints everything; `typed` when a line was typed, so that the line to type on is empty again.
    pub fn paint(&self, book: &Book, typed: bool) -> io::Result<()> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let mut text = "\x1b7".to_owned();
        for (row, line) in self.lines(book, rows.saturating_sub(1), columns).iter().enumerate() {
            let _ = write!(text, "\x1b[{};1H{line}\x1b[K", row + 1);
        }
        if typed {
            let _ = write!(text, "\x1b[{rows};1H\x1b[K> ");
        } else {
            text += "\x1b8";
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn lines(&self, book: &Book, rows: usize, columns: usize) -> Vec<String> {
        let waiting = match book.unanswered() {
            0 => String::new(),
            waiting => format!(" · {waiting} not acknowledged yet"),
        };
        let mut lines = vec![
            self.styled("1", &cut(&format!("{} · {}", self.title, self.where_to), columns)),
            self.styled(
                if self.connected { "2" } else { "33" },
                &cut(&format!("{HELP}{waiting}"), columns),
            ),
            String::new(),
        ];
        let room = rows.saturating_sub(lines.len() + 2 + NOTES);
        lines.extend(self.table(book, room, columns));
        lines.resize(rows.saturating_sub(NOTES), String::new());
        let notes = self.notes.iter().map(|note| self.styled("2", &cut(note, columns)));
        lines.extend(notes.chain(std::iter::repeat(String::new())).take(NOTES));
        lines.truncate(rows);
        lines
    }

    fn table(&self, book: &Book, room: usize, columns: usize) -> Vec<String> {
        if book.totals.is_empty() {
            return vec!["nothing is liked yet".to_owned()];
        }
        let shown = self.shown(book, room);
        let nodes: BTreeSet<Ordinal> = shown.iter().flat_map(|total| total.nodes.keys().copied()).collect();
        let width = shown
            .iter()
            .map(|total| total.id.chars().count())
            .max()
            .unwrap_or(0)
            .clamp(8, columns / 3 + 1);
        let mut head = format!("{:width$} {:>9}", "", "total");
        for node in &nodes {
            let _ = write!(head, " {:>9}", format!("node {node}"));
        }
        let mut lines = vec![self.styled("2", &cut(&head, columns))];
        for total in &shown {
            let mut line = format!("{:width$} {:>9}", cut(&lines::plain(&total.id), width), total.total);
            for node in &nodes {
                let _ = write!(line, " {:>9}", total.nodes.get(node).unwrap_or(&0));
            }
            let line = cut(&line, columns);
            let marked = self.changed.contains_key(&total.id);
            lines.push(if marked { self.styled("1;32", &line) } else { line });
        }
        if shown.len() < book.totals.len() {
            lines.push(format!("and {} more", book.totals.len() - shown.len()));
        }
        lines
    }

    /// All by id, or where there is not room enough those with the highest totals.
    fn shown<'a>(&self, book: &'a Book, room: usize) -> Vec<&'a Total> {
        let mut shown: Vec<_> = book.totals.values().collect();
        if shown.len() > room {
            shown.sort_by_key(|total| {
                (
                    !self.changed.contains_key(&total.id),
                    std::cmp::Reverse(total.total),
                    &total.id,
                )
            });
            shown.truncate(room);
            shown.sort_by_key(|total| &total.id);
        }
        shown
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(b"\x1b[?1049l");
        let _ = out.flush();
    }
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}
