//! What went wrong, as a problem document (RFC 9457): every error of the port for clients is one.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{crdt::WordError, node::Refused};

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `urn:synccluster:problem:<kind>`; a program tells problems apart by it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status, again.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
}

impl Problem {
    /// Of this kind: lower-case words with dashes.
    pub fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:synccluster:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// What was sent cannot be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-body", "Cannot be read", detail)
    }

    /// It can be read, and is not what a like is.
    pub fn bad_like(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-like", "Not a like", detail)
    }

    /// A parameter of the query.
    pub fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Bad parameter", detail)
    }

    /// More than a request may have.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
    }
}

impl From<WordError> for Problem {
    fn from(error: WordError) -> Self {
        Self::bad_like(error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (status, kind, title) = match &refused {
            Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too busy"),
            Refused::LogFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "log-full", "Log full"),
            Refused::VolumeFull(_) => (StatusCode::INSUFFICIENT_STORAGE, "volume-full", "Volume full"),
            Refused::TooManyIds(_) => (StatusCode::INSUFFICIENT_STORAGE, "too-many-ids", "Too many ids"),
            Refused::TooManyRequests { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                "too-many-requests",
                "Too many requests to remember",
            ),
            Refused::TooManyClients(_) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "too-many-clients",
                "Too many clients that number",
            ),
            Refused::Broken(_) => (StatusCode::SERVICE_UNAVAILABLE, "log-broken", "Log broken"),
            Refused::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "Stopping"),
        };
        Self::new(status, kind, title, refused.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let is_stopping = self.kind.ends_with(":stopping");
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if is_stopping {
            // The next request comes to another node, where a name leads to several.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
