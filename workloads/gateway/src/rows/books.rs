//! The books of all sites, newest entries first: what lost, and what is parked.

use std::collections::BTreeMap;

use futures::future::join_all;
use synccluster_protocol::Site;

use super::cursor;
use crate::{app::App, problem::Problem};

/// An entry of a book.
pub trait Entry {
    /// When it was made, as RFC 3339 in UTC: texts of one length, whose order is that of time.
    fn at(&self) -> &str;
    /// Its number at its site.
    fn id(&self) -> i64;
}

/// A book that every site has.
pub trait Book: Entry + Sized + Send {
    /// A site's entries before a number, newest first.
    fn read(
        app: &App,
        site: Site,
        wanted: &Wanted,
        before: Option<i64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self>, Problem>> + Send;
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this site only.
    pub site: Option<String>,
    /// Of this table only.
    pub table: Option<String>,
    /// Of this kind only.
    pub kind: Option<String>,
    /// How many.
    pub limit: usize,
    /// The cursor behind which they begin.
    pub after: Option<String>,
}

/// A page of a book.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub entries: Vec<T>,
    /// Sites that could not be asked, and why.
    pub unreachable: BTreeMap<Site, String>,
    /// Where the next page begins: of each site, the entry behind which.
    pub next: Option<String>,
}

/// Up to where each site's book was shown.
type Place = BTreeMap<Site, i64>;

/// Asks all sites, in parallel, for their next entries and puts them in one order.
pub async fn page<T: Book>(app: &App, wanted: &Wanted) -> Result<Page<T>, Problem> {
    let place: Place = wanted
        .after
        .as_deref()
        .map(cursor::decode)
        .transpose()?
        .unwrap_or_default();
    let sites: Vec<Site> = match &wanted.site {
        Some(name) => vec![app.sites.find(name)?],
        None => app.sites.names().collect(),
    };
    let one = wanted.site.is_some();
    // One more than is wanted tells whether there is a next page.
    let asked = sites.into_iter().map(|site| {
        let before = place.get(&site).copied();
        async move { (site, T::read(app, site, wanted, before, wanted.limit + 1).await) }
    });
    let (mut books, mut unreachable) = (Vec::new(), BTreeMap::new());
    for (site, entries) in join_all(asked).await {
        match entries {
            Ok(entries) => books.push((site, entries)),
            Err(problem) if one || problem.status < 500 => return Err(problem),
            Err(problem) => drop(unreachable.insert(site, problem.detail)),
        }
    }
    let (entries, next) = merge(books, place, wanted.limit);
    Ok(Page {
        entries,
        unreachable,
        next: next.map(|place| cursor::encode(&place)),
    })
}

/// Entries of several books, each newest first, in one order: always the newest of those that are next.
fn merge<T: Entry>(books: Vec<(Site, Vec<T>)>, mut place: Place, limit: usize) -> (Vec<T>, Option<Place>) {
    let mut books: Vec<_> = books
        .into_iter()
        .map(|(site, entries)| (site, entries.into_iter().peekable()))
        .collect();
    let mut merged = Vec::new();
    while let Some((site, book)) = {
        let next = books
            .iter_mut()
            .filter_map(|(site, book)| book.peek().map(|entry| (entry.at().to_owned(), *site)));
        let newest = next.max_by(|(at, site), (other_at, other)| at.cmp(other_at).then(other.cmp(site)));
        newest.and_then(|(_, site)| books.iter_mut().find(|(of, _)| *of == site))
    } {
        if merged.len() == limit {
            return (merged, Some(place));
        }
        if let Some(entry) = book.next() {
            place.insert(*site, entry.id());
            merged.push(entry);
        }
    }
    (merged, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Line(Site, i64, String);

    impl Entry for Line {
        fn at(&self) -> &str {
            &self.2
        }

        fn id(&self) -> i64 {
            self.1
        }
    }

    /// What a site answers: its newest entries before a number.
    fn ask(book: &[Line], before: Option<i64>, limit: usize) -> Vec<Line> {
        let older = book
            .iter()
            .rev()
            .filter(|line| before.is_none_or(|before| line.1 < before));
        older.take(limit).cloned().collect()
    }

    proptest! {
        #[test]
        fn every_entry_comes_once_newest_first_whatever_the_pages_size_and_the_clocks(
            times in prop::collection::vec(prop::collection::vec(0u8..20, 0..12), 1..5), limit in 1usize..7,
        ) {
            let books: Vec<(Site, Vec<Line>)> = times.iter().zip(Site::all(9)).map(|(times, site)| {
                let lines = times.iter().zip(1..).map(|(at, id)| Line(site, id, format!("{at:02}")));
                (site, lines.collect())
            }).collect();
            let (mut shown, mut place) = (Vec::new(), Place::new());
            loop {
                let asked = books.iter().map(|(site, book)| (*site, ask(book, place.get(site).copied(), limit + 1)));
                let (page, next) = merge(asked.collect(), place.clone(), limit);
                prop_assert!(page.len() == limit || next.is_none());
                shown.extend(page);
                match next {
                    Some(next) => place = next,
                    None => break,
                }
            }
            prop_assert_eq!(shown.len(), books.iter().map(|(_, book)| book.len()).sum::<usize>());
            for (site, book) in &books {
                let of_site: Vec<&Line> = shown.iter().filter(|line| line.0 == *site).collect();
                prop_assert_eq!(of_site, book.iter().rev().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_newest_of_all_sites_comes_first_and_the_server_before_clients() {
        let line = |site, id, at: &str| Line(site, id, at.to_owned());
        let server = vec![line(Site::Server, 2, "03"), line(Site::Server, 1, "01")];
        let client = vec![line(Site::Client(1), 7, "03"), line(Site::Client(1), 6, "02")];
        let (merged, next) = merge(vec![(Site::Client(1), client), (Site::Server, server)], Place::new(), 9);
        let ids: Vec<i64> = merged.iter().map(Entry::id).collect();
        assert_eq!((ids, next), (vec![2, 7, 6, 1], None));
    }
}
