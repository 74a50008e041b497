//! A small web server whose answers are a function of the request.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Request {
    pub method: String,
    pub path: String,
    pub head: String,
    pub body: Vec<u8>,
}

/// A status, and JSON; `null` is no body.
pub type Answer = (u16, Value);

pub struct Web {
    pub port: u16,
    /// `METHOD path` of all requests.
    pub requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Web {
    pub async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(vec![]));
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &log, &*answer).await });
            }
        });
        Self { port, requests, task }
    }

    pub fn count(&self, start: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(start)).count()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, answer: &(dyn Fn(&Request) -> Answer + Send + Sync)) {
    let mut all = vec![];
    let end = loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if !stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {
            return;
        }
    };
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0_usize);
    while all.len() < end + length {
        if !stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
    let first = String::from_utf8_lossy(&all[..end]).lines().next().unwrap_or_default().to_owned();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.lock().unwrap().push(format!("{method} {path}"));
    let (status, body) = answer(&Request { method, path, head, body: all[end..].to_vec() });
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
