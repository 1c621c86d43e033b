//! A client that is quicker than any other, or slower.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use synccluster_integration::{PATIENCE, gateway::Gateway};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::client::{Place, TOKEN};

/// A websocket as bytes.
pub struct Raw(pub TcpStream);

/// Where clients are if nothing else is said.
pub const HERE: [u8; 4] = [127, 0, 0, 1];

impl Raw {
    /// Asks for a session, from this address of the machine.
    pub async fn asked(gateway: &Gateway, from: [u8; 4]) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        // Small, so that what is not read is felt soon.
        socket.set_recv_buffer_size(4096)?;
        let mut raw = Self(socket.connect(gateway.address).await?);
        let head = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.address
        );
        raw.0.write_all(head.as_bytes()).await?;
        Ok(raw)
    }

    /// Has a session that has shown nothing yet.
    pub async fn opened(gateway: &Gateway, from: [u8; 4]) -> Result<Self> {
        let mut raw = Self::asked(gateway, from).await?;
        raw.hears("\"maxPayload\"").await?;
        Ok(raw)
    }

    /// Shows the token, and hears this.
    pub async fn shows_token(&mut self, heard: &str) -> Result<()> {
        self.says(&format!("40/sites,{{\"token\":\"{TOKEN}\"}}")).await?;
        self.hears(heard).await
    }

    /// Connected to the namespace, from this address.
    pub async fn connected(gateway: &Gateway, from: [u8; 4]) -> Result<Self> {
        let mut raw = Self::opened(gateway, from).await?;
        raw.shows_token("40/sites,{").await?;
        Ok(raw)
    }

    /// Connected to the namespace and subscribed to everything.
    pub async fn subscribed(gateway: &Gateway) -> Result<Self> {
        let mut raw = Self::connected(gateway, HERE).await?;
        raw.says("42/sites,1[\"subscribe\",{}]").await?;
        raw.hears("43/sites,1[{\"ok\":true").await?;
        Ok(raw)
    }

    async fn says(&mut self, text: &str) -> Result<()> {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        Ok(self.0.write_all(&frame).await?)
    }

    /// Reads until this has come.
    pub async fn hears(&mut self, text: &str) -> Result<()> {
        let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&got).contains(text) {
            let size = timeout(PATIENCE, self.0.read(&mut buffer)).await;
            let size = size.with_context(|| format!("no {text} in {}", String::from_utf8_lossy(&got)))??;
            ensure!(size > 0, "closed before {text}: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..size]);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_as_soon_as_it_is_connected_is_answered() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    for number in 0..300 {
        let subscribed = timeout(PATIENCE, Raw::subscribed(&gateway)).await;
        subscribed.with_context(|| format!("client {number} waits in vain"))??;
    }
    Ok(())
}
