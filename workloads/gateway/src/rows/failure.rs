//! What Postgres refused, in words for whoever asked.

use axum::http::StatusCode;
use synccluster_protocol::Site;
use synccluster_runtime::postgres;
use tokio_postgres::{Error, error::DbError};

use crate::problem::Problem;

/// Why a question to a site has no answer.
#[derive(Debug)]
pub enum Failure {
    /// Postgres' error.
    Postgres(Error),
    /// Something was named that is not in the catalogue, which may be a few seconds old.
    Unknown(Problem),
    /// It would be refused whatever the catalogue is.
    Refused(Problem),
    /// Its rows are too large together; the rest of them is still on its way.
    TooLarge,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl Failure {
    /// Whether a look at what is enrolled now could change it. SQLSTATE class 42: no such column, table, type or operator.
    pub fn may_be_stale(&self) -> bool {
        match self {
            Self::Postgres(error) => error
                .code()
                .is_some_and(|code| code.code().starts_with("42") && code.code() != "42501"),
            Self::Unknown(_) => true,
            Self::Refused(_) | Self::TooLarge => false,
        }
    }

    /// The error, if a value was not of its column's type (SQLSTATE class 22).
    pub fn bad_value(&self) -> Option<&Error> {
        match self {
            Self::Postgres(error) if error.code().is_some_and(|code| code.code().starts_with("22")) => Some(error),
            _ => None,
        }
    }

    /// For whoever asked.
    pub fn problem(self, site: Site) -> Problem {
        match self {
            Self::Postgres(error) => problem(site, &error),
            Self::Unknown(problem) | Self::Refused(problem) => problem,
            Self::TooLarge => {
                let detail = "these rows have more than 16 MiB together; ask for fewer of them with `limit`";
                Problem::unprocessable("page-too-large", "Page too large", detail)
            }
        }
    }
}

/// What Postgres' error means.
pub fn problem(site: Site, error: &Error) -> Problem {
    let Some(db) = error.as_db_error() else {
        let detail = format!("the connection to {site}'s database ended: {error}; try again");
        return Problem::unavailable("site-unreachable", "Site unreachable", detail);
    };
    let said = format!("{site}: {}", postgres::describe(error));
    let code = db.code().code();
    let problem = match (code, &code[..2.min(code.len())]) {
        ("57014", _) => Problem::unavailable(
            "too-slow",
            "Too slow",
            format!(
                "{site}'s database did not finish within the time a request has; ask for less (a filter on the key or on an indexed column, an order an index has, a smaller limit) or add an index"
            ),
        ),
        ("428C9", _) => Problem::unprocessable("not-writable", "Not writable", said),
        ("42883" | "42725", _) => Problem::bad_request(
            "not-comparable",
            "Not comparable",
            format!("{said}; this type has no such operator or order: use another column, or like, is null"),
        ),
        ("42501", _) => Problem::forbidden(
            "not-permitted",
            "Not permitted by the database",
            format!("{said}; a trigger of the table may need rights that role sync_gateway has not"),
        ),
        ("25006", _) => Problem::unavailable("site-read-only", "Site read-only", said),
        ("40001" | "40P01" | "55P03", _) => Problem::unavailable(
            "try-again",
            "Try again",
            format!("{said}; somebody else's write was in the way"),
        ),
        (_, "22") => Problem::unprocessable("invalid-value", "Invalid value", said),
        (_, "23") => Problem::new(StatusCode::CONFLICT, "constraint", "Against a constraint", said),
        // Raised by a trigger or function of the table's own.
        (_, "P0") => Problem::unprocessable("refused-by-database", "Refused by the database", said),
        (_, "08" | "53" | "57") => {
            Problem::unavailable("site-unreachable", "Site unreachable", format!("{said}; try again"))
        }
        _ => {
            tracing::warn!(%site, error = postgres::describe(error), "a statement failed");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "database-error",
                "Error of the database",
                said,
            )
        }
    };
    with_names(problem, db)
}

fn with_names(mut problem: Problem, db: &DbError) -> Problem {
    for (name, value) in [("column", db.column()), ("constraint", db.constraint())] {
        if let Some(value) = value {
            problem = problem.with(name, value);
        }
    }
    problem
}
