//! Authentication: keys, tenant tokens, and the permission with which a request is admitted.
//! - A key's value follows from the master key and the key's uid. It is derived when the key ring is made, and never
//!   stored, logged or shown except on `/keys`.
//! - A core checks a request against an immutable [`KeyRing`]; it never asks the store for that.
//! - Nothing here does IO. Source of rules and texts: Meilisearch's authentication, 1.50.

pub(crate) mod action;
pub(crate) mod hmac_provider;
pub(crate) mod key;
pub(crate) mod key_body;
pub(crate) mod keyring;
pub(crate) mod page_secrets;
pub(crate) mod page_token;
pub(crate) mod permission;
pub(crate) mod ring_key;
pub(crate) mod secret;
pub(crate) mod tenant_token;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use key::ApiKey;
pub use key_body::{CreateKey, UpdateKey};
pub use keyring::{KeyRing, missing_header};
pub use page_secrets::{PAGE_SECRETS, PAGE_SECRETS_KEY, PAGE_TOKEN_SECONDS, Rotation};
pub use page_token::{
    PageClaims, PageTokens, SCOPE_BEACON, SCOPE_MULTI_SEARCH, SCOPE_SEARCH, looks_like_page_token,
    scope_denied,
};
pub use permission::Permission;
pub use ring_key::{Held, invalid_key};
pub use secret::{SECRET_SHOWN, Secret, equal};
