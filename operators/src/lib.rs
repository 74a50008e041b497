//! jarvis-operators
