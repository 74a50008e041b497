//! The check over whole first layers, played by hand and simulated from seeds.

use super::check::{Check, Verdict};
use crate::print_failure::evidence::Health;
use crate::print_failure::settings::Sensitivity;
use crate::print_failure::simulated::{Chance, Good, SCENES, Scene, failing};
use crate::print_failure::telemetry::{Phase, Telemetry};

const SECOND: u64 = 1_000_000;
const UNTOLD: u64 = 600 * SECOND;

fn said(phase: Phase, layer: u32) -> Telemetry {
    Telemetry { phase, layer: Some(layer), ..Telemetry::default() }
}

/// A layer of so many seconds, then the next one; frames of one camera each second.
fn layer(seconds: u64, sensitivity: Sensitivity, mut score: impl FnMut(u64) -> Option<f64>) -> (Check, Option<u64>) {
    let mut check = Check::new(UNTOLD, sensitivity.factor());
    check.hear(0, &said(Phase::Preparing, 0));
    let mut paused = None;
    for second in 1..=seconds + 90 {
        let at = second * SECOND;
        check.hear(at, &said(Phase::Printing, if second <= seconds { 1 } else { 2 }));
        if let Some(score) = score(second) {
            check.frame(at, "bed", score, &format!("f{second}"));
        }
        check.advance(at);
        if paused.is_none() && check.told().is_some_and(|told| told.pause) {
            paused = Some(second);
        }
    }
    (check, paused)
}

fn verdict(check: &Check) -> Option<Verdict> {
    check.told().map(|told| told.verdict)
}

#[test]
fn a_good_layer_holds_when_it_is_over_and_not_before() {
    let mut seen = vec![];
    let mut check = Check::new(UNTOLD, 1.0);
    for second in 1..=200 {
        let at = second * SECOND;
        check.hear(at, &said(Phase::Printing, if second <= 180 { 1 } else { 2 }));
        check.frame(at, "bed", 0.1, "f");
        if seen.last() != verdict(&check).as_ref() {
            seen.extend(verdict(&check));
        }
    }
    assert_eq!(seen, [Verdict::Checking, Verdict::Holds]);
}

#[test]
fn a_layer_that_fails_is_paused_within_a_quarter_of_a_minute_with_its_frames() {
    let (check, paused) = layer(300, Sensitivity::NORMAL, |second| Some(if second < 100 { 0.1 } else { 0.9 }));
    assert!(paused.is_some_and(|second| (108..=115).contains(&second)), "{paused:?}");
    let told = check.told().unwrap();
    assert_eq!((told.verdict, told.frames.len()), (Verdict::Failed, 4));
    assert!(told.message.contains("bed") && told.since >= 100 * SECOND);
}

#[test]
fn what_nobody_has_seen_is_not_said_to_hold() {
    let (check, _) = layer(300, Sensitivity::NORMAL, |_| None);
    assert_eq!(verdict(&check), Some(Verdict::Unseen));
    let (check, _) = layer(300, Sensitivity::NORMAL, |second| (second < 100).then_some(0.1));
    assert_eq!(verdict(&check), Some(Verdict::Unseen));
}

#[test]
fn a_camera_that_is_dark_has_not_seen_it() {
    let mut check = Check::new(UNTOLD, 1.0);
    check.turn(0, "bed", Health::Dark);
    for second in 1..=300 {
        check.hear(second * SECOND, &said(Phase::Printing, if second <= 180 { 1 } else { 2 }));
        check.frame(second * SECOND, "bed", 0.1, "f");
    }
    assert_eq!(verdict(&check), Some(Verdict::Unseen));
}

#[test]
fn a_doubt_at_the_end_is_waited_for_and_then_told() {
    // Bad to the end, then a sight that says nothing: the doubt stays.
    let doubtful = |second| {
        Some(if second < 111 {
            0.1
        } else if second < 118 {
            0.9
        } else {
            0.5317
        })
    };
    let (check, paused) = layer(120, Sensitivity::NORMAL, doubtful);
    assert_eq!((paused, verdict(&check)), (None, Some(Verdict::Doubtful)));
    let (check, _) =
        layer(120, Sensitivity::NORMAL, |second| Some(if (113..123).contains(&second) { 0.66 } else { 0.1 }));
    assert_eq!(verdict(&check), Some(Verdict::Holds));
}

#[test]
fn who_resumes_has_accepted_it_and_the_next_print_is_checked_anew() {
    let (mut check, paused) = layer(60, Sensitivity::NORMAL, |_| Some(0.9));
    assert!(paused.is_some());
    let after = 200 * SECOND;
    check.hear(after, &said(Phase::Paused, 1));
    assert!(!check.told().unwrap().pause);
    check.hear(after + SECOND, &said(Phase::Printing, 1));
    for second in 2..60 {
        check.frame(after + second * SECOND, "bed", 0.95, "f");
    }
    assert_eq!(verdict(&check), Some(Verdict::Accepted));
    let mut next = check.next(UNTOLD, 1.0);
    assert_eq!(verdict(&next), None);
    for second in 300..330 {
        next.hear(second * SECOND, &said(Phase::Printing, 1));
        next.frame(second * SECOND, "bed", 0.95, "f");
    }
    assert_eq!(verdict(&next), Some(Verdict::Failed));
}

#[test]
fn who_resumes_what_something_else_has_paused_has_seen_it_too() {
    for (score, verdict_after) in [(0.9, Verdict::Accepted), (0.1, Verdict::Checking)] {
        let mut check = Check::new(UNTOLD, 1.0);
        for second in 1..6 {
            check.hear(second * SECOND, &said(Phase::Printing, 1));
            check.frame(second * SECOND, "bed", score, "f");
        }
        check.hear(6 * SECOND, &said(Phase::Paused, 1));
        check.hear(30 * SECOND, &said(Phase::Printing, 1));
        assert_eq!(verdict(&check), Some(verdict_after), "{score}");
    }
}

#[test]
fn who_resumes_is_believed_though_the_printer_prepares_first_and_the_camera_was_dark() {
    for seconds in [6, 20] {
        let mut check = Check::new(UNTOLD, 1.0);
        for second in 1..seconds {
            check.hear(second * SECOND, &said(Phase::Printing, 1));
            check.frame(second * SECOND, "bed", 0.9, "f");
        }
        let at = |second: u64| (seconds + second) * SECOND;
        check.hear(at(1), &said(Phase::Paused, 1));
        check.turn(at(2), "bed", Health::Dark);
        check.turn(at(3), "bed", Health::Live);
        for (second, phase) in [(4, Phase::Preparing), (5, Phase::Paused), (6, Phase::Preparing), (7, Phase::Printing)]
        {
            check.hear(at(second), &said(phase, 1));
            assert!(!check.told().unwrap().pause, "{seconds} {second}");
        }
        (8..60).for_each(|second| check.frame(at(second), "bed", 0.95, "f"));
        assert_eq!(verdict(&check), Some(Verdict::Accepted), "{seconds}");
    }
}

#[test]
fn nobody_accepts_a_layer_that_is_not_there_or_holds() {
    let mut check = Check::new(UNTOLD, 1.0);
    check.accept(0);
    assert_eq!(check.told(), None);
    let (mut check, _) = layer(120, Sensitivity::NORMAL, |_| Some(0.1));
    check.accept(400 * SECOND);
    assert_eq!(verdict(&check), Some(Verdict::Holds));
}

#[test]
fn while_alarms_are_muted_no_pause_is_asked_for_and_then_it_is() {
    let mut check = Check::new(UNTOLD, 1.0);
    check.mute(0, 60 * SECOND);
    for second in 1..40 {
        check.hear(second * SECOND, &said(Phase::Printing, 1));
        check.frame(second * SECOND, "bed", 0.9, "f");
    }
    let told = check.told().unwrap();
    assert_eq!((told.verdict, told.pause, check.wake()), (Verdict::Failed, false, Some(60 * SECOND)));
    check.advance(60 * SECOND);
    assert!(check.told().unwrap().pause);
}

#[test]
fn every_sensitivity_that_may_be_written_finds_a_layer_that_fails() {
    for factor in [0.25, 0.4, 1.0, 4.0] {
        let (_, paused) = layer(300, Sensitivity::new(factor), |_| Some(0.95));
        assert!(paused.is_some_and(|second| second <= 60), "{factor}: {paused:?}");
    }
    let mut check = Check::new(UNTOLD, 1.0);
    for second in 1..8 {
        check.hear(second * SECOND, &said(Phase::Printing, 1));
        check.frame(second * SECOND, "bed", 0.9, "f");
    }
    check.tune(8 * SECOND, 4.0);
    assert_eq!(verdict(&check), Some(Verdict::Failed));
}

#[test]
fn frames_while_the_printer_stands_still_are_no_evidence() {
    let mut check = Check::new(UNTOLD, 1.0);
    check.hear(SECOND, &said(Phase::Printing, 1));
    check.hear(2 * SECOND, &said(Phase::Paused, 1));
    (3..100).for_each(|second| check.frame(second * SECOND, "bed", 0.95, "f"));
    assert_eq!(verdict(&check), Some(Verdict::Checking));
}

#[test]
fn a_print_that_was_under_way_is_left_alone() {
    let mut check = Check::new(UNTOLD, 1.0);
    for second in 1..100 {
        check.hear(second * SECOND, &said(Phase::Printing, 17));
        check.frame(second * SECOND, "bed", 0.95, "f");
    }
    assert_eq!(verdict(&check), None);
}

/// First layers of eight minutes: what was said of so many.
fn simulated(seeds: u64, scene: Scene, sensitivity: Sensitivity, fails: Option<f64>) -> ([u64; 4], Vec<u64>) {
    let (mut counts, mut after) = ([0; 4], vec![]);
    for seed in 0..seeds {
        let (mut good, mut chance) = (Good::new(seed, scene), Chance(!seed));
        let begin = chance.between(30.0, 300.0) as u64;
        let (check, paused) = layer(480, sensitivity, |second| {
            let score = good.score();
            Some(match fails {
                Some(strength) if second >= begin => failing(&mut chance, second - begin, 20.0, strength, score),
                _ => score,
            })
        });
        let place = match verdict(&check) {
            Some(Verdict::Failed) => 0,
            Some(Verdict::Holds) => 1,
            Some(Verdict::Doubtful) => 2,
            _ => 3,
        };
        counts[place] += 1;
        after.extend(paused.map(|paused| paused.saturating_sub(begin)));
    }
    after.sort_unstable();
    (counts, after)
}

/// The figures of benches/README.md: `cargo test -p jarvis-operators first_layers -- --nocapture`.
#[test]
fn first_layers_that_hold_are_said_to_hold_and_those_that_fail_are_paused() {
    for (name, sensitivity) in [("low", Sensitivity::LOW), ("normal", Sensitivity::NORMAL), ("high", Sensitivity::HIGH)]
    {
        for scene in SCENES {
            let ([failed, holds, doubtful, unseen], _) = simulated(300, scene, sensitivity, None);
            println!(
                "{name} {scene:?}, good: {failed} failed, {holds} hold, {doubtful} doubtful, {unseen} unseen of 300"
            );
            if sensitivity <= Sensitivity::NORMAL {
                assert_eq!((failed, unseen), (0, 0), "{name} {scene:?}");
                assert!(matches!(scene, Scene::Biased) || holds >= 297, "{name} {scene:?}: {holds}");
            }
        }
        for strength in [0.6, 0.7, 0.8, 0.95] {
            let ([failed, ..], after) = simulated(300, Scene::Clean, sensitivity, Some(strength));
            let quantile = |part: f64| after.get((part * after.len() as f64) as usize).copied();
            println!(
                "{name}, failing to {strength}: {failed} of 300, after {:?} s, p95 {:?} s",
                quantile(0.5),
                quantile(0.95)
            );
            assert!(
                sensitivity < Sensitivity::NORMAL || strength < 0.7 || failed == 300,
                "{name} {strength}: {failed}"
            );
        }
    }
}
