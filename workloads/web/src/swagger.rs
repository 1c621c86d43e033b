//! An OpenAPI document, and Swagger UI to try it with. What that serves comes with the binary; nothing is fetched from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa::openapi::{
    OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::Config;

use crate::problem::Problem;

/// Name of the security scheme.
const TOKEN: &str = "token";

/// Every operation wants a bearer token, which `described` says where to find.
pub fn secure(document: &mut OpenApi, described: &str) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(described));
    document
        .components
        .get_or_insert_default()
        .add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
    document.security = Some(vec![SecurityRequirement::new::<_, _, &str>(TOKEN, [])]);
}

/// A document as it is committed and served.
pub fn text(document: &OpenApi) -> String {
    // It is made of strings and numbers; there is nothing JSON could not hold.
    document.to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}

/// `/openapi.json` and `/docs`; they are not part of what they describe, are the same for everybody, and need no token.
pub fn routes<S: Clone + Send + Sync + 'static>(document: &'static LazyLock<String>) -> OpenApiRouter<S> {
    let json = move || async { ([(header::CONTENT_TYPE, "application/json")], document.as_str()) };
    OpenApiRouter::new()
        .route("/openapi.json", get(json))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|| async { file("index.html") }))
        .route(
            "/docs/{*file}",
            get(|Path(name): Path<String>| async move { file(&name) }),
        )
}

/// A file of Swagger UI, `index.html` first; it shows the document at `/openapi.json`.
fn file(name: &str) -> Response {
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
