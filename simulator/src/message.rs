//! What devices publish.
//!
//! | Topic | Payload | Retained |
//! |---|---|---|
//! | `jarvis/printers/{printer}/temperature/{tool}` | `{"_timestamp": ms, "actual": °C, "target": °C}` | no |
//! | `jarvis/printers/{printer}/job` | `{"at": ms, "job": id or null, "state": text, "progress": percent}` | no |
//! | `jarvis/printers/{printer}/filament` | `{"spool": id, "material": text, "remaining_g": grams}` | yes |
//! | `jarvis/doors/{door}/state` | `{"state": "open" or "closed", "since": ms}` | yes |
//! | `jarvis/devices/{device}/heartbeat` | `{"sent": ms, "uptime_s": seconds}` | no |
//! | `jarvis/sensors/{sensor}/{quantity}` | a number | no |
//!
//! `ms` are milliseconds since the Unix epoch. Temperatures have the shape of OctoPrint's MQTT plugin. Retained topics are
//! states: a broker hands the last one to whoever subscribes later.

use serde_json::json;

/// One MQTT message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
}

impl Message {
    fn telemetry(topic: String, payload: impl ToString) -> Self {
        Self { topic, payload: payload.to_string(), retain: false }
    }

    fn state(topic: String, payload: impl ToString) -> Self {
        Self { topic, payload: payload.to_string(), retain: true }
    }

    pub fn temperature(printer: &str, tool: &str, actual: f64, target: f64, now_ms: i64) -> Self {
        Self::telemetry(
            format!("jarvis/printers/{printer}/temperature/{tool}"),
            json!({ "_timestamp": now_ms, "actual": rounded(actual, 2), "target": target }),
        )
    }

    /// `progress` in percent.
    pub fn job(printer: &str, job: Option<&str>, state: &str, progress: f64, now_ms: i64) -> Self {
        Self::telemetry(
            format!("jarvis/printers/{printer}/job"),
            json!({ "at": now_ms, "job": job, "state": state, "progress": rounded(progress, 3) }),
        )
    }

    pub fn filament(printer: &str, spool: &str, material: &str, remaining_g: f64) -> Self {
        Self::state(
            format!("jarvis/printers/{printer}/filament"),
            json!({ "spool": spool, "material": material, "remaining_g": rounded(remaining_g, 2) }),
        )
    }

    pub fn door(door: &str, open: bool, since_ms: i64) -> Self {
        let state = if open { "open" } else { "closed" };
        Self::state(format!("jarvis/doors/{door}/state"), json!({ "state": state, "since": since_ms }))
    }

    pub fn heartbeat(device: &str, uptime_s: u64, now_ms: i64) -> Self {
        Self::telemetry(format!("jarvis/devices/{device}/heartbeat"), json!({ "sent": now_ms, "uptime_s": uptime_s }))
    }

    pub fn sensor(sensor: &str, quantity: &str, value: f64) -> Self {
        Self::telemetry(format!("jarvis/sensors/{sensor}/{quantity}"), rounded(value, 2))
    }
}

/// As devices do: so many digits and no more.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_documented_shapes() {
        let told = [
            Message::temperature("p1", "tool0", 211.037, 210.0, 1_700_000_000_000),
            Message::job("p1", None, "idle", 0.0, 1_700_000_000_000),
            Message::filament("p1", "s1", "PLA", 99.999),
            Message::door("d1", true, 1_700_000_000_000),
            Message::heartbeat("cam", 12, 1_700_000_000_000),
            Message::sensor("s1", "humidity", 41.256),
        ];
        let lines: Vec<String> = told
            .iter()
            .map(|m| format!("{} {} {}", m.topic, m.payload, if m.retain { "retained" } else { "-" }))
            .collect();
        assert_eq!(
            lines,
            [
                r#"jarvis/printers/p1/temperature/tool0 {"_timestamp":1700000000000,"actual":211.04,"target":210.0} -"#,
                r#"jarvis/printers/p1/job {"at":1700000000000,"job":null,"state":"idle","progress":0.0} -"#,
                r#"jarvis/printers/p1/filament {"spool":"s1","material":"PLA","remaining_g":100.0} retained"#,
                r#"jarvis/doors/d1/state {"state":"open","since":1700000000000} retained"#,
                r#"jarvis/devices/cam/heartbeat {"sent":1700000000000,"uptime_s":12} -"#,
                "jarvis/sensors/s1/humidity 41.26 -",
            ]
        );
    }
}
