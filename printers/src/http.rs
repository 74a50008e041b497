//! HTTP to a printer's server: time limits, sizes, and which answer means what.

use crate::json;
use crate::login::{Digest, Login};
use crate::secret::Secret;
use crate::wire::{BadSettings, Fault, Unsent};
use crate::words;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// For a connection, and between two parts of an answer.
const CONNECT: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(5);
/// For an answer to a question; actions have their command's deadline.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest answer, bytes: a file listing of a well-used printer is some hundred kB.
const LONGEST: usize = 8 << 20;

/// How a printer with a web server is reached.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// `http://octopi.local`, with the folder that it lives in if there is one.
    pub url: Url,
    /// Sent as `X-Api-Key`.
    pub key: Option<Secret>,
    /// For servers that want HTTP Digest instead of a key.
    pub login: Option<Login>,
    /// How often an unchanged printer is looked at, and the pace of its news.
    pub interval: Duration,
}

impl WebSettings {
    pub fn new(url: Url, key: Option<Secret>) -> Self {
        Self { url, key, login: None, interval: Duration::from_secs(1) }
    }
}

/// A web server with a key or a login.
pub(crate) struct Http {
    client: Client,
    base: Url,
    key: Option<Secret>,
    digest: Option<Digest>,
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
            return Err(BadSettings(format!(
                "the address {name} has a user in it: a key, or a user and a password, stand beside it"
            )));
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
        let digest = settings.login.as_ref().map(Digest::new);
        Ok(Self { client, base, key: settings.key.clone(), digest, name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// The key or the password: what nobody is to see.
    pub fn secret(&self) -> Option<&Secret> {
        self.key.as_ref().or(self.digest.as_ref().map(Digest::password))
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

    /// What it says of something that may not be there, and is `null` then.
    pub async fn find(&self, url: Url) -> Result<Value, Fault> {
        match self.get(url).await {
            Err(Fault::Refused { status: 404, .. }) => Ok(Value::Null),
            answer => answer,
        }
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request, once more if the server wants another login with it.
    async fn send(&self, request: Request) -> Result<Response, reqwest::Error> {
        let Some(digest) = &self.digest else { return self.client.execute(request).await };
        let again = request.try_clone();
        let (answer, is_asked) = self.try_login(digest, request).await?;
        match again.filter(|_| is_asked) {
            Some(again) => Ok(self.try_login(digest, again).await?.0),
            None => Ok(answer),
        }
    }

    /// What is read from a file while it is sent cannot be sent again: what the server wants is found out before, with a question
    /// that needs a login as well.
    async fn prepare(&self, request: &Request) -> Result<(), reqwest::Error> {
        if let Some(digest) = &self.digest
            && request.try_clone().is_none()
        {
            let asking = self.client.get(self.at("api/version")).timeout(ANSWER).build()?;
            self.try_login(digest, asking).await?;
        }
        Ok(())
    }

    /// The answer, and whether another login may open the door.
    async fn try_login(&self, digest: &Digest, mut request: Request) -> Result<(Response, bool), reqwest::Error> {
        let signed = digest.sign(&mut request);
        let answer = self.client.execute(request).await?;
        let is_asked = digest.is_asked(&answer, signed.as_deref());
        Ok((answer, is_asked))
    }

    /// Asks for JSON; an empty answer is `null`.
    pub async fn get(&self, url: Url) -> Result<Value, Fault> {
        self.ask(self.request(Method::GET, url)).await
    }

    /// Asks a question that changes nothing.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Value, Fault> {
        let response = self.answer(in_json(request).timeout(ANSWER)).await?;
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

    /// Whether what it answers is what a file holds. It is read side by side and no further than to the first difference.
    pub async fn is_same(&self, url: Url, path: &Path) -> Result<bool, Fault> {
        use tokio::io::AsyncReadExt;
        let away = |error: reqwest::Error| Fault::Away(self.reason(error));
        let mut response = self.answer(self.request(Method::GET, url)).await?;
        let Ok(mut file) = tokio::fs::File::open(path).await else { return Ok(false) };
        if !response.status().is_success() {
            return Ok(false);
        }
        let mut ours = vec![];
        while let Some(theirs) = response.chunk().await.map_err(away)? {
            ours.resize(theirs.len(), 0);
            if file.read_exact(&mut ours).await.is_err() || ours != theirs {
                return Ok(false);
            }
        }
        Ok(file.read(&mut [0]).await.is_ok_and(|read| read == 0))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let sent = async { self.send(request.build()?).await };
        sent.await.map_err(|error| Fault::Away(self.reason(error)))
    }

    /// Sends what may change something; has no time limit of its own.
    pub async fn act(&self, request: RequestBuilder) -> Result<Value, Unsent> {
        let not_taken = |error| Unsent::NotTaken(self.reason(error));
        let request = in_json(request).build().map_err(not_taken)?;
        self.prepare(&request).await.map_err(not_taken)?;
        let response = self.send(request).await.map_err(|error| {
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
            Some(said) => words::sentence(said, self.secret()),
            // Nobody reads a page for people.
            None if body.trim_ascii_start().starts_with(b"<") => String::new(),
            None => words::sentence(String::from_utf8_lossy(body).trim(), self.secret()),
        };
        if said.is_empty() { status.to_string() } else { said }
    }

    fn strike(&self, text: &str) -> String {
        self.secret().map_or_else(|| text.to_owned(), |secret| secret.strike_from(text))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Asks for an answer in JSON: PrusaLink explains its errors in pages of text otherwise.
fn in_json(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT, "application/json")
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

/// A file's size; `None` if it cannot be read.
pub(crate) async fn size(path: &Path) -> Option<u64> {
    tokio::fs::metadata(path).await.ok().map(|file| file.len())
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
