//! Which MQTT broker, as whom and how safely: the options that the `mqtt` source and the `mqtt` sink share.
//!
//! This is about settings only; the kinds speak the protocol.

mod tls;
mod url;

pub use tls::TlsOptions;

use crate::kinds::PlanContext;
use jarvis_spec::{Diagnostic, Secret};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;
use url::BrokerUrl;

/// The environment variable that names the broker where a pipeline does not.
pub const BROKER_VARIABLE: &str = "JARVIS_MQTT";
/// The broker where neither the pipeline nor the environment names one.
pub const DEFAULT_BROKER: &str = "mqtt://127.0.0.1:1883";
/// How often a silent connection shows that it is alive, unless the options say otherwise.
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What the protocol can say as a keep-alive: 16 bits of seconds.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(65_535);

/// The options as a kind has read them among its own.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    /// `mqtt://` or `mqtts://`, host, and perhaps `user:password@` and `:port`.
    pub broker: Option<Secret>,
    pub client_id: Option<String>,
    pub clean_session: Option<bool>,
    pub username: Option<Secret>,
    pub password: Option<Secret>,
    pub tls: Option<TlsOptions>,
    pub keep_alive: Option<Duration>,
}

/// Everything needed to connect. [`Debug`](fmt::Debug) and [`Display`](fmt::Display) show no secret.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub username: Option<Secret>,
    pub password: Option<Secret>,
    /// Stable from run to run, so that the broker knows the session again.
    pub client_id: String,
    /// `false`: the broker keeps what comes while jarvis is away.
    pub clean_session: bool,
    pub keep_alive: Duration,
}

/// How the connection is protected.
#[derive(Clone, Debug)]
pub enum Security {
    Plain,
    /// TLS with everything that it needs.
    Tls(Arc<rustls::ClientConfig>),
}

/// `mqtts://broker:8883`, without credentials.
impl fmt::Display for BrokerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self.security, Security::Plain) { "mqtt" } else { "mqtts" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Completes the options with the environment and the defaults and reads the files that they name.
///
/// `stream` and `role` (`in`, `out`) go into the client id, for a source and a sink must not share a connection: with
/// one for both, acknowledgements wait for each other.
///
/// # Errors
/// A URL that is not one, a password without a user, certificates that cannot be read, a keep-alive that MQTT cannot
/// say. The diagnostic has no place yet.
pub fn broker_settings(
    options: BrokerOptions,
    stream: &str,
    role: &str,
    context: &PlanContext,
) -> Result<BrokerSettings, Diagnostic> {
    let url = match &options.broker {
        Some(url) => BrokerUrl::parse(url.expose()).map_err(|problem| broker_url("`broker`", problem))?,
        None => match std::env::var(BROKER_VARIABLE) {
            Ok(url) if !url.is_empty() => {
                BrokerUrl::parse(&url).map_err(|problem| broker_url("the environment variable JARVIS_MQTT", problem))?
            }
            _ => BrokerUrl::parse(DEFAULT_BROKER).map_err(|problem| broker_url("the default broker", problem))?,
        },
    };
    let security = match (url.tls, &options.tls) {
        (false, None) => Security::Plain,
        (false, Some(_)) => {
            let message = "the options have `tls`, but the broker's URL does not begin with mqtts://";
            return Err(
                Diagnostic::error("broker_tls", message).help("write `broker: mqtts://HOST`, or leave `tls` out")
            );
        }
        (true, options) => tls::security(&options.clone().unwrap_or_default(), context)?,
    };
    let keep_alive = options.keep_alive.unwrap_or(DEFAULT_KEEP_ALIVE);
    if keep_alive < Duration::from_secs(1) || keep_alive > LONGEST_KEEP_ALIVE {
        let message = format!("a keep-alive of {} cannot be sent", jarvis_spec::duration::format(keep_alive));
        return Err(Diagnostic::error("wrong_value", message).help("choose one from 1s to 65535s (18h12m15s)"));
    }
    let username = options.username.or(url.username);
    let password = options.password.or(url.password);
    if password.is_some() && username.is_none() {
        let message = "there is a password for the broker, but no user name";
        return Err(Diagnostic::error("missing_key", message).help("add `username`"));
    }
    let client_id = options.client_id.unwrap_or_else(|| client_id(stream, role, context));
    if client_id.is_empty() {
        return Err(Diagnostic::error("wrong_value", "`client_id` is empty").help("leave it out, or write a name"));
    }
    let clean_session = options.clean_session.unwrap_or(false);
    Ok(BrokerSettings {
        host: url.host,
        port: url.port,
        security,
        username,
        password,
        client_id,
        clean_session,
        keep_alive,
    })
}

fn broker_url(what: &str, problem: &str) -> Diagnostic {
    // The text itself may hold a password: it is not shown.
    Diagnostic::error("broker_url", format!("{what} is not the URL of a broker: {problem}"))
        .help("write mqtt://HOST, mqtt://HOST:1883 or mqtts://USER:PASSWORD@HOST:8883")
}

/// A name that stays the same from run to run and differs between machines, checkouts and data folders, since two
/// clients of one name throw each other out.
fn client_id(stream: &str, role: &str, context: &PlanContext) -> String {
    let machine = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let folder = std::path::absolute(&context.folder).unwrap_or_else(|_| context.folder.clone());
    // DefaultHasher without keys: the same from run to run.
    let place = BuildHasherDefault::<DefaultHasher>::default().hash_one((machine, folder, &context.data));
    format!("jarvis-{:08x}-{stream}-{role}", place as u32)
}

#[cfg(test)]
mod tests;
