//! How rumqttc is told to connect.

use jarvis_runtime::mqtt_settings::{BrokerSettings, Security};
use rumqttc::{AsyncClient, EventLoop, MqttOptions, NetworkOptions, TlsConfiguration, Transport};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest packet that MQTT has, bytes.
pub(super) const LONGEST_PACKET: usize = 268_435_455;

/// A broker to connect to.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    settings: BrokerSettings,
}

impl Broker {
    /// `own_name`: the client id is ours to choose. A sink has no session at the broker that it would have to find
    /// again, and two clients of one name throw each other out.
    pub fn new(mut settings: BrokerSettings, own_name: bool) -> Self {
        static SINKS: AtomicU64 = AtomicU64::new(0);
        if own_name {
            let number = SINKS.fetch_add(1, Ordering::Relaxed);
            settings.client_id = format!("{}-{:x}-{number:x}", settings.client_id, std::process::id());
        }
        Self { settings }
    }

    /// A connection that does not know of earlier ones; at most `window` messages may be unacknowledged.
    pub fn connection(&self, window: u16) -> (AsyncClient, EventLoop) {
        let (client, mut events) = AsyncClient::new(self.options(window), usize::from(window) + 1);
        let mut network = NetworkOptions::new();
        // Else a small message waits for the acknowledgement of the one before it.
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        (client, events)
    }

    fn options(&self, window: u16) -> MqttOptions {
        let settings = &self.settings;
        let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options
            .set_clean_session(true)
            .set_keep_alive(settings.keep_alive)
            .set_inflight(window)
            .set_max_packet_size(LONGEST_PACKET, LONGEST_PACKET);
        if let Some(user) = &settings.username {
            let password = settings.password.as_ref().map_or("", |password| password.expose());
            options.set_credentials(user.expose(), password);
        }
        match &settings.security {
            Security::Plain => {}
            Security::Tls(config) => {
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config.clone())));
            }
        }
        options
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}
