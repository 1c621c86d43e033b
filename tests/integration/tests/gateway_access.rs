//! Who gets in, what he may do, and what a bad request is answered, over real connections.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hyper::{
    Method,
    header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderName, IF_NONE_MATCH, ORIGIN},
};
use serde_json::json;
use synccluster_gateway::{
    access::{Access, Identity},
    app::App,
    serve::allow_many_connections,
    sites::Sites,
};
use synccluster_harness::eventually;
use synccluster_integration::{
    PATIENCE, World,
    gateway::{Answer, Gateway, sites},
    sse::Events,
};
use synccluster_protocol::Site;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const EDITOR: &str = "editor-token-0123456789";
const VIEWER: &str = "viewer-token-0123456789";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A mounted Secret.
struct Secret(PathBuf);

impl Secret {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("synccluster-access-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let secret = Self(folder);
        secret.write(EDITOR, VIEWER)?;
        Ok(secret)
    }

    fn write(&self, editor: &str, viewer: &str) -> Result<()> {
        fs::write(self.0.join("token"), format!("{editor}\n"))?;
        Ok(fs::write(self.0.join("viewer-token"), viewer)?)
    }

    fn access(&self) -> Result<Access> {
        Ok(Access::guarded("demo".parse()?, Some(self.0.clone()), None)?)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A gateway without sites that knows these people.
async fn guarded(access: Access) -> Result<Gateway> {
    let mut app = App::new("demo".parse()?, Sites::new([].into()), "localhost:1".to_owned());
    app.access = access;
    Gateway::serve(app).await
}

async fn with(gateway: &Gateway, method: Method, path: &str, token: &str) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    gateway.send(method, path, &[(AUTHORIZATION, &bearer)], None).await
}

/// What a connection answers to these bytes, until it is closed.
async fn raw(gateway: &Gateway, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(gateway.address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .context("the connection stays open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A request with a body that is sent as it stands.
fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\nAuthorization: Bearer {EDITOR}\r\n{headers}\r\n"
    );
    (head + body).into_bytes()
}

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
async fn what_is_not_there_is_a_problem() -> Result<()> {
    let gateway = guarded(Access::open("demo".parse()?)).await?;
    gateway.get("/api/v1/nothing").await?.problem(404, "unknown-route")?;
    gateway.get("/robots.txt").await?.problem(404, "unknown-route")?;
    let method = gateway.send(Method::PATCH, "/api/v1/me", &[], None).await?;
    method.problem(405, "method-not-allowed")?;
    assert_eq!(method.header("allow"), Some("GET,HEAD"));
    for path in [
        "/api/v1/cluster",
        "/api/v1/partition",
        "/api/v1/components",
        "/api/v1/components/a/logs",
    ] {
        gateway
            .get(path)
            .await?
            .problem(501, "not-in-kubernetes")
            .context(path)?;
    }
    for lines in ["0", "2001", "-1", "x"] {
        let path = format!("/api/v1/components/a/logs?lines={lines}");
        gateway.get(&path).await?.problem(400, "bad-parameter").context(path)?;
    }
    gateway
        .get("/api/v1/components/a/logs?line=5")
        .await?
        .problem(400, "bad-parameter")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_a_problem() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let json = "Content-Type: application/json\r\n";
    for (headers, body, status, kind) in [
        (json, "{\"clients\":[1]", "400", "bad-json"),
        (json, "", "400", "bad-json"),
        (json, "\u{0}", "400", "bad-json"),
        (json, "{\"clients\":[\"one\"]}", "422", "bad-body"),
        (json, "{\"clients\":[70000]}", "422", "bad-body"),
        (json, "{\"clients\":[1],\"heal-after\":\"5m\"}", "422", "bad-body"),
        (json, "{\"clients\":[1],\"link\":\"Sideways\"}", "422", "bad-body"),
        ("Content-Type: text/plain\r\n", "{\"clients\":[1]}", "415", "not-json"),
        ("", "{\"clients\":[1]}", "415", "not-json"),
    ] {
        let answer = raw(&gateway, &request("PUT /api/v1/partition", headers, body)).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body:?}: {answer}");
        assert!(
            answer.contains(&format!("urn:synccluster:problem:{kind}\"")),
            "{body:?}: {answer}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_a_problem_whoever_sends_it() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let large = json!({ "token": "x".repeat(10 * 1024 * 1024) });
    gateway
        .post("/api/v1/session", &large)
        .await?
        .problem(413, "too-large")?;
    let bearer = format!("Bearer {EDITOR}");
    let put = gateway
        .send(
            Method::PUT,
            "/api/v1/partition",
            &[(AUTHORIZATION, &bearer)],
            Some(&large),
        )
        .await?;
    put.problem(413, "too-large")?;

    // Without a length in front it is noticed on the way.
    let piece = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
    let head = format!(
        "PUT /api/v1/partition HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {EDITOR}\r\n\r\n"
    );
    let answer = raw(&gateway, (head + &piece.repeat(17) + "0\r\n\r\n").as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("urn:synccluster:problem:too-large"), "{answer}");

    // Who asks first is told before he sends.
    let mut stream = TcpStream::connect(gateway.address).await?;
    let head =
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 12];
    timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"HTTP/1.1 413");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_http_breaks_nothing() -> Result<()> {
    let gateway = guarded(Access::open("demo".parse()?)).await?;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for bytes in [
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &long,
        &many,
    ] {
        // Whatever is answered, the connection ends. It may end before all was sent.
        let _ = raw(&gateway, bytes.as_bytes()).await;
    }
    gateway.read("/api/v1/me").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_say_whether_they_answer() -> Result<()> {
    let mut world = World::start(1, "create table t (id int primary key)").await?;
    let gateway = Gateway::start(&world).await?;
    let seen = gateway.read("/api/v1/sites").await?;
    assert_eq!(
        (&seen[0]["name"], &seen[0]["role"], &seen[0]["reachable"]),
        (&json!("server"), &json!("server"), &json!(true))
    );
    assert_eq!(
        (&seen[1]["name"], &seen[1]["role"]),
        (&json!("client-1"), &json!("client"))
    );
    let version = seen[1]["postgres_version"].as_str().context("no version")?;
    assert!(version.chars().all(|c| c.is_ascii_digit() || c == '.'), "{version}");
    world.postgres(Site::Client(1)).stop().await?;
    let seen = gateway.read("/api/v1/sites").await?;
    assert_eq!(
        (&seen[0]["reachable"], &seen[1]["reachable"]),
        (&json!(true), &json!(false))
    );
    assert!(
        seen[1]["error"].as_str().is_some_and(|error| !error.is_empty()),
        "{seen}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_closed_and_keep_nobody_waiting() -> Result<()> {
    const SILENT: usize = 2_000;
    allow_many_connections();
    let world = World::start(1, "create table t (id int primary key, name text)").await?;
    world
        .run(
            Site::Server,
            "insert into t select i, 'row ' || i from generate_series(1, 200) i",
        )
        .await?;
    let secret = Secret::new()?;
    let mut app = App::new(world.cluster.clone(), sites(&world)?, "localhost:1".to_owned());
    app.access = secret.access()?;
    let gateway = Gateway::serve(app).await?;
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(gateway.address).await?;
        // Every fourth one begins and does not go on.
        if number % 4 == 0 {
            stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nHost: local").await?;
        }
        silent.push(stream);
    }
    eventually(PATIENCE, async || {
        let taken = gateway.app.connections.taken();
        ensure!(taken >= SILENT, "{taken} connections");
        Ok(())
    })
    .await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        let rows = with(
            &gateway,
            Method::GET,
            "/api/v1/sites/server/tables/public.t/rows?limit=100",
            EDITOR,
        )
        .await?;
        assert_eq!(rows.ok()?["rows"].as_array().map(Vec::len), Some(100));
        slowest = slowest.max(began.elapsed());
    }
    assert!(
        slowest < Duration::from_secs(2),
        "a request took {slowest:?} beside {SILENT} silent connections"
    );
    eventually(PATIENCE, async || {
        let taken = gateway.app.connections.taken();
        ensure!(taken < 10, "{taken} connections are still open");
        Ok(())
    })
    .await?;
    drop(silent);
    Ok(())
}
