//! Rooms with people who walk about, before a detector that errs, from seeds: how often a zone is told rightly, and that
//! nobody who is in a zone is told to have left.
//!
//! The floor is measured in metres: `x` across, `d` away from a camera that hangs 2.5 m high. People come through a door,
//! walk from place to place, stand, crouch now and then, and go. Whoever is near the camera is cut off below; behind a
//! bench at the far end of the cell only the upper part of the body is to be seen.

use super::stage::BEGIN;
use crate::presence::boxes::{Findings, Found, Rect};
use crate::presence::polygon::Polygon;
use crate::presence::settings::{SECOND, Settings};
use crate::presence::view::{Health, Status, View};
use crate::presence::zone::Zone;
use std::collections::BTreeMap;

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.part()
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.part() < probability
    }

    /// Nearly normal: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.part()).sum::<f64>() - 6.0
    }

    fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.part()).ln()
    }
}

const DOOR: [f64; 2] = [-3.9, 8.5];
/// Left, right, near, far.
const AREAS: [(&str, [f64; 4]); 2] = [("cell", [0.0, 3.0, 5.5, 9.0]), ("hall", [-2.5, -0.5, 4.5, 7.5])];

/// What a metre at a distance is in shares of the picture's height.
fn scale(d: f64) -> f64 {
    1.06 / d
}

/// Where a place on the floor is in the picture.
fn project([x, d]: [f64; 2]) -> [f64; 2] {
    [0.5 + x * scale(d) * 9.0 / 16.0, 0.15 + 2.5 * scale(d)]
}

/// As somebody would draw them: the floor, and of the cell also the bench that hides people's feet.
fn zones() -> Vec<Zone> {
    let floor = |[left, right, near, far]: [f64; 4]| {
        [[left, near], [left, far], [right, far], [right, near]].map(project).to_vec()
    };
    let [mut cell, hall] = AREAS.map(|(_, area)| floor(area));
    let [bench_left, bench_right] = [[1.0, 9.0], [3.0, 9.0]].map(project);
    let above = |[x, y]: [f64; 2]| [x, y - 0.09];
    cell.splice(2..3, [bench_left, above(bench_left), above(bench_right)]);
    let zone = |((name, _), corners): ((&str, [f64; 4]), Vec<[f64; 2]>)| {
        Zone::new(name.into(), Polygon::new(corners).expect("the zone is in the picture"))
    };
    AREAS.into_iter().zip([cell, hall]).map(zone).collect()
}

fn is_in(area: usize, [x, d]: [f64; 2]) -> bool {
    let [left, right, near, far] = AREAS[area].1;
    (left..=right).contains(&x) && (near..=far).contains(&d)
}

struct Walker {
    place: [f64; 2],
    goal: [f64; 2],
    speed: f64,
    /// Seconds: standing, or out of the room.
    rest: f64,
    is_out: bool,
    crouches: bool,
    /// Seconds during which it is not found whatever it does.
    unseen: f64,
    tall: f64,
    /// Who it was taken for, and when.
    track: Option<(i64, u64)>,
}

impl Walker {
    fn new(chance: &mut Chance) -> Self {
        let (rest, tall) = (chance.wait(40.0), chance.between(1.55, 1.9));
        Walker {
            place: DOOR,
            goal: DOOR,
            speed: 1.0,
            rest,
            is_out: true,
            crouches: false,
            unseen: 0.0,
            tall,
            track: None,
        }
    }

    fn step(&mut self, seconds: f64, chance: &mut Chance) {
        self.unseen -= seconds;
        if self.unseen < 0.0 && chance.happens(seconds / 60.0) {
            self.unseen = chance.wait(2.0);
        }
        if self.rest > 0.0 {
            self.rest -= seconds;
            if self.rest <= 0.0 {
                (self.is_out, self.crouches) = (false, false);
                let leaves = self.place != DOOR && chance.happens(0.25);
                let inside = [chance.between(-3.0, 3.5), chance.between(3.5, 9.5)];
                (self.goal, self.speed) = (if leaves { DOOR } else { inside }, chance.between(0.5, 1.5));
            }
            return;
        }
        let [dx, dd] = [self.goal[0] - self.place[0], self.goal[1] - self.place[1]];
        let (far, way) = ((dx * dx + dd * dd).sqrt(), self.speed * seconds);
        if far > way {
            self.place = [self.place[0] + dx / far * way, self.place[1] + dd / far * way];
            return;
        }
        self.place = self.goal;
        self.is_out = self.goal == DOOR;
        self.rest = if self.is_out { chance.wait(60.0) } else { chance.wait(15.0) };
        self.crouches = !self.is_out && chance.happens(0.2);
    }

    /// The box that a perfect detector would draw.
    fn body(&self) -> Option<[f64; 4]> {
        let ([x, foot], metre) = (project(self.place), scale(self.place[1]));
        let tall = if self.crouches { 0.55 * self.tall } else { self.tall };
        let wide = if self.crouches { 0.8 } else { 0.6 };
        let (width, height) = (wide * metre * 9.0 / 16.0, tall * metre);
        let is_behind_bench = self.place[0] > 1.0 && self.place[1] > 8.0;
        let seen = if is_behind_bench { 0.6 * height } else { height };
        let rect = Rect::new(x - width / 2.0, foot - height, width, seen)?;
        // A sliver at the side of the picture is found by nobody.
        (!self.is_out && rect.width > 0.4 * width).then_some([x - width / 2.0, foot - height, width, seen])
    }
}

/// How a detector errs.
#[derive(Clone, Copy)]
struct Errs {
    /// On a frame, each person: not found at all, or found with a low score.
    misses: f64,
    low: f64,
    /// On a frame: a box around nobody.
    false_boxes: f64,
    /// Now and then somebody is not found for seconds.
    spells: bool,
}

const USUAL: Errs = Errs { misses: 0.2, low: 0.1, false_boxes: 0.02, spells: false };
const HARSH: Errs = Errs { spells: true, ..USUAL };
const PERFECT: Errs = Errs { misses: 0.0, low: 0.0, false_boxes: 0.0, spells: false };

impl Errs {
    fn find(self, walker: &Walker, chance: &mut Chance) -> Option<Found> {
        let [left, top, width, height] = walker.body()?;
        let is_missed = chance.happens(self.misses) || self.spells && walker.unseen > 0.0;
        let is_low = chance.happens(self.low);
        let score = if is_low { chance.between(0.25, 0.35) } else { chance.between(0.36, 0.6) };
        let tremble = if self.misses > 0.0 { 0.05 } else { 0.0 };
        let [mut l, mut t, mut w, mut h] = [left, top, width, height];
        for (side, size) in [(&mut l, width), (&mut t, height), (&mut w, width), (&mut h, height)] {
            *side += tremble * size * chance.normal();
        }
        let rect = Rect::new(l, t, w, h)?;
        (!is_missed).then_some(Found { score, rect })
    }

    fn nobody(self, chance: &mut Chance) -> Option<Found> {
        let (is_there, score) = (chance.happens(self.false_boxes), chance.between(0.35, 0.55));
        let (height, x, foot) = (chance.between(0.1, 0.5), chance.part(), chance.between(0.4, 1.0));
        let rect = Rect::new(x, foot - height, height * 0.25, height)?;
        is_there.then_some(Found { score, rect })
    }
}

/// What came of a simulation, over both zones.
#[derive(Debug, Default)]
struct Tally {
    /// Frames by whether somebody was there, and what was told.
    told: BTreeMap<(bool, &'static str), u64>,
    /// Of those that were unknown, why.
    why: BTreeMap<(bool, String), u64>,
    /// Told to be vacated although somebody had been there for so long, s.
    longest_false: f64,
    false_vacated: u64,
    sightings: u64,
    switches: u64,
    /// Of each zone on each frame.
    statuses: Vec<[&'static str; 2]>,
    truth: Vec<[bool; 2]>,
}

impl Tally {
    fn share(&self, occupied: bool, status: &'static str) -> f64 {
        let of = |status: &'static str| self.told.get(&(occupied, status)).copied().unwrap_or(0) as f64;
        of(status) / (of("present") + of("vacated") + of("unknown"))
    }
}

/// A zone that is told to be vacated this long after somebody came in is told falsely, s.
const GRACE: f64 = 3.0;
/// The walk is worked out at this rate, whatever the camera's is: all cameras look at the same people.
const STEPS: u32 = 20;

fn simulate(seed: u64, people: usize, hours: f64, rate: f64, errs: Errs) -> Tally {
    let (mut walk, mut chance) = (Chance(seed), Chance(seed ^ 0x5eed));
    let mut walkers: Vec<Walker> = (0..people).map(|_| Walker::new(&mut walk)).collect();
    let mut view = View::new(Settings::default(), zones(), BEGIN);
    let (mut tally, mut inside_since, mut due) = (Tally::default(), [None::<u64>; 2], 0.0);
    for step in 0..(hours * 3600.0 * f64::from(STEPS)) as u64 {
        let now = BEGIN + step * SECOND / u64::from(STEPS);
        if step % (10 * u64::from(STEPS)) == 0 {
            view.health(now, Health::Live);
        }
        walkers.iter_mut().for_each(|walker| walker.step(1.0 / f64::from(STEPS), &mut walk));
        let truth = [0, 1].map(|area| walkers.iter().any(|walker| !walker.is_out && is_in(area, walker.place)));
        for (since, is_there) in inside_since.iter_mut().zip(truth) {
            *since = since.filter(|_| is_there).or(is_there.then_some(now));
        }
        if (step as f64) < due {
            continue;
        }
        due += f64::from(STEPS) / rate;
        let found: Vec<Option<Found>> = walkers.iter().map(|walker| errs.find(walker, &mut chance)).collect();
        let nobody = errs.nobody(&mut chance);
        let findings = Findings::new(found.iter().flatten().chain(&nobody).map(|found| Some(*found)));
        view.frame(now, now, &step.to_string(), &findings);
        view.advance(now);
        note(&mut tally, &view, now, truth, inside_since);
        follow(&mut tally, &view, &mut walkers, &found);
    }
    tally
}

fn note(tally: &mut Tally, view: &View, now: u64, truth: [bool; 2], inside_since: [Option<u64>; 2]) {
    let mut names = ["", ""];
    for (area, (_, standing)) in view.tell().enumerate() {
        names[area] = standing.status.name();
        *tally.told.entry((truth[area], names[area])).or_default() += 1;
        if let Status::Unknown(why) = standing.status {
            *tally.why.entry((truth[area], format!("{why:?}"))).or_default() += 1;
        }
        let for_s = inside_since[area].map_or(0.0, |since| (now - since) as f64 / 1e6);
        if standing.status == Status::Vacated {
            tally.longest_false = tally.longest_false.max(for_s);
            tally.false_vacated += u64::from(for_s > GRACE);
        }
    }
    tally.statuses.push(names);
    tally.truth.push(truth);
}

/// Whether people keep their ids while they are in the room.
fn follow(tally: &mut Tally, view: &View, walkers: &mut [Walker], found: &[Option<Found>]) {
    for (walker, found) in walkers.iter_mut().zip(found) {
        let now = view.newest().map_or(0, |(taken, _)| *taken);
        let hold = view.settings().hold;
        walker.track = walker.track.filter(|(_, seen)| !walker.is_out && now - seen <= hold);
        let Some(found) = found else { continue };
        let track = view.tracker().tracks().iter().find(|track| track.rect == found.rect && track.confirmed);
        let Some(track) = track else { continue };
        tally.sightings += 1;
        let is_another = walker.track.is_some_and(|(id, _)| id != track.id);
        tally.switches += u64::from(is_another);
        walker.track = Some((track.id, now));
    }
}

/// All seeds together, an hour each.
fn hours(seeds: u64, people: usize, rate: f64, errs: Errs) -> Tally {
    let mut all = Tally::default();
    for seed in 0..seeds {
        let one = simulate(seed, people, 1.0, rate, errs);
        one.told.iter().for_each(|(what, frames)| *all.told.entry(*what).or_default() += frames);
        one.why.iter().for_each(|(what, frames)| *all.why.entry(what.clone()).or_default() += frames);
        all.longest_false = all.longest_false.max(one.longest_false);
        all.false_vacated += one.false_vacated;
        (all.sightings, all.switches) = (all.sightings + one.sightings, all.switches + one.switches);
    }
    all
}

#[test]
fn nobody_who_is_in_a_zone_is_told_to_have_left() {
    let tally = hours(24, 3, 2.0, USUAL);
    assert_eq!(tally.false_vacated, 0, "{tally:?}");
    assert!(tally.share(true, "present") > 0.85 && tally.share(false, "present") < 0.2, "{tally:?}");
}

#[test]
fn an_empty_room_is_found_to_be_empty_in_spite_of_false_boxes() {
    let tally = hours(10, 0, 2.0, USUAL);
    assert_eq!(tally.share(false, "present"), 0.0, "{tally:?}");
    assert!(tally.share(false, "vacated") > 0.85, "{tally:?}");
}

/// The same people before cameras of other rates, without errors: what is told differs only for a short while after
/// something has happened.
#[test]
fn the_rate_of_frames_makes_little_difference() {
    let at_ten = simulate(7, 2, 1.0, 10.0, PERFECT);
    for (rate, least) in [(5.0, 0.97), (2.0, 0.95), (1.0, 0.92), (0.5, 0.8)] {
        let other = simulate(7, 2, 1.0, rate, PERFECT);
        let every = (10.0 / rate) as usize;
        let pairs = other.statuses.iter().zip(at_ten.statuses.iter().step_by(every));
        let same = pairs.flat_map(|(one, ten)| one.iter().zip(ten)).filter(|(one, ten)| one == ten).count();
        let share = same as f64 / (2 * other.statuses.len()) as f64;
        assert!(share > least, "{rate}: {share}");
        assert_eq!(other.false_vacated, 0, "{rate}");
    }
}

/// Prints the table of the documentation.
#[test]
#[ignore = "prints figures, and takes minutes"]
fn figures() {
    for rate in [0.5, 1.0, 2.0, 5.0] {
        for (name, people, errs) in [
            ("perfect", 3, PERFECT),
            ("usual", 0, USUAL),
            ("usual", 1, USUAL),
            ("usual", 3, USUAL),
            ("harsh", 3, HARSH),
        ] {
            let tally = hours(100, people, rate, errs);
            let percent = |occupied, status| 100.0 * tally.share(occupied, status);
            println!(
                "{rate}/s {name} {people}: occupied {:.1} {:.2} {:.3}; empty {:.1} {:.1} {:.1}; false {} longest {:.1} s; switches {} of {}",
                percent(true, "present"),
                percent(true, "unknown"),
                percent(true, "vacated"),
                percent(false, "vacated"),
                percent(false, "unknown"),
                percent(false, "present"),
                tally.false_vacated,
                tally.longest_false,
                tally.switches,
                tally.sightings
            );
        }
    }
}
