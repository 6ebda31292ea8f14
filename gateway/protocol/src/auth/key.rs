//! An API key as it is stored, and as clients see it.
//!
//! Invariant: a key's value is not part of its record.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Action;

/// The stored record of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    pub name: Option<String>,
    pub description: Option<String>,
    pub uid: Uuid,
    pub actions: Vec<Action>,
    /// Index uids, or beginnings of uids followed by `*`.
    pub indexes: Vec<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A key with its value, members in Meilisearch's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView<'a> {
    name: Option<&'a str>,
    description: Option<&'a str>,
    key: &'a str,
    uid: Uuid,
    actions: &'a [Action],
    indexes: &'a [String],
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl ApiKey {
    /// The keys of a new cluster, oldest first: Meilisearch lists them the other way round.
    #[must_use]
    pub fn defaults(now: OffsetDateTime) -> Vec<Self> {
        let defaults: [(_, _, &[Action]); 4] = [
            (
                "Default Chat API Key",
                "Use it to chat and search from the frontend",
                &[Action::ChatCompletions, Action::Search],
            ),
            (
                "Default Read-Only Admin API Key",
                "Use it to read information across the whole database. Caution! Do not expose this key on a public frontend",
                &[Action::AllGet, Action::KeysGet],
            ),
            (
                "Default Admin API Key",
                "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend",
                &[Action::All],
            ),
            ("Default Search API Key", "Use it to search from the frontend", &[Action::Search]),
        ];
        let mut created_at = now;
        let made = defaults.into_iter().map(|(name, description, actions)| {
            // Each has its own instant, so that their order is kept.
            created_at += Duration::MICROSECOND;
            Self {
                name: Some(name.to_owned()),
                description: Some(description.to_owned()),
                uid: Uuid::new_v4(),
                actions: actions.to_vec(),
                indexes: vec!["*".to_owned()],
                expires_at: None,
                created_at,
                updated_at: created_at,
            }
        });
        made.collect()
    }

    pub(crate) fn view<'a>(&'a self, value: &'a str) -> KeyView<'a> {
        KeyView {
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            key: value,
            uid: self.uid,
            actions: &self.actions,
            indexes: &self.indexes,
            expires_at: self.expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
