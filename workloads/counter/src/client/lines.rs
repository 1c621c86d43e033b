//! What is shown where nobody looks at a terminal: a line for each piece of news.

use std::io::{self, Write};

use super::book::News;
use crate::serve::Total;

/// As JSON, a document a line.
pub fn json(out: &mut impl Write, news: &News) -> io::Result<()> {
    serde_json::to_writer(&mut *out, news)?;
    writeln!(out)?;
    out.flush()
}

/// In words.
pub fn words(out: &mut impl Write, news: &News) -> io::Result<()> {
    match news {
        News::Total(total) => writeln!(out, "{}", line(total))?,
        News::Totals(totals) => {
            for total in totals {
                writeln!(out, "{}", line(total))?;
            }
        }
        other => {
            if let Some(sentence) = sentence(other) {
                writeln!(out, "{sentence}")?;
            }
        }
    }
    out.flush()
}

/// One piece of news in words; totals are no sentence.
pub fn sentence(news: &News) -> Option<String> {
    let sentence = match news {
        News::Connected { node, address, term } => format!("connected to node {node} at {address}, term {term}"),
        News::Disconnected { reason } => format!("not connected: {reason}"),
        News::Ack { id, n, total, node, .. } => {
            let what = if *n > 0 { "liked" } else { "unliked" };
            format!("{what} {id} at node {node}: {total}")
        }
        News::Refused { id, reason, .. } => format!("refused {id}: {reason}"),
        News::Waits { reason, .. } => format!("not taken yet, it is sent again: {reason}"),
        News::Note(note) => note.clone(),
        News::Total(_) | News::Totals(_) => return None,
    };
    Some(plain(&sentence))
}

fn line(total: &Total) -> String {
    let nodes: Vec<_> = total
        .nodes
        .iter()
        .map(|(node, n)| format!("node {node}: {n}"))
        .collect();
    plain(&format!("{} {} ({})", total.id, total.total, nodes.join(", ")))
}

/// Nothing that moves a terminal's cursor, whoever has sent it.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Ordinal;

    #[test]
    fn news_are_lines_of_words_or_of_json_and_move_no_cursor() {
        let total = News::Total(Total {
            id: "tea\u{1b}[2J".to_owned(),
            total: 3,
            nodes: [(Ordinal(0), 1), (Ordinal(2), 2)].into(),
        });
        let mut out = Vec::new();
        words(&mut out, &total).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "tea [2J 3 (node 0: 1, node 2: 2)\n");
        let mut out = Vec::new();
        json(&mut out, &total).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"total\":{\"id\":\"tea\\u001b[2J\",\"total\":3,\"nodes\":{\"0\":1,\"2\":2}}}\n"
        );
    }
}
