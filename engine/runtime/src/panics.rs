//! A panic as a message: whoever runs foreign code on a thread or a task of its own tells the run why it ended.

use std::any::Any;

/// What the panic said.
pub fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            panic.downcast_ref::<&str>().map_or_else(|| "a panic without a message".to_owned(), |s| (*s).to_owned())
        }
    }
}
