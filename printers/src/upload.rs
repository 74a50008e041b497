//! How a file is given to a printer: look whether it is there, send it, and look again until it is listed.
//!
//! An equal file that is there already is not sent again: one of the same size is read back and compared. An answer is a
//! hint here, too: a file is stored when the printer lists it with its size and, if nobody knows whether all of it
//! arrived, with its contents. A print of the file is a command of its own then, and judged as one.

use crate::command::{Action, Command, What};
use crate::conduct::{AGAIN, Course};
use crate::report::Phase;
use crate::wire::{Fault, Unsent, Wire};
use std::path::Path;
use tokio::time::{Instant, sleep, timeout_at};

/// What is known of a file that was sent.
enum Sent {
    /// The printer says that it has it.
    Stored,
    /// Perhaps it has.
    Unclear(String),
}

impl<W: Wire> Course<'_, W> {
    /// Stores the file, and begins its print if that is wanted.
    pub async fn upload(&mut self, path: &Path, name: &str, print: bool) -> What {
        if let Some(why) = self.wire.observe_only() {
            return What::ObserveOnly { why };
        }
        if let Err(error) = tokio::fs::metadata(path).await {
            return What::Refused { status: 0, message: format!("{} cannot be read: {error}", path.display()) };
        }
        let phase = match self.look().await {
            Ok(before) => before.phase,
            Err(what) => return what,
        };
        let was_there = match timeout_at(self.end, self.wire.has(path, name, true)).await {
            Ok(Ok(was_there)) => was_there,
            Ok(Err(fault)) => return failed(fault),
            // It is large, and the printer slow: as long as it takes to read, it would take to write.
            Err(_) => return What::Unreachable { why: "it did not read the file back in time".to_owned() },
        };
        if !was_there {
            // A file that could not be printed then is not to take another one's place.
            if print && phase != Phase::Idle {
                return What::WrongState { phase };
            }
            if let Err(what) = self.store(path, name).await {
                return what;
            }
        }
        if print { self.print(name, was_there).await } else { What::Done { already: was_there } }
    }

    async fn store(&mut self, path: &Path, name: &str) -> Result<(), What> {
        self.sent = true;
        let sent = match timeout_at(self.end, self.wire.send(&self.command.action, None)).await {
            Ok(Ok(())) => Sent::Stored,
            Ok(Err(Unsent::Unclear(why))) => Sent::Unclear(why),
            Ok(Err(Unsent::NotTaken(why))) => {
                self.sent = false;
                return Err(What::Unreachable { why });
            }
            Ok(Err(Unsent::Refused { status, message })) => return Err(What::Refused { status, message }),
            Ok(Err(Unsent::ObserveOnly(why))) => return Err(What::ObserveOnly { why }),
            Ok(Err(Unsent::Unsupported)) => {
                self.sent = false;
                return Err(What::Unsupported);
            }
            Err(_) => {
                let why = Some("the file was not sent in time: a longer deadline may do".to_owned());
                return Err(What::NotConfirmed { seen: self.seen, why });
            }
        };
        self.listed(path, name, sent).await
    }

    /// Waits until the printer lists the file.
    async fn listed(&self, path: &Path, name: &str, sent: Sent) -> Result<(), What> {
        let is_sure = matches!(sent, Sent::Unclear(_));
        let mut why = match sent {
            Sent::Stored => "it does not list the file under this name".to_owned(),
            Sent::Unclear(why) => why,
        };
        loop {
            match timeout_at(self.end, self.wire.has(path, name, is_sure)).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Err(fault)) => why = fault.to_string(),
                Ok(Ok(false)) | Err(_) => {}
            }
            if Instant::now() + AGAIN >= self.end {
                return Err(What::NotConfirmed { seen: self.seen, why: Some(why) });
            }
            sleep(AGAIN).await;
        }
    }

    async fn print(&mut self, name: &str, was_there: bool) -> What {
        let action = Action::Start { file: name.to_owned() };
        let start = Command { action, ..self.command.clone() };
        let Self { wire, end, seen, .. } = *self;
        let mut course = Course { wire, command: &start, end, sent: false, seen };
        let what = course.run().await;
        self.sent |= course.sent;
        self.seen = course.seen;
        match what {
            What::Done { already } => What::Done { already: already && was_there },
            what => what,
        }
    }
}

fn failed(fault: Fault) -> What {
    match fault {
        Fault::Refused { status, message } => What::Refused { status, message },
        Fault::Away(why) => What::Unreachable { why },
    }
}
