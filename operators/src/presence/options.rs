//! The options of `presence`.

use super::settings::Settings;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Says which zones are occupied, by what a detector finds in the frames of cameras.
///
/// The table has a row for each zone of each camera that was heard of, with the columns `camera`, `zone`, `status`
/// (`present`, `vacated` or `unknown`), `people` (how many; null while unknown), `since` (since when it says so),
/// `observed_at` (when the newest frame that this rests on was taken), `reason` (for people), `tracks` (each with `id`,
/// `since`, `score`, `left`, `top`, `width`, `height`), `frames` (the hashes of those that it rests on most) and `cameras`
/// (how many cameras see this zone).
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// By camera and by zone the corners of the zone's floor in the picture, from the upper left, 0 to 1; or the path of a
    /// YAML file with them.
    #[schemars(with = "Written")]
    pub zones: Node,
    /// What is looked for, as the detector calls it; capitals make no difference.
    #[serde(default = "class")]
    class: String,
    /// A box of this score may be somebody new.
    #[serde(default = "threshold")]
    threshold: f64,
    /// A box of this score is enough to go on with somebody who is known already, and to doubt that a zone is empty. Ask the
    /// detector for boxes of this score.
    #[serde(default = "keep")]
    keep: f64,
    /// A box of this score is believed at once; others when they are found a second time.
    #[serde(default = "sure")]
    sure: f64,
    /// So long somebody must have been in a zone to be told: 1s unless set.
    #[serde(default = "seconds::<1>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    enter: Duration,
    /// So long somebody may be missed, or be over the border, before a zone counts as left: 3s unless set.
    #[serde(default = "seconds::<3>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    leave: Duration,
    /// So long somebody who is out of sight is remembered: 5s unless set.
    #[serde(default = "seconds::<5>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    hold: Duration,
    /// So long a zone must have been seen to be empty to be vacated: 5s unless set.
    #[serde(default = "seconds::<5>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    empty_after: Duration,
    /// And on so many frames.
    #[serde(default = "empty_frames")]
    empty_frames: u32,
    /// The same where somebody was last seen inside and never seen leaving: 30s unless set.
    #[serde(default = "seconds::<30>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    vanished_after: Duration,
    /// So old the newest frame may be, and so long the time between two frames: 5s unless set.
    #[serde(default = "seconds::<5>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    fresh: Duration,
    /// A picture that is the same for longer is no evidence: 10s unless set.
    #[serde(default = "seconds::<10>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    still: Duration,
    /// So long a word on the camera's health counts: 30s unless set.
    #[serde(default = "seconds::<30>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    health: Duration,
    /// After so long without a word a camera is forgotten, and older events are not looked back at after a restart: 1h
    /// unless set.
    #[serde(default = "seconds::<3600>", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    longest: Duration,
}

/// What `zones` may be, for the JSON schema.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described, never made")]
enum Written {
    File(String),
    Here(BTreeMap<String, BTreeMap<String, Vec<[f64; 2]>>>),
}

fn class() -> String {
    Settings::default().class
}

fn threshold() -> f64 {
    Settings::default().threshold
}

fn keep() -> f64 {
    Settings::default().keep
}

fn sure() -> f64 {
    Settings::default().sure
}

fn empty_frames() -> u32 {
    Settings::default().empty_frames
}

fn seconds<const S: u64>() -> Duration {
    Duration::from_secs(S)
}

impl Options {
    /// What they set; `written` is where they stand.
    pub fn settings(self, written: &Node, found: &mut Diagnostics) -> Settings {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.check(written, found);
        Settings {
            class: self.class,
            threshold: self.threshold,
            keep: self.keep,
            sure: self.sure,
            enter: micros(self.enter),
            leave: micros(self.leave),
            hold: micros(self.hold),
            empty_after: micros(self.empty_after),
            empty_frames: self.empty_frames,
            vanished_after: micros(self.vanished_after),
            fresh: micros(self.fresh),
            still: micros(self.still),
            health: micros(self.health),
            longest: micros(self.longest),
        }
    }

    fn check(&self, written: &Node, found: &mut Diagnostics) {
        let mut wrong = |key: &str, is_wrong: bool, message: &str, help: &str| {
            if is_wrong {
                let at = written.get(key).unwrap_or(written).span();
                found.push(Diagnostic::error("wrong_value", message).at(at).help(help));
            }
        };
        let is_score = |score: f64| (0.0..=1.0).contains(&score);
        wrong("threshold", !is_score(self.threshold), "a score is from 0 to 1", "0.35 suits detectors with low scores");
        wrong(
            "sure",
            self.sure.is_nan() || self.sure < self.threshold,
            "`sure` is below `threshold`",
            "what is sure is seen at all: raise it",
        );
        let keeps = is_score(self.keep) && self.keep <= self.threshold;
        wrong(
            "keep",
            !keeps,
            "`keep` is not from 0 to `threshold`",
            "who is known is easier to see than who is new: lower it",
        );
        wrong(
            "empty_frames",
            self.empty_frames == 0,
            "`empty_frames` is 0",
            "no frame shows no empty zone: write 1 or more",
        );
        for (key, time) in [("empty_after", self.empty_after), ("fresh", self.fresh), ("health", self.health)] {
            wrong(key, time.is_zero(), &format!("`{key}` is 0"), "write how long, such as 5s");
        }
        let is_short = self.vanished_after < self.empty_after;
        wrong(
            "vanished_after",
            is_short,
            "`vanished_after` is shorter than `empty_after`",
            "who was never seen leaving needs the longer proof",
        );
        let looks_back = self.vanished_after.max(self.health).max(self.hold) + self.fresh;
        wrong(
            "longest",
            self.longest < looks_back,
            "`longest` is too short to look back at what counts",
            "make it longer than `vanished_after`, `health` and `hold`, with `fresh` added",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jarvis_spec::SourceText;

    fn read(yaml: &str) -> Result<Settings, String> {
        let node = Node::read(&SourceText::new("o.yaml", yaml), &|_| None).map_err(|found| found.to_string())?;
        let options: Options = node.parse().map_err(|found: Diagnostic| Diagnostics::from(found).to_string())?;
        let mut found = Diagnostics::default();
        let settings = options.settings(&node, &mut found);
        if found.has_errors() { Err(found.to_string()) } else { Ok(settings) }
    }

    #[test]
    fn what_is_not_set_is_as_usual() {
        assert_eq!(read("zones: {}"), Ok(Settings::default()));
        let set = read("{ zones: {}, leave: 4s, class: cat, empty_frames: 9 }").expect("they are fine");
        assert_eq!((set.leave, set.class.as_str(), set.empty_frames), (4_000_000, "cat", 9));
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (set, words) in [
            ("threshold: 1.5", "from 0 to 1"),
            ("threshold: .nan", "from 0 to 1"),
            ("keep: 0.5", "from 0 to `threshold`"),
            ("sure: 0.1", "below `threshold`"),
            ("empty_frames: 0", "no empty zone"),
            ("fresh: 0", "`fresh` is 0"),
            ("vanished_after: 1s", "shorter than `empty_after`"),
            ("longest: 20s", "too short"),
            ("emptyafter: 3s", "did you mean"),
        ] {
            let said = read(&format!("zones: {{}}\n{set}\n")).err().unwrap_or_default();
            assert!(said.contains(words) && said.contains("o.yaml:2"), "{set}: {said}");
        }
    }
}
