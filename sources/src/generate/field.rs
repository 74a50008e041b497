//! Values of one column, each a function of the seed and the row's number.

use serde::Deserialize;
use std::fmt::Write;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

/// How the values of a column are made.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Generator {
    /// Whole numbers one after the other.
    Sequence {
        #[serde(default)]
        start: i64,
        #[serde(default = "one")]
        step: i64,
    },
    /// Numbers from `min` up to, not including, `max`, all equally likely. In a column of whole numbers `max` is included.
    Uniform { min: f64, max: f64 },
    /// Numbers of the normal distribution.
    Normal { mean: f64, stddev: f64 },
    /// One of these values, all equally likely.
    Choice(Vec<serde_json::Value>),
    /// A wave: `mean` plus and minus `amplitude`, again after `period` rows.
    Sine {
        #[serde(default)]
        mean: f64,
        amplitude: f64,
        period: f64,
    },
    /// Numbers that wander: each at most `step` from the one before, between `min` and `max`.
    Walk {
        start: f64,
        step: f64,
        #[serde(default = "lowest")]
        min: f64,
        #[serde(default = "highest")]
        max: f64,
    },
    /// `prefix` and a number; after `count` of them the first one again.
    Id {
        #[serde(default)]
        prefix: String,
        #[serde(default)]
        count: Option<u64>,
    },
    /// Times: `start` (RFC 3339; the Unix epoch unless set) and `every` so much later.
    Time {
        #[serde(default)]
        start: Option<String>,
        #[serde(deserialize_with = "jarvis_spec::duration::deserialize")]
        #[schemars(with = "String")]
        every: Duration,
    },
}

fn one() -> i64 {
    1
}

fn lowest() -> f64 {
    f64::MIN
}

fn highest() -> f64 {
    f64::MAX
}

/// A column to fill.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// The name as JSON, with its colon.
    key: String,
    generator: Generator,
    whole: bool,
    seed: u64,
    /// `Time`: µs since the epoch.
    start: i64,
}

impl Field {
    /// `whole`: the column holds whole numbers. The error says what is wrong with the generator's values.
    pub fn new(name: &str, generator: Generator, whole: bool, seed: u64) -> Result<Self, String> {
        let mut start = 0;
        match &generator {
            Generator::Uniform { min, max } if !(min <= max && (max - min).is_finite()) => {
                return Err("`min` must not be above `max`".to_owned());
            }
            Generator::Normal { mean, stddev } if !(mean.is_finite() && *stddev >= 0.0 && stddev.is_finite()) => {
                return Err("`stddev` must not be negative".to_owned());
            }
            Generator::Choice(values) if values.is_empty() => {
                return Err("`choice` needs at least one value".to_owned());
            }
            Generator::Sine { mean, amplitude, period } if !(*period > 0.0 && (mean + amplitude).is_finite()) => {
                return Err("`period` must be more than 0 rows".to_owned());
            }
            Generator::Walk { start, step, min, max }
                if !(min <= start && start <= max && *step >= 0.0 && step.is_finite()) =>
            {
                return Err("`start` must lie between `min` and `max`, and `step` must not be negative".to_owned());
            }
            Generator::Id { count: Some(0), .. } => return Err("`count` must be at least 1".to_owned()),
            Generator::Time { start: Some(text), .. } => {
                start = crate::decode::micros(text)
                    .ok_or_else(|| format!("`start` must be RFC 3339 text, not {text:?}"))?;
            }
            _ => {}
        }
        // Without keys: the same from run to run.
        let seed = BuildHasherDefault::<DefaultHasher>::default().hash_one((seed, name));
        let key = format!("{}:", serde_json::Value::from(name));
        Ok(Self { key, generator, whole, seed, start })
    }

    /// The state before the first row; only walks have one.
    pub fn first_state(&self) -> f64 {
        if let Generator::Walk { start, .. } = self.generator { start } else { 0.0 }
    }

    /// The state after a row.
    pub fn next_state(&self, row: u64, state: f64) -> f64 {
        match self.generator {
            Generator::Walk { step, min, max, .. } => {
                (state + step * (2.0 * self.random(row, 0) - 1.0)).clamp(min, max)
            }
            _ => state,
        }
    }

    /// Appends the field of a row to a JSON object.
    pub fn write(&self, row: u64, state: f64, line: &mut String) {
        line.push_str(&self.key);
        // Writing into a String cannot fail.
        let _ = match &self.generator {
            Generator::Sequence { start, step } => {
                write!(line, "{}", start.wrapping_add(step.wrapping_mul(row as i64)))
            }
            Generator::Uniform { min, max } if self.whole => {
                let values = (max - min).floor() + 1.0;
                write!(line, "{}", (min + (values * self.random(row, 0)).floor()).min(*max))
            }
            Generator::Uniform { min, max } => write!(line, "{}", min + (max - min) * self.random(row, 0)),
            Generator::Normal { mean, stddev } => self.number(mean + stddev * self.normal(row), line),
            Generator::Choice(values) => {
                let index = (values.len() as f64 * self.random(row, 0)) as usize;
                write!(line, "{}", values[index.min(values.len() - 1)])
            }
            Generator::Sine { mean, amplitude, period } => {
                let turn = (row as f64 / period).fract() * std::f64::consts::TAU;
                self.number(mean + amplitude * turn.sin(), line)
            }
            Generator::Walk { .. } => self.number(state, line),
            Generator::Id { prefix, count } => {
                let number = count.map_or(row, |count| row % count);
                write!(line, "{}", serde_json::Value::from(format!("{prefix}{number}")))
            }
            Generator::Time { every, .. } => {
                let micros = self.start.saturating_add((every.as_micros() as i64).saturating_mul(row as i64));
                // A text means the same in every unit that the column may have.
                match jiff::Timestamp::from_microsecond(micros) {
                    Ok(time) => write!(line, "\"{time}\""),
                    Err(_) => write!(line, "null"),
                }
            }
        };
    }

    fn number(&self, value: f64, line: &mut String) -> std::fmt::Result {
        if self.whole { write!(line, "{}", value.round()) } else { write!(line, "{value}") }
    }

    /// Evenly from 0 up to, not including, 1.
    fn random(&self, row: u64, draw: u64) -> f64 {
        // SplitMix64 (Steele, Lea, Flood 2014), at the place that the row has in its sequence.
        let mut z = self
            .seed
            .wrapping_add((row.wrapping_mul(2).wrapping_add(draw)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller (1958).
    fn normal(&self, row: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.random(row, 0)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random(row, 1)).cos()
    }
}
