//! Presence as a whole: scenes, laws, and simulated rooms.

mod laws;
mod scenes;
mod simulation;
mod stage;
