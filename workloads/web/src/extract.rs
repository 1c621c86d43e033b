//! What a request carries. As axum's extractors, but that what cannot be read is answered with a problem document.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{BytesRejection, FailedToBufferBody, JsonRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The largest body of a request.
pub const MAX_BODY: usize = 1024 * 1024;

/// A JSON body.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

/// The parameters after `?`.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

/// The parts of the path that vary.
#[derive(Clone, Debug)]
pub struct Segments<T>(pub T);

/// 413: the body is too large.
pub fn too_large() -> Problem {
    let detail = format!("the body of a request may have {MAX_BODY} bytes at most");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "Not JSON",
            "the body must be JSON; say so with the header `Content-Type: application/json`",
        ),
        JsonRejection::BytesRejection(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))) => {
            too_large()
        }
        JsonRejection::JsonDataError(error) => Problem::unprocessable("bad-body", "Unexpected body", error.body_text()),
        other => Problem::bad_request("bad-json", "Bad JSON", other.body_text()),
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| {
                Problem::bad_request("bad-parameter", "Bad parameter", rejection.body_text())
            })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value))
            .map_err(|rejection| Problem::bad_request("bad-path", "Bad path", rejection.body_text()))
    }
}
