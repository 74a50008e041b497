//! Days of good prints, and failures, simulated from seeds: false pauses must not come, and pauses must come soon.

use super::stage::SECOND;
use crate::print_failure::reasons::Level;
use crate::print_failure::rule::{Event, Watch};
use crate::print_failure::settings::{Sensitivity, Settings};
use crate::print_failure::simulated::{Chance, Good, SCENES, Scene, failing};

const SENSITIVITIES: [(&str, Sensitivity); 3] =
    [("low", Sensitivity::LOW), ("normal", Sensitivity::NORMAL), ("high", Sensitivity::HIGH)];
const DAY: u64 = 86_400;

fn frame(watch: &mut Watch, second: u64, score: f64) {
    let frame = Event::Frame { camera: "bed".to_owned(), score, frame: "f".to_owned() };
    watch.feed((1_700_000_000 + second) * SECOND, &frame);
}

fn watch(sensitivity: Sensitivity) -> Watch {
    Watch::new(Settings { sensitivity, ..Settings::default() })
}

/// False pauses and false words of a print, and how near the evidence came to a pause, 1 being there.
fn good_print(seed: u64, scene: Scene, sensitivity: Sensitivity, seconds: u64) -> (u32, u32, f64) {
    let mut good = Good::new(seed, scene);
    let mut watch = watch(sensitivity);
    let (mut words, mut told, mut nearest) = (0, false, 0.0_f64);
    let threshold = sensitivity.thresholds().proof;
    for second in 0..seconds {
        frame(&mut watch, second, good.score());
        let tells = watch.standing.level >= Level::Suspect;
        words += u32::from(tells && !told);
        told = tells;
        nearest = watch.cameras.iter().map(|camera| camera.proof.sum / threshold).fold(nearest, f64::max);
    }
    (watch.standing.episode, words, nearest)
}

/// What became of a failure: seconds from its first sign.
#[derive(Clone, Copy, Default)]
struct Found {
    /// The first frame that the judge takes for a failure.
    bad: f64,
    told: Option<f64>,
    paused: Option<f64>,
}

/// A failure after a while of good print, watched for ten minutes.
fn failure(seed: u64, scene: Scene, sensitivity: Sensitivity, strength: f64, ramp: (f64, f64)) -> Found {
    let mut good = Good::new(seed, scene);
    let mut chance = Chance(!seed);
    let mut watch = watch(sensitivity);
    let (begin, ramp) = (chance.between(300.0, 3600.0) as u64, chance.between(ramp.0, ramp.1));
    (0..begin).for_each(|second| frame(&mut watch, second, good.score()));
    let mut first = None;
    let mut found = Found::default();
    for second in 0..600 {
        let score = failing(&mut chance, second, ramp, strength, good.score());
        first = first.or((score >= 0.5).then_some(second as f64));
        frame(&mut watch, begin + second, score);
        let verdict = watch.verdict(watch.now);
        found.bad = first.unwrap_or_default();
        found.told = found.told.or((verdict.level >= Level::Suspect).then_some(second as f64));
        if verdict.pause {
            found.paused = Some(second as f64);
            break;
        }
    }
    found
}

/// The value that such a part of the prints does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted.get((sorted.len() as f64 * part) as usize).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

/// For each sensitivity, the false pauses and words of so many days of each scene.
fn false_alarms(seeds: u64, seconds: u64) -> Vec<(u32, u32)> {
    let counts = SENSITIVITIES.map(|(name, sensitivity)| {
        let mut sum = (0, 0);
        for scene in SCENES {
            let prints = (0..seeds).map(|seed| good_print(seed, scene, sensitivity, seconds));
            let add = |sum: (u32, u32, f64), print: (u32, u32, f64)| {
                (sum.0 + print.0, sum.1 + print.1, sum.2.max(print.2))
            };
            let (pauses, words, nearest) = prints.fold((0, 0, 0.0), add);
            println!(
                "{name} {scene:?}: {pauses} false pauses, {words} false words in {seeds} × {seconds} s; at most {:.0} % of \
                 the evidence for a pause",
                100.0 * nearest
            );
            sum = (sum.0 + pauses, sum.1 + words);
        }
        sum
    });
    counts.to_vec()
}

/// How soon failures of a strength are found.
struct Latency {
    sensitivity: &'static str,
    strength: f64,
    /// Seconds from the first bad frame to the pause that half of the prints, and 95 % of them, do not exceed.
    p50: f64,
    p95: f64,
    /// Parts of the prints.
    not_paused: f64,
    not_told: f64,
}

fn latencies(seeds: u64, scene: Scene, ramp: (f64, f64)) -> Vec<Latency> {
    let mut table = vec![];
    for (name, sensitivity) in SENSITIVITIES {
        for strength in [0.6, 0.7, 0.8, 0.9, 0.95] {
            let found: Vec<Found> = (0..seeds).map(|seed| failure(seed, scene, sensitivity, strength, ramp)).collect();
            let missed = |part: fn(&Found) -> Option<f64>| {
                found.iter().filter(|found| part(found).is_none()).count() as f64 / seeds as f64
            };
            let mut paused: Vec<f64> = found.iter().filter_map(|found| Some(found.paused? - found.bad)).collect();
            paused.sort_by(f64::total_cmp);
            let [p50, p95] = [0.5, 0.95].map(|part| quantile(&paused, part));
            let [not_paused, not_told] = [missed(|found| found.paused), missed(|found| found.told)];
            println!(
                "{name} {scene:?} {strength} ramp {ramp:?}: p50 {p50} s p95 {p95} s, {:.1} % not paused, {:.1} % not told",
                100.0 * not_paused,
                100.0 * not_told
            );
            table.push(Latency { sensitivity: name, strength, p50, p95, not_paused, not_told });
        }
    }
    table
}

/// A failure that grows, and one that is there at once.
const GROWING: (f64, f64) = (5.0, 60.0);
const SUDDEN: (f64, f64) = (0.1, 1.0);

#[test]
fn a_day_of_good_prints_is_never_paused() {
    let [low, normal, _] = false_alarms(2, DAY)[..] else { panic!("there are three sensitivities") };
    assert_eq!((low.0, normal.0), (0, 0));
}

#[test]
fn failures_are_paused_soon() {
    for (ramp, strength, p50, p95) in [(SUDDEN, 0.9, 4.0, 8.0), (SUDDEN, 0.7, 20.0, 40.0), (GROWING, 0.7, 30.0, 60.0)] {
        for found in latencies(40, Scene::Clean, ramp) {
            if found.sensitivity == "normal" && found.strength >= strength {
                assert!(found.p50 <= p50 && found.p95 <= p95, "{}: {} s, {} s", found.strength, found.p50, found.p95);
                assert_eq!((found.not_paused, found.not_told), (0.0, 0.0), "{}", found.strength);
            }
        }
    }
}

/// The numbers of the table in the rule's essay.
#[test]
#[ignore = "the figures of benches/README.md; takes more than a minute, and shorter ones run above"]
fn many_days() {
    let counts = false_alarms(300, DAY);
    for scene in SCENES {
        latencies(500, scene, GROWING);
        latencies(500, scene, SUDDEN);
    }
    assert_eq!(counts[1].0, 0);
}
