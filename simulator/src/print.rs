//! One print, and what a printer is doing about it.

/// A job on its way through a printer.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    pub job: String,
    /// How long it takes from 0 to 100 %, seconds.
    pub duration_s: f64,
    /// Percent, 0 to 100.
    pub progress: f64,
}

impl Print {
    pub fn new(job: String, duration_s: f64) -> Self {
        Self { job, duration_s, progress: 0.0 }
    }

    /// Prints on for some seconds; true when it is finished.
    pub fn advance(&mut self, seconds: f64) -> bool {
        self.progress = (self.progress + 100.0 * seconds / self.duration_s).min(100.0);
        self.progress >= 100.0
    }
}

/// What a printer is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// No job for so many seconds more.
    Idle {
        left_s: f64,
    },
    /// Heating up.
    Preparing(Print),
    Printing(Print),
    /// The spool is empty; somebody brings the next one in so many seconds.
    OutOfFilament {
        print: Print,
        left_s: f64,
    },
    /// Finished; the part is taken off the bed in so many seconds.
    Done {
        print: Print,
        left_s: f64,
    },
}

impl Phase {
    /// As it is written in messages.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Idle { .. } => "idle",
            Self::Preparing(_) => "preparing",
            Self::Printing(_) => "printing",
            Self::OutOfFilament { .. } => "paused",
            Self::Done { .. } => "done",
        }
    }

    pub fn print(&self) -> Option<&Print> {
        match self {
            Self::Idle { .. } => None,
            Self::Preparing(print) | Self::Printing(print) => Some(print),
            Self::OutOfFilament { print, .. } | Self::Done { print, .. } => Some(print),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_after_its_duration() {
        let mut print = Print::new("j1".into(), 100.0);
        assert!(!print.advance(60.0));
        assert!((print.progress - 60.0).abs() < 1e-9);
        assert!(print.advance(60.0));
        assert_eq!(print.progress, 100.0);
    }
}
