//! What can be set for presence.

/// A second, µs.
pub const SECOND: u64 = 1_000_000;

/// How people are followed, and how long what was seen of them counts. Times in µs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is looked for, as the detector calls it.
    pub class: String,
    /// A box of this score may be somebody new.
    pub threshold: f64,
    /// A box of this score is enough to go on with somebody who is known.
    pub keep: f64,
    /// A box of this score is believed at once; others when they are found again.
    pub sure: f64,
    /// For so long somebody must have been in a zone to be told.
    pub enter: u64,
    /// For so long somebody may be missed, or be over the border, before a zone is left.
    pub leave: u64,
    /// For so long somebody out of sight is remembered.
    pub hold: u64,
    /// For so long a zone must have been seen to be empty,
    pub empty_after: u64,
    /// on so many frames at least.
    pub empty_frames: u32,
    /// The same where somebody was last seen inside, and never seen leaving.
    pub vanished_after: u64,
    /// A frame says nothing of now when it is older than this, and two frames nothing of what lies between them when that
    /// is longer.
    pub fresh: u64,
    /// A picture that has not changed for so long is no evidence.
    pub still: u64,
    /// So long a word on the camera's health counts.
    pub health: u64,
    /// After so long without an event a camera is forgotten.
    pub longest: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            class: "person".to_owned(),
            threshold: 0.35,
            keep: 0.25,
            sure: 0.6,
            enter: SECOND,
            leave: 3 * SECOND,
            hold: 5 * SECOND,
            empty_after: 5 * SECOND,
            empty_frames: 5,
            vanished_after: 30 * SECOND,
            fresh: 5 * SECOND,
            still: 10 * SECOND,
            health: 30 * SECOND,
            longest: 3600 * SECOND,
        }
    }
}
