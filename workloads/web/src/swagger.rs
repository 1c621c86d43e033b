//! Swagger UI. What it serves comes with the binary; nothing is fetched from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::{
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::Config;

use crate::problem::Problem;

/// A file of it, `index.html` first; it shows the document at `/openapi.json`.
pub fn file(name: &str) -> Response {
    // Its validator would be a request to somebody else.
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/openapi.json").validator_url("none")));
    match utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(found)) => {
            let mut answer = found.bytes.into_owned().into_response();
            let mut set = |name: HeaderName, value: &str| {
                if let Ok(value) = value.parse() {
                    answer.headers_mut().insert(name, value);
                }
            };
            set(header::CONTENT_TYPE, &found.content_type);
            set(header::CACHE_CONTROL, "no-cache");
            if found.gzpipped {
                set(header::CONTENT_ENCODING, "gzip");
            }
            answer
        }
        Ok(None) => {
            let detail = format!("Swagger UI has no file `{name}`");
            Problem::not_found("unknown-route", "Unknown route", detail).into_response()
        }
        Err(error) => {
            let detail = format!("Swagger UI cannot be shown: {error}; /openapi.json has what it would show");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).into_response()
        }
    }
}
