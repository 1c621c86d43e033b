//! The description of the API, and Swagger UI to try it with.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use synccluster_web::{problem::Problem, swagger};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use super::Shared;

/// Name of the security scheme.
const TOKEN: &str = "token";

/// What the document says before its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "SyncCluster seeder",
        description = "Fills the tables of a SyncCluster, keeps writing to them, and checks that nothing it was acknowledged is lost.\n\n\
            Errors are problem documents (RFC 9457); `type` tells them apart. The token is in the Secret `<cluster>-seeder`: `token` may change things, \
            `viewer-token` may look.",
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
            .description(Some("`token` or `viewer-token` of the Secret `<cluster>-seeder`"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme.build()));
        document.security = Some(vec![SecurityRequirement::new::<_, _, &str>(TOKEN, [])]);
    }
}

/// The document as it is committed and served.
pub fn document() -> String {
    // It is made of strings and numbers; there is nothing JSON could not hold.
    super::routes()
        .into_openapi()
        .to_pretty_json()
        .map(|text| text + "\n")
        .unwrap_or_default()
}

/// Its routes; they are not part of what they describe.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .route("/", get(|| async { Redirect::temporary("/docs/") }))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|| async { swagger::file("index.html") }))
        .route(
            "/docs/{*file}",
            get(|Path(file): Path<String>| async move { swagger::file(&file) }),
        )
}

async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(document);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_the_seeder_serves() {
        let committed = include_str!("../../openapi.json");
        assert!(
            committed == document(),
            "workloads/seeder/openapi.json is out of date: run `make generate`"
        );
    }

    #[test]
    fn every_operation_says_what_it_does() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            }
        }
    }
}
