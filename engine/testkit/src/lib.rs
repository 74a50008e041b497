//! jarvis-testkit
