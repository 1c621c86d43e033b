//! Rows of several sites side by side, and what differs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use synccluster_protocol::Site;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::Shared,
    extract::{Params, Segments},
    problem::Problem,
    rows::{
        align::Aligned,
        compare::{Comparison, Found},
        filter::Filter,
        panel::Request,
        read,
    },
};

/// The routes of comparing.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(side_by_side))
        .routes(routes!(difference))
}

/// Which rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Only {
    /// All of them.
    #[default]
    All,
    /// Those that are not the same at all sites.
    Different,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Sites, joined by commas; all of them, unless it is said.
    #[param(example = "server,client-1")]
    sites: Option<String>,
    /// As for the rows of one site. A row that one site's version of is taken is shown with what all sites have of it.
    filter: Option<String>,
    /// As for the rows of one site. A row stands where the first of its versions does.
    order: Option<String>,
    /// 1 to 500 rows; 100, unless it is said.
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
    /// `different` leaves out rows that are the same everywhere.
    #[serde(default)]
    only: Only,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Compared {
    /// Two sites or more, joined by commas; all of them, unless it is said.
    #[param(example = "server,client-1")]
    sites: Option<String>,
    /// 1 to 500 rows; 100, unless it is said.
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Rows of several sites, aligned by key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SideBySide {
    /// The sites that are shown.
    #[schema(value_type = Vec<String>)]
    sites: Vec<Site>,
    /// The sites that are not, and why.
    #[schema(value_type = BTreeMap<String, String>)]
    unreachable: BTreeMap<Site, String>,
    /// In order.
    rows: Vec<Aligned>,
    /// `after` of the next page; null on the last one.
    next: Option<String>,
}

/// What differs between sites.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Difference {
    /// Whether nothing differs among what was compared; where there is a `next`, the rest is still to be compared.
    equal: bool,
    /// How many keys were compared.
    compared: u64,
    /// The sites that were compared.
    #[schema(value_type = Vec<String>)]
    sites: Vec<Site>,
    /// The sites that were not, and why.
    #[schema(value_type = BTreeMap<String, String>)]
    unreachable: BTreeMap<Site, String>,
    /// Rows that differ, by key.
    rows: Vec<Aligned>,
    /// `after` of the next page; null on the last one. A page may be short, or empty: a request looks for a few seconds only.
    next: Option<String>,
}

/// Rows of a table at several sites, side by side.
#[utoipa::path(get, path = "/api/v1/tables/{table}/rows", tag = "rows", params(
    ("table" = String, Path, example = "public.todos"),
    Wanted,
), responses(
    (status = 200, description = "A page of rows with the version of every site; sites that cannot be reached are named.", body = SideBySide),
    (status = 400, description = "Bad filter, order, limit or cursor.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site or table.", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The page's rows are too large together (`page-too-large`); ask for fewer.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "No site can be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn side_by_side(
    State(app): State<Shared>,
    Segments(table): Segments<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<SideBySide>, Problem> {
    let request = Request {
        sites: names(wanted.sites.as_deref()),
        table,
        filter: read::filter(wanted.filter.as_deref())?,
        order: wanted.order.unwrap_or_default(),
    };
    let limit = read::limit(wanted.limit)?;
    let mut comparison = Comparison::begin(&app, &request).await?;
    let after = comparison.position(wanted.after.as_deref())?;
    let found = match wanted.only {
        Only::All => comparison.rows(after, limit).await?,
        Only::Different => comparison.differences(after, limit).await?,
    };
    let (rows, next) = page(&comparison, found);
    Ok(Json(SideBySide {
        sites: comparison.panel.sites(),
        unreachable: comparison.panel.unreachable,
        rows,
        next,
    }))
}

/// What differs between sites, by key.
#[utoipa::path(get, path = "/api/v1/tables/{table}/difference", tag = "rows", params(
    ("table" = String, Path, example = "public.todos"),
    Compared,
), responses(
    (status = 200, description = "A page of rows that differ.", body = Difference),
    (status = 400, description = "Bad limit or cursor, or one site only.", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such site or table.", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Fewer than two sites can be reached.", body = Problem, content_type = "application/problem+json"),
))]
async fn difference(
    State(app): State<Shared>,
    Segments(table): Segments<String>,
    Params(compared): Params<Compared>,
) -> Result<Json<Difference>, Problem> {
    let request = Request {
        sites: names(compared.sites.as_deref()),
        table,
        filter: Filter::default(),
        order: String::new(),
    };
    let limit = read::limit(compared.limit)?;
    let mut comparison = Comparison::begin(&app, &request).await?;
    enough(&comparison)?;
    let after = comparison.position(compared.after.as_deref())?;
    let found = comparison.differences(after, limit).await?;
    // A site may have gone in the middle of it.
    enough(&comparison)?;
    let compared = found.compared;
    let (rows, next) = page(&comparison, found);
    Ok(Json(Difference {
        equal: rows.is_empty(),
        compared,
        sites: comparison.panel.sites(),
        unreachable: comparison.panel.unreachable,
        rows,
        next,
    }))
}

fn names(sites: Option<&str>) -> Vec<String> {
    let names = sites
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn page(comparison: &Comparison<'_>, found: Found) -> (Vec<Aligned>, Option<String>) {
    let next = found.next.map(|position| comparison.cursor(&position));
    (found.rows.into_iter().map(|(row, _)| row).collect(), next)
}

/// A difference is between two sites at least.
fn enough(comparison: &Comparison<'_>) -> Result<(), Problem> {
    match (comparison.panel.sites().len(), comparison.panel.unreachable.is_empty()) {
        (2.., _) => Ok(()),
        (_, true) => {
            let detail = "name two sites at least, such as sites=server,client-1";
            Err(Problem::bad_request("too-few-sites", "Too few sites", detail))
        }
        (_, false) => {
            let why: Vec<_> = comparison
                .panel
                .unreachable
                .iter()
                .map(|(site, why)| format!("{site}: {why}"))
                .collect();
            let detail = format!("fewer than two sites are left to compare; {}", why.join("; "));
            Err(Problem::unavailable("sites-unreachable", "Sites unreachable", detail))
        }
    }
}
