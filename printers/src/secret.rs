//! Keys and access codes, which appear in no log, error or debug output.

use std::fmt;

/// A key, a password or an access code.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands for a secret.
const HIDDEN: &str = "[secret]";
/// The same for a secret that is part of that: what was struck once is to stay as it is.
const HIDDEN_TOO: &str = "***";

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text of someone else's without the secret: servers like to repeat what they were given.
    pub(crate) fn strike_from(&self, text: &str) -> String {
        match self.0.as_str() {
            "" => text.to_owned(),
            secret if HIDDEN.contains(secret) => text.replace(secret, HIDDEN_TOO),
            secret => text.replace(secret, HIDDEN),
        }
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
        let awkward = Secret::new("secret");
        let struck = awkward.strike_from("a secret");
        assert_eq!((struck.as_str(), awkward.strike_from(&struck)), ("a ***", struck.clone()));
    }
}
