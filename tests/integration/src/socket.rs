//! A WebSocket to a counter node.

use anyhow::{Context, Result};
use futures::StreamExt;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::counter::{NodeUnderTest, PATIENCE};

/// One that is open.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens one.
pub async fn open(node: &NodeUnderTest) -> Result<Socket> {
    Ok(connect_async(format!("ws://{}/ws", node.clients)).await?.0)
}

/// The next thing the node says.
pub async fn told(socket: &mut Socket) -> Result<Value> {
    loop {
        let message = timeout(PATIENCE, socket.next()).await?.context("closed")??;
        if let Message::Text(text) = message {
            return Ok(serde_json::from_str(&text)?);
        }
    }
}

/// The next thing of this kind; what comes before it is passed over.
pub async fn told_of(socket: &mut Socket, kind: &str) -> Result<Value> {
    loop {
        let said = told(socket).await?;
        if let Some(of_kind) = said.get(kind) {
            return Ok(of_kind.clone());
        }
    }
}
