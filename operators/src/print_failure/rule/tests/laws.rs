//! What holds whatever is told to a watch.

use super::stage::SECOND;
use crate::print_failure::evidence::{FRAMES, Health};
use crate::print_failure::heater::Heat;
use crate::print_failure::reasons::Verdict;
use crate::print_failure::rule::{Event, Watch};
use crate::print_failure::settings::{Sensitivity, Settings};
use crate::print_failure::telemetry::{Phase, Telemetry};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.0..1.0, 1 => any::<f64>(), 2 => 0.0..300.0]
}

fn event() -> impl Strategy<Value = Event> {
    let camera = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let health = prop::sample::select(vec![Health::Live, Health::Frozen, Health::Black, Health::Dark, Health::Gone]);
    let until = prop::option::of(0..10_000 * SECOND);
    prop_oneof![
        20 => (camera(), number()).prop_map(|(camera, score)| frame(&camera, score)),
        2 => (camera(), health).prop_map(|(camera, health)| Event::Health { camera, health }),
        6 => telemetry().prop_map(Event::Telemetry),
        1 => Just(Event::Acknowledge),
        1 => until.prop_map(|until| Event::Mute { until }),
        1 => Just(Event::Unmute),
        1 => number().prop_map(|factor| Event::Tune(Sensitivity::new(factor))),
    ]
}

fn telemetry() -> impl Strategy<Value = Telemetry> {
    let phases = [Phase::Unknown, Phase::Printing, Phase::Printing, Phase::Paused, Phase::Failed, Phase::Finished];
    let maybe = || prop::option::of(number());
    let heat = move || (maybe(), maybe()).prop_map(|(actual, target)| Heat { actual, target });
    let rest = (prop::option::of(any::<u32>()), prop::option::of(any::<bool>()), prop::option::of("[ a-c]{0,2}"));
    (prop::sample::select(phases.to_vec()), maybe(), maybe(), heat(), heat(), maybe(), rest).prop_map(
        |(phase, progress, z_mm, nozzle, bed, elapsed_s, (layer, filament, error))| Telemetry {
            phase,
            progress,
            z_mm,
            layer,
            nozzle,
            bed,
            filament,
            error,
            elapsed_s,
        },
    )
}

/// Events and the time to each from the one before, µs.
fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let time = prop_oneof![3 => Just(0), 10 => Just(SECOND), 3 => 0..5 * SECOND, 1 => 0..1_000 * SECOND];
    prop::collection::vec((time, event()), 0..150)
}

fn frame(camera: &str, score: f64) -> Event {
    Event::Frame { camera: camera.to_owned(), score, frame: format!("{camera}:{score:.2}") }
}

fn new() -> Watch {
    Watch::new(Settings::default())
}

fn check(watch: &Watch, verdict: &Verdict, at: u64) {
    assert!((0.0..=1.0).contains(&verdict.confidence), "{verdict:?}");
    assert!(verdict.reasons.iter().all(|reason| (0.0..=1.0).contains(&reason.weight)), "{verdict:?}");
    assert!(verdict.reasons.iter().all(|reason| !reason.detail.is_empty() && reason.since <= at), "{verdict:?}");
    assert!(verdict.reasons.is_sorted_by(|a, b| a.weight >= b.weight) && verdict.frames.len() <= FRAMES);
    assert!(watch.wake_after(at).is_none_or(|wake| wake > at));
}

/// The first second at which these scores, one a second after this past, ask for a pause.
fn first_pause(past: &Watch, cameras: &[&str], scores: &[Vec<f64>]) -> usize {
    let mut watch = past.clone();
    let begin = past.wake_after(0).map_or(SECOND, |_| LAST);
    for (second, scores) in scores.iter().enumerate() {
        let at = begin + (1 + second as u64) * SECOND;
        cameras.iter().zip(scores).for_each(|(camera, score)| watch.feed(at, &frame(camera, *score)));
        if watch.verdict(at).pause {
            return second;
        }
    }
    usize::MAX
}

/// When the pasts below end.
const LAST: u64 = 3_000 * SECOND;

/// A quiet print of two cameras, around such a score.
fn quiet(level: f64) -> Watch {
    let mut watch = new();
    for second in 0..=LAST / SECOND {
        let score = level + (second % 7) as f64 / 100.0;
        ["a", "b"].iter().for_each(|camera| watch.feed(second * SECOND, &frame(camera, score)));
    }
    watch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_sound_whatever_is_told(events in events()) {
        let (mut watch, mut at) = (new(), 0);
        for (time, event) in &events {
            at += time;
            watch.feed(at, event);
            check(&watch, &watch.verdict(at), at);
        }
        check(&watch, &watch.verdict(u64::MAX), u64::MAX);
    }

    /// Repetitions, frames without a score, and rows that say nothing new, at any time.
    #[test]
    fn what_says_nothing_changes_nothing(events in events(), idle in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let (mut plain, mut padded, mut at) = (new(), new(), 0);
        let idle: Vec<usize> = idle.iter().map(|index| index.index(150)).collect();
        for (number, (time, event)) in events.iter().enumerate() {
            if idle.contains(&number) {
                padded.feed(at + time / 2, &frame("a", f64::NAN));
            }
            at += time;
            plain.feed(at, event);
            padded.feed(at, event);
            if matches!(event, Event::Frame { .. }) {
                padded.feed(at, event);
            }
            prop_assert_eq!(plain.verdict(at), padded.verdict(at));
        }
        let later = at + 2_000 * SECOND;
        prop_assert_eq!(plain.verdict(later), padded.verdict(later));
    }

    /// Going from wake to wake, or right to the end.
    #[test]
    fn nothing_happens_between_wakes(events in events()) {
        let (mut watch, mut at) = (new(), 0);
        for (time, event) in &events {
            at += time;
            watch.feed(at, event);
        }
        for _ in 0..10 {
            let Some(wake) = watch.wake_after(at) else { break };
            let verdict = |at: u64| Verdict { reasons: vec![], ..watch.verdict(at) };
            prop_assert_eq!(verdict(at), verdict(wake - 1));
            at = wake;
        }
    }

    #[test]
    fn the_order_of_cameras_does_not_matter(scores in prop::collection::vec((number(), number()), 0..100)) {
        let (mut one, mut other) = (new(), new());
        for (second, (a, b)) in scores.iter().enumerate() {
            let at = second as u64 * SECOND;
            let events = [frame("a", *a), frame("b", *b)];
            events.iter().for_each(|event| one.feed(at, event));
            events.iter().rev().for_each(|event| other.feed(at, event));
            prop_assert_eq!(one.verdict(at), other.verdict(at));
        }
    }

    /// From the same past on, for as long as neither's scores have become its own measure: a minute.
    #[test]
    fn higher_scores_never_pause_later(
        level in prop::option::of(0.0..0.5),
        scores in prop::collection::vec((0.2..1.0, 0.2..1.0, 0.0..0.3, 0.0..0.3), 1..59),
    ) {
        let past = level.map_or_else(new, quiet);
        let lower: Vec<Vec<f64>> = scores.iter().map(|(a, b, ..)| vec![*a, *b]).collect();
        let higher: Vec<Vec<f64>> = scores.iter().map(|(a, b, x, y)| vec![a + x, b + y]).collect();
        for cameras in [&["a"][..], &["a", "b"]] {
            prop_assert!(first_pause(&past, cameras, &higher) <= first_pause(&past, cameras, &lower));
        }
    }
}

#[test]
fn a_quiet_past_of_more_than_half_an_hour_ago_does_not_matter() {
    let play = |middle: fn(u64) -> f64| {
        let mut watch = new();
        for second in 0..6_000_u64 {
            let score = match second {
                0..1_200 | 3_600.. => (second % 30) as f64 / 100.0,
                _ => middle(second),
            };
            watch.feed(second * SECOND, &frame("a", score));
        }
        watch
    };
    assert_eq!(play(|_| 0.05), play(|second| (second % 40) as f64 / 100.0));
}

#[test]
fn a_watch_stays_small_however_long_the_print() {
    // Eight cameras of half an hour of histograms each; clones share them.
    let mut watch = new();
    for second in 0..10_000_u64 {
        for camera in 0..20 {
            watch.feed(second * SECOND, &frame(&format!("{camera}"), if second % 100 < 4 { 0.9 } else { 0.1 }));
        }
    }
    assert!(format!("{watch:?}").len() < 100_000);
}
