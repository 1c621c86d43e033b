//! The description of the API, and Swagger UI to try it with.

use std::sync::LazyLock;

use axum::{response::Redirect, routing::get};
use synccluster_web::{problem::Problem, swagger};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::Shared;

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
        swagger::secure(document, "`token` or `viewer-token` of the Secret `<cluster>-seeder`");
    }
}

/// The document as it is committed and served.
pub fn document() -> String {
    swagger::text(&super::routes().into_openapi())
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    static DOCUMENT: LazyLock<String> = LazyLock::new(document);
    swagger::routes(&DOCUMENT).route("/", get(|| async { Redirect::temporary("/docs/") }))
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
