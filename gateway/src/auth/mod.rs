//! Who may do what: keys, tenant tokens and the permission a request is admitted with.
//! - A key's value follows from the master key and the key's uid; it is derived when the key ring is
//!   made, and never stored, logged or shown but on `/keys`.
//! - A core checks a request against an immutable [`KeyRing`]; it never asks the store for that.
//! - Nothing here does IO. Source of rules and texts: Meilisearch's authentication, 1.50.

mod action;
mod held;
mod key;
mod keyring;
mod payload;
mod permission;
mod secret;
mod token;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use held::{Held, invalid_key};
pub use key::ApiKey;
pub use keyring::{KeyRing, missing_header};
pub use payload::{CreateKey, UpdateKey};
pub use permission::Permission;
pub use secret::equal;
