//! What should be said of scenes that go wrong easily.

use super::stage::{BEGIN, Stage, body, doubt};
use crate::presence::boxes::{Findings, Found, Rect};
use crate::presence::settings::{SECOND, Settings};
use crate::presence::view::{Blind, Health, Status, View, Why};
use crate::presence::zone::Doubt;

const NOBODY: &[Option<Found>] = &[];

fn blind(blind: Blind) -> Status {
    Status::Unknown(Why::Blind(blind))
}

/// A room that has been seen to be empty.
fn empty() -> Stage {
    let mut stage = Stage::new();
    stage.hold(10, NOBODY);
    assert_eq!(stage.cell(), Status::Vacated);
    stage
}

/// Somebody has come from the left and stands in the cell.
fn occupied() -> Stage {
    let mut stage = empty();
    stage
        .hold(1, &[body(0.47, 0.8, 0.3, 0.5)])
        .hold(1, &[body(0.55, 0.8, 0.3, 0.5)])
        .hold(4, &[body(0.7, 0.8, 0.3, 0.5)]);
    assert_eq!((stage.cell(), stage.people("cell")), (Status::Present, 1));
    stage
}

#[test]
fn nothing_seen_yet_is_not_an_empty_zone() {
    let mut stage = Stage::new();
    assert_eq!(stage.cell(), blind(Blind::NoWord));
    stage.pass(1.0);
    assert_eq!(stage.cell(), blind(Blind::NoFrame));
    stage.frame(NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::NotYet));
    // Five seconds, from the first frame on.
    stage.hold(4, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::NotYet));
    stage.hold(1, NOBODY);
    assert_eq!(stage.cell(), Status::Vacated);
}

#[test]
fn few_frames_are_not_enough_for_an_empty_zone() {
    let mut stage = Stage::new();
    for _ in 0..4 {
        stage.pass(2.0).frame(NOBODY);
    }
    assert_eq!(stage.cell(), doubt(Doubt::NotYet));
    stage.pass(2.0).frame(NOBODY);
    assert_eq!(stage.cell(), Status::Vacated);
}

#[test]
fn an_empty_zone_ends_with_the_first_sight_of_somebody() {
    let mut stage = empty();
    stage.pass(1.0).frame(&[body(0.7, 0.8, 0.3, 0.36)]);
    assert_eq!(stage.cell(), doubt(Doubt::Maybe));
    assert_eq!(stage.status("hall"), Status::Vacated);
    stage.pass(1.0).frame(&[body(0.7, 0.8, 0.3, 0.36)]);
    assert_eq!((stage.cell(), stage.people("cell")), (Status::Present, 1));
}

#[test]
fn a_flash_is_nobody_and_the_zone_has_to_be_seen_empty_anew() {
    let mut stage = empty();
    stage.hold(1, &[body(0.7, 0.8, 0.3, 0.4)]);
    assert_eq!(stage.cell(), doubt(Doubt::Maybe));
    for _ in 0..6 {
        stage.hold(1, NOBODY);
        assert!(matches!(stage.cell(), Status::Unknown(_)), "{:?}", stage.cell());
    }
    stage.hold(2, NOBODY);
    assert_eq!(stage.cell(), Status::Vacated);
}

#[test]
fn who_goes_on_scores_low_is_still_there() {
    let mut stage = occupied();
    stage.hold(30, &[body(0.7, 0.8, 0.3, 0.25)]);
    assert_eq!(stage.cell(), Status::Present);
    // A low score alone is nobody, and no proof that nobody is there.
    let mut stage = empty();
    stage.hold(30, &[body(0.7, 0.8, 0.3, 0.25)]);
    assert_eq!(stage.cell(), doubt(Doubt::Maybe));
    let mut stage = empty();
    stage.hold(30, &[body(0.7, 0.8, 0.3, 0.24)]);
    assert_eq!(stage.cell(), Status::Vacated);
}

#[test]
fn who_is_seen_leaving_leaves_an_empty_zone() {
    let mut stage = occupied();
    stage.hold(1, &[body(0.55, 0.8, 0.3, 0.5)]).hold(2, &[body(0.4, 0.8, 0.3, 0.5)]);
    assert_eq!(stage.cell(), Status::Present);
    stage.hold(6, &[body(0.2, 0.8, 0.3, 0.5)]);
    assert_eq!((stage.cell(), stage.status("hall")), (Status::Vacated, Status::Present));
}

#[test]
fn who_vanishes_inside_is_missed_for_longer() {
    let mut stage = occupied();
    stage.hold(2, NOBODY);
    assert_eq!(stage.cell(), Status::Present);
    stage.hold(2, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::Maybe));
    stage.hold(20, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::Missing));
    // Remembered for 5 s, then unseen for 30 s.
    stage.hold(15, NOBODY);
    assert_eq!(stage.cell(), Status::Vacated);
}

#[test]
fn who_turns_up_again_does_not_make_up_for_who_is_missing() {
    let mut stage = occupied();
    stage.hold(10, NOBODY).hold(5, &[body(0.8, 0.8, 0.3, 0.5)]);
    assert_eq!(stage.cell(), Status::Present);
    stage.hold(1, &[body(0.93, 0.8, 0.3, 0.5)]).hold(3, &[body(0.98, 0.8, 0.3, 0.5)]).hold(12, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::Missing));
}

#[test]
fn who_stands_before_the_lower_edge_is_in_the_zone_below() {
    let whole = [[0.0, 0.6], [1.0, 0.6], [1.0, 1.0], [0.0, 1.0]];
    let mut view = View::new(Settings::default(), vec![super::stage::zone("floor", &whole)], BEGIN);
    view.health(BEGIN, Health::Live);
    for second in 1..4 {
        // The feet are below the picture.
        let findings = Findings::new([body(0.5, 1.2, 0.7, 0.5)]);
        view.frame(BEGIN + second * SECOND, BEGIN + second * SECOND, &second.to_string(), &findings);
    }
    view.advance(BEGIN + 3 * SECOND);
    assert!(view.tell().all(|(_, standing)| standing.status == Status::Present));
}

#[test]
fn who_steps_behind_a_bench_is_still_in_the_zone() {
    let mut stage = occupied();
    // The lower half is hidden: the box ends at 0.48, above the zone that begins at 0.5.
    let above = Rect::new(0.655, 0.3, 0.09, 0.17).map(|rect| Found { score: 0.5, rect });
    stage.hold(2, &[body(0.7, 0.6, 0.3, 0.5)]).hold(4, &[above]);
    assert_eq!((stage.cell(), stage.people("cell")), (Status::Present, 1));
}

#[test]
fn a_box_that_trembles_on_the_border_does_not_go_in_and_out() {
    let mut stage = occupied();
    for second in 0..60 {
        let x = if second % 2 == 0 { 0.49 } else { 0.51 };
        stage.hold(1, &[body(x, 0.8, 0.3, 0.5)]);
        assert_eq!(stage.cell(), Status::Present);
    }
}

#[test]
fn a_camera_that_does_not_see_says_nothing() {
    for health in [Health::Frozen, Health::Black, Health::Dark, Health::Gone] {
        for mut stage in [empty(), occupied()] {
            stage.health(health);
            assert_eq!(stage.cell(), blind(Blind::Is(health)));
            // What it saw meanwhile does not count either.
            stage.hold(20, NOBODY).health(Health::Live).pass(1.0).frame(NOBODY);
            assert!(matches!(stage.cell(), Status::Unknown(Why::Zone(_))), "{:?}", stage.cell());
        }
    }
}

#[test]
fn without_frames_nothing_is_known_and_nobody_has_left() {
    let mut stage = occupied();
    stage.pass(5.0);
    assert_eq!(stage.cell(), Status::Present);
    stage.pass(0.001);
    assert_eq!(stage.cell(), blind(Blind::NoFrame));
    stage.pass(3000.0);
    assert_eq!(stage.cell(), blind(Blind::NoFrame));
    // Whoever was inside has been lost sight of.
    stage.frame(NOBODY).hold(10, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::Missing));
}

#[test]
fn without_a_word_on_the_camera_nothing_is_known() {
    let mut stage = empty();
    let last = stage.now;
    for second in 1..60 {
        stage.view.frame(last + second * SECOND, last + second * SECOND, &format!("g{second}"), &Findings::new([]));
    }
    stage.view.advance(last + 59 * SECOND);
    assert_eq!(stage.cell(), blind(Blind::NoWord));
}

#[test]
fn a_picture_that_repeats_itself_is_no_evidence() {
    let mut stage = occupied();
    for second in 1..=14 {
        stage.pass(1.0);
        // A coarse picture and its refinement, again and again.
        let id = if second % 2 == 0 { "coarse" } else { "fine" };
        stage.view.frame(stage.now, stage.now, id, &Findings::new([]));
        stage.view.advance(stage.now);
    }
    assert_eq!(stage.cell(), blind(Blind::Still));
    stage.hold(10, NOBODY);
    assert_eq!(stage.cell(), doubt(Doubt::Missing));
}

#[test]
fn a_frame_that_was_judged_late_is_as_old_as_it_is() {
    let mut stage = empty();
    for _ in 0..20 {
        stage.pass(1.0);
        let id = stage.now.to_string();
        stage.view.frame(stage.now, stage.now - 6 * SECOND, &id, &Findings::new([]));
        stage.view.advance(stage.now);
    }
    assert_eq!(stage.cell(), blind(Blind::NoFrame));
}

#[test]
fn a_frame_with_a_box_that_is_none_proves_nothing_but_shows_who_is_there() {
    let mut stage = empty();
    stage.hold(3, &[None]);
    assert_eq!(stage.cell(), doubt(Doubt::NotYet));
    stage.hold(3, &[None, body(0.7, 0.8, 0.3, 0.5)]);
    assert_eq!(stage.cell(), Status::Present);
}

#[test]
fn people_who_cross_keep_their_ids() {
    let mut stage = Stage::new();
    let pair = |step: u32| {
        let part = f64::from(step) / 20.0;
        [body(0.15 + 0.7 * part, 0.9, 0.4, 0.5), body(0.85 - 0.7 * part, 0.75, 0.3, 0.5)]
    };
    for step in 0..=20 {
        stage.pass(0.25).frame(&pair(step));
    }
    let tracks = stage.view.tracker().tracks();
    assert_eq!(tracks.len(), 2);
    // The nearer one came first in the frame's order: both scores are the same, so the left one did.
    assert!(tracks[0].id < tracks[1].id && tracks[0].rect.left > 0.7 && tracks[1].rect.left < 0.2, "{tracks:?}");
}

#[test]
fn somebody_who_walks_is_the_same_at_a_frame_in_two_seconds() {
    let mut stage = Stage::new();
    for step in 0..6 {
        // 0.12 of the width in two seconds: more than the width of the box.
        stage.pass(2.0).frame(&[body(0.15 + 0.12 * f64::from(step), 0.8, 0.3, 0.5)]);
    }
    assert_eq!(stage.view.tracker().tracks().len(), 1);
}
