//! What holds whatever is found.

use super::stage::{BEGIN, CELL, HALL, body, zone};
use crate::presence::boxes::{BOXES, Findings, Found, Rect};
use crate::presence::polygon::Polygon;
use crate::presence::settings::{SECOND, Settings};
use crate::presence::tracker::TRACKS;
use crate::presence::view::{Health, Standing, Status, View};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Told {
    /// A frame that is so old, its picture, and its boxes.
    Frame(u64, Option<u8>, Vec<Option<Found>>),
    Health(Health),
}

/// Events and the time to each from the one before, µs.
type Story = Vec<(u64, Told)>;

fn anybody() -> impl Strategy<Value = Option<Found>> {
    prop_oneof![
        12 => (0.0..1.0_f64, 0.4..1.1_f64, 0.1..0.6_f64, 0.1..0.8_f64).prop_map(|(x, foot, height, score)| body(x, foot, height, score)),
        1 => Just(None),
    ]
}

/// Mostly empty rooms before cameras that are mostly live, or nothing would ever be vacated.
fn told() -> impl Strategy<Value = Told> {
    let boxes = prop_oneof![10 => Just(vec![]), 5 => prop::collection::vec(anybody(), 1..4)];
    let age = prop_oneof![8 => Just(0), 2 => 0..2 * SECOND, 1 => 0..12 * SECOND];
    let picture = prop_oneof![9 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    let states = vec![Health::Live, Health::Frozen, Health::Black, Health::Dark, Health::Gone];
    let health = prop_oneof![8 => Just(Health::Live), 1 => prop::sample::select(states)];
    prop_oneof![
        12 => (age, picture, boxes).prop_map(|(age, picture, boxes)| Told::Frame(age, picture, boxes)),
        3 => health.prop_map(Told::Health),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let time = prop_oneof![1 => Just(0), 12 => 200_000..2 * SECOND, 1 => 0..40 * SECOND];
    let calm = prop::collection::vec((200_000..SECOND, Just(Told::Frame(0, None, vec![]))), 0..30);
    let any = || prop::collection::vec((time.clone(), told()), 0..40);
    (any(), calm, any()).prop_map(|(first, calm, last)| {
        let live = (0, Told::Health(Health::Live));
        [first, vec![live], calm, last].concat()
    })
}

fn view_of(zones: [&[[f64; 2]]; 2], begin: u64) -> View {
    View::new(Settings::default(), vec![zone("cell", zones[0]), zone("hall", zones[1])], begin)
}

fn view() -> View {
    view_of([&CELL, &HALL], BEGIN)
}

fn tell(view: &mut View, at: u64, number: usize, told: &Told) {
    match told {
        Told::Frame(age, picture, boxes) => {
            let id = picture.map_or_else(|| format!("n{number}"), |picture| format!("p{picture}"));
            view.frame(at, at - age, &id, &Findings::new(boxes.iter().copied()));
        }
        Told::Health(health) => view.health(at, *health),
    }
}

fn standings(view: &View) -> Vec<Standing> {
    view.tell().map(|(_, standing)| standing).collect()
}

/// What is said after each event.
fn play(mut view: View, begin: u64, story: &Story) -> Vec<Vec<Standing>> {
    let mut at = begin;
    let after = |(number, (time, told)): (usize, &(u64, Told))| {
        at += time;
        tell(&mut view, at, number, told);
        view.advance(at);
        standings(&view)
    };
    story.iter().enumerate().map(after).collect()
}

/// What was told, as it is: no tracks, no runs.
#[derive(Default)]
struct Record {
    frames: Vec<(u64, Vec<Option<Found>>)>,
    words: Vec<(u64, Health)>,
}

impl Record {
    fn note(&mut self, at: u64, told: &Told) {
        match told {
            Told::Health(health) => self.words.push((at, *health)),
            Told::Frame(age, _, boxes) => {
                if self.frames.last().is_none_or(|(newest, _)| at - age > *newest) {
                    self.frames.push((at - age, boxes.clone()));
                }
            }
        }
    }

    /// Why a zone must not be called empty at a time, if it must not.
    fn objects(&self, now: u64, corners: &[[f64; 2]], settings: &Settings) -> Option<String> {
        let polygon = Polygon::new(corners.to_vec()).expect("it is simple");
        let Some((newest, _)) = self.frames.last() else { return Some("no frame".to_owned()) };
        if now - newest > settings.fresh {
            return Some("no fresh frame".to_owned());
        }
        let begin = newest - settings.empty_after;
        let Some(before) = self.frames.iter().rposition(|(at, _)| *at <= begin) else {
            return Some("too early".to_owned());
        };
        let Some(few) = self.frames.len().checked_sub(settings.empty_frames as usize) else {
            return Some("few frames".to_owned());
        };
        let looked = &self.frames[before.min(few)..];
        for (at, boxes) in looked {
            let is_in = |found: &Found| found.score >= settings.threshold && polygon.contains(found.rect.foot());
            if boxes.iter().any(|found| found.as_ref().is_none_or(is_in)) {
                return Some(format!("somebody at {at}"));
            }
        }
        if looked.windows(2).any(|pair| pair[1].0 - pair[0].0 > settings.fresh) {
            return Some("a gap".to_owned());
        }
        let first = self.words.iter().rposition(|(at, _)| *at < looked[0].0);
        let Some(first) = first else { return Some("no word".to_owned()) };
        let words = &self.words[first..];
        let silent = |pair: &[(u64, Health)]| pair[1].0 - pair[0].0 > settings.health;
        let is_silent = words.windows(2).any(silent) || words.last().is_some_and(|(at, _)| now - at > settings.health);
        (is_silent || words.iter().any(|(_, health)| *health != Health::Live)).then(|| "not live".to_owned())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Checked against what was told itself, without tracks.
    #[test]
    fn vacated_is_only_what_was_seen_to_be_empty(story in story(), pauses in prop::collection::vec(0..6 * SECOND, 100)) {
        let (mut view, mut record, mut at) = (view(), Record::default(), BEGIN);
        for (number, ((time, told), pause)) in story.iter().zip(&pauses).enumerate() {
            at += time;
            tell(&mut view, at, number, told);
            record.note(at, told);
            // Some time within what passes until the next event, too.
            let next = story.get(number + 1).map_or(*pause, |(time, _)| *time);
            for now in [at, at + (*pause).min(next.saturating_sub(1))] {
                view.advance(now);
                for (standing, corners) in standings(&view).iter().zip([CELL, HALL]) {
                    if standing.status == Status::Vacated {
                        prop_assert_eq!(record.objects(now, &corners, view.settings()), None);
                    }
                }
            }
        }
    }

    #[test]
    fn time_alone_makes_nothing_known(story in story(), later in 0..100 * SECOND) {
        let (mut view, mut at) = (view(), BEGIN);
        for (number, (time, told)) in story.iter().enumerate() {
            at += time;
            tell(&mut view, at, number, told);
        }
        view.advance(at);
        let before = standings(&view);
        view.advance(at + later);
        for (before, after) in before.iter().zip(standings(&view)) {
            prop_assert!(after == *before || matches!(after.status, Status::Unknown(_)), "{before:?} {after:?}");
        }
    }

    #[test]
    fn time_passes_in_one_step_or_in_many(story in story(), steps in prop::collection::vec(1..7 * SECOND, 1..20)) {
        let (mut once, mut often, mut at) = (view(), view(), BEGIN);
        for (number, (time, told)) in story.iter().enumerate() {
            for step in steps.iter().scan(at, |now, step| { *now += step; Some(*now) }).take_while(|step| *step < at + time) {
                often.advance(step);
            }
            at += time;
            tell(&mut once, at, number, told);
            tell(&mut often, at, number, told);
            often.advance(at);
        }
        once.advance(at);
        prop_assert_eq!(standings(&once), standings(&often));
        prop_assert_eq!(once.tracker(), often.tracker());
    }

    /// Waking when it says so is enough: in between nothing changes.
    #[test]
    fn nothing_changes_before_it_wakes(story in story()) {
        let (mut view, mut at) = (view(), BEGIN);
        for (number, (time, told)) in story.iter().enumerate() {
            let Some(wake) = view.wake() else { continue };
            let before = standings(&view);
            let mut then = view.clone();
            then.advance(wake.saturating_sub(1).max(at));
            prop_assert_eq!(before, standings(&then));
            at += time;
            tell(&mut view, at, number, told);
            view.advance(at);
        }
    }

    #[test]
    fn the_order_of_streams_at_one_time_does_not_matter(story in story(), advances in any::<bool>()) {
        let (mut one, mut other, mut at) = (view(), view(), BEGIN);
        for (number, (time, told)) in story.iter().enumerate() {
            at += time;
            let word = Told::Health(if number % 5 == 4 { Health::Dark } else { Health::Live });
            let frame = match told { Told::Frame(..) => told.clone(), Told::Health(_) => Told::Frame(0, None, vec![]) };
            for (view, order) in [(&mut one, [&word, &frame]), (&mut other, [&frame, &word])] {
                for told in order {
                    tell(view, at, number, told);
                    if advances {
                        view.advance(at);
                    }
                }
                view.advance(at);
            }
            prop_assert_eq!(standings(&one), standings(&other));
        }
    }

    #[test]
    fn the_order_of_boxes_does_not_matter(story in story(), seed in any::<u64>()) {
        let turned = story.iter().map(|(time, told)| {
            let told = match told {
                Told::Frame(age, picture, boxes) => {
                    let mut boxes = boxes.clone();
                    let by = if boxes.is_empty() { 0 } else { seed as usize % boxes.len() };
                    boxes.rotate_left(by);
                    boxes.reverse();
                    Told::Frame(*age, *picture, boxes)
                }
                told => told.clone(),
            };
            (*time, told)
        });
        let turned: Story = turned.collect();
        prop_assert_eq!(play(view(), BEGIN, &story), play(view(), BEGIN, &turned));
    }

    #[test]
    fn the_mirrored_scene_has_mirrored_zones(story in story()) {
        let mirror = |found: &Found| {
            let Rect { left, top, width, height } = found.rect;
            Some(Found { rect: Rect::new(1.0 - left - width, top, width, height)?, ..*found })
        };
        let mirrored = story.iter().map(|(time, told)| {
            let told = match told {
                Told::Frame(age, picture, boxes) => {
                    Told::Frame(*age, *picture, boxes.iter().map(|found| found.as_ref().and_then(mirror)).collect())
                }
                told => told.clone(),
            };
            (*time, told)
        });
        let mirrored: Story = mirrored.collect();
        let [cell, hall] = [CELL, HALL].map(|corners| corners.map(|[x, y]| [1.0 - x, y]));
        prop_assert_eq!(play(view(), BEGIN, &story), play(view_of([&cell, &hall], BEGIN), BEGIN, &mirrored));
    }

    /// Nothing knows what time it is.
    #[test]
    fn a_scene_that_begins_later_goes_the_same_way(story in story(), later in 0..1_000_000 * SECOND) {
        let shifted: Vec<Vec<Standing>> = play(view_of([&CELL, &HALL], BEGIN + later), BEGIN + later, &story);
        let shift = |standing: Standing| Standing { since: standing.since - later, ..standing };
        let shifted: Vec<Vec<Standing>> = shifted.into_iter().map(|all| all.into_iter().map(shift).collect()).collect();
        prop_assert_eq!(play(view(), BEGIN, &story), shifted);
    }

    /// Someone who stands in a zone and is missed for a while, at any rate of frames.
    #[test]
    fn who_is_missed_for_less_than_leave_does_not_go(
        period in 100_000..2 * SECOND, x in 0.6..0.8_f64, foot in 0.6..0.9_f64, spells in prop::collection::vec((1..10_u64, 0..3 * SECOND), 1..10)
    ) {
        let (mut view, mut at) = (view(), BEGIN);
        view.health(at, Health::Live);
        let mut frame = |view: &mut View, is_seen: bool| -> Status {
            at += period;
            let findings = Findings::new(is_seen.then(|| body(x, foot, 0.3, 0.45)));
            view.health(at, Health::Live);
            view.frame(at, at, &at.to_string(), &findings);
            view.advance(at);
            standings(view)[0].status
        };
        for _ in 0..3 + 2 * SECOND / period {
            frame(&mut view, true);
        }
        for (seen, missed) in spells {
            // Sightings lie `leave` apart at most if one frame less is missed than would fit.
            for is_seen in (0..seen).map(|_| true).chain((0..missed.saturating_sub(1) / period).map(|_| false)) {
                prop_assert_eq!(frame(&mut view, is_seen), Status::Present);
            }
        }
    }

    #[test]
    fn whatever_is_found_there_is_an_end_to_what_is_kept(
        frames in prop::collection::vec(prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>(), any::<f64>()), 0..40), 0..20),
        crowd in 0..10_000_u32
    ) {
        let (mut view, mut at) = (view(), BEGIN);
        for frame in frames {
            at += 100_000;
            let wild = frame.into_iter().map(|(score, left, top, width, height)| {
                Some(Found { score, rect: Rect::new(left, top, width, height)? })
            });
            let place = |n: u32| (f64::from(n % 97) / 97.0, f64::from(n % 89) / 89.0);
            let crowd = (0..crowd).map(|n| body(place(n).0, place(n).1, 0.05, 0.9));
            let findings = Findings::new(wild.chain(crowd));
            prop_assert!(findings.found.len() <= BOXES);
            view.frame(at, at, &"x".repeat(1000), &findings);
            view.advance(at);
            let kept = view.tracker().tracks();
            prop_assert!(kept.len() <= TRACKS && kept.windows(2).all(|pair| pair[0].id < pair[1].id));
            prop_assert!(view.tell().all(|(zone, _)| zone.people().count() <= 2 * TRACKS));
        }
    }
}

/// The stories above do come to every status, or the laws would say little.
#[test]
fn stories_come_to_every_status() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for _ in 0..200 {
        let story = story().new_tree(&mut runner).expect("stories can be made").current();
        for standing in play(view(), BEGIN, &story).iter().flatten() {
            *seen.entry(standing.status.name()).or_default() += 1;
        }
    }
    assert!(["present", "vacated", "unknown"].iter().all(|name| seen.get(name).is_some_and(|n| *n > 200)), "{seen:?}");
}
