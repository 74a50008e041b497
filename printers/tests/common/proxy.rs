//! A proxy in front of a web server that does its work badly, on request.
//!
//! It hands on one request per connection (it tells both sides to close), and what follows an upgrade as it is.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with the requests that a fault is for.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers itself; the server hears nothing.
    Answer(u16),
    /// Hands the request on, but answers this.
    AnswerAfter(u16),
    /// Hands the request on, and closes the connection in place of the answer.
    Swallow,
    /// Closes the connection before anything is handed on.
    Drop,
    /// Keeps the connection, and says nothing.
    Silence,
    /// Hands everything on, later.
    Delay(Duration),
}

type Rule = (String, Fault);

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    rules: Mutex<Vec<Rule>>,
    /// The first lines of requests.
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    /// In front of a port of this machine.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(client, to, &state).await });
            }
        });
        Self { port, state, task }
    }

    pub fn url(&self) -> url::Url {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// From now on, for requests whose first line begins like this.
    pub fn fault(&self, line: &str, fault: Fault) {
        self.state.rules.lock().unwrap().push((line.to_owned(), fault));
    }

    pub fn heal(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// How many requests began like this.
    pub fn count(&self, line: &str) -> usize {
        self.state.requests.lock().unwrap().iter().filter(|request| request.starts_with(line)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, to: u16, state: &State) -> Option<()> {
    let request = read_request(&mut client).await?;
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    state.requests.lock().unwrap().push(line.clone());
    let fault = {
        let rules = state.rules.lock().unwrap();
        rules.iter().find(|(start, _)| line.starts_with(start)).map(|(_, fault)| fault.clone())
    };
    match fault {
        Some(Fault::Answer(status)) => return answer(&mut client, status).await,
        Some(Fault::Drop) => return None,
        Some(Fault::Silence) => tokio::time::sleep(Duration::from_secs(3600)).await,
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::AnswerAfter(_) | Fault::Swallow) | None => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", to)).await.ok()?;
    server.write_all(&request).await.ok()?;
    match fault {
        Some(Fault::AnswerAfter(status)) => {
            server.read_to_end(&mut vec![]).await.ok()?;
            answer(&mut client, status).await
        }
        Some(Fault::Swallow) => {
            server.read_to_end(&mut vec![]).await.ok()?;
            None
        }
        _ => copy_bidirectional(&mut client, &mut server).await.ok().map(|_| ()),
    }
}

async fn answer(client: &mut TcpStream, status: u16) -> Option<()> {
    let body = r#"{"error": "the proxy says so"}"#;
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(format!("{head}{body}").as_bytes()).await.ok()
}

/// One request with its body; connections are not kept, unless they are upgraded.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = vec![];
    let end = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while request.len() < end + length {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    if header("upgrade").is_none() {
        let head = head.trim_end().lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
        let head = head.chain(["Connection: close"]).collect::<Vec<_>>().join("\r\n");
        request.splice(..end, format!("{head}\r\n\r\n").into_bytes());
    }
    Some(request)
}
