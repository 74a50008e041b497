//! HTTP Digest (RFC 7616): a user and a password, of which only a hash goes over the wire.

use crate::secret::Secret;
use http_auth::{DigestClient, PasswordParams, parse_challenges};
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, Response, StatusCode};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::Position;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// A login, and what the server wants to have hashed with it.
pub(crate) struct Digest {
    login: Login,
    /// What it asked last; counts how often that was used.
    challenge: Mutex<Option<DigestClient>>,
}

impl Digest {
    pub fn new(login: &Login) -> Self {
        Self { login: login.clone(), challenge: Mutex::default() }
    }

    pub fn password(&self) -> &Secret {
        &self.login.password
    }

    /// Adds what the server is known to want, and returns the nonce of that: the very first request goes without.
    pub fn sign(&self, request: &mut Request) -> Option<String> {
        let mut challenge = self.challenge();
        let challenge = challenge.as_mut()?;
        let asked = PasswordParams {
            username: &self.login.user,
            password: self.login.password.expose(),
            uri: &request.url()[Position::BeforePath..Position::AfterQuery],
            method: request.method().as_str(),
            body: None,
        };
        // A server that wants bodies hashed as well, or in a way that nobody knows, goes on saying no.
        let mut signed = HeaderValue::from_str(&challenge.respond(&asked).ok()?).ok()?;
        signed.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, signed);
        Some(challenge.nonce().to_owned())
    }

    /// Whether the server wants something else than it was sent, with which it may let us in. `signed`: the nonce of what it
    /// was sent.
    pub fn is_asked(&self, answer: &Response, signed: Option<&str>) -> bool {
        if answer.status() != StatusCode::UNAUTHORIZED {
            return false;
        }
        let asked = answer.headers().get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
            let challenges = parse_challenges(value.to_str().ok()?).ok()?;
            challenges.iter().find_map(|challenge| DigestClient::try_from(challenge).ok())
        });
        let Some(asked) = asked else { return false };
        let is_other = asked.stale() || signed != Some(asked.nonce());
        let mut known = self.challenge();
        // One that is known already has been counted.
        if asked.stale() || known.as_ref().is_none_or(|known| known.nonce() != asked.nonce()) {
            *known = Some(asked);
        }
        is_other
    }

    fn challenge(&self) -> MutexGuard<'_, Option<DigestClient>> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.login.fmt(f)
    }
}
