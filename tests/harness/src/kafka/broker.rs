//! A second broker.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::process::Signal;

use super::node::{self, Listener, Node, PROPERTIES};
use crate::place::Folder;
use crate::ports;
use crate::process::Restartable;

/// A broker beside the first, without a controller: while it is away its partitions have no leader. Ended and removed on drop.
#[derive(Debug)]
pub struct Broker {
    process: Restartable,
    folder: Folder,
    jars: PathBuf,
    port: u16,
}

impl Broker {
    pub(super) async fn start(jars: &Path, controller: u16) -> Result<Self> {
        let folder = Folder::of_data("kafka")?;
        let data = folder.join("data");
        node::format(jars, &Node::BROKER, &data).await?;
        let port = ports::free_port()?;
        let properties = Node::BROKER.properties(&data, controller, &[Listener::plain(port)]);
        fs::write(folder.join(PROPERTIES), properties)?;
        let mut broker = Self {
            process: Restartable::default(),
            folder,
            jars: jars.to_owned(),
            port,
        };
        broker.restart().await?;
        Ok(broker)
    }

    /// `kill -9`; `restart` recovers it.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Stops it if it runs, and starts it at the same address with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.stop(Signal::TERM).await?;
        node::start(&mut self.process, &self.jars, &self.folder, self.port).await
    }
}
