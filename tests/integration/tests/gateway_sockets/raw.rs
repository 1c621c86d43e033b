//! A client that is quicker than any other, or slower.

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

impl Raw {
    /// Connected to the namespace and subscribed to everything.
    pub async fn subscribed(gateway: &Gateway) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Small, so that what is not read is felt soon.
        socket.set_recv_buffer_size(4096)?;
        let mut raw = Self(socket.connect(gateway.address).await?);
        let head = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.address
        );
        raw.0.write_all(head.as_bytes()).await?;
        raw.hears("\"maxPayload\"").await?;
        raw.says(&format!("40/sites,{{\"token\":\"{TOKEN}\"}}")).await?;
        raw.hears("40/sites,{").await?;
        raw.says("42/sites,1[\"subscribe\",{}]").await?;
        raw.hears("43/sites,1[{\"ok\":true").await?;
        Ok(raw)
    }

    async fn says(&mut self, text: &str) -> Result<()> {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        Ok(self.0.write_all(&frame).await?)
    }

    async fn hears(&mut self, text: &str) -> Result<()> {
        let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&got).contains(text) {
            let size = self.0.read(&mut buffer).await?;
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
