//! Who gets in, and what he may do.

use anyhow::{Context, Result, ensure};
use hyper::{
    Method,
    header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderName, IF_NONE_MATCH, ORIGIN},
};
use serde_json::json;
use synccluster_gateway::access::{Access, Identity};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, World, gateway::Gateway, sse::Events};
use synccluster_protocol::Site;
use tokio::time::timeout;

use crate::{EDITOR, Secret, VIEWER, guarded, with};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_or_something_wrong_sees_no_data() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    for path in [
        "/api/v1/cluster",
        "/api/v1/sites",
        "/api/v1/me",
        "/api/v1/topics",
        "/api/v1/tail?topics=a",
        "/events",
        "/nothing",
    ] {
        let answer = gateway.get(path).await?;
        answer.problem(401, "no-token").context(path)?;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        with(&gateway, Method::GET, path, "wrong-token-0123456789")
            .await?
            .problem(401, "wrong-token")
            .context(path)?;
    }
    let basic = gateway
        .send(Method::GET, "/api/v1/me", &[(AUTHORIZATION, "Basic YTpi")], None)
        .await?;
    basic.problem(401, "not-bearer")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_changes_nothing() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let me = with(&gateway, Method::GET, "/api/v1/me", VIEWER).await?.ok()?;
    assert_eq!(me, json!({"name": "viewer", "role": "Viewer"}));
    assert_eq!(
        with(&gateway, Method::GET, "/api/v1/sites", VIEWER).await?.ok()?,
        json!([])
    );
    for (method, path) in [
        (Method::PUT, "/api/v1/partition"),
        (Method::DELETE, "/api/v1/partition"),
        (Method::POST, "/api/v1/sites/server/tables/public.todos/rows"),
        (Method::PATCH, "/api/v1/sites/server/tables/public.todos/rows/1"),
        (Method::POST, "/api/v1/what/there/is/not"),
    ] {
        with(&gateway, method, path, VIEWER)
            .await?
            .problem(403, "read-only")
            .context(path)?;
    }
    // A question that is too long for an address changes nothing; here no site has such a table.
    let ways = "/api/v1/tables/public.todos/ways";
    let bearer = format!("Bearer {VIEWER}");
    let headers = [(AUTHORIZATION, bearer.as_str())];
    let asked = gateway
        .send(Method::POST, ways, &headers, Some(&json!({"keys": ["1"]})))
        .await?;
    ensure!(asked.status != 403 && asked.status != 401, "{asked:?}");
    gateway
        .post(ways, &json!({"keys": ["1"]}))
        .await?
        .problem(401, "no-token")?;
    let me = with(&gateway, Method::GET, "/api/v1/me", EDITOR).await?.ok()?;
    assert_eq!(me, json!({"name": "editor", "role": "Editor"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stands_for_its_token_on_the_gateways_own_page_only() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let wrong = gateway
        .post("/api/v1/session", &json!({"token": "wrong-token-0123456789"}))
        .await?;
    wrong.problem(401, "wrong-token")?;
    assert_eq!(wrong.header("set-cookie"), None);
    let strange = [(ORIGIN, "http://evil.example")];
    let sign_in = json!({ "token": EDITOR });
    let strange = gateway
        .send(Method::POST, "/api/v1/session", &strange, Some(&sign_in))
        .await?;
    strange.problem(403, "cross-site")?;

    let begun = gateway.post("/api/v1/session", &sign_in).await?;
    assert_eq!(begun.status, 204);
    let cookie = begun.header("set-cookie").context("no cookie")?.to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(EDITOR), "the token is not in the cookie");
    let session = cookie.split(';').next().unwrap_or_default();
    let ask = async |method: Method, more: &[(HeaderName, &str)]| {
        let headers = [&[(COOKIE, session)], more].concat();
        gateway
            .send(method, "/api/v1/partition", &headers, Some(&json!({"clients": [1]})))
            .await
    };
    // Past the door there is no Kubernetes here.
    let own = format!("http://{}", gateway.address);
    ask(Method::GET, &[]).await?.problem(501, "not-in-kubernetes")?;
    ask(Method::PUT, &[(ORIGIN, &own)])
        .await?
        .problem(501, "not-in-kubernetes")?;
    ask(Method::PUT, &[(SEC_FETCH_SITE, "same-origin")])
        .await?
        .problem(501, "not-in-kubernetes")?;
    ask(Method::PUT, &[]).await?.problem(403, "cross-site")?;
    ask(Method::PUT, &[(ORIGIN, "http://evil.example")])
        .await?
        .problem(403, "cross-site")?;
    ask(Method::DELETE, &[(SEC_FETCH_SITE, "cross-site")])
        .await?
        .problem(403, "cross-site")?;

    let ended = gateway
        .send(Method::DELETE, "/api/v1/session", &[(COOKIE, session)], None)
        .await?;
    assert!(
        ended
            .header("set-cookie")
            .is_some_and(|cookie| cookie.contains("Max-Age=0"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_in_the_secret_ends_the_old_one_and_its_sessions() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let begun = gateway.post("/api/v1/session", &json!({ "token": EDITOR })).await?;
    let cookie = begun
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .context("no cookie")?
        .to_owned();
    let by_cookie = async || {
        gateway
            .send(Method::GET, "/api/v1/me", &[(COOKIE, &cookie)], None)
            .await
    };
    by_cookie().await?.ok()?;
    let mut stream = Events::open(&gateway, "/events", &[(COOKIE, &cookie)]).await?;
    secret.write("another-token-0123456789", VIEWER)?;
    eventually(PATIENCE, async || {
        let status = with(&gateway, Method::GET, "/api/v1/me", EDITOR).await?.status;
        ensure!(status == 401, "the old token still counts: {status}");
        Ok(())
    })
    .await?;
    by_cookie().await?.problem(401, "no-token")?;
    let end = async {
        while let Some(event) = stream.next().await? {
            ensure!(event.name != "change", "{event:?}");
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, end)
        .await
        .context("the stream outlives its token")??;
    with(&gateway, Method::GET, "/api/v1/me", "another-token-0123456789")
        .await?
        .ok()?;
    with(&gateway, Method::GET, "/api/v1/me", VIEWER).await?.ok()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_front_names_who_asks() -> Result<()> {
    let header = HeaderName::from_static("x-forwarded-user");
    let identity = Identity::new(header.clone(), ["ada".to_owned()]);
    let gateway = guarded(Access::guarded("demo".parse()?, None, Some(identity))?).await?;
    let me = async |name: &str| {
        gateway
            .send(Method::GET, "/api/v1/me", &[(header.clone(), name)], None)
            .await
    };
    assert_eq!(me("ada").await?.ok()?, json!({"name": "ada", "role": "Editor"}));
    assert_eq!(me("bob").await?.ok()?, json!({"name": "bob", "role": "Viewer"}));
    gateway.get("/api/v1/me").await?.problem(401, "no-identity")?;
    let strange = [(header.clone(), "ada"), (ORIGIN, "http://evil.example")];
    let strange = gateway
        .send(Method::DELETE, "/api/v1/partition", &strange, None)
        .await?;
    strange.problem(403, "cross-site")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_browsers_from_harm() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    for path in ["/api/v1/me", "/nothing", "/openapi.json", "/docs/"] {
        let answer = gateway.get(path).await?;
        let policy = answer.header("content-security-policy").context(path)?;
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(policy.contains("unsafe-inline"), path == "/docs/", "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    assert_eq!(
        gateway.get("/api/v1/me").await?.header("cache-control"),
        Some("no-store")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_and_swagger_ui_need_no_token_and_nobody_else() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let document = gateway.read("/openapi.json").await?;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/partition"]["put"].is_object());
    let docs = gateway.get("/docs").await?;
    assert_eq!((docs.status.as_u16(), docs.header("location")), (308, Some("/docs/")));
    let page = gateway.get("/docs/").await?;
    assert_eq!(page.header("content-type"), Some("text/html"));
    for file in ["swagger-initializer.js", "swagger-ui.css", "swagger-ui-bundle.js"] {
        let found = gateway.get(&format!("/docs/{file}")).await?;
        assert_eq!(found.status, 200, "{file}");
        assert!(found.body.len() > 100, "{file}");
    }
    gateway
        .get("/docs/there-is-none")
        .await?
        .problem(404, "unknown-route")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_without_a_token_and_packed() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let page = gateway.get("/").await?;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8"),
        "{}",
        page.text()
    );
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let text = page.text();
    // Its style is in it, and that one alone is let through.
    let (_, style) = text.split_once("<style>").context("no style")?;
    assert!(style.contains("</style>") && !style.contains("<style>"));
    let policy = page.header("content-security-policy").context("no policy")?;
    assert!(policy.contains("style-src 'self' 'sha256-"), "{policy}");
    let script = text
        .split('"')
        .find(|part| part.strip_suffix(".js").is_some())
        .context("no script")?;
    let script = format!("/{}", script.trim_start_matches(['.', '/']));
    let plain = gateway.get(&script).await?;
    assert_eq!(plain.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(
        plain.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let packed = gateway
        .send(Method::GET, &script, &[(ACCEPT_ENCODING, "gzip, br")], None)
        .await?;
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        (Some("br"), Some("accept-encoding"))
    );
    assert!(
        packed.body.len() * 2 < plain.body.len(),
        "{} of {}",
        packed.body.len(),
        plain.body.len()
    );
    let etag = plain.header("etag").context("no etag")?;
    let again = gateway
        .send(Method::GET, &script, &[(IF_NONE_MATCH, etag)], None)
        .await?;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    gateway
        .send(Method::POST, "/", &[], None)
        .await?
        .problem(405, "method-not-allowed")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_say_whether_they_answer() -> Result<()> {
    let mut world = World::start(1, "create table t (id int primary key)").await?;
    let gateway = Gateway::start(&world).await?;
    // A database that takes longer than a moment, on a busy machine, is said not to answer.
    let seen = eventually(PATIENCE, async || {
        let seen = gateway.read("/api/v1/sites").await?;
        ensure!(seen[0]["reachable"] == true && seen[1]["reachable"] == true, "{seen}");
        Ok(seen)
    })
    .await?;
    assert_eq!(
        (&seen[0]["name"], &seen[0]["role"]),
        (&json!("server"), &json!("server"))
    );
    assert_eq!(
        (&seen[1]["name"], &seen[1]["role"]),
        (&json!("client-1"), &json!("client"))
    );
    let version = seen[1]["postgres_version"].as_str().context("no version")?;
    // Here is no operator whose measurements it could show.
    let unknown = seen[1]["status_unknown"].as_str().context("no reason")?;
    assert!(
        unknown.contains("without SYNC_NAMESPACE") && seen[1].get("status").is_none(),
        "{seen}"
    );
    assert!(version.chars().all(|c| c.is_ascii_digit() || c == '.'), "{version}");
    world.postgres(Site::Client(1)).stop().await?;
    let seen = eventually(PATIENCE, async || {
        let seen = gateway.read("/api/v1/sites").await?;
        ensure!(seen[0]["reachable"] == true && seen[1]["reachable"] == false, "{seen}");
        Ok(seen)
    })
    .await?;
    assert!(
        seen[1]["error"].as_str().is_some_and(|error| !error.is_empty()),
        "{seen}"
    );
    Ok(())
}
