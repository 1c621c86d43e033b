//! What went wrong, as a problem document (RFC 9457): every error of the REST API is one.

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// A problem document.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:synccluster:problem:<kind>`; a program tells problems apart by it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status, again.
    pub status: u16,
    /// What happened here, with the names in question, and what to do.
    pub detail: String,
    /// What a program may need besides, by kind.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Option<Box<Map<String, Value>>>,
}

/// Goes with a problem's response, so that problems can be counted by kind.
#[derive(Clone, Debug)]
pub struct ProblemKind(pub String);

impl Problem {
    /// Of this kind: lower-case words with dashes, such as `unknown-site`.
    pub fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:synccluster:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: None,
        }
    }

    /// 400: what was sent cannot be read.
    pub fn bad_request(kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, title, detail)
    }

    /// 403: it is known who asks, and he may not.
    pub fn forbidden(kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, title, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, title, detail)
    }

    /// 422: it can be read, and it cannot be done.
    pub fn unprocessable(kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, detail)
    }

    /// 503: a part that is needed cannot be reached; trying again later may succeed.
    pub fn unavailable(kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail)
    }

    /// With a further field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = ProblemKind(self.kind.clone());
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response.extensions_mut().insert(kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_fields_stand_beside_the_others_and_there_are_none_without() {
        let problem = Problem::not_found("unknown-site", "Unknown site", "there is no site `x`");
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            text,
            r#"{"type":"urn:synccluster:problem:unknown-site","title":"Unknown site","status":404,"detail":"there is no site `x`"}"#
        );
        let text = serde_json::to_string(&problem.with("sites", vec!["server"])).unwrap();
        assert!(text.ends_with(r#","sites":["server"]}"#), "{text}");
    }
}
