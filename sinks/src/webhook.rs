//! `webhook`: posts what a view tells to a URL.

mod address;
mod body;
mod discretion;
mod driver;
mod queue;
mod receiver;
mod retry;
mod template;

use crate::telling::Telling;
use address::Address;
use body::Body;
use discretion::Discretion;
use driver::WebhookDriver;
use jarvis_runtime::kinds::{PlanContext, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::{As, Publish};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Secret, Spanned};
use receiver::{Manner, is_here};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Posts what a view tells to a URL, as JSON or in a shape of your own.
///
/// * `as: events`: `{"event":"raised","id":..,"time":..,<the row>}` when a row appears and, with `clear: true`,
///   `{"event":"cleared","id":..,"of":..,"time":..,<the key>}` when it goes. The `id` is also the header
///   `Idempotency-Key`, the same after a restart: a receiver that has seen it can drop the request.
/// * `as: state`: the row; `{"_deleted":true,<the key>}` when it goes.
/// * `as: changes`: the row with `_time` and `_diff`.
///
/// Requests go one at a time, in order, at least once. 2xx: the receiver has it. 408, 425, 429, 5xx, no answer or no
/// connection: it is tried again after 1 s and more, up to 1 min, or as long as `Retry-After` says (at most 1 h), until it
/// gets through or its `ttl` is over; meanwhile the others wait and, when 1,000 do, the graph. Every other answer: the
/// receiver will never take it, so it is left out, with an error in the log. Of redirects 307 and 308 are followed, to the
/// same scheme, host and port only. A stop waits while requests go through, and says what is left when none did for 8 s.
/// The proxy is that of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), except for this machine's own addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// `https://` or `http://`, perhaps `user:password@`, host, path and query; in the latter two with `{column}` where a
    /// column's value goes, percent-encoded. No log shows more of it than the host.
    pub url: Spanned<Secret>,
    /// How the view is told.
    #[serde(default, rename = "as")]
    pub mode: Option<Spanned<As>>,
    /// Events: say also that one has cleared.
    #[serde(default)]
    pub clear: bool,
    /// Events and state: the columns that say which one a row is about; the url's columns if left out, or else all.
    #[serde(default)]
    pub key: Option<Vec<Spanned<String>>>,
    /// Events: how long one is worth telling. It says when it `expires`, and is dropped if it does not get through before.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    pub ttl: Option<Duration>,
    /// What to send instead: a mapping or a list (sent as JSON), or a text, with `{column}` in its texts, and the event's
    /// `{event}`, `{id}`, `{of}` and `{time}`, a state's `{_deleted}`, or a change's `{_time}` and `{_diff}`. A text in a
    /// mapping that is nothing but `{column}` becomes its value: a number stays one. `{{` and `}}` are braces.
    #[serde(default)]
    pub body: Option<Node>,
    /// Sent with each request: `{ Authorization: "Bearer ${TOKEN}" }`. No log shows their values.
    #[serde(default)]
    pub headers: BTreeMap<String, Spanned<Secret>>,
    /// For one attempt, from the connection to the answer; 10s if left out.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Headers that the sink writes itself, or that are between the two ends of a connection.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(crate) struct Webhook;

impl SinkKind for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn options(&self) -> Schema {
        schema_for!(WebhookOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let read: WebhookOptions = options.parse()?;
        let mut findings = Diagnostics::default();
        let publish = read.telling(stream, options).publish().map_err(|more| findings.extend(more)).ok();
        let address = findings.keep(read.address(stream, options));
        let publish = publish
            .zip(address.as_ref())
            .and_then(|(publish, address)| findings.keep(read.identified(publish, address)));
        let headers = read.headers().map_err(|more| findings.extend(more)).ok();
        let timeout = findings.keep(read.timeout(options));
        let body = publish
            .as_ref()
            .and_then(|publish| read.body(publish, stream, options).map_err(|more| findings.extend(more)).ok());
        let (Some(publish), Some(address), Some(headers), Some(timeout), Some(body), true) =
            (publish, address, headers, timeout, body, findings.is_empty())
        else {
            return Err(findings);
        };
        let manner = read.manner(options, &address, &body, headers, timeout);
        let driver = WebhookDriver::new(publish.clone(), stream, address, body, manner)
            .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()))?;
        Ok(SinkPlan { publish, driver: Box::new(driver) })
    }
}

impl WebhookOptions {
    fn telling<'a>(&'a self, stream: &'a StreamSpec, options: &'a Node) -> Telling<'a> {
        Telling {
            stream,
            options,
            mode: self.mode.as_ref(),
            default: None,
            clear: self.clear,
            key: self.key.as_deref(),
            ttl: self.ttl,
            // As written, before `${NAME}` was replaced: a new token does not make the old events new ones.
            destination: format!("webhook:{}", self.url.span.source()),
        }
    }

    fn address(&self, stream: &StreamSpec, options: &Node) -> Result<Address, Diagnostic> {
        Address::parse(self.url.value.expose(), &stream.schema)
            .map_err(|problem| Diagnostic::error("url", options.redacted(&problem)).at(&self.url.span))
    }

    /// The identity, where the key leaves it to the address.
    fn identified(&self, publish: Publish, address: &Address) -> Result<Publish, Diagnostic> {
        let columns = address.columns();
        let identity = match (publish.mode, publish.identity) {
            (As::Changes, identity) => identity,
            (_, None) => Some(columns).filter(|columns| !columns.is_empty()),
            (mode, Some(key)) if (mode == As::State || publish.clear) && columns.iter().any(|c| !key.contains(c)) => {
                let message =
                    "the `url` names a column that the key does not: of a row that is gone only the key is known";
                return Err(Diagnostic::error("wrong_value", message)
                    .at(&self.url.span)
                    .help("add the column to `key`, or leave `key` out"));
            }
            (_, key) => key,
        };
        Ok(Publish { identity, ..publish })
    }

    fn timeout(&self, options: &Node) -> Result<Duration, Diagnostic> {
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        if timeout.is_zero() {
            let span = options.get("timeout").unwrap_or(options).span();
            let error = Diagnostic::error("wrong_value", "nothing is answered in no time").at(span);
            return Err(error.help("write a timeout such as `10s`"));
        }
        Ok(timeout)
    }

    fn headers(&self) -> Result<HeaderMap, Diagnostics> {
        let mut findings = Diagnostics::default();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let Some((name, value)) = findings.keep(header(name, value)) {
                headers.insert(name, value);
            }
        }
        if findings.is_empty() { Ok(headers) } else { Err(findings) }
    }

    fn body(&self, publish: &Publish, stream: &StreamSpec, options: &Node) -> Result<Body, Diagnostics> {
        match &self.body {
            Some(shape) => Body::shaped(shape, publish, &stream.schema),
            None => Body::publication(publish, &stream.schema)
                .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()).into()),
        }
    }

    fn manner(&self, options: &Node, address: &Address, body: &Body, own: HeaderMap, timeout: Duration) -> Manner {
        let sample = address.sample();
        let values = self.headers.values().map(|value| value.value.expose());
        let discretion = Arc::new(Discretion::new(options, address, values));
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("jarvis/", env!("CARGO_PKG_VERSION"))));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type()));
        headers.extend(own);
        let name = sample.origin().ascii_serialization();
        Manner { name, headers, timeout, discretion, is_here: is_here(sample) }
    }
}

fn header(name: &str, value: &Spanned<Secret>) -> Result<(HeaderName, HeaderValue), Diagnostic> {
    let error = |message: String| Diagnostic::error("header", message).at(&value.span);
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.map_err(|_| error(format!("`{name}` is not the name of an HTTP header")))?;
    if OWN_HEADERS.contains(&parsed.as_str()) {
        return Err(error(format!("the header `{name}` is written by the sink itself")).help("leave it out"));
    }
    let mut value = HeaderValue::from_str(value.value.expose())
        .map_err(|_| error(format!("the value of the header `{name}` has characters that no header has")))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

#[cfg(test)]
mod tests;
