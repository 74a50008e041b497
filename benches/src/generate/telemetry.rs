//! W1: temperatures of 100 printers with two tools each, 1,000 readings a second, one in twenty late.

use super::{START, Size, file, finish};
use crate::random::Random;
use anyhow::Result;
use std::io::Write;
use std::path::Path;

const PRINTERS: u64 = 100;
const TOOLS: u64 = 2;
/// Late readings are behind by less than this, ms.
const LATE: u64 = 2_000;

pub(super) fn write(folder: &Path, size: Size) -> Result<()> {
    let mut random = Random::new(size.seed);
    let mut limits = file(folder, "limits.jsonl")?;
    for printer in 0..PRINTERS {
        for tool in 0..TOOLS {
            // A window holds about 50 readings of a tool; the highest is about 6 degrees over the target.
            let max_over = 214.0 + random.below(60) as f64 / 10.0;
            writeln!(limits, "{{\"printer\":\"p{printer:04}\",\"tool\":\"tool{tool}\",\"max_over\":{max_over:.1}}}")?;
        }
    }
    finish(limits)?;
    let mut telemetry = file(folder, "telemetry.jsonl")?;
    for event in 0..size.events {
        let (printer, tool) = (random.below(PRINTERS), random.below(TOOLS));
        let target = 210.0;
        let actual = target + random.bell() * 4.0;
        let behind = if random.once_in(20) { random.below(LATE - 1) + 1 } else { 0 };
        let at = START * 1000 + event.saturating_sub(behind);
        writeln!(
            telemetry,
            "{{\"printer\":\"p{printer:04}\",\"tool\":\"tool{tool}\",\"actual\":{actual:.2},\"target\":{target:.1},\"at\":{at}}}"
        )?;
    }
    finish(telemetry)
}
