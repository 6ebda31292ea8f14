//! The bodies of `POST /keys` and `PATCH /keys/{key}`: their members, and the errors of wrong ones.
//!
//! Invariant: the texts are Meilisearch's, since the same library makes them from the same types. The code of an
//! error follows from the field that it is about.

use std::{convert::Infallible, ops::ControlFlow, str::FromStr};

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef,
    errors::JsonError, take_cf_content,
};
use serde_json::Value;
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339,
    macros::format_description,
};
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        tasks::view::is_index_uid,
    },
    auth::{Action, ApiKey, action::Scope},
};

/// The body that creates a key.
#[derive(Debug, Deserr)]
#[deserr(error = KeyError, rename_all = camelCase, deny_unknown_fields)]
pub struct CreateKey {
    #[deserr(default)]
    description: Option<String>,
    #[deserr(default)]
    name: Option<String>,
    #[deserr(default = Uuid::new_v4(), try_from(&String) = Uuid::from_str -> uuid::Error)]
    uid: Uuid,
    actions: Vec<Action>,
    indexes: Vec<IndexPattern>,
    #[deserr(try_from(Option<String>) = expiry -> InvalidDate)]
    expires_at: Option<OffsetDateTime>,
}

/// The body that changes a key.
#[derive(Debug, Deserr)]
#[deserr(error = KeyError, rename_all = camelCase, deny_unknown_fields = immutable_or_unknown)]
pub struct UpdateKey {
    #[deserr(default)]
    description: Change,
    #[deserr(default)]
    name: Change,
}

/// A missing member leaves the text as it is; `null` removes it.
#[derive(Debug, Default)]
enum Change {
    #[default]
    Keep,
    Clear,
    Set(String),
}

#[derive(Debug)]
struct IndexPattern(String);

/// An error with the code of its field.
#[derive(Debug)]
pub struct KeyError {
    code: Code,
    message: String,
}

impl CreateKey {
    /// Reads a body that arrived at `now`.
    ///
    /// # Errors
    /// 400, as one node's.
    pub fn parse(mut body: Value, now: OffsetDateTime) -> Result<Self, ApiError> {
        let past = past_expiry(&body, now);
        if past.is_some() {
            // `deserr` gives a field's parser no time, and reports the first error in the body's order. So a past
            // date is replaced by a value that is refused in its place.
            body["expiresAt"] = Value::Bool(false);
        }
        let create = deserr::deserialize::<Self, _, KeyError>(body).map_err(|error| match past {
            Some(text) if error.code == Code::InvalidApiKeyExpiresAt => {
                let location = ValuePointerRef::Key { key: "expiresAt", prev: &ValuePointerRef::Origin };
                unexpected(InvalidDate(text).to_string(), location)
            }
            _ => error,
        })?;
        let for_some_indexes =
            !create.indexes.is_empty() && create.indexes.iter().all(|pattern| pattern.0 != "*");
        match create.actions.iter().find(|action| action.scope() == Scope::Global) {
            Some(action) if for_some_indexes => {
                let name = format!("`\"{}\"`", action.name());
                Err(ApiError::new(
                    Code::IndexScopedApiKeyWithGlobalAction,
                    format!(
                        "cannot create index-scoped API key with global action {name}\n  - Hint: remove action {name} from the action list, or remove `indexes` to make the key global"
                    ),
                ))
            }
            _ => Ok(create),
        }
    }

    /// The key of this body, created now.
    #[must_use]
    pub fn into_key(self, now: OffsetDateTime) -> ApiKey {
        ApiKey {
            name: self.name,
            description: self.description,
            uid: self.uid,
            actions: self.actions,
            indexes: self.indexes.into_iter().map(|pattern| pattern.0).collect(),
            expires_at: self.expires_at,
            created_at: now,
            updated_at: now,
        }
    }
}

impl UpdateKey {
    /// # Errors
    /// 400, as one node's.
    pub fn parse(body: Value) -> Result<Self, ApiError> {
        deserr::deserialize::<Self, _, KeyError>(body).map_err(ApiError::from)
    }

    /// The key after this change.
    #[must_use]
    pub fn apply(&self, key: &ApiKey, now: OffsetDateTime) -> ApiKey {
        let changed = |change: &Change, before: &Option<String>| match change {
            Change::Keep => before.clone(),
            Change::Clear => None,
            Change::Set(text) => Some(text.clone()),
        };
        ApiKey {
            name: changed(&self.name, &key.name),
            description: changed(&self.description, &key.description),
            updated_at: now,
            ..key.clone()
        }
    }
}

/// The expiry of a key that is a date, but not in the future.
fn past_expiry(body: &Value, now: OffsetDateTime) -> Option<String> {
    let text = body.get("expiresAt")?.as_str()?;
    moment(text).filter(|moment| *moment <= now).map(|_| text.to_owned())
}

/// When a key expires: a date or a moment.
fn expiry(text: Option<String>) -> Result<Option<OffsetDateTime>, InvalidDate> {
    let Some(text) = text else { return Ok(None) };
    match moment(&text) {
        Some(moment) => Ok(Some(moment)),
        None => Err(InvalidDate(text)),
    }
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    let with_t = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let with_space = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let date = format_description!("[year]-[month]-[day]");
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, with_t).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| PrimitiveDateTime::parse(text, with_space).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, date).map(|date| date.midnight().assume_utc()))
        .ok()
}

/// The line break at the end is Meilisearch's.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
)]
struct InvalidDate(String);

impl Deserr<KeyError> for Action {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, KeyError> {
        let name = text(value, location)?;
        Action::by_name(&name).ok_or_else(|| {
            let kind = ErrorKind::UnknownValue { value: &name, accepted: Action::NAMES };
            take_cf_content(KeyError::error::<V>(None, kind, location))
        })
    }
}

impl Deserr<KeyError> for IndexPattern {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, KeyError> {
        let pattern = text(value, location)?;
        match pattern == "*" || is_index_uid(pattern.strip_suffix('*').unwrap_or(&pattern)) {
            true => Ok(Self(pattern)),
            false => Err(unexpected(
                format!(
                    "`{pattern}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
                ),
                location,
            )),
        }
    }
}

impl Deserr<KeyError> for Change {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, KeyError> {
        match value.kind() == ValueKind::Null {
            true => Ok(Self::Clear),
            false => text(value, location).map(Self::Set),
        }
    }
}

fn text<V: IntoValue>(value: deserr::Value<V>, location: ValuePointerRef<'_>) -> Result<String, KeyError> {
    String::deserialize_from_value(value, location)
}

/// The error of a value that parses itself, at the value's place in the body.
fn unexpected(message: String, location: ValuePointerRef<'_>) -> KeyError {
    let kind = ErrorKind::Unexpected { msg: message };
    take_cf_content(KeyError::error::<Infallible>(None, kind, location))
}

fn immutable_or_unknown(field: &str, accepted: &[&str], location: ValuePointerRef<'_>) -> KeyError {
    let code = match field {
        "uid" => Code::ImmutableApiKeyUid,
        "actions" => Code::ImmutableApiKeyActions,
        "indexes" => Code::ImmutableApiKeyIndexes,
        "expiresAt" => Code::ImmutableApiKeyExpiresAt,
        "createdAt" => Code::ImmutableApiKeyCreatedAt,
        "updatedAt" => Code::ImmutableApiKeyUpdatedAt,
        _ => {
            let kind = ErrorKind::UnknownKey { key: field, accepted };
            return take_cf_content(KeyError::error::<Infallible>(None, kind, location));
        }
    };
    let listed = accepted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    KeyError { code, message: format!("Immutable field `{field}`: expected one of {listed}") }
}

impl DeserializeError for KeyError {
    fn error<V: IntoValue>(
        _previous: Option<Self>,
        error: ErrorKind<'_, V>,
        location: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let code = match (&error, field_of(location)) {
            (ErrorKind::MissingField { field: "actions" }, _) => Code::MissingApiKeyActions,
            (ErrorKind::MissingField { field: "indexes" }, _) => Code::MissingApiKeyIndexes,
            (ErrorKind::MissingField { field: "expiresAt" }, _) => Code::MissingApiKeyExpiresAt,
            (_, Some("description")) => Code::InvalidApiKeyDescription,
            (_, Some("name")) => Code::InvalidApiKeyName,
            (_, Some("uid")) => Code::InvalidApiKeyUid,
            (_, Some("actions")) => Code::InvalidApiKeyActions,
            (_, Some("indexes")) => Code::InvalidApiKeyIndexes,
            (_, Some("expiresAt")) => Code::InvalidApiKeyExpiresAt,
            _ => Code::BadRequest,
        };
        let message = take_cf_content(JsonError::error(None, error, location)).to_string();
        ControlFlow::Break(Self { code, message })
    }
}

/// The member of the body that contains a place.
fn field_of(location: ValuePointerRef<'_>) -> Option<&str> {
    match location {
        ValuePointerRef::Origin => None,
        ValuePointerRef::Key { key, prev } => field_of(*prev).or(Some(key)),
        ValuePointerRef::Index { prev, .. } => field_of(*prev),
    }
}

impl MergeWithError<KeyError> for KeyError {
    fn merge(_: Option<Self>, other: Self, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        ControlFlow::Break(other)
    }
}

impl MergeWithError<uuid::Error> for KeyError {
    fn merge(_: Option<Self>, other: uuid::Error, location: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        ControlFlow::Break(unexpected(other.to_string(), location))
    }
}

impl MergeWithError<InvalidDate> for KeyError {
    fn merge(_: Option<Self>, other: InvalidDate, location: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        ControlFlow::Break(unexpected(other.to_string(), location))
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        Self::new(error.code, error.message)
    }
}
