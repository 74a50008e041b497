//! HTTP to a printer's server: time limits, sizes, and which answer means what.

use crate::json;
use crate::secret::Secret;
use crate::wire::{BadSettings, Fault, Unsent};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use url::Url;

/// For a connection, and between two parts of an answer.
const CONNECT: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(5);
/// For an answer to a question; actions have their command's deadline.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest answer, bytes: a file listing of a well-used printer is some hundred kB.
const LONGEST: usize = 8 << 20;
/// Of a server's own words in an error.
const WORDS: usize = 300;

/// How a printer with a web server is reached.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// `http://octopi.local`, with the folder that it lives in if there is one.
    pub url: Url,
    /// Sent as `X-Api-Key`.
    pub key: Option<Secret>,
    /// How often an unchanged printer is looked at, and the pace of its news.
    pub interval: Duration,
}

impl WebSettings {
    pub fn new(url: Url, key: Option<Secret>) -> Self {
        Self { url, key, interval: Duration::from_secs(1) }
    }
}

/// A web server with a key.
pub(crate) struct Http {
    client: Client,
    base: Url,
    key: Option<Secret>,
    name: String,
}

impl Http {
    pub fn new(settings: &WebSettings) -> Result<Self, BadSettings> {
        let base = settings.url.clone();
        let name = address(&base);
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(BadSettings(format!("{name} is not the address of a web server: http://host or https://host")));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(BadSettings(format!("the address {name} has a user in it, and a key is what is needed")));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let mut value = HeaderValue::from_str(key.expose())
                .map_err(|_| BadSettings(format!("the key for {name} has characters that no key has")))?;
            value.set_sensitive(true);
            headers.insert("X-Api-Key", value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            // Long uploads and macros take their time: questions have a limit, what is sent has a deadline.
            .tcp_keepalive(QUIET)
            // A server elsewhere must not be given the key.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| BadSettings(format!("no HTTP client for {name}: {}", chain(&error))))?;
        Ok(Self { client, base, key: settings.key.clone(), name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// The address of something on the server; each segment is encoded.
    pub fn address<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The same for a path that needs no encoding: `api/job`.
    pub fn at(&self, path: &str) -> Url {
        self.address(path.split('/'))
    }

    /// The address of a WebSocket on the server.
    pub fn socket(&self, path: &str) -> Url {
        let mut url = self.at(path);
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // From http to ws it always can be changed, and it was checked to be http.
        let _ = url.set_scheme(scheme);
        url
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Asks for JSON; an empty answer is `null`.
    pub async fn get(&self, url: Url) -> Result<Value, Fault> {
        self.ask(self.request(Method::GET, url)).await
    }

    /// Asks a question that changes nothing.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Value, Fault> {
        let response = request.timeout(ANSWER).send().await.map_err(|error| Fault::Away(self.reason(error)))?;
        let status = response.status();
        let body = self.body(response).await.map_err(Fault::Away)?;
        match status {
            StatusCode::NO_CONTENT => Ok(Value::Null),
            status if status.is_success() => {
                serde_json::from_slice(&body).map_err(|_| Fault::Away(format!("{} does not answer in JSON", self.name)))
            }
            status if status.is_client_error() => {
                Err(Fault::Refused { status: status.as_u16().into(), message: self.words(&body, status) })
            }
            status => Err(Fault::Away(format!("{} answers {status}: {}", self.name, self.words(&body, status)))),
        }
    }

    /// Sends what may change something; has no time limit of its own.
    pub async fn act(&self, request: RequestBuilder) -> Result<Value, Unsent> {
        let response = request.send().await.map_err(|error| {
            let is_out = !error.is_connect();
            let why = self.reason(error);
            if is_out { Unsent::Unclear(why) } else { Unsent::NotTaken(why) }
        })?;
        let status = response.status();
        let body = self.body(response).await.unwrap_or_default();
        match status {
            status if status.is_success() => Ok(serde_json::from_slice(&body).unwrap_or(Value::Null)),
            // Something broke on the way or half way through.
            status if status.is_server_error() => {
                Err(Unsent::Unclear(format!("it answers {status}: {}", self.words(&body, status))))
            }
            status => Err(Unsent::Refused { status: status.as_u16().into(), message: self.words(&body, status) }),
        }
    }

    fn reason(&self, error: reqwest::Error) -> String {
        format!("{}: {}", self.name, self.strike(&chain(&error.without_url())))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = vec![];
        while let Some(part) = response.chunk().await.map_err(|error| self.reason(error))? {
            if body.len() + part.len() > LONGEST {
                return Err(format!("{} answers with more than {LONGEST} bytes", self.name));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// What a server says in an error: `{"error": "…"}`, `{"error": {"message": "…"}}`, `{"message": "…"}`, or text.
    fn words(&self, body: &[u8], status: StatusCode) -> String {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = ["/error/message", "/error", "/message", "/title"].iter().find_map(|p| json::text(&parsed, p));
        let said = match said {
            Some(said) => said.to_owned(),
            None => String::from_utf8_lossy(body).lines().next().unwrap_or_default().trim().to_owned(),
        };
        let said: String = said.chars().filter(|c| !c.is_control()).take(WORDS).collect();
        if said.is_empty() { status.to_string() } else { self.strike(&said) }
    }

    fn strike(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.strike_from(text))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An address without user, password and query.
fn address(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// An error with its causes, which reqwest leaves out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// A file's contents, as a body that is read while it is sent.
pub(crate) fn contents(file: tokio::fs::File) -> reqwest::Body {
    use tokio::io::AsyncReadExt;
    const PART: usize = 64 << 10;
    let parts = futures::stream::try_unfold(file, |mut file| async move {
        let mut part = bytes::BytesMut::with_capacity(PART);
        let read = file.read_buf(&mut part).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (part.freeze(), file)))
    });
    reqwest::Body::wrap_stream(parts)
}
