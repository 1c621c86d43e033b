//! The REST surface.

mod guard;
mod openapi;
mod runs;
mod tables;

use std::{path::PathBuf, sync::Arc};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use synccluster_web::{
    extract::MAX_BODY,
    problem::Problem,
    tokens::{self, Files},
};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use openapi::document;
pub use tables::view;

use crate::{prepare, runs::Error, runs::Runs};

/// Who may come in.
pub enum Access {
    /// Everybody, by a local name: for development.
    Open,
    /// Who knows a token of a Secret.
    Tokens(Files),
}

impl Access {
    /// By the tokens of this folder.
    pub fn by_tokens(folder: PathBuf) -> Result<Self, tokens::Error> {
        Ok(Self::Tokens(Files::read(folder)?))
    }

    /// Looks whether the tokens were changed.
    pub fn refresh(&self) {
        if let Self::Tokens(files) = self {
            files.refresh();
        }
    }
}

/// What requests share.
pub struct App {
    /// The runs.
    pub runs: Runs,
    /// Who may come in.
    pub access: Access,
}

/// How handlers hold it.
pub type Shared = Arc<App>;

fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .merge(openapi::routes())
        .merge(tables::routes())
        .merge(runs::routes())
}

/// Everything the web port answers.
pub fn router(app: Shared) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || {
            Problem::not_found(
                "unknown-route",
                "Unknown route",
                "there is nothing here; /docs/ shows what there is",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

/// As a problem document.
fn problem(error: &Error) -> Problem {
    let text = error.to_string();
    match error {
        Error::Busy(_) | Error::Preparing | Error::Journal(crate::journal::Error::Busy(_)) => {
            Problem::new(axum::http::StatusCode::CONFLICT, "busy", "A run is going on", text)
        }
        Error::Ended(_) => Problem::new(axum::http::StatusCode::CONFLICT, "run-ended", "Not in this state", text),
        Error::Prepare(prepare::Error::Order(_)) => Problem::unprocessable("bad-order", "Cannot be done", text),
        Error::Prepare(prepare::Error::Schema(_)) => {
            Problem::unprocessable("bad-tables", "Tables cannot be filled", text)
        }
        Error::Prepare(prepare::Error::Values(_) | prepare::Error::Empty(_) | prepare::Error::Rehearsal { .. }) => {
            Problem::unprocessable("no-values", "No values for the tables", text)
        }
        Error::Prepare(prepare::Error::Site(_) | prepare::Error::Postgres(_))
        | Error::Verify(crate::verify::Error::Site(_)) => {
            Problem::unavailable("site-unreachable", "Site unreachable", text)
        }
        Error::Journal(crate::journal::Error::NoRun(_))
        | Error::Verify(crate::verify::Error::Journal(crate::journal::Error::NoRun(_))) => {
            Problem::not_found("unknown-run", "Unknown run", text)
        }
        Error::Prepare(prepare::Error::Journal(_))
        | Error::Journal(_)
        | Error::Verify(crate::verify::Error::Journal(_)) => Problem::new(
            axum::http::StatusCode::INSUFFICIENT_STORAGE,
            "journal",
            "The journal fails",
            text,
        ),
        Error::Verify(_) => Problem::unavailable("cannot-verify", "Nothing could be said", text),
    }
}
