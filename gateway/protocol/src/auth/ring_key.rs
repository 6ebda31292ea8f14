//! One key of the ring: what it allows, and the refusals of what it does not allow.

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    api::error::{ApiError, Code},
    auth::{
        Action, ApiKey,
        action::{ActionSet, Scope},
        secret::{self, KeyBytes},
    },
};

/// A key with what is derived from it. `Debug` does not show its value.
pub struct Held {
    pub key: ApiKey,
    /// The revision of its stored record.
    pub revision: u64,
    pub(crate) value: KeyBytes,
    pub(crate) actions: ActionSet,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Held").field("uid", &self.key.uid).finish_non_exhaustive()
    }
}

impl Held {
    /// The key as clients see it, its value included.
    #[must_use]
    pub fn view(&self) -> Value {
        let value = secret::key_value(&self.value);
        serde_json::to_value(self.key.view(&value)).expect("texts and dates are always JSON")
    }

    pub(crate) fn allows_index(&self, uid: &str) -> bool {
        self.key.indexes.iter().any(|pattern| matches(pattern, uid))
    }

    pub(crate) fn allows_all_indexes(&self) -> bool {
        self.key.indexes.iter().any(|pattern| pattern == "*")
    }

    /// Whether the key allows an action, on an index or on a route without one.
    pub(crate) fn permits(&self, action: Action, index: Option<&str>, now: OffsetDateTime) -> bool {
        let in_scope = self.allows_all_indexes()
            || match index {
                Some(uid) => self.allows_index(uid),
                None => action.scope() == Scope::Filtered && !self.key.indexes.is_empty(),
            };
        in_scope && self.actions.contains(action) && self.key.expires_at.is_none_or(|end| now < end)
    }
}

/// Whether a pattern, which is a uid or the beginning of one followed by `*`, names an index.
pub(crate) fn matches(pattern: &str, uid: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => uid.starts_with(beginning),
        None => pattern == uid,
    }
}

pub(crate) fn refused(reason: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::InvalidApiKey, reason)
}

/// The 403 for an invalid key, or one that does not allow this.
#[must_use]
pub fn invalid_key() -> ApiError {
    refused("The provided API key is invalid.")
}
