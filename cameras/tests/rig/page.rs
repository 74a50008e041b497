//! An HTTP server that does with each connection what a test tells it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

pub struct Page {
    pub port: u16,
    asked: Arc<AtomicUsize>,
    server: AbortHandle,
}

/// A connection that has asked for something.
pub struct Visitor {
    pub socket: TcpStream,
    /// The head of its request.
    pub request: String,
    /// How many requests came before.
    pub number: usize,
}

impl Page {
    pub async fn serve<F>(answer: impl Fn(Visitor) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = tokio::spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let request = head(&mut socket).await;
                let number = count.fetch_add(1, Ordering::SeqCst);
                // A visitor that leaves in the middle is what many tests are about.
                answers.spawn(answer(Visitor { socket, request, number }));
            }
        });
        Self { port, asked, server: server.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/secret-path?key=secret", self.port)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn head(socket: &mut TcpStream) -> String {
    let mut bytes = vec![];
    while !bytes.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Visitor {
    /// A whole answer; the connection ends with it.
    pub async fn answer(mut self, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.socket.write_all(head.as_bytes()).await?;
        self.socket.write_all(body).await
    }

    /// The beginning of an answer without an end.
    pub async fn begin(&mut self, content_type: &str) -> std::io::Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {content_type}\r\n\r\n");
        self.socket.write_all(head.as_bytes()).await
    }

    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// One picture of an MJPEG stream.
    pub async fn part(&mut self, jpeg: &[u8]) -> std::io::Result<()> {
        let head = format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        self.write(&[head.as_bytes(), jpeg, b"\r\n"].concat()).await
    }
}
