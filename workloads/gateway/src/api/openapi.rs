//! The description of the API, and Swagger UI to try it with. Both are the same for everybody and need no token; what is tried does.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::{self, Shared},
    problem::Problem,
};

/// Name of the security scheme.
const TOKEN: &str = "token";

/// What the document says before its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "SyncCluster gateway",
        description = "Every site of a SyncCluster: rows, conflicts, partitions, topics, what happens live.\n\n\
            Errors are problem documents (RFC 9457); `type` tells them apart. 64-bit integers of the data are strings. Times are RFC 3339 in UTC. \
            The token is in the Secret `<cluster>-gateway`: `token` may change things, `viewer-token` may look.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem)),
    modifiers(&Token),
)]
pub struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`token` or `viewer-token` of the Secret `<cluster>-gateway`"));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
        document.security = Some(vec![SecurityRequirement::new::<_, _, &str>(TOKEN, [])]);
    }
}

/// The document as it is committed and served.
pub fn document() -> String {
    let document = app::routes().into_openapi();
    // It is made of strings and numbers; there is nothing JSON could not hold.
    document.to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}

/// Its routes; they are not part of what they describe.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .route("/openapi.json", get(openapi))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|| swagger(Path("index.html".to_owned()))))
        .route("/docs/{*file}", get(swagger))
}

async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(document);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

async fn swagger(Path(file): Path<String>) -> Response {
    synccluster_web::swagger::file(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_the_gateway_serves() {
        let committed = include_str!("../../openapi.json");
        assert!(
            committed == document(),
            "workloads/gateway/openapi.json is out of date: run `make generate`"
        );
    }

    #[test]
    fn every_operation_says_what_it_does_and_every_other_needs_a_token() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["security"][0]["token"], serde_json::json!([]));
        assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                let public = path == "/api/v1/session";
                assert_eq!(operation.get("security").is_some(), public, "{method} {path}");
            }
        }
    }
}
