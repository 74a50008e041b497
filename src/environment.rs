//! The one place that changes the environment of the process.
//!
//! Pipelines read `JARVIS_MQTT` where they name no broker. A program that brings a broker of its own on a port that is
//! known only at the start has to say so in the same way.
#![allow(unsafe_code)]

use jarvis_runtime::mqtt_settings::BROKER_VARIABLE;
use std::net::SocketAddr;

/// Makes a broker the one of all pipelines that name none.
///
/// To be called before the first thread is started.
pub fn set_broker(address: SocketAddr) {
    // SAFETY: the environment must not be read by another thread meanwhile. `main` calls this while parsing is done
    // and nothing is started: there is no other thread.
    unsafe { std::env::set_var(BROKER_VARIABLE, format!("mqtt://{address}")) }
}

/// Whether somebody outside has said which broker there is.
pub fn names_a_broker() -> bool {
    std::env::var_os(BROKER_VARIABLE).is_some_and(|url| !url.is_empty())
}
