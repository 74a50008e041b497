//! W3: scores of 200,000 keys, replaced at random. One event per microsecond.

use super::{START, Size, file, finish};
use crate::random::Random;
use anyhow::Result;
use std::io::Write;
use std::path::Path;

const KEYS: u64 = 200_000;
const SCORES: u64 = 1_000_000_000;

pub(super) fn write(folder: &Path, size: Size) -> Result<()> {
    let mut random = Random::new(size.seed);
    let mut scores = file(folder, "scores.jsonl")?;
    for event in 0..size.events {
        let (key, score) = (random.below(KEYS), random.below(SCORES));
        let at = START * 1_000_000 + event;
        writeln!(scores, "{{\"key\":{key},\"score\":{score},\"at\":{at}}}")?;
    }
    finish(scores)
}
