//! The state of the connection: told to people once per change, and how long to wait before the next try.

use jarvis_runtime::mqtt_settings::BrokerSettings;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A connection that held this long was a good one.
const HELD: Duration = Duration::from_secs(5);
/// After so many short connections in a row something is wrong with all of them.
const SHORT_ONES: u32 = 3;

/// Follows the connection of one stream.
pub(super) struct Link {
    stream: String,
    broker: String,
    client_id: String,
    state: State,
    tries: u32,
    short: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    Up(Instant),
    /// What was told about it.
    Down(String),
}

/// Something that people must set right, as an error row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub code: &'static str,
    pub message: String,
}

impl Link {
    pub fn new(stream: &str, settings: &BrokerSettings) -> Self {
        let (broker, client_id) = (settings.to_string(), settings.client_id.clone());
        Self { stream: stream.to_owned(), broker, client_id, state: State::New, tries: 0, short: 0 }
    }

    pub fn up(&mut self, resumed: bool) {
        tracing::info!(stream = self.stream, broker = self.broker, resumed, "connected");
        self.gauge(1.0);
        self.state = State::Up(Instant::now());
    }

    /// The connection is gone, or could not be made. Returns how long to wait, and a problem if it is a new one.
    pub fn down(&mut self, error: &ConnectionError) -> (Duration, Option<Problem>) {
        self.gauge(0.0);
        if let State::Up(since) = self.state {
            metrics::counter!("jarvis_mqtt_lost_connections_total", "stream" => self.stream.clone()).increment(1);
            let held = since.elapsed() >= HELD;
            self.short = if held { 0 } else { self.short + 1 };
            self.tries = if held { 0 } else { self.tries };
        }
        let problem = self.problem(error);
        let told = problem.as_ref().map_or_else(|| describe(error), |problem| problem.message.clone());
        let new = self.state != State::Down(told.clone());
        if new && problem.is_some() {
            tracing::error!(stream = self.stream, broker = self.broker, "{told}; trying again");
        } else if new {
            tracing::warn!(stream = self.stream, broker = self.broker, "not connected: {told}; trying again");
        }
        self.state = State::Down(told);
        self.tries += 1;
        (wait(self.tries), problem.filter(|_| new))
    }

    fn problem(&self, error: &ConnectionError) -> Option<Problem> {
        let problem = |code, what: &str| {
            let message = format!("the broker {} {what}", self.broker);
            Some(Problem { code, message })
        };
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => problem(
                "broker_refused",
                "refuses the user name or password: check `username` and `password`, and whether the broker lets this user connect",
            ),
            ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => problem(
                "broker_refused",
                &format!("refuses the client id `{}`: choose another `client_id`", self.client_id),
            ),
            ConnectionError::Tls(error) => problem("broker_tls", &format!("and jarvis cannot agree on TLS: {error}")),
            _ if self.short >= SHORT_ONES && matches!(self.state, State::Up(_)) => problem(
                "broker_drops",
                &format!(
                    "drops the connection again and again, {}: is another client using the id `{}`?",
                    describe(error),
                    self.client_id
                ),
            ),
            _ => None,
        }
    }

    fn gauge(&self, value: f64) {
        metrics::gauge!("jarvis_mqtt_connected", "stream" => self.stream.clone()).set(value);
    }
}

/// The reason in words for people; rumqttc's are for programmers.
fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            _ => error.to_string(),
        },
        ConnectionError::MqttState(StateError::Deserialization(rumqttc::mqttbytes::Error::Io(error))) => {
            error.to_string()
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => "the broker closed the connection".to_owned(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => "the broker no longer answers".to_owned(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the broker does not answer".to_owned(),
        ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
            "the broker is not available".to_owned()
        }
        other => other.to_string(),
    }
}

/// Doubles from try to try, with a random part, so that many clients do not come back at the same moment.
fn wait(tries: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    let random = RandomState::new().hash_one(tries) as f64 / u64::MAX as f64;
    longest.mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jarvis_runtime::mqtt_settings::Security;

    fn link() -> Link {
        let settings = BrokerSettings {
            host: "b".into(),
            port: 1883,
            security: Security::Plain,
            username: None,
            password: None,
            client_id: "me".into(),
            clean_session: false,
            keep_alive: Duration::from_secs(30),
        };
        Link::new("p.s", &settings)
    }

    #[test]
    fn waits_grow_to_a_limit() {
        for (tries, longest) in [(1, 100), (2, 200), (3, 400), (7, 6400), (8, 10_000), (1000, 10_000)] {
            let wait = wait(tries).as_millis();
            assert!(wait >= longest / 2 && wait <= longest, "{tries}: {wait}");
        }
    }

    #[test]
    fn a_problem_is_told_once_until_it_changes() {
        let mut link = link();
        let refused = || ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        let problem = link.down(&refused()).1.expect("new");
        assert!(problem.message.starts_with("the broker mqtt://b:1883 refuses the user name or password"));
        assert_eq!(link.down(&refused()).1, None);
        assert_eq!(link.down(&ConnectionError::NetworkTimeout).1, None);
        assert!(link.down(&refused()).1.is_some());
    }

    #[test]
    fn connections_that_never_hold_are_a_problem() {
        let mut link = link();
        let problems: Vec<_> = (0..4)
            .map(|_| {
                link.up(true);
                link.down(&ConnectionError::MqttState(StateError::ConnectionAborted)).1.map(|problem| problem.code)
            })
            .collect();
        assert_eq!(problems, [None, None, Some("broker_drops"), Some("broker_drops")]);
    }
}
