//! One attempt at telling a receiver.

use super::discretion::Discretion;
use super::retry::retry_after;
use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use url::{Host, Url};

/// Of an answer; and how long one may take once its status is known.
const LONGEST_ANSWER: usize = 64 << 10;
const READING: Duration = Duration::from_secs(1);
const REDIRECTS: usize = 3;
/// Shorter than what servers commonly keep a connection for (the shortest is 5 s), so that none is ended just when it is used.
const IDLE: Duration = Duration::from_secs(4);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is posted.
#[derive(Clone)]
pub(super) struct Message {
    pub url: Url,
    pub body: Bytes,
    /// By which the receiver tells a repeat.
    pub id: Option<HeaderValue>,
    /// When it is not worth sending any more.
    pub expires: Option<tokio::time::Instant>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Taken,
    /// It would answer so again and again.
    Refused(String),
    /// Another time, perhaps when it says.
    Later {
        reason: String,
        after: Option<Duration>,
    },
}

/// How a receiver is spoken to.
#[derive(Clone)]
pub(super) struct Manner {
    /// Scheme, host and port, for people.
    pub name: String,
    pub headers: HeaderMap,
    /// Of one attempt.
    pub timeout: Duration,
    pub discretion: Arc<Discretion>,
    /// A proxy elsewhere cannot reach this machine.
    pub is_here: bool,
}

/// Whether an address is one of this machine.
pub(super) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A connection, kept between two messages if they are close together.
pub(super) struct Receiver {
    client: Client,
    manner: Manner,
}

impl Receiver {
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(manner: Manner) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(manner.timeout)
            .redirect(redirect::Policy::custom(follows))
            // It would tell the next server the address.
            .referer(false)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        let client = if manner.is_here { client.no_proxy() } else { client };
        let client = client.build().with_context(|| format!("no HTTP client for {}", manner.name))?;
        Ok(Self { client, manner })
    }

    pub fn name(&self) -> &str {
        &self.manner.name
    }

    pub async fn post(&self, message: &Message) -> Answer {
        let mut request = self.client.post(message.url.clone()).headers(self.manner.headers.clone());
        if let Some(id) = &message.id {
            request = request.header(IDEMPOTENCY_KEY, id.clone());
        }
        let response = match request.body(message.body.clone()).send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Answer::Refused(self.reason(error)),
            Err(error) => return Answer::Later { reason: self.reason(error), after: None },
        };
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry_after(value, SystemTime::now()));
        let elsewhere = elsewhere(&response);
        // The status is the answer, whatever becomes of the rest; it is read also so that the connection can be used again.
        let words = self.manner.discretion.words(&beginning(response).await);
        if status.is_success() {
            return Answer::Taken;
        }
        let reason = match elsewhere {
            Some(origin) => format!("it answers {status} and leads to {origin}, which is not followed"),
            None if words.is_empty() => format!("it answers {status}"),
            None => format!("it answers {status}: {words}"),
        };
        if is_passing(status) { Answer::Later { reason, after } } else { Answer::Refused(reason) }
    }

    /// An error with its causes, which reqwest leaves out, and without the address, which it does not.
    fn reason(&self, error: reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("it did not answer within {:?}", self.manner.timeout);
        }
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        self.manner.discretion.strike(&text)
    }
}

/// Whether the same message may be taken another time.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// A redirect is followed if it keeps the method and the body, and leads to the same server: another one must be given
/// neither the headers nor the message, and a POST that has become a GET tells nobody anything.
fn follows(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let keeps = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let stays = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    if keeps && stays && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// Where a redirect that was not followed leads to: its origin, for the rest may be a secret.
fn elsewhere(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    Some(response.url().join(location.to_str().ok()?).ok()?.origin().ascii_serialization())
}

/// The beginning of an answer, as far as it comes in time.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(part)) = response.chunk().await {
            let room = LONGEST_ANSWER - body.len();
            body.extend_from_slice(&part[..part.len().min(room)]);
            if body.len() == LONGEST_ANSWER {
                break;
            }
        }
    };
    // What has come until then is enough.
    let _ = timeout(READING, reading).await;
    body
}
