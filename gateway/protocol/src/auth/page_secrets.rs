//! The secrets that sign the tokens of search pages, one after the other.
//!
//! Invariants: a secret signs from its moment on until the next one's, and its tokens are accepted until the last of
//! them has ended. What is stored of a secret is a salt, which is of no use without the gateway's own secret.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Table;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::error::{ApiError, Code},
    auth::Secret,
};

/// How long a token is valid, in seconds.
pub const PAGE_TOKEN_SECONDS: i64 = 15 * 60;
/// The seconds from a secret's making until it signs, in which all pods learn of it.
const LEAD_SECONDS: i64 = 5;
/// The seconds that a pod may sign with a former secret for longer, since it is late or its clock is.
const GRACE_SECONDS: i64 = 60;
/// Secrets whose tokens are accepted at the same time.
const SECRETS_MAX: usize = 8;
/// How the name of every secret begins.
pub(super) const NAME_START: &str = "page-";

/// The table and the key of what has replaced the gateway's own secret.
pub const PAGE_SECRETS: Table = Table::named("search_page_secrets");
pub const PAGE_SECRETS_KEY: &str = "current";

/// The order of secrets, newest first; empty as long as the gateway's own signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    secrets: Vec<Salted>,
}

/// A secret that follows from the gateway's own and a salt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Salted {
    /// `None` for the gateway's own secret as it is.
    salt: Option<String>,
    /// The second since 1970 from which on it signs.
    since: i64,
}

/// A secret as tokens meet it.
#[derive(Clone, Debug)]
pub(super) struct PageKey {
    pub(super) name: String,
    pub(super) secret: Secret,
    /// The second since 1970 from which on it signs, where it signs at all.
    pub(super) signs_from: Option<i64>,
    /// The second since 1970 from which on its tokens are accepted no more.
    pub(super) until: Option<i64>,
}

impl Rotation {
    /// The same with a secret of this salt, which soon signs in place of the newest.
    ///
    /// # Errors
    /// 429 where too many secrets have tokens that are still accepted.
    pub fn followed_by(&self, salt: String, now: OffsetDateTime) -> Result<Self, ApiError> {
        let now = now.unix_timestamp();
        let mut secrets = self.salted();
        let newest = secrets.first().map_or(0, |secret| secret.since);
        let since = (now + LEAD_SECONDS).max(newest);
        secrets.insert(0, Salted { salt: Some(salt), since });
        let mut end = None;
        secrets.retain(|secret| end.replace(secret.since).is_none_or(|end| now < accepted_until(end)));
        if secrets.len() > SECRETS_MAX {
            let message = format!(
                "The tokens of {SECRETS_MAX} secrets are still accepted, and no more fit: a secret's last token ends {PAGE_TOKEN_SECONDS} seconds after the next secret signs. Try again then."
            );
            return Err(ApiError::new(Code::MiroirTooManyRequests, message));
        }
        Ok(Self { secrets })
    }

    fn salted(&self) -> Vec<Salted> {
        match self.secrets.is_empty() {
            true => vec![Salted { salt: None, since: 0 }],
            false => self.secrets.clone(),
        }
    }

    /// The secrets that follow from the gateway's own, newest first. `signs` tells whether tokens are made with them,
    /// or only read while the gateway's own secret is replaced.
    pub(super) fn keys(&self, own: &Secret, signs: bool) -> Vec<PageKey> {
        let mut end = None;
        let key = |salted: Salted| {
            let until = end.replace(salted.since).map(accepted_until);
            let secret = salted.salt.map_or_else(|| own.clone(), |salt| derived(own, &salt));
            PageKey { name: name_of(&secret), secret, signs_from: signs.then_some(salted.since), until }
        };
        self.salted().into_iter().map(key).collect()
    }
}

impl PageKey {
    /// As operators see it: its name tells nothing about it.
    pub(super) fn view(&self) -> Value {
        let date = |second: i64| OffsetDateTime::from_unix_timestamp(second).ok()?.format(&Rfc3339).ok();
        json!({
            "kid": self.name,
            "signsFrom": self.signs_from.filter(|second| *second > 0).and_then(date),
            "acceptedUntil": self.until.and_then(date),
        })
    }
}

/// When the last token has ended of a secret that signed until `end`.
fn accepted_until(end: i64) -> i64 {
    end + PAGE_TOKEN_SECONDS + GRACE_SECONDS
}

fn derived(own: &Secret, salt: &str) -> Secret {
    let mut mac = Hmac::<Sha256>::new_from_slice(own.expose().as_bytes()).expect("HMAC takes any key length");
    mac.update(b"miroir search page ");
    mac.update(salt.as_bytes());
    Secret::new(hexadecimal(&mac.finalize().into_bytes()))
}

/// The name of a secret, which tells nothing about it.
fn name_of(secret: &Secret) -> String {
    let digest = Sha256::new().chain_update("miroir search page").chain_update(secret.expose()).finalize();
    format!("{NAME_START}{}", hexadecimal(&digest[..6]))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).unwrap()
    }

    #[test]
    fn secrets_follow_each_other_and_end_with_their_tokens() {
        let own = Secret::new("own".to_owned());
        let names = |rotation: &Rotation| {
            let keys = rotation.keys(&own, true).into_iter();
            keys.map(|key| (key.name, key.signs_from.unwrap(), key.until)).collect::<Vec<_>>()
        };
        let none = Rotation::default();
        let own_name = name_of(&own);
        assert_eq!(names(&none), [(own_name.clone(), 0, None)]);
        let first = none.followed_by("a".to_owned(), at(1000)).unwrap();
        let known = names(&first);
        assert_eq!((known[0].1, known[0].2), (1005, None));
        assert_eq!(known[1], (own_name.clone(), 0, Some(1005 + 960)));
        assert_ne!(known[0].0, own_name);
        // Another salt, or another secret of the gateway, makes another secret.
        let other = none.followed_by("b".to_owned(), at(1000)).unwrap();
        assert_ne!(names(&other)[0].0, known[0].0);
        assert_ne!(first.keys(&Secret::new("other".to_owned()), true)[0].name, known[0].0);
        // The first is forgotten once the last of its tokens has ended.
        let early = first.followed_by("c".to_owned(), at(1964)).unwrap();
        let late = first.followed_by("c".to_owned(), at(1965)).unwrap();
        assert_eq!((names(&early).len(), names(&late).len()), (3, 2));
        let stored = serde_json::to_value(&early).unwrap();
        assert_eq!(serde_json::from_value::<Rotation>(stored).unwrap(), early);
    }

    #[test]
    fn no_more_secrets_are_made_than_are_kept() {
        let mut rotation = Rotation::default();
        for number in 1..SECRETS_MAX {
            rotation = rotation.followed_by(number.to_string(), at(1000)).unwrap();
        }
        let refused = rotation.followed_by("more".to_owned(), at(1000)).unwrap_err();
        assert_eq!(refused.code(), Some(Code::MiroirTooManyRequests));
        assert!(rotation.followed_by("later".to_owned(), at(3000)).is_ok());
        // A clock that was put back makes no secret sign before the one that it follows.
        let back = rotation.followed_by("back".to_owned(), at(3000)).unwrap();
        let back =
            back.followed_by("before".to_owned(), at(2000)).unwrap().keys(&Secret::new("s".to_owned()), true);
        assert!(back[0].signs_from >= back[1].signs_from, "{back:?}");
    }
}
