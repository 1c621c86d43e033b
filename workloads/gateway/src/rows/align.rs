//! Rows of several sites side by side, by key: which keys come next in an order that all sites share. Pure.
//!
//! A row may stand at another place of the order at another site, where it has other values. Its place is then the first one it has at any
//! site where the filter takes it. All comparing is Postgres': this works with the ranks it gave.

use std::collections::{BTreeMap, BTreeSet};

use synccluster_protocol::Site;

use super::{catalogue::Table, key::Key, order::Position, row::Row};

/// A row at one site.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its key.
    pub key: Key,
    /// The row.
    pub row: Row,
    /// Where it stands.
    pub position: Position,
    /// Whether the filter takes it.
    pub taken: bool,
}

/// A key with its row at every site.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Aligned {
    /// The key's columns.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// The key as a path has it, before it is encoded as a segment.
    pub key_path: String,
    /// Whether all sites that were asked have the same row.
    pub equal: bool,
    /// Each site's row; null where there is none.
    #[schema(value_type = BTreeMap<String, Row>)]
    pub cells: BTreeMap<Site, Option<Row>>,
}

/// Everything that is ranked: the cells that the filter takes, and marks that stand behind everything of the same position.
#[derive(Debug, Default)]
pub struct Ranking {
    /// Their positions; those of cells first, then `after`, then the horizons.
    pub positions: Vec<Position>,
    keys: Vec<Key>,
    after: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    /// Keys in order, each with its position.
    pub keys: Vec<(Key, Position)>,
    /// How far it is known what comes; `None`: to the end.
    pub horizon: Option<Position>,
}

impl Ranking {
    /// Of these cells: what comes after `after`, known up to the first of `horizons`.
    pub fn new<'a>(
        cells: impl Iterator<Item = &'a Cell>,
        after: Option<&Position>,
        horizons: impl Iterator<Item = Position>,
    ) -> Self {
        let mut ranking = Self {
            after: after.is_some(),
            ..Self::default()
        };
        for cell in cells.filter(|cell| cell.taken) {
            ranking.keys.push(cell.key.clone());
            ranking.positions.push(cell.position.clone());
        }
        ranking.positions.extend(after.cloned());
        ranking.positions.extend(horizons);
        ranking
    }

    /// What comes next; `order` has the indexes of the positions in their order, equal ones by index.
    pub fn next(&self, order: &[usize]) -> Next {
        let (mut seen, mut keys) = (BTreeSet::new(), Vec::new());
        for &index in order {
            let Some(position) = self.positions.get(index) else {
                continue;
            };
            match self.keys.get(index) {
                Some(key) if seen.insert(key) => keys.push((key.clone(), position.clone())),
                Some(_) => {}
                // What is not after it has been shown before, even where another site has it further on.
                None if self.after && index == self.keys.len() => keys.clear(),
                None => {
                    return Next {
                        keys,
                        horizon: Some(position.clone()),
                    };
                }
            }
        }
        Next { keys, horizon: None }
    }
}

/// The rows of a key at these sites, side by side.
pub fn side_by_side(table: &Table, key: &Key, sites: &[(Site, BTreeMap<Key, Cell>)]) -> Aligned {
    let cell = |(site, cells): &(Site, BTreeMap<Key, Cell>)| (*site, cells.get(key).map(|cell| cell.row.clone()));
    let cells: BTreeMap<Site, Option<Row>> = sites.iter().map(cell).collect();
    let first = cells.values().next().cloned().flatten();
    let same = |row: &Option<Row>| match (row, &first) {
        (Some(row), Some(first)) => row.same_as(first),
        (None, None) => true,
        _ => false,
    };
    Aligned {
        key: key.json(table),
        key_path: key.path(),
        equal: cells.values().all(same),
        cells,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::row::{raw, rfc3339};

    /// What each site has: place in the order by key.
    type World = Vec<BTreeMap<u8, u8>>;

    fn cell(key: u8, place: u8) -> Cell {
        let row = Row {
            key: serde_json::Map::new(),
            key_path: key.to_string(),
            values: raw("{}".into()),
            version: "1".into(),
            parent: None,
            written_at: rfc3339(0),
            written_at_site: "server".into(),
        };
        Cell {
            key: Key(vec![key.to_string()]),
            row,
            position: position(place, key),
            taken: true,
        }
    }

    fn position(place: u8, key: u8) -> Position {
        vec![Some(place.to_string()), Some(key.to_string())]
    }

    fn number(position: &Position) -> (u8, u8) {
        let part = |n: usize| position[n].as_ref().unwrap().parse().unwrap();
        (part(0), part(1))
    }

    /// As Postgres would: by position, equal ones by index.
    fn ranked(ranking: &Ranking) -> Vec<usize> {
        let mut order: Vec<usize> = (0..ranking.positions.len()).collect();
        order.sort_by_key(|&index| (number(&ranking.positions[index]), index));
        order
    }

    /// One round: each site tells its next `limit` rows, and all rows of the keys anybody told.
    fn round(world: &World, after: Option<&Position>, limit: usize) -> Next {
        let (mut keys, mut horizons) = (BTreeSet::new(), Vec::new());
        for site in world {
            let mut rows: Vec<(u8, u8)> = site.iter().map(|(key, place)| (*place, *key)).collect();
            rows.sort_unstable();
            rows.retain(|row| after.is_none_or(|after| *row > number(after)));
            rows.truncate(limit);
            horizons.extend(rows.get(limit - 1).map(|(place, key)| position(*place, *key)));
            keys.extend(rows.iter().map(|(_, key)| *key));
        }
        let cells: Vec<Cell> = world
            .iter()
            .flat_map(|site| {
                keys.iter()
                    .filter_map(|key| site.get(key).map(|place| cell(*key, *place)))
            })
            .collect();
        let ranking = Ranking::new(cells.iter(), after, horizons.into_iter());
        ranking.next(&ranked(&ranking))
    }

    proptest! {
        #[test]
        fn every_key_comes_once_at_its_first_place_whatever_the_sites_have(
            world in prop::collection::vec(prop::collection::btree_map(0u8..30, 0u8..6, 0..20), 1..4),
            limit in 1usize..6,
            page in 1usize..6,
        ) {
            let mut expected: BTreeMap<u8, u8> = BTreeMap::new();
            for (key, place) in world.iter().flatten() {
                let least = expected.entry(*key).or_insert(*place);
                *least = (*least).min(*place);
            }
            let mut expected: Vec<(u8, u8)> = expected.into_iter().map(|(key, place)| (place, key)).collect();
            expected.sort_unstable();
            let (mut shown, mut after) = (Vec::new(), None);
            loop {
                let next = round(&world, after.as_ref(), limit);
                let more = next.keys.len() > page;
                shown.extend(next.keys.iter().take(page).map(|(_, position)| number(position)));
                after = if more { Some(next.keys[page - 1].1.clone()) } else { next.horizon };
                if after.is_none() {
                    break;
                }
                prop_assert!(shown.len() <= expected.len());
            }
            prop_assert_eq!(shown, expected);
        }
    }
}
