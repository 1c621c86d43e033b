//! `synccluster-gateway run`: what people look at.

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use synccluster_gateway::{api::openapi, config::Config, counters, health::Gateway, live, serve};
use synccluster_runtime::{health, telemetry};

const EXAMPLE: &str = "Example:\n  synccluster-gateway run --cluster demo --sites ./sites --bootstrap-servers localhost:9092 --access none\n  \
                       then open http://localhost:8000/";

/// Shows every site of a SyncCluster: a page, a REST API, events and Socket.IO.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until stopped.
    #[command(after_help = EXAMPLE)]
    Run(Box<Config>),
    /// Print the description of the API (OpenAPI 3.1) as JSON.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(config) => {
            telemetry::init();
            run(*config).await
        }
        Command::Openapi => {
            print!("{}", openapi::document());
            ExitCode::SUCCESS
        }
    }
}

async fn run(config: Config) -> ExitCode {
    let (listen, web_listen, copies) = (config.listen, config.web_listen, config.topic_replication);
    serve::allow_many_connections();
    let app = match config.app().await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let health = Arc::new(Gateway::new(app.clone()));
    let stop = app.stop.clone();
    let listener = match serve::bind(web_listen) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, listen = %web_listen, "cannot serve the page; is the port taken?");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(listen = %web_listen, "serving the page and the API");
    health.bound();
    let work = tokio::spawn(async move {
        tokio::join!(
            serve::serve(app.clone(), listener),
            live::run(app.clone(), copies),
            counters::run(app)
        );
    });
    health::run(listen, health, work, stop).await
}
