//! Who one is, and the session of the page.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header::SET_COOKIE},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    access::{Caller, Role},
    app::Shared,
    extract::Body,
    problem::Problem,
};

/// Who asks.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    /// `editor` or `viewer` by a token, otherwise the name the proxy in front tells.
    name: String,
    /// What he may do.
    role: Role,
}

/// What a session is made from.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// The editor's or the viewer's token.
    #[schema(format = Password)]
    token: String,
}

/// Its routes.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(begin, end))
}

/// Who asks, and what he may do
#[utoipa::path(get, path = "/api/v1/me", tag = "access",
    responses((status = 200, body = Me), (status = 401, body = Problem, content_type = "application/problem+json")))]
async fn me(caller: Caller) -> Json<Me> {
    Json(Me {
        name: caller.name,
        role: caller.role,
    })
}

/// Trades a token for a session: a cookie that lasts 12 hours
#[utoipa::path(post, path = "/api/v1/session", tag = "access", request_body = SignIn, security(()),
    responses(
        (status = 204, description = "the cookie is set", headers(("Set-Cookie" = String))),
        (status = 401, description = "the token is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "a page of somebody else asked", body = Problem, content_type = "application/problem+json"),
    ))]
async fn begin(
    State(app): State<Shared>,
    headers: HeaderMap,
    Body(sign_in): Body<SignIn>,
) -> Result<Response, Problem> {
    let cookie = app.access.begin_session(&sign_in.token, &headers)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Ends the session
#[utoipa::path(delete, path = "/api/v1/session", tag = "access", security(()),
    responses((status = 204, description = "the cookie is removed")))]
async fn end(State(app): State<Shared>, headers: HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, app.access.end_session(&headers))]).into_response()
}
