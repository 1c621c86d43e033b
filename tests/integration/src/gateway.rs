//! The gateway on a [`World`].

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::Result;
use hyper::{
    HeaderMap, Method, Response,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use synccluster_gateway::{
    app::App,
    serve::{bind, serve},
    sites::Sites,
};
use synccluster_harness::{Kafka, Role};
use synccluster_protocol::Site;
use synccluster_runtime::postgres::PostgresSecret;
use tokio::task::JoinHandle;

use crate::{
    World, described,
    http::{Answer, open},
};

/// A gateway on a port of its own; it stops when this is dropped.
pub struct Gateway {
    /// What its requests share.
    pub app: Arc<App>,
    /// Where its web port is.
    pub address: SocketAddr,
    headers: HeaderMap,
    serving: JoinHandle<()>,
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
    #[expect(
        clippy::unused_async,
        reason = "what it starts needs a runtime, which who awaits it has"
    )]
    pub async fn serve(app: App) -> Result<Self> {
        let app = Arc::new(app);
        let listener = bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        Ok(Self {
            serving: tokio::spawn(serve(Arc::clone(&app), listener)),
            app,
            address,
            headers: HeaderMap::new(),
        })
    }

    /// Stops it, and returns when its connections have ended.
    pub async fn end(mut self) -> Result<()> {
        self.app.stop.cancel();
        Ok((&mut self.serving).await?)
    }

    /// Whether it follows what is committed at a site; of several replicas one does.
    pub fn follows(&self, site: Site) -> bool {
        let site = [("site", &*site.to_string())];
        self.app.metrics.gauge("synccluster_gateway_following", "", &site).get() == 1
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
        Answer::whole(self.open(method, path, headers, body).await?).await
    }

    /// Any request; the body is left to be read, as it comes. Its status has to be one that the gateway describes.
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
        let answer = open(self.address, method.clone(), path, &[&own, headers].concat(), body).await?;
        described::check(&method, path, answer.status())?;
        Ok(answer)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

/// The sites of a world, as the gateway's role.
pub fn sites(world: &World) -> Result<Sites> {
    let secret =
        |at: &crate::SiteUnderTest| Ok((at.site, PostgresSecret::read(&at.postgres.secret_dir(Role::Gateway))?));
    let secrets: BTreeMap<Site, PostgresSecret> = world.sites.iter().map(secret).collect::<Result<_>>()?;
    Ok(Sites::new(secrets))
}
