//! `jarvis top`: what a running instance does, in numbers.

use crate::client::{Client, InstanceArgument};
use crate::http::Size;
use crate::terminal::{self, columns};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);
/// The names of metrics that count errors by `code` end like this.
const ERRORS: &str = "errors_total";

#[derive(clap::Args)]
pub struct Top {
    /// Show it once and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    instance: InstanceArgument,
}

/// A stream as an instance tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Stream {
    pub name: String,
    pub role: String,
    pub kind: String,
    pub columns: Vec<String>,
    rows_in: u64,
    rows_out: u64,
    errors: u64,
    lag_us: Option<i64>,
    queued: u64,
}

/// What was seen at one time.
struct Sample {
    at: Instant,
    streams: Vec<Stream>,
    sizes: Vec<Size>,
    /// Errors by code.
    errors: BTreeMap<String, u64>,
}

impl Top {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = self.instance.client()?;
        let redraw = !self.once && terminal::on_terminal(&std::io::stdout());
        let mut last = Sample::take(&client)?;
        loop {
            std::thread::sleep(PERIOD);
            let now = Sample::take(&client)?;
            let text = now.shown(&last, &client);
            // From the upper left corner, and nothing of the last picture below.
            terminal::print(&if redraw { format!("\x1b[H\x1b[J{text}") } else { text })?;
            if self.once {
                return Ok(ExitCode::SUCCESS);
            }
            last = now;
        }
    }
}

impl Sample {
    fn take(client: &Client) -> anyhow::Result<Self> {
        let metrics = client.get("/metrics")?.all()?;
        Ok(Self {
            at: Instant::now(),
            streams: client.json("/streams")?,
            sizes: client.json("/sizes")?,
            errors: errors_by_code(&String::from_utf8_lossy(&metrics)),
        })
    }

    fn shown(&self, before: &Self, client: &Client) -> String {
        let (rows, bytes) = self.sizes.iter().fold((0, 0), |(r, b), s| (r + s.rows, b + s.bytes));
        let mut text = format!(
            "jarvis at {}: {}, {} rows held in {}\n\n",
            client.address(),
            terminal::counted(self.streams.len() as u64, "stream"),
            rows,
            in_bytes(bytes)
        );
        text += &columns(&self.stream_rows(before));
        if rows > 0 {
            text.push('\n');
            text += &columns(&self.size_rows());
        }
        if !self.errors.is_empty() {
            text += "\nerrors\n";
            for (code, count) in &self.errors {
                // Writing to a String does not fail.
                let _ = writeln!(text, "{count:>8}  {code}");
            }
        }
        text
    }

    fn stream_rows(&self, before: &Self) -> Vec<Vec<String>> {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let earlier: HashMap<&str, &Stream> = before.streams.iter().map(|s| (s.name.as_str(), s)).collect();
        let heading = ["stream", "", "kind", "in/s", "out/s", "in", "out", "lag", "queued", "errors"];
        let row = |s: &Stream| {
            let (rows_in, rows_out) =
                earlier.get(s.name.as_str()).map_or((s.rows_in, s.rows_out), |e| (e.rows_in, e.rows_out));
            let rate = |now: u64, then: u64| rate(now.saturating_sub(then) as f64 / seconds);
            vec![
                s.name.clone(),
                s.role.clone(),
                s.kind.clone(),
                rate(s.rows_in, rows_in),
                rate(s.rows_out, rows_out),
                s.rows_in.to_string(),
                s.rows_out.to_string(),
                s.lag_us.map_or_else(|| "-".to_owned(), lag),
                s.queued.to_string(),
                s.errors.to_string(),
            ]
        };
        std::iter::once(heading.map(str::to_owned).to_vec()).chain(self.streams.iter().map(row)).collect()
    }

    /// The operators that hold anything, the largest first.
    fn size_rows(&self) -> Vec<Vec<String>> {
        let mut sizes: Vec<&Size> = self.sizes.iter().filter(|s| s.rows > 0).collect();
        sizes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.operator.cmp(&b.operator)));
        let heading = ["state", "rows", "bytes"].map(str::to_owned).to_vec();
        let row = |s: &&Size| vec![s.operator.clone(), s.rows.to_string(), in_bytes(s.bytes)];
        std::iter::once(heading).chain(sizes.iter().map(row)).collect()
    }
}

/// Sums the counters of errors in Prometheus text by their label `code`.
fn errors_by_code(metrics: &str) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
        if !name.ends_with(ERRORS) {
            continue;
        }
        let code = labels.split(',').find_map(|label| label.trim().strip_prefix("code=\"")?.strip_suffix('"'));
        let count = value.trim().parse::<f64>().unwrap_or(0.0);
        if let Some(code) = code
            && count > 0.0
        {
            *codes.entry(code.to_owned()).or_default() += count as u64;
        }
    }
    codes
}

fn rate(rows: f64) -> String {
    if rows == 0.0 || rows >= 10.0 { format!("{rows:.0}") } else { format!("{rows:.1}") }
}

fn lag(micros: i64) -> String {
    match micros.unsigned_abs() {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..120_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => format!("{} min", micros / 60_000_000),
    }
}

fn in_bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_summed_by_code_over_streams() {
        let metrics = "# TYPE jarvis_errors_total counter\n\
            jarvis_errors_total{stream=\"a.b\",code=\"wrong_type\"} 2\n\
            jarvis_errors_total{code=\"wrong_type\",stream=\"a.c\"} 1\n\
            jarvis_errors_total{stream=\"a.c\",code=\"json_syntax\"} 0\n\
            jarvis_rows_total{code=\"wrong_type\"} 5\n\
            up 1\n";
        assert_eq!(errors_by_code(metrics), BTreeMap::from([("wrong_type".to_owned(), 3)]));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([rate(0.0), rate(0.5), rate(1234.5)], ["0", "0.5", "1234"]);
        assert_eq!([lag(5), lag(2_500), lag(-3_000_000), lag(600_000_000)], ["5 us", "2 ms", "-3.0 s", "10 min"]);
        assert_eq!([in_bytes(9), in_bytes(20_000), in_bytes(20_000_000)], ["9 B", "20 kB", "20 MB"]);
    }
}
