//! The cameras that look at one print, and what they say together.
//!
//! They look at the same failure, so their evidence is not independent: the strongest counts whole, the others for a
//! third, and the sum of nats, not of probabilities, is compared with the threshold. One that sees nothing wrong does
//! not speak against the others, since a failure may be hidden from it.

use super::evidence::{Camera, FRAMES, Health, Look, STALE, Thresholds, Weighed};
use super::reasons::duration;

/// More cameras than this are not followed: the one that was silent for longest makes room.
pub const CAMERAS: usize = 8;
/// Longer ids are not remembered, bytes.
const LONGEST_ID: usize = 256;
/// What a camera adds to a stronger one.
const AGREEING: f64 = 0.35;
/// The part of a threshold that one camera has to have reached by more than a flash.
const LEADING: f64 = 0.5;
/// The weight of evidence that just suffices; beyond, it grows to `FULL` at twice that.
const ENOUGH: f64 = 0.80;
const FULL: f64 = 0.98;
/// The most that a hint weighs.
const HINT: f64 = 0.60;
/// The most that one or two flashes weigh.
const FLASH: f64 = 0.35;

/// What the cameras see together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// 0 to 1.
    pub weight: f64,
    /// It is more than a flash.
    pub sure: bool,
    /// µs.
    pub since: u64,
}

/// The cameras of a print, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cameras(Vec<Camera>);

impl Cameras {
    pub fn iter(&self) -> impl Iterator<Item = &Camera> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Camera> {
        self.0.iter_mut()
    }

    /// A frame of a camera. A score that is not a number is no evidence, and no frame.
    pub fn frame(&mut self, at: u64, camera: &str, score: f64, id: &str, look: Look) {
        if score.is_nan() {
            return;
        }
        let id = if id.len() > LONGEST_ID { "" } else { id };
        self.get(camera).frame(at, score.clamp(0.0, 1.0), id, look);
    }

    pub fn turn(&mut self, at: u64, camera: &str, health: Health, hold: bool) {
        self.get(camera).turn(at, health, hold);
    }

    /// What they see together, if it is anything.
    #[must_use]
    pub fn sight(&self, thresholds: &Thresholds) -> Option<Sight> {
        let parts = |part: fn(&Camera) -> (f64, bool), threshold: f64| {
            let ratios = self.0.iter().map(|camera| part(camera).0 / threshold);
            let (most, all) = ratios.fold((0.0_f64, 0.0), |(most, all), ratio| (most.max(ratio), all + ratio));
            let sure = |camera: &Camera| part(camera).1 && part(camera).0 >= LEADING * threshold;
            (most + AGREEING * (all - most), self.0.iter().any(sure))
        };
        let (proof, proof_is_sure) = parts(|camera| (camera.proof.sum, camera.proof.is_sure()), thresholds.proof);
        let (hint, hint_is_sure) = parts(|camera| (camera.hint.sum, camera.hint.is_sure()), thresholds.hint);
        let capped = |weight: f64, sure: bool| if sure { weight } else { weight.min(FLASH) };
        let weight = capped(proof_weight(proof), proof_is_sure).max(capped(HINT * hint.min(1.0), hint_is_sure));
        let begun = self.0.iter().flat_map(|camera| [camera.proof, camera.hint]).filter(|cusum| cusum.sum > 0.0);
        let since = begun.map(|cusum| cusum.since).min()?;
        Some(Sight { weight, sure: proof_is_sure || hint_is_sure, since })
    }

    /// The frames that weigh most, heaviest first, earlier ones first among equals.
    #[must_use]
    pub fn frames(&self) -> Vec<Weighed> {
        let mut frames: Vec<Weighed> = self.0.iter().flat_map(|camera| camera.frames.iter().cloned()).collect();
        frames.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)).then_with(|| a.id.cmp(&b.id)));
        frames.truncate(FRAMES);
        frames
    }

    /// What is seen, in words.
    #[must_use]
    pub fn detail(&self) -> String {
        let mut seeing: Vec<&Camera> = self.0.iter().filter(|camera| camera.evidence() > 0.0).collect();
        seeing.sort_by(|a, b| b.evidence().total_cmp(&a.evidence()).then_with(|| a.name.cmp(&b.name)));
        let words = seeing.iter().map(|camera| {
            let usual = match camera.usual() {
                Some(usual) => format!("usually {usual:.2}"),
                None => "its usual score not known yet".to_owned(),
            };
            let cusum = if camera.proof.sum > 0.0 { camera.proof } else { camera.hint };
            format!(
                "{}: {} frames ({:.0} s) taken for a failure, scores up to {:.2}, {usual}",
                camera.name,
                cusum.frames,
                cusum.seconds,
                camera.height()
            )
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Those that see nothing: since when, and that in words.
    pub fn blind(&self, now: u64) -> impl Iterator<Item = (u64, String)> {
        self.0.iter().filter_map(move |camera| {
            let since = camera.blind_since?;
            let how = match camera.health {
                Health::Live => "no frames",
                health => health.name(),
            };
            Some((since, format!("{}: {how} for {}", camera.name, duration(now.saturating_sub(since)))))
        })
    }

    /// When a camera will have been silent for too long.
    pub fn stale(&self) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(|camera| Some(camera.last?.saturating_add(STALE)))
    }

    fn get(&mut self, name: &str) -> &mut Camera {
        let place = match self.0.binary_search_by(|camera| (*camera.name).cmp(name)) {
            Ok(place) => place,
            Err(_) => {
                if self.0.len() == CAMERAS {
                    let silent = (0..CAMERAS).min_by_key(|place| self.0[*place].last).unwrap_or_default();
                    self.0.remove(silent);
                }
                let place = self.0.partition_point(|camera| &*camera.name < name);
                self.0.insert(place, Camera::new(name.into()));
                place
            }
        };
        &mut self.0[place]
    }
}

/// The weight of so many times the evidence that suffices.
fn proof_weight(ratio: f64) -> f64 {
    if ratio < 1.0 { ENOUGH * ratio } else { ENOUGH + (FULL - ENOUGH) * (ratio - 1.0).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print_failure::settings::Sensitivity;

    fn look() -> Look {
        Look { thresholds: Sensitivity::NORMAL.thresholds(), judging: true, calm: true }
    }

    /// Frames a second apart of each camera; the weight after the last.
    fn weight(cameras: &[&str], scores: &[f64]) -> f64 {
        let mut seen = Cameras::default();
        for (second, score) in scores.iter().enumerate() {
            for camera in cameras {
                seen.frame(second as u64 * 1_000_000, camera, *score, "f", look());
            }
        }
        seen.sight(&look().thresholds).map_or(0.0, |sight| sight.weight)
    }

    #[test]
    fn cameras_that_agree_weigh_more_than_one_and_less_than_their_sum() {
        let bad = [0.1, 0.75, 0.75, 0.75, 0.75];
        let [one, two] = [weight(&["a"], &bad), weight(&["a", "b"], &bad)];
        assert!(one < two && two < 1.5 * one, "{one} {two}");
    }

    #[test]
    fn two_cameras_that_see_a_flash_see_a_flash() {
        assert!(weight(&["a", "b", "c"], &[0.1, 1.0, 1.0]) <= FLASH);
    }

    #[test]
    fn a_camera_that_sees_nothing_wrong_does_not_speak_against_the_other() {
        let mut seen = Cameras::default();
        for second in 0..6 {
            seen.frame(second * 1_000_000, "a", 0.95, "f", look());
            seen.frame(second * 1_000_000, "b", 0.05, "f", look());
        }
        assert!(seen.sight(&look().thresholds).unwrap().weight > ENOUGH);
    }

    #[test]
    fn the_camera_that_was_silent_for_longest_makes_room() {
        let mut seen = Cameras::default();
        for camera in 0..20_u64 {
            seen.frame(camera, &format!("camera {camera:02}"), 0.1, "f", look());
        }
        assert_eq!(seen.0.len(), CAMERAS);
        assert_eq!(&*seen.0[0].name, "camera 12");
    }
}
