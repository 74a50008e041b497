//! A WebSocket that carries JSON.

use crate::http::chain;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

const CONNECT: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(5);
/// The longest message, bytes.
const LONGEST: usize = 8 << 20;

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn connect(url: &Url) -> Result<Self, String> {
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let connecting = connect_async_with_config(url.as_str(), Some(config), true);
        let connected = timeout(CONNECT, connecting).await.map_err(|_| "its socket does not open".to_owned())?;
        let (stream, _) = connected.map_err(|error| format!("its socket does not open: {}", chain(&error)))?;
        Ok(Self { stream })
    }

    pub async fn send(&mut self, message: &Value) -> Result<(), String> {
        let sending = self.stream.send(Message::text(message.to_string()));
        let sent = timeout(SEND, sending).await.map_err(|_| "its socket takes nothing".to_owned())?;
        sent.map_err(|error| format!("its socket is gone: {}", chain(&error)))
    }

    /// The next message; what is not JSON is passed over. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Value, String> {
        while let Some(message) = self.stream.next().await {
            let parsed = match message.map_err(|error| format!("its socket is gone: {}", chain(&error)))? {
                Message::Text(text) => serde_json::from_str(text.as_str()),
                Message::Binary(bytes) => serde_json::from_slice(&bytes),
                _ => continue,
            };
            if let Ok(message) = parsed {
                return Ok(message);
            }
        }
        Err("it has closed its socket".to_owned())
    }
}
