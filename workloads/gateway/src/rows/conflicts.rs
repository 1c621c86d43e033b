//! Writes that lost.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use synccluster_protocol::Site;

use super::{
    books::{Book, Entry, Wanted},
    catalogue::Catalogue,
    connection,
    failure::Failure,
    image::{Document, Image, Images},
    key::Key,
    reapply,
    row::rfc3339_sql,
    sql::Sql,
};
use crate::{app::App, kafka::make_safe, problem::Problem};

/// A write that lost.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Conflict {
    /// The site in whose books it stands.
    #[schema(value_type = String)]
    pub site: Site,
    /// Its number there.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub id: i64,
    /// When it was decided.
    #[schema(format = DateTime)]
    pub at: String,
    /// The table.
    pub table: String,
    /// The key's columns.
    pub key: Map<String, Value>,
    /// The key as a path has it; null where the table is not enrolled any more.
    pub key_path: Option<String>,
    /// Which kinds of writes met.
    #[schema(example = "update/update")]
    pub kind: String,
    /// The policy that decided.
    pub policy: String,
    /// The row that stays; null: a delete.
    pub winner: Option<Map<String, Value>>,
    /// Its version.
    pub winner_version: String,
    /// The row that lost; null: a delete.
    pub loser: Option<Map<String, Value>>,
    /// Its version.
    pub loser_version: String,
    /// The topic whose event met what was here.
    pub topic: String,
    /// When the losing write was made again.
    pub reapplied_at: Option<String>,
    /// Why it cannot be made again; null: it can be tried. A constraint may stand against it all the same.
    pub reapply_obstacle: Option<String>,
}

/// For numbers of 64 bits.
pub fn as_text<S: serde::Serializer>(id: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

impl Entry for Conflict {
    fn at(&self) -> &str {
        &self.at
    }

    fn id(&self) -> i64 {
        self.id
    }
}

/// A row of `sync.conflicts` as it stands there.
struct Line {
    conflict: Conflict,
    /// Key, winner, loser.
    images: [Option<String>; 3],
}

impl Book for Conflict {
    async fn read(
        app: &App,
        site: Site,
        wanted: &Wanted,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Self>, Problem> {
        let rows = connection::ask(&app.sites, site, &question(wanted, before, limit)).await?;
        let lines: Result<Vec<Line>, _> = rows.iter().map(|row| line(site, row)).collect();
        let mut lines = lines.map_err(|error| Failure::from(error).problem(site))?;
        let catalogue = app.catalogues.all(&app.sites, site).await?;
        let mut by_table: BTreeMap<String, Vec<&mut Line>> = BTreeMap::new();
        for line in &mut lines {
            by_table.entry(line.conflict.table.clone()).or_default().push(line);
        }
        for (table, mut lines) in by_table {
            for Line { conflict, images } in &mut lines {
                conflict.reapply_obstacle = reapply::obstacle(conflict, images[2].as_deref(), catalogue.get(&table));
            }
            show(app, site, &catalogue, &table, lines).await;
        }
        Ok(lines.into_iter().map(|line| line.conflict).collect())
    }
}

fn question(wanted: &Wanted, before: Option<i64>, limit: usize) -> Sql {
    let mut sql = Sql::new(format!(
        "select id, {}, relation, kind, policy, winner_version, loser_version, topic, {}, key::text, winner::text, loser::text
           from sync.conflicts where true",
        rfc3339_sql("at"),
        rfc3339_sql("reapplied_at")
    ));
    for (column, value) in [("relation", &wanted.table), ("kind", &wanted.kind)] {
        if let Some(value) = value {
            let value = sql.text_value(Some(value));
            sql.add(format_args!(" and {column} = {value}"));
        }
    }
    if let Some(before) = before {
        let before = sql.number(before);
        sql.add(format_args!(" and id < {before}"));
    }
    let limit = sql.number(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.add(format_args!(" order by id desc limit {limit}"));
    sql
}

fn line(site: Site, row: &tokio_postgres::Row) -> Result<Line, tokio_postgres::Error> {
    let version = |n| row.try_get::<_, i64>(n).map(|version| version.to_string());
    let images: [Option<String>; 3] = [row.try_get(9)?, row.try_get(10)?, row.try_get(11)?];
    let [key, winner, loser] = images.each_ref().map(|json| json.as_deref().and_then(as_it_stands));
    Ok(Line {
        conflict: Conflict {
            site,
            id: row.try_get(0)?,
            at: row.try_get(1)?,
            table: row.try_get(2)?,
            key: key.unwrap_or_default(),
            key_path: None,
            kind: row.try_get(3)?,
            policy: row.try_get(4)?,
            winner,
            winner_version: version(5)?,
            loser,
            loser_version: version(6)?,
            topic: row.try_get(7)?,
            reapplied_at: row.try_get(8)?,
            reapply_obstacle: None,
        },
        images,
    })
}

/// For a table that is not there any more, and for columns that are not.
fn as_it_stands(json: &str) -> Option<Map<String, Value>> {
    let mut values: Map<String, Value> = serde_json::from_str(json).ok()?;
    values.retain(|name, _| !name.starts_with("sync_"));
    values.values_mut().for_each(make_safe);
    Some(values)
}

/// Shows keys, winners and losers of one table in the forms in which rows are shown. What cannot be shown so stays as it stands.
async fn show(app: &App, site: Site, catalogue: &Arc<Catalogue>, name: &str, mut lines: Vec<&mut Line>) {
    let Some(table) = catalogue.get(name) else { return };
    let mut places = Vec::new();
    let mut documents = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        for (which, json) in line.images.iter().enumerate() {
            if let Some(document) = json.as_deref().and_then(|json| Document::read(table, json).ok()) {
                places.push((n, which));
                documents.push(document);
            }
        }
    }
    let texts: Vec<&str> = documents.iter().map(|document| document.json.as_str()).collect();
    let images = match app.catalogues.work(&app.sites, site, name, &Images(&texts)).await {
        Ok(images) => images.into_iter().map(Ok).collect(),
        // One that does not fit the table any more hides all others: one by one then.
        Err(_) => one_by_one(app, site, name, &texts).await,
    };
    for (((n, which), document), image) in places.into_iter().zip(documents).zip(images) {
        let Some(line) = lines.get_mut(n) else { continue };
        let (mut values, key) = match image {
            Ok(image) => image,
            Err(problem) => {
                let of_loser = which == 2 && problem.status == StatusCode::UNPROCESSABLE_ENTITY;
                if of_loser && line.conflict.reapply_obstacle.is_none() {
                    line.conflict.reapply_obstacle = Some(reapply::by_hand(&problem.detail));
                }
                continue;
            }
        };
        values.retain(|name, _| document.columns.contains(name));
        let conflict = &mut line.conflict;
        let shown = match which {
            0 => {
                conflict.key_path = key.into_iter().collect::<Option<_>>().map(|texts| Key(texts).path());
                &mut conflict.key
            }
            1 => conflict.winner.get_or_insert_default(),
            _ => conflict.loser.get_or_insert_default(),
        };
        // Columns that are no more stay as they stand.
        shown.retain(|name, _| document.left_out.contains(name));
        values.append(shown);
        *shown = values;
    }
}

async fn one_by_one(app: &App, site: Site, name: &str, documents: &[&str]) -> Vec<Result<Image, Problem>> {
    let mut images = Vec::with_capacity(documents.len());
    for document in documents {
        let image = app.catalogues.work(&app.sites, site, name, &Images(&[document])).await;
        images.push(image.map(|mut image| image.pop().unwrap_or_default()));
    }
    images
}
