//! The description of the API, and Swagger UI to try it with. Both are the same for everybody and need no token; what is tried does.

use std::sync::LazyLock;

use synccluster_web::swagger;
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::described::describe;
use crate::{
    app::{self, Shared},
    problem::Problem,
};

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
        swagger::secure(document, "`token` or `viewer-token` of the Secret `<cluster>-gateway`");
    }
}

/// The document as it is committed and served.
pub fn document() -> String {
    let mut document = app::routes().into_openapi();
    describe(&mut document);
    swagger::text(&document)
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    static DOCUMENT: LazyLock<String> = LazyLock::new(document);
    swagger::routes(&DOCUMENT)
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
