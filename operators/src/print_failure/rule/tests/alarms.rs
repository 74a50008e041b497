//! Frames, and what people do about alarms.

use super::stage::{HOUR, MINUTE, SECOND, Stage};
use crate::print_failure::evidence::Health;
use crate::print_failure::reasons::{Level, What};
use crate::print_failure::rule::Event;
use crate::print_failure::settings::Sensitivity;
use crate::print_failure::telemetry::Phase;

/// Seconds from the first bad frame to the pause.
fn latency(stage: &Stage, begin: u64) -> Option<f64> {
    stage.pauses.iter().find(|at| **at >= begin).map(|at| (at - begin) as f64 / 1e6)
}

#[test]
fn strong_evidence_pauses_within_five_seconds_even_in_the_first_layer() {
    for quiet in [2.0, 60.0, 3600.0] {
        for (score, most) in [(0.9, 4.0), (0.95, 3.0), (1.0, 3.0)] {
            let mut stage = Stage::new();
            let begin = stage.hold(0.1, quiet).now;
            stage.hold(score, 20.0);
            let latency = latency(&stage, begin).unwrap();
            assert!(latency <= most, "{score} after {quiet} s: {latency} s");
        }
    }
}

#[test]
fn the_frame_rate_changes_little() {
    for (rate, most) in [(0.1, 30.0), (0.2, 15.0), (0.5, 6.0), (2.0, 4.0), (5.0, 4.0), (10.0, 4.0)] {
        let mut stage = Stage::with(Sensitivity::NORMAL, rate);
        let begin = stage.hold(0.1, 1200.0).now;
        stage.hold(0.95, 60.0);
        let latency = latency(&stage, begin).unwrap();
        assert!((2.0..=most).contains(&latency), "{rate}/s: {latency} s");
    }
}

#[test]
fn weaker_evidence_takes_longer_and_does_not_go_silent() {
    for (score, most) in [(0.6, 60.0), (0.7, 15.0), (0.8, 8.0)] {
        let mut stage = Stage::new();
        let begin = stage.hold(0.1, 1200.0).now;
        stage.hold(score, 3600.0);
        assert!(latency(&stage, begin).unwrap() <= most, "{score}");
        assert_eq!((stage.level(), stage.pauses.len()), (Level::Failing, 1), "{score}");
    }
}

#[test]
fn one_or_two_flashes_are_not_even_told() {
    for rate in [0.1, 0.5, 1.0, 5.0, 10.0] {
        let mut stage = Stage::with(Sensitivity::NORMAL, rate);
        stage.hold(0.1, 600.0);
        for _ in 0..2 {
            let frames = if rate > 1.0 { (2.0 * rate) as usize } else { 2 };
            stage.frames("bed", std::iter::repeat_n(1.0, frames)).hold(0.1, 30.0);
        }
        assert_eq!(stage.story(), [Level::Watching], "{rate}/s");
    }
}

#[test]
fn single_bad_frames_again_and_again_never_pause() {
    let mut stage = Stage::new();
    for _ in 0..600 {
        stage.frames("bed", [0.1, 0.1, 1.0]);
    }
    assert!(stage.pauses.is_empty());
}

#[test]
fn scores_that_flicker_around_a_half_never_pause() {
    for (low, high) in [(0.45, 0.55), (0.3, 0.7), (0.4, 0.6)] {
        for quiet in [0.0, 1200.0] {
            let mut stage = Stage::new();
            stage.hold(0.1, quiet);
            for _ in 0..1200 {
                stage.frames("bed", [low, high]);
            }
            assert!(stage.pauses.is_empty(), "{low} {high} after {quiet} s");
        }
    }
}

#[test]
fn a_camera_that_always_scores_the_same_half_is_usual() {
    let mut stage = Stage::new();
    stage.hold(0.55, 7200.0);
    assert_eq!(stage.story(), [Level::Watching]);
    // A failure in front of that background is seen all the same.
    let begin = stage.now;
    stage.hold(0.9, 20.0);
    assert!(latency(&stage, begin).unwrap() <= 8.0);
}

#[test]
fn a_print_that_is_bad_from_the_first_frame_is_paused() {
    for (score, most) in [(0.65, 40.0), (0.8, 8.0), (0.95, 5.0)] {
        let mut stage = Stage::new();
        let begin = stage.now;
        stage.hold(score, 120.0);
        assert!(latency(&stage, begin).unwrap() <= most, "{score}");
    }
}

#[test]
fn a_camera_that_goes_black_never_pauses() {
    // Its frames may come before it is known to be black, too.
    for late in 0..2 {
        let mut stage = Stage::new();
        stage.hold(0.1, 600.0).hold(0.99, f64::from(late)).frame("bed", 0.99);
        stage.health("bed", Health::Black).hold(0.99, 3600.0);
        assert_eq!(stage.story(), [Level::Watching]);
        assert_eq!(stage.reasons(), [What::CameraBlind]);
    }
}

#[test]
fn a_failure_is_not_over_because_the_light_goes_out() {
    let mut stage = Stage::new();
    stage.hold(0.1, 600.0).hold(0.95, 10.0).health("bed", Health::Dark).pass(9 * MINUTE);
    assert_eq!(stage.level(), Level::Failing);
    stage.pass(5 * MINUTE);
    assert_eq!(stage.level(), Level::Resolved);
}

#[test]
fn a_silent_camera_is_told_with_little_weight() {
    let mut stage = Stage::new();
    stage.hold(0.1, 60.0).pass(2 * MINUTE);
    let verdict = stage.verdict();
    assert_eq!((verdict.level, verdict.confidence), (Level::Watching, 0.0));
    assert_eq!(verdict.reasons[0].detail, "bed: no frames for 2 min");
}

#[test]
fn cameras_that_agree_are_faster() {
    let latency_of = |cameras: &[&str]| {
        let mut stage = Stage::new();
        let mut begin = 0;
        for (score, times) in [(0.1, 1200), (0.7, 60)] {
            begin = stage.now;
            for _ in 0..times {
                cameras.iter().for_each(|camera| _ = stage.frame(camera, score));
                stage.pass(SECOND);
            }
        }
        latency(&stage, begin).unwrap()
    };
    let [one, two, three] = [&["a"][..], &["a", "b"], &["a", "b", "c"]].map(latency_of);
    assert!(three < two && two < one && one <= 15.0, "{one} {two} {three}");
}

#[test]
fn the_verdict_names_its_frames_and_its_numbers() {
    let mut stage = Stage::new();
    stage.hold(0.1, 1200.0).frames("bed", [0.9, 0.95, 0.92, 0.91]);
    let verdict = stage.verdict();
    let begin = 1_700_000_000 + 1200;
    assert_eq!(verdict.frames, [1, 2, 3, 0].map(|second| format!("bed@{}", begin + second)));
    let [reason] = &verdict.reasons[..] else { panic!("{verdict:?}") };
    assert_eq!((reason.what, reason.since), (What::Spaghetti, begin * SECOND));
    assert_eq!(reason.detail, "bed: 4 frames (4 s) taken for a failure, scores up to 0.93, usually 0.12");
}

#[test]
fn an_episode_ends_when_the_evidence_has_gone_for_a_minute() {
    let mut stage = Stage::new();
    stage.hold(0.1, 600.0).hold(0.95, 10.0).hold(0.1, 50.0);
    assert_eq!(stage.level(), Level::Failing);
    stage.hold(0.1, 30.0);
    assert_eq!((stage.level(), stage.verdict().frames.len()), (Level::Resolved, 4));
    stage.hold(0.1, 300.0).hold(0.95, 10.0);
    let verdict = stage.verdict();
    assert_eq!((verdict.level, verdict.episode, stage.pauses.len()), (Level::Failing, 2, 2));
}

/// A print that was paused because of such scores.
fn paused(score: f64) -> Stage {
    let mut stage = Stage::new();
    stage.phase(Phase::Printing).hold(0.1, 600.0).hold(score, 60.0);
    assert!(stage.verdict().pause);
    stage.phase(Phase::Paused);
    assert_eq!((stage.level(), stage.verdict().pause), (Level::Resolved, false));
    stage
}

#[test]
fn a_resume_is_not_answered_with_another_pause() {
    // With frames while it stood, and without.
    for frames in [0.0, 600.0] {
        let mut stage = paused(0.95);
        stage.hold(0.95, frames).pass(20 * MINUTE).phase(Phase::Printing).hold(0.95, 14.0 * 60.0);
        assert_eq!(stage.level(), Level::Watching);
        stage.hold(0.95, 3600.0);
        assert_eq!((stage.level(), stage.pauses.len()), (Level::Suspect, 1));
    }
}

#[test]
fn after_a_resume_what_is_clearly_worse_pauses_again() {
    let mut stage = paused(0.7);
    stage.pass(MINUTE).phase(Phase::Printing).hold(0.7, 120.0);
    assert_eq!(stage.pauses.len(), 1);
    stage.hold(0.95, 15.0);
    assert_eq!((stage.pauses.len(), stage.verdict().episode), (2, 2));
}

#[test]
fn after_a_cleaned_bed_a_new_failure_pauses_again() {
    // Cleaned while it stood, or right after.
    for (standing, running) in [(90.0, 30.0), (0.0, 90.0)] {
        let mut stage = paused(0.95);
        stage.hold(0.1, standing).phase(Phase::Printing).hold(0.1, running).hold(0.95, 5.0);
        assert_eq!(stage.pauses.len(), 2);
    }
}

#[test]
fn an_acknowledged_scene_is_learnt_and_a_worse_one_is_not_missed() {
    let mut stage = Stage::new();
    stage.hold(0.1, 1200.0).hold(0.65, 60.0).tell(&Event::Acknowledge);
    assert_eq!(stage.level(), Level::Resolved);
    stage.hold(0.65, 2.0 * 3600.0);
    assert_eq!((stage.level(), stage.pauses.len()), (Level::Watching, 1));
    stage.hold(0.95, 20.0);
    assert_eq!(stage.pauses.len(), 2);
}

#[test]
fn strong_evidence_that_was_acknowledged_is_told_again_after_a_while() {
    let mut stage = Stage::new();
    stage.hold(0.1, 1200.0).hold(0.95, 60.0).tell(&Event::Acknowledge).hold(0.95, 14.0 * 60.0);
    assert_eq!(stage.level(), Level::Watching);
    stage.hold(0.95, 120.0);
    assert_eq!((stage.level(), stage.pauses.len()), (Level::Suspect, 1));
}

#[test]
fn muted_evidence_is_shown_and_alarms_when_the_time_is_over() {
    let mut stage = Stage::new();
    stage.hold(0.1, 600.0);
    let until = Some(stage.now + HOUR);
    stage.tell(&Event::Mute { until }).hold(0.95, 3590.0);
    let verdict = stage.verdict();
    assert_eq!((verdict.level, verdict.muted, verdict.pause), (Level::Watching, true, false));
    assert!(verdict.confidence > 0.9 && verdict.reasons[0].what == What::Spaghetti);
    stage.hold(0.95, 20.0);
    assert_eq!((stage.level(), stage.pauses.len()), (Level::Failing, 1));
    stage.tell(&Event::Mute { until: None }).hold(0.95, 3600.0);
    assert_eq!((stage.level(), stage.verdict().pause), (Level::Watching, false));
}

#[test]
fn the_end_of_a_print_ends_its_episode() {
    let mut stage = Stage::new();
    stage.phase(Phase::Printing).hold(0.1, 600.0).hold(0.95, 10.0).phase(Phase::Cancelled).hold(0.95, 60.0);
    assert_eq!((stage.level(), stage.verdict().pause), (Level::Resolved, false));
    stage.pass(10 * MINUTE);
    assert_eq!(stage.level(), Level::Watching);
}

#[test]
fn a_connection_that_is_lost_while_paused_does_not_resume_the_watch() {
    let mut stage = paused(0.95);
    stage.phase(Phase::Unknown).hold(0.95, 60.0);
    assert_eq!(stage.level(), Level::Resolved);
}
