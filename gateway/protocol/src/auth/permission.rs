//! What an admitted request may see and do beyond its route: indexes, their creation, and a tenant's filters.
//!
//! Invariant: an index is allowed when the key allows it and, under a tenant token, the token's search rules do as
//! well. Every document, facet and count that a tenant sees passes [`Permission::rules_for`].

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    api::error::ApiError,
    auth::{
        PageClaims,
        ring_key::{Held, invalid_key, matches},
    },
};

/// The rights of one request.
#[derive(Debug, Clone)]
pub struct Permission {
    /// `None` allows everything.
    restriction: Option<Restriction>,
    /// What the token of a search page allows, which is never more than a search of its index.
    page: Option<Arc<PageClaims>>,
    /// Whether it comes from the key of the management API.
    is_operators: bool,
}

#[derive(Debug, Clone)]
struct Restriction {
    key: Arc<Held>,
    rules: Option<Arc<SearchRules>>,
    creates_indexes: bool,
}

/// The indexes that a tenant may search, as the token lists them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum SearchRules {
    Set(HashSet<String>),
    Map(HashMap<String, Option<IndexRules>>),
}

/// The rules for every search of a tenant in an index.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IndexRules {
    filter: Option<Value>,
}

impl Permission {
    /// Everything: for the master key, and for every client where there is no master key.
    #[must_use]
    pub fn everything() -> Self {
        Self { restriction: None, page: None, is_operators: false }
    }

    /// Everything, including what only operators may know.
    #[must_use]
    pub fn of_operator() -> Self {
        Self { restriction: None, page: None, is_operators: true }
    }

    /// Whether the client may know what only operators may know.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        self.is_operators
    }

    pub(crate) fn of(key: Arc<Held>, rules: Option<SearchRules>, creates_indexes: bool) -> Self {
        let restriction = Some(Restriction { key, rules: rules.map(Arc::new), creates_indexes });
        Self { restriction, page: None, is_operators: false }
    }

    /// What the token of a search page allows.
    #[must_use]
    pub fn of_page(claims: PageClaims) -> Self {
        Self { restriction: None, page: Some(Arc::new(claims)), is_operators: false }
    }

    /// The uid of the key that it comes from, also through a tenant token; `None` for the master key.
    #[must_use]
    pub fn key_uid(&self) -> Option<Uuid> {
        self.restriction.as_ref().map(|restriction| restriction.key.key.uid)
    }

    /// Whether an index may be seen.
    #[must_use]
    pub fn allows_index(&self, uid: &str) -> bool {
        if let Some(page) = &self.page {
            return page.idx == uid;
        }
        let Some(restriction) = &self.restriction else { return true };
        restriction.key.allows_index(uid)
            && restriction.rules.as_ref().is_none_or(|rules| rules.allow_index(uid))
    }

    /// Whether every index may be seen, future ones as well.
    #[must_use]
    pub fn allows_all_indexes(&self) -> bool {
        if self.page.is_some() {
            return false;
        }
        let Some(restriction) = &self.restriction else { return true };
        restriction.key.allows_all_indexes()
            && restriction.rules.as_ref().is_none_or(|rules| rules.patterns().any(|pattern| pattern == "*"))
    }

    /// Whether a task, or a batch, about this index may be seen. One about several indexes or none is seen only by a
    /// request that may see every index.
    #[must_use]
    pub fn allows_task(&self, index_uid: Option<&str>) -> bool {
        self.allows_all_indexes() || index_uid.is_some_and(|uid| self.allows_index(uid))
    }

    /// Whether a write may create the index that it is for.
    #[must_use]
    pub fn creates_index(&self, uid: &str) -> bool {
        self.page.is_none()
            && self.restriction.as_ref().is_none_or(|restriction| restriction.creates_indexes)
            && self.allows_index(uid)
    }

    /// The filter that a search in an index must pass besides its own, as raw JSON (text or array).
    ///
    /// # Errors
    /// 403 `invalid_api_key`, or of a page's token `miroir_jwt_scope_denied`, when the index may not be searched at all.
    pub fn rules_for(&self, uid: &str) -> Result<Option<String>, ApiError> {
        if let Some(page) = &self.page {
            page.check_index(uid)?;
            return Ok(page.filter.as_ref().map(Value::to_string));
        }
        if !self.allows_index(uid) {
            return Err(invalid_key());
        }
        let rules = self.restriction.as_ref().and_then(|restriction| restriction.rules.as_deref());
        Ok(rules.and_then(|rules| rules.filter_of(uid)).map(Value::to_string))
    }
}

impl SearchRules {
    fn patterns(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Set(patterns) => Box::new(patterns.iter().map(String::as_str)),
            Self::Map(rules) => Box::new(rules.keys().map(String::as_str)),
        }
    }

    pub(crate) fn allow_index(&self, uid: &str) -> bool {
        self.patterns().any(|pattern| matches(pattern, uid))
    }

    /// The patterns in order, as errors list them.
    pub(crate) fn listed(&self) -> BTreeSet<&str> {
        self.patterns().collect()
    }

    /// The most exact of the matching rules holds: a whole uid, else the longest beginning.
    fn filter_of(&self, uid: &str) -> Option<&Value> {
        let Self::Map(rules) = self else { return None };
        let matching = rules.iter().filter(|(pattern, _)| matches(pattern, uid));
        let (_, rule) = matching.max_by_key(|(pattern, _)| (!pattern.ends_with('*'), pattern.len()))?;
        rule.as_ref().and_then(|rule| rule.filter.as_ref())
    }
}
