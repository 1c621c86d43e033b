//! The gateway on a [`World`], and a small HTTP client.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use synccluster_gateway::{app::App, serve::serve, sites::Sites};
use synccluster_harness::{Kafka, Role};
use synccluster_protocol::Site;
use synccluster_runtime::postgres::PostgresSecret;
use tokio::net::{TcpListener, TcpStream};

use crate::World;

/// A gateway on a port of its own; it stops when this is dropped.
pub struct Gateway {
    /// What its requests share.
    pub app: Arc<App>,
    /// Where its web port is.
    pub address: SocketAddr,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Gateway {
    /// For all sites of a world.
    pub async fn start(world: &World) -> Result<Self> {
        Self::serve(App::new(
            world.cluster.clone(),
            sites(world)?,
            Kafka::shared().await?.bootstrap(),
        ))
        .await
    }

    /// Serves this.
    pub async fn serve(app: App) -> Result<Self> {
        let app = Arc::new(app);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(Arc::clone(&app), listener));
        Ok(Self {
            app,
            address,
            headers: HeaderMap::new(),
        })
    }

    /// The same one, asked with a further header in every request.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// GET, whatever the status is.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// GET, which has to succeed, as JSON.
    pub async fn read(&self, path: &str) -> Result<Value> {
        self.get(path).await?.ok()
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Any request, on a connection of its own.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let (head, body) = self.open(method, path, headers, body).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Any request; the body is left to be read, as it comes.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>> {
        let own = self
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), value.to_str()?)));
        let own = own.collect::<Result<Vec<_>>>()?;
        open(self.address, method, path, &[&own, headers].concat(), body).await
    }
}

/// Any request to a server of a test.
pub async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
) -> Result<Answer> {
    let (head, body) = open(address, method, path, headers, body).await?.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

async fn open(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Option<&Value>,
) -> Result<Response<Incoming>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(Value::to_string).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(bytes)))?;
    sender
        .send_request(request)
        .await
        .with_context(|| format!("asking for {path}"))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} is no JSON: {}", self.status, self.text()))
    }

    /// The body as JSON, of a request that succeeded.
    pub fn ok(&self) -> Result<Value> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()
    }

    /// The problem document, of this kind and status.
    pub fn problem(&self, status: u16, kind: &str) -> Result<Value> {
        let problem = self.json()?;
        let media = self.header("content-type");
        let (wanted, found) = (format!("urn:synccluster:problem:{kind}"), problem["type"].as_str());
        ensure!(
            self.status.as_u16() == status && problem["status"] == status && found == Some(&wanted),
            "{status} {kind} was expected: {} {problem}",
            self.status
        );
        ensure!(media == Some("application/problem+json"), "it is {media:?}");
        Ok(problem)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The sites of a world, as the gateway's role.
pub fn sites(world: &World) -> Result<Sites> {
    let secret =
        |at: &crate::SiteUnderTest| Ok((at.site, PostgresSecret::read(&at.postgres.secret_dir(Role::Gateway))?));
    let secrets: BTreeMap<Site, PostgresSecret> = world.sites.iter().map(secret).collect::<Result<_>>()?;
    Ok(Sites::new(secrets))
}
