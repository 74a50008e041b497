//! A camera that is not there: it looks at a printer that is, and shows what would be seen if its prints went wrong.
//!
//! The printer is an OctoPrint (a virtual one, as a rule), asked once a second how long it has been printing; the picture
//! is that moment of the print. A printer that is paused changes nothing any more, and one that begins anew has an empty
//! bed. A picture is drawn when somebody asks for it (`GET /snapshot`), as with many cameras: there is no stream.

use crate::picture::Picture;
use crate::sight;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How often the printer is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a printer, or somebody who asks for a picture, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request, and the longest answer of a printer, bytes.
const LONGEST: u64 = 256 << 10;

/// What it looks at.
#[derive(Clone, Debug)]
pub struct View {
    /// Which print is seen.
    pub print: u64,
    /// Seconds of a print after which nothing sticks any more; `None`: all goes well.
    pub fails_after: Option<f64>,
    /// Where the OctoPrint answers, and its API key.
    pub printer: SocketAddr,
    pub key: String,
}

/// What is in the picture.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    /// Seconds of printing.
    seconds: f64,
    /// How many pictures have been taken.
    glimpses: u64,
}

/// Answers requests for pictures for ever.
///
/// # Errors
/// The listener fails.
pub async fn show(listener: TcpListener, view: View) -> io::Result<()> {
    let moment = Arc::new(Mutex::new(Moment::default()));
    let looking = look(view.clone(), moment.clone());
    let answering = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let (view, moment) = (view.clone(), moment.clone());
            tokio::spawn(async move {
                // Whoever does not wait for the answer does not want it.
                let _ = timeout(PATIENCE, answer(stream, &view, &moment)).await;
            });
        }
    };
    tokio::select! {
        ended = answering => ended,
        never = looking => match never {},
    }
}

fn taken(view: &View, moment: &Mutex<Moment>) -> Picture {
    let mut moment = moment.lock().unwrap_or_else(PoisonError::into_inner);
    moment.glimpses += 1;
    let Moment { seconds, glimpses } = *moment;
    drop(moment);
    sight::frame(view.print, seconds, view.fails_after.filter(|after| *after < seconds), glimpses)
}

/// Follows the printer. One that does not answer has not moved.
async fn look(view: View, moment: Arc<Mutex<Moment>>) -> std::convert::Infallible {
    loop {
        if let Ok(Ok(job)) = timeout(PATIENCE, job(&view)).await
            && let Some(seconds) = printing_for(&job)
        {
            moment.lock().unwrap_or_else(PoisonError::into_inner).seconds = seconds;
        }
        sleep(LOOK).await;
    }
}

/// For how long a printer has been printing, from what OctoPrint says of its job; `None`: it is not.
fn printing_for(job: &Value) -> Option<f64> {
    let is_printing = job["state"].as_str().is_some_and(|state| state.starts_with("Printing"));
    // Until the first line is sent there is no time.
    is_printing.then(|| job["progress"]["printTime"].as_f64().unwrap_or(0.0))
}

/// `GET /api/job`. The request is of HTTP/1.0, whose answers end with the connection.
async fn job(view: &View) -> io::Result<Value> {
    let mut stream = TcpStream::connect(view.printer).await?;
    let View { printer, key, .. } = view;
    let request = format!("GET /api/job HTTP/1.0\r\nHost: {printer}\r\nX-Api-Key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![];
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").and_then(|head| answer.get(head + 4..));
    serde_json::from_slice(body.unwrap_or_default()).map_err(io::Error::other)
}

async fn answer(mut stream: TcpStream, view: &View, moment: &Mutex<Moment>) -> io::Result<()> {
    let (mut head, mut part) = (vec![], [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && (head.len() as u64) < LONGEST {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            count => head.extend_from_slice(&part[..count]),
        }
    }
    let asked = String::from_utf8_lossy(&head);
    let path = asked.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next());
    let (status, kind, body) = match path {
        Some("/snapshot") => ("200 OK", "image/bmp", taken(view, moment).to_bmp()),
        _ => ("404 Not Found", "text/plain", b"there is only GET /snapshot\n".to_vec()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_printer_that_prints_moves_on() {
        let job = |state: &str, time: Value| json!({ "state": state, "progress": { "printTime": time } });
        assert_eq!(printing_for(&job("Printing", json!(12))), Some(12.0));
        assert_eq!(printing_for(&job("Printing from SD", Value::Null)), Some(0.0));
        assert_eq!(printing_for(&job("Pausing", json!(12))), None);
        assert_eq!(printing_for(&job("Operational", Value::Null)), None);
        assert_eq!(printing_for(&Value::Null), None);
    }

    /// Answers as an OctoPrint whose job is this.
    async fn printer(job: Arc<Mutex<Value>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let count = stream.read(&mut request).await.unwrap();
                assert!(String::from_utf8_lossy(&request[..count]).contains("X-Api-Key: secret\r\n"));
                let answer = format!("HTTP/1.0 200 OK\r\n\r\n{}", job.lock().unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    async fn get(at: SocketAddr, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_shows_the_moment_of_the_print() {
        let job = Arc::new(Mutex::new(json!({ "state": "Printing", "progress": { "printTime": 50 } })));
        let view =
            View { print: 1, fails_after: Some(40.0), printer: printer(job.clone()).await, key: "secret".into() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(show(listener, view));
        // The printer is asked at once.
        let expected = |glimpse| sight::frame(1, 50.0, Some(40.0), glimpse).to_bmp();
        let mut glimpse = 0;
        loop {
            glimpse += 1;
            let answer = get(at, "/snapshot").await;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: image/bmp\r\n"));
            if answer.ends_with(&expected(glimpse)) {
                break;
            }
            assert!(glimpse < 500, "it never shows the print");
            sleep(Duration::from_millis(10)).await;
        }
        assert!(get(at, "/").await.starts_with(b"HTTP/1.1 404 "));
    }
}
