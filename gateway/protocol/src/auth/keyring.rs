//! The key ring: all keys of a cluster, ready to check requests; immutable, and shared by every core.
//!
//! Invariants: a lookup costs one hash and one comparison in constant time, however many keys there are. A key ring
//! is replaced as a whole, after its change is durable. A change that comes late never undoes a newer one.

use std::{cmp::Reverse, sync::Arc};

use ahash::AHashMap;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::error::{ApiError, Code},
    auth::{
        Action, ApiKey,
        action::ActionSet,
        permission::{Permission, SearchRules},
        ring_key::{Held, invalid_key, refused},
        secret::{self, KeyBytes, Secret, equal},
        tenant_token::{self, Refusal},
    },
};

/// The keys of a cluster at one moment.
#[derive(Clone, Default)]
pub struct KeyRing {
    master_key: Option<Secret>,
    by_uid: AHashMap<Uuid, Arc<Held>>,
    by_digest: AHashMap<KeyBytes, Arc<Held>>,
}

impl KeyRing {
    /// Without a master key the ring is empty, and every client may do everything but manage keys.
    #[must_use]
    pub fn new(master_key: Option<Secret>, keys: impl IntoIterator<Item = (ApiKey, u64)>) -> Self {
        let mut ring = Self { master_key, ..Self::default() };
        for (key, revision) in keys {
            ring.insert(key, revision);
        }
        ring
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// The key with this uid.
    #[must_use]
    pub fn by_uid(&self, uid: Uuid) -> Option<&Arc<Held>> {
        self.by_uid.get(&uid)
    }

    /// The key with this value.
    #[must_use]
    pub fn by_value(&self, value: &str) -> Option<&Arc<Held>> {
        let bytes = secret::key_bytes(value)?;
        let held = self.by_digest.get(&secret::digest(&bytes))?;
        equal(&bytes, &held.value).then_some(held)
    }

    /// All keys, newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Arc<Held>> {
        let mut all = self.by_uid.values().collect::<Vec<_>>();
        all.sort_unstable_by_key(|held| (Reverse(held.key.created_at), held.key.uid));
        all
    }

    /// The same ring with a new key; unchanged if it holds a newer one.
    #[must_use]
    pub fn with_new(&self, key: &ApiKey, revision: u64) -> Self {
        let mut ring = self.clone();
        if self.by_uid.get(&key.uid).is_none_or(|held| held.revision < revision) {
            ring.insert(key.clone(), revision);
        }
        ring
    }

    /// The same ring with a changed key; unchanged if the key is gone or newer.
    #[must_use]
    pub fn with_changed(&self, key: &ApiKey, revision: u64) -> Self {
        match self.by_uid.contains_key(&key.uid) {
            true => self.with_new(key, revision),
            false => self.clone(),
        }
    }

    /// The same ring without a key; unchanged if the key was created or changed since.
    #[must_use]
    pub fn without(&self, uid: Uuid, revision: u64) -> Self {
        let mut ring = self.clone();
        if let Some(held) = self.by_uid.get(&uid).filter(|held| held.revision <= revision) {
            ring.by_digest.remove(&secret::digest(&held.value));
            ring.by_uid.remove(&uid);
        }
        ring
    }

    fn insert(&mut self, key: ApiKey, revision: u64) {
        let Some(master_key) = &self.master_key else { return };
        let value = secret::derive(master_key.expose(), key.uid);
        let actions = ActionSet::of(&key.actions);
        let held = Arc::new(Held { key, revision, value, actions });
        self.by_digest.insert(secret::digest(&value), Arc::clone(&held));
        self.by_uid.insert(held.key.uid, held);
    }

    /// Checks a request; `token` is the text after `Bearer`, if there is one.
    ///
    /// # Errors
    /// 401 `missing_master_key` and `missing_authorization_header`, 403 `invalid_api_key`, in Meilisearch's words.
    pub fn authorize(
        &self,
        token: Option<&str>,
        action: Action,
        index: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<Permission, ApiError> {
        let about_keys =
            matches!(action, Action::KeysGet | Action::KeysCreate | Action::KeysUpdate | Action::KeysDelete);
        let Some(master_key) = &self.master_key else {
            return if about_keys { Err(missing_master_key()) } else { Ok(Permission::everything()) };
        };
        let token = token.ok_or_else(missing_header)?;
        if equal(token.as_bytes(), master_key.expose().as_bytes()) {
            return Ok(Permission::everything());
        }
        let (held, rules) = self.identify(token, action, now)?;
        if let Some(uid) = index {
            check_index(held, rules.as_ref(), uid)?;
        }
        if !held.permits(action, index, now) {
            return Err(invalid_key());
        }
        let creates_indexes = held.permits(Action::IndexesCreate, None, now);
        Ok(Permission::of(Arc::clone(held), rules, creates_indexes))
    }

    /// The key that a token is or names; tenant tokens may only search and chat.
    fn identify(
        &self,
        token: &str,
        action: Action,
        now: OffsetDateTime,
    ) -> Result<(&Arc<Held>, Option<SearchRules>), ApiError> {
        if matches!(action, Action::Search | Action::ChatCompletions) {
            match tenant_token::read(token, |uid| self.value_of(uid), now) {
                Ok(tenant) => {
                    let held = self.by_uid(tenant.key_uid).ok_or_else(invalid_key)?;
                    return Ok((held, Some(tenant.search_rules)));
                }
                Err(Refusal::NotAToken) => {}
                Err(Refusal::Refused(reason)) => return Err(refused(reason)),
            }
        }
        self.by_value(token).map(|held| (held, None)).ok_or_else(invalid_key)
    }

    /// The value of a key, whether the key exists or not: tokens are signed with it.
    fn value_of(&self, uid: Uuid) -> String {
        let master_key = self.master_key.as_ref().map_or("", Secret::expose);
        let bytes = self.by_uid(uid).map_or_else(|| secret::derive(master_key, uid), |held| held.value);
        secret::key_value(&bytes)
    }
}

/// Checks an index. What a tenant's token allows is public, so the error tells it; what the key allows is not.
fn check_index(held: &Held, rules: Option<&SearchRules>, uid: &str) -> Result<(), ApiError> {
    if let Some(rules) = rules.filter(|rules| !rules.allow_index(uid)) {
        return Err(refused(format!(
            "The provided tenant token cannot acces the index `{uid}`, allowed indexes are {:?}.",
            rules.listed().into_iter().collect::<Vec<_>>()
        )));
    }
    if held.allows_index(uid) {
        return Ok(());
    }
    if rules.is_some() {
        return Err(refused(format!(
            "The API key used to generate this tenant token cannot acces the index `{uid}`."
        )));
    }
    let mut listed = held.key.indexes.clone();
    listed.sort_unstable();
    listed.dedup();
    Err(refused(format!("The API key cannot acces the index `{uid}`, authorized indexes are {listed:?}.")))
}

/// The 401 for a missing or malformed key.
#[must_use]
pub fn missing_header() -> ApiError {
    ApiError::new(
        Code::MissingAuthorizationHeader,
        "The Authorization header is missing. It must use the bearer authorization method.",
    )
}

fn missing_master_key() -> ApiError {
    ApiError::new(
        Code::MissingMasterKey,
        "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at launch.",
    )
}
