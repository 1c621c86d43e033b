//! Entity tags, as `If-Match` and `If-None-Match` list them (RFC 9110, 8.8.3). Pure.

/// What may stand around the elements of a list.
const BLANKS: [char; 2] = [' ', '\t'];

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// What stands between its quotes. There may be commas in it.
    pub opaque: &'a str,
    /// Whether it begins with `W/`: what it stands for may differ in what nobody minds, such as how it is packed.
    pub is_weak: bool,
}

impl<'a> Tag<'a> {
    /// What it says where only what is the same byte for byte counts, as it does for `If-Match`; a weak one says nothing there.
    pub fn strong(&self) -> Option<&'a str> {
        (!self.is_weak).then_some(self.opaque)
    }
}

/// The tags of a header, in its order, at least one; `None` if it is no list of tags. `*` is none.
pub fn tags(header: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = Vec::new();
    let mut rest = header.trim_matches(BLANKS);
    while !rest.is_empty() {
        // Elements may be empty (RFC 9110, 5.6.1.2).
        if !rest.starts_with(',') {
            let (tag, after) = first(rest)?;
            tags.push(tag);
            rest = after.trim_start_matches(BLANKS);
            if rest.is_empty() {
                break;
            }
        }
        rest = rest.strip_prefix(',')?.trim_start_matches(BLANKS);
    }
    (!tags.is_empty()).then_some(tags)
}

/// The tag that a text begins with, and what comes after it.
fn first(text: &str) -> Option<(Tag<'_>, &str)> {
    let (is_weak, quoted) = text.strip_prefix("W/").map_or((false, text), |quoted| (true, quoted));
    let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
    let may_be_there = |letter: char| matches!(letter, '!' | '#'..='~') || !letter.is_ascii();
    opaque
        .chars()
        .all(may_be_there)
        .then_some((Tag { opaque, is_weak }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Option<Vec<(&str, bool)>> {
        Some(tags(header)?.into_iter().map(|tag| (tag.opaque, tag.is_weak)).collect())
    }

    #[test]
    fn tags_are_listed_with_commas_between_them_and_in_them() {
        for (header, expected) in [
            (r#""12""#, vec![("12", false)]),
            (" \"12\",\t\"13\" ", vec![("12", false), ("13", false)]),
            (r#""a,b","c""#, vec![("a,b", false), ("c", false)]),
            (r#"W/"a", "a""#, vec![("a", true), ("a", false)]),
            (r#""""#, vec![("", false)]),
            (r#", "a" , ,"b","#, vec![("a", false), ("b", false)]),
        ] {
            assert_eq!(read(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_none() {
        let of_other_letters = ["", " ", ",", "*", "12", "W/a"];
        let of_quotes = [
            r#"""#,
            r#""a"#,
            r#""a" "b""#,
            r#""a"b"#,
            r#"w/"a""#,
            r#""a b""#,
            r#""a", b"#,
        ];
        for header in of_other_letters.into_iter().chain(of_quotes) {
            assert_eq!(read(header), None, "{header}");
        }
    }

    #[test]
    fn a_weak_tag_says_nothing_where_every_byte_counts() {
        let of = |header| tags(header).map(|tags| tags.iter().map(Tag::strong).collect::<Vec<_>>());
        assert_eq!(of(r#""a", W/"b""#), Some(vec![Some("a"), None]));
    }
}
