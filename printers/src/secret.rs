//! Keys and access codes, which appear in no log, error or debug output.

use std::fmt;

/// A key, a password or an access code.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands for a secret.
const HIDDEN: &str = "[secret]";

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text of someone else's without the secret: servers like to repeat what they were given.
    pub(crate) fn strike_from(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, HIDDEN) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(secret.strike_from("bad key hunter2!"), "bad key [secret]!");
        assert_eq!(Secret::new("").strike_from("text"), "text");
    }
}
