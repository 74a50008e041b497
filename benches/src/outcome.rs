//! What a view's changes come to in the end, and whether two of them agree.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// How far two computations of one float may be apart, relative to the greater: sums in another order differ a little.
const TOLERANCE: f64 = 1e-9;

type Row = BTreeMap<String, Value>;

/// The rows of a view and how often each is in it.
#[derive(Debug, Default)]
pub struct Outcome {
    rows: Vec<(Row, i64)>,
    /// Changes read, and those that were retractions.
    pub changes: u64,
}

impl Outcome {
    /// Adds up a file of JSON lines: `_diff` per row, 1 where there is none; `_time` does not count. Columns in
    /// `moments` are brought to µs since the epoch.
    pub fn read(path: &Path, moments: &[&str]) -> Result<Self> {
        let read = || -> Result<Self> {
            let mut sums: HashMap<String, i64> = HashMap::new();
            let mut changes = 0;
            for line in BufReader::new(File::open(path)?).lines() {
                let line = line?;
                let (row, diff) = change(&line, moments).with_context(|| format!("in the line {line}"))?;
                *sums.entry(serde_json::to_string(&row)?).or_default() += diff;
                changes += 1;
            }
            let held = sums.into_iter().filter(|(_, count)| *count != 0);
            let rows = held.map(|(row, count)| Ok((serde_json::from_str(&row)?, count))).collect::<Result<_>>()?;
            Ok(Outcome { rows, changes })
        };
        read().with_context(|| format!("reading the results {}", path.display()))
    }

    /// Rows in the end, copies counted.
    pub fn len(&self) -> usize {
        self.rows.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(0)).sum()
    }

    /// Whether the view is empty in the end.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Fails, with examples, unless both hold the same rows equally often. Floats may differ by the last digits.
    pub fn agree(&self, other: &Outcome) -> Result<()> {
        for (row, count) in self.rows.iter().chain(&other.rows) {
            ensure!(
                *count > 0,
                "a row is retracted more often than it came ({count}): {}",
                serde_json::to_string(row)?
            );
        }
        let floats: BTreeSet<&String> = self.floats().chain(other.floats()).collect();
        let (left, right) = (self.groups(&floats)?, other.groups(&floats)?);
        let differ = |(key, reals): &(&String, &Vec<Vec<f64>>), there: &BTreeMap<String, Vec<Vec<f64>>>| {
            there.get(*key).is_none_or(|others| !near(reals, others))
        };
        let only_left: Vec<_> = left.iter().filter(|group| differ(group, &right)).collect();
        let only_right: Vec<_> = right.iter().filter(|group| differ(group, &left)).collect();
        if only_left.is_empty() && only_right.is_empty() {
            return Ok(());
        }
        bail!(
            "{} rows against {}; {} groups of the first and {} of the second have no equal. First: {:?} Second: {:?}",
            self.len(),
            other.len(),
            only_left.len(),
            only_right.len(),
            only_left.iter().take(3).collect::<Vec<_>>(),
            only_right.iter().take(3).collect::<Vec<_>>()
        )
    }

    /// Columns that hold a fraction somewhere.
    fn floats(&self) -> impl Iterator<Item = &String> {
        let cells = self.rows.iter().flat_map(|(row, _)| row);
        cells.filter(|(_, value)| value.is_f64()).map(|(name, _)| name)
    }

    /// Per text of the exact columns, the floats of its rows in order.
    fn groups(&self, floats: &BTreeSet<&String>) -> Result<BTreeMap<String, Vec<Vec<f64>>>> {
        let mut groups: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
        for (row, count) in &self.rows {
            let reals: Vec<f64> = floats.iter().filter_map(|name| row.get(*name)?.as_f64()).collect();
            let exact: BTreeMap<_, _> = row.iter().filter(|(name, _)| !floats.contains(name)).collect();
            let copies = std::iter::repeat_n(reals, usize::try_from(*count)?);
            groups.entry(serde_json::to_string(&exact)?).or_default().extend(copies);
        }
        for rows in groups.values_mut() {
            rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        }
        Ok(groups)
    }
}

fn near(left: &[Vec<f64>], right: &[Vec<f64>]) -> bool {
    let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs());
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(close))
}

/// A line as a row in its canonical form and the difference that it makes.
fn change(line: &str, moments: &[&str]) -> Result<(Row, i64)> {
    let mut columns: Map<String, Value> = serde_json::from_str(line)?;
    let diff = match columns.remove("_diff") {
        Some(diff) => diff.as_i64().context("`_diff` is not a whole number")?,
        None => 1,
    };
    columns.remove("_time");
    let mut row = Row::new();
    for (name, value) in columns {
        let value = if moments.contains(&name.as_str()) { moment(&value)?.into() } else { whole(value) };
        // A column that is null and one that is left out say the same.
        if !value.is_null() {
            row.insert(name, value);
        }
    }
    Ok((row, diff))
}

/// `210.0` and `210` are one number.
fn whole(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).into(),
        _ => value,
    }
}

/// A moment in µs since the epoch, from RFC 3339 text in UTC, or a number of ms or µs of this century.
fn moment(value: &Value) -> Result<u64> {
    if let Some(text) = value.as_str() {
        return rfc3339(text).with_context(|| format!("{text:?} is not a time in UTC"));
    }
    let number = value.as_u64().with_context(|| format!("{value} is not a moment"))?;
    Ok(if number < 100_000_000_000_000 { number * 1000 } else { number })
}

/// Reads `2026-01-01T00:00:00[.fraction]` with `Z` or nothing behind it.
fn rfc3339(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let micros: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    // Days since 1970-03-01 of the year that begins in March, in which the leap day is the last.
    let shifted = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &str) -> Outcome {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        Outcome::read(file.path(), &["start"]).unwrap()
    }

    #[test]
    fn changes_cancel_out() {
        let view =
            outcome("{\"a\":1,\"_diff\":1}\n{\"a\":2,\"_diff\":2,\"_time\":5}\n{\"a\":1,\"_diff\":-1,\"_time\":9}\n");
        assert_eq!((view.len(), view.changes), (2, 3));
        assert!(view.agree(&outcome("{\"a\":2}\n{\"a\":2}\n")).is_ok());
        assert!(view.agree(&outcome("{\"a\":2}\n")).is_err());
        assert!(view.agree(&outcome("{\"a\":2}\n{\"a\":3}\n")).is_err());
        assert!(outcome("{\"a\":2,\"_diff\":-1}\n").agree(&outcome("")).is_err());
    }

    #[test]
    fn floats_may_differ_in_the_last_digits_and_nothing_else_may() {
        let view = outcome("{\"a\":\"x\",\"mean\":0.3}\n{\"a\":\"y\",\"mean\":210.0}\n");
        assert!(
            view.agree(&outcome("{\"a\":\"x\",\"mean\":0.30000000000000004}\n{\"a\":\"y\",\"mean\":210}\n")).is_ok()
        );
        assert!(view.agree(&outcome("{\"a\":\"x\",\"mean\":0.3001}\n{\"a\":\"y\",\"mean\":210}\n")).is_err());
        assert!(view.agree(&outcome("{\"a\":\"z\",\"mean\":0.3}\n{\"a\":\"y\",\"mean\":210}\n")).is_err());
        let ids = outcome("{\"id\":1000000000000}\n");
        assert!(ids.agree(&outcome("{\"id\":1000000000001}\n")).is_err());
    }

    #[test]
    fn a_moment_is_the_same_in_every_form() {
        let text = outcome("{\"start\":\"2026-01-01T00:00:10Z\"}\n");
        assert!(text.agree(&outcome("{\"start\":1767225610000}\n")).is_ok());
        assert!(text.agree(&outcome("{\"start\":1767225610000000}\n")).is_ok());
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500_000));
        assert_eq!(rfc3339("2026-01-01T00:00:10+01:00"), None);
    }
}
