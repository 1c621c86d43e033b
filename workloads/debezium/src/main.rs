//! `synccluster-debezium run`: a site's uplink of engine Debezium.

use std::{fs, io, path::PathBuf, process::ExitCode, sync::Mutex, time::Instant};

use clap::{Parser, Subcommand};
use synccluster_connector::resnapshot;
use synccluster_debezium::{request::Requests, retry::Retry, run::Debezium, worker::Launch};
use synccluster_protocol::connect::{TEMPLATE_KEY, Template};
use synccluster_runtime::{config::Common, workload};

/// Sends what is committed at a site to the site's topic with Kafka Connect and Debezium.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  synccluster-debezium run --cluster demo --site client-1 --postgres-secret ./connector --bootstrap-servers localhost:9092 --libs /opt/kafka/libs --plugins /opt/kafka/plugins"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until stopped.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// Folder with Kafka Connect's jars.
    #[arg(long, env = "CONNECT_LIBS", default_value = "/opt/kafka/libs")]
    libs: PathBuf,
    /// Folder with a folder of jars for each plugin.
    #[arg(long, env = "CONNECT_PLUGINS", default_value = "/opt/kafka/plugins")]
    plugins: PathBuf,
    /// Folder with connector.properties, as a ConfigMap is mounted: settings that are to be otherwise.
    #[arg(long, env = "CONNECT_TEMPLATES")]
    templates: Option<PathBuf>,
    /// Folder with a folder for each Secret that the template names.
    #[arg(long, env = "CONNECT_SECRETS", default_value = "/etc/synccluster/secrets")]
    secrets: PathBuf,
    /// Folder for the worker's own files; emptied at every start.
    #[arg(long, env = "CONNECT_FOLDER", default_value = "/tmp/connect")]
    folder: PathBuf,
    /// The most memory for Java's heap.
    #[arg(long, env = "CONNECT_HEAP", default_value = "256m")]
    heap: String,
    /// Port of the worker's REST interface, on loopback.
    #[arg(long, env = "CONNECT_PORT", default_value_t = 8083)]
    rest_port: u16,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Command::Run(arguments) = Arguments::parse().command;
    let template = match template(arguments.templates.as_deref()) {
        Ok(template) => template,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    workload::run(arguments.common, |common, postgres| Debezium {
        cluster: common.cluster,
        site: common.site,
        postgres,
        postgres_folder: common.postgres_secret,
        secrets: arguments.secrets,
        template,
        kafka: common.kafka.kafka(),
        launch: Launch {
            java: vec!["java".to_owned()],
            libs: arguments.libs,
            plugins: arguments.plugins,
            heap: arguments.heap,
            rest_port: arguments.rest_port,
            folder: arguments.folder,
            log: None,
        },
        requests: Requests::default(),
        resnapshots: resnapshot::Requests::default(),
        retry: Mutex::new(Retry::default()),
        began: Instant::now(),
    })
    .await
}

/// A folder without the file asks for nothing: in a ConfigMap the key may be missing.
fn template(folder: Option<&std::path::Path>) -> Result<Template, String> {
    let Some(path) = folder.map(|folder| folder.join(TEMPLATE_KEY)) else {
        return Ok(Template::default());
    };
    match fs::read_to_string(&path) {
        Ok(text) => Template::parse(&text).map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Template::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
