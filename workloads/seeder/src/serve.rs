//! The server's process.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use synccluster_runtime::health as runtime;
use tokio::{net::TcpListener, time};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{App, router},
    health::Seeder,
};

/// How often the tokens are looked at. Kubernetes takes up to a minute to bring a changed Secret here.
const REFRESH: Duration = Duration::from_secs(2);

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port.
    #[error("cannot listen on {0}: {1}; is the port taken?")]
    Listen(SocketAddr, io::Error),
}

/// Serves the API at a listener until `stop`; then what goes on is stopped and written down.
pub async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    let refreshing = Arc::clone(&app);
    let refresh = tokio::spawn(async move {
        let mut tick = time::interval(REFRESH);
        loop {
            tick.tick().await;
            refreshing.access.refresh();
        }
    });
    let served = axum::serve(listener, router(Arc::clone(&app)))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "serving ended");
    }
    refresh.abort();
    app.runs.shut_down().await;
}

/// The life of the process.
pub async fn process(app: Arc<App>, web: SocketAddr, listen: SocketAddr) -> Result<ExitCode, Error> {
    let listener = TcpListener::bind(web)
        .await
        .map_err(|error| Error::Listen(web, error))?;
    tracing::info!(listen = %web, "serving the API; /docs/ shows it");
    let (health, stop) = (Arc::new(Seeder::new(Arc::clone(&app))), CancellationToken::new());
    health.bound();
    let work = tokio::spawn(serve(app, listener, stop.clone()));
    Ok(runtime::run(listen, health, work, stop).await)
}
