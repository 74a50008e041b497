//! Good and failed prints told apart, learnt from a few pictures.
//!
//! A network that was trained on other pictures says what is in one; over its features stands a linear judge, made of the
//! pictures that a user shows. With pictures of failures the judge separates the two. Without, failures are painted into the good
//! ones, and what is unlike every good picture is suspicious too.
//!
//! Beside it stand detectors of boxes, in models of the catalog and in those that users bring ([`boxes`]).

mod algebra;
pub mod boxes;
mod evaluation;
mod features;
mod judge;
mod random;
mod strands;

pub use boxes::{Detected, Detection, Detector, failure_score};
pub use evaluation::{Evaluation, area_under_curve, evaluate, pictures_in};
pub use features::{Extractor, MODEL};
pub use judge::{Judge, Lessons, MOST};
pub use random::Random;
