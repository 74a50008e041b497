//! MQTT for the benchmarks: a broker to talk to, and how long a message takes through it.

mod broker;
mod connection;
mod latency;

pub use broker::Broker;
pub use connection::{Address, connect};
pub use latency::{Latencies, Load, measure};
