//! Policies of rolling indexes: what operators ask for, and how far the gateway has come with it.
//!
//! Invariants: a policy that was read names indexes that can exist, has a trigger, and keeps at least the index that is
//! written to. Its indexes stand from the oldest to the newest, which is the one that is written to.

#![allow(clippy::wildcard_enum_match_arm, reason = "every other type of JSON is wrong in the same way")]

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::Table;
use time::{Duration, OffsetDateTime};

use crate::api::{
    alias::{POLICY, TARGETS_MAX},
    error::{ApiError, Code},
    http::json_body::object,
    rollover::pattern::Pattern,
    secrets,
    settings::SettingsChange,
    tasks::view::{date, invalid_index_uid_reason, is_index_uid},
};

/// The table of policies, by name.
pub const POLICIES: Table = Table::named("rollover_policies");
/// The policy that owns an alias, by the alias's name.
pub const OWNERS: Table = Table::named("rollover_aliases");
/// Indexes younger than this are never deleted.
pub const LOCK: Duration = Duration::days(7);
/// Indexes that a policy may keep: its alias for reading stands for all of them.
pub const KEPT_MAX: usize = TARGETS_MAX;
/// Seconds in the greatest `maxAge`: ten years.
const AGE_SECONDS_MAX: u64 = 10 * 365 * 86_400;
/// Bytes of one of the units of `maxSizeGb`.
pub const BYTES_PER_GB: f64 = 1e9;
/// The greatest `maxSizeGb`.
const SIZE_GB_MAX: f64 = 1e6;

/// What makes a new index; one that is met is enough.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Triggers {
    pub max_docs: Option<u64>,
    /// As the operator wrote it, and in seconds.
    pub max_age: Option<Value>,
    #[serde(default)]
    pub max_age_seconds: Option<u64>,
    pub max_size_gb: Option<f64>,
}

/// One index of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    pub index: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// How far a policy has come; each is stored before it is entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Phase {
    Resting,
    Creating {
        index: String,
    },
    /// Its settings are on their way; the task is that of the change.
    Configuring {
        index: String,
        task: Option<u32>,
    },
    /// Both aliases are about to stand for it, too.
    Flipping {
        index: String,
    },
    /// It cannot be used and is deleted again.
    Abandoning {
        index: String,
        reason: String,
    },
    /// The alias for reading stands for these no more; they are deleted once no search can be under way in them.
    Deleting {
        indexes: Vec<String>,
        #[serde(with = "time::serde::rfc3339")]
        not_before: OffsetDateTime,
    },
    /// An operator has deleted the policy: nothing is left to do but to forget it.
    Leaving,
}

impl Phase {
    /// The phase's name in the management API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resting => "resting",
            Self::Creating { .. } => "creating",
            Self::Configuring { .. } => "configuring",
            Self::Flipping { .. } => "flipping",
            Self::Abandoning { .. } => "abandoning",
            Self::Deleting { .. } => "deleting",
            Self::Leaving => "leaving",
        }
    }
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    pub name: String,
    pub write_alias: String,
    pub read_alias: String,
    pub pattern: String,
    pub triggers: Triggers,
    pub keep_indexes: usize,
    pub primary_key: Option<String>,
    /// Those of each new index; `None` for those of the index before it.
    pub settings: Option<Map<String, Value>>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Rollovers begun.
    pub number: u64,
    pub generations: Vec<Generation>,
    pub phase: Phase,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_check: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_rollover: Option<OffsetDateTime>,
    pub last_error: Option<String>,
}

impl Policy {
    /// Reads the body of `POST /_miroir/rollover-policies`.
    ///
    /// # Errors
    /// 400 that names what is wrong.
    pub fn parse(body: Value, now: OffsetDateTime) -> Result<Self, ApiError> {
        let known = ["name", "writeAlias", "readAlias", "pattern", "triggers", "retention", "template"];
        let body = object(body, &known)?;
        let [name, write_alias, read_alias] =
            [named(&body, "name")?, named(&body, "writeAlias")?, named(&body, "readAlias")?];
        if write_alias == read_alias {
            return Err(bad("`writeAlias` and `readAlias` are the same: they stand for different indexes."));
        }
        let pattern = text(&body, "pattern")?;
        if let Err(reason) = Pattern::parse(&pattern) {
            return Err(bad(format!("Invalid value at `.pattern`: {reason}.")));
        }
        let (primary_key, settings) = template(&body["template"])?;
        Ok(Self {
            name,
            write_alias,
            read_alias,
            pattern,
            triggers: triggers(&body["triggers"])?,
            keep_indexes: keep_indexes(&body["retention"])?,
            primary_key,
            settings,
            created_at: now,
            number: 0,
            generations: Vec::new(),
            phase: Phase::Resting,
            last_check: None,
            last_rollover: None,
            last_error: None,
        })
    }

    /// The owner's name in the aliases of the policy.
    #[must_use]
    pub fn owner(&self) -> String {
        owner_of(&self.name)
    }

    /// As the management API shows it.
    #[must_use]
    pub fn view(&self) -> Value {
        let mut settings = json!(self.settings);
        secrets::hide(&mut settings);
        let indexes = self.generations.iter().map(|one| {
            let (created, locked) = (date(one.created_at), date(one.created_at + LOCK));
            json!({"uid": one.index, "createdAt": created, "lockedUntil": locked})
        });
        let Triggers { max_docs, max_age, max_size_gb, .. } = &self.triggers;
        json!({
            "name": self.name,
            "writeAlias": self.write_alias,
            "readAlias": self.read_alias,
            "pattern": self.pattern,
            "triggers": {"maxDocs": max_docs, "maxAge": max_age, "maxSizeGb": max_size_gb},
            "retention": {"keepIndexes": self.keep_indexes},
            "template": {"primaryKey": self.primary_key, "settings": settings},
            "createdAt": date(self.created_at),
            "phase": self.phase.name(),
            "indexes": indexes.collect::<Vec<_>>(),
            "lastCheckAt": self.last_check.map(date),
            "lastRolloverAt": self.last_rollover.map(date),
            "lastError": self.last_error,
        })
    }
}

/// The name under which a policy owns aliases.
#[must_use]
pub fn owner_of(policy: &str) -> String {
    format!("{POLICY}{policy}")
}

fn text(body: &Value, name: &str) -> Result<String, ApiError> {
    match &body[name] {
        Value::Null => Err(bad(format!("Missing field `{name}`."))),
        Value::String(text) => Ok(text.clone()),
        other => Err(bad(format!("Invalid value at `.{name}`: expected a string, but found `{other}`."))),
    }
}

/// A member that is a name as indexes have it.
fn named(body: &Value, name: &str) -> Result<String, ApiError> {
    let given = text(body, name)?;
    match is_index_uid(&given) {
        true => Ok(given),
        false => Err(bad(format!("Invalid value at `.{name}`: {}", invalid_index_uid_reason(&given)))),
    }
}

fn triggers(value: &Value) -> Result<Triggers, ApiError> {
    let value = member_object(value, "triggers", &["maxDocs", "maxAge", "maxSizeGb"])?;
    let max_docs = match &value["maxDocs"] {
        Value::Null => None,
        given => Some(given.as_u64().filter(|count| *count > 0).ok_or_else(|| {
            bad(format!(
                "Invalid value at `.triggers.maxDocs`: expected a positive integer, but found `{given}`."
            ))
        })?),
    };
    let max_size_gb = match &value["maxSizeGb"] {
        Value::Null => None,
        given => Some(given.as_f64().filter(|size| *size > 0.0 && *size <= SIZE_GB_MAX).ok_or_else(|| {
            bad(format!(
                "Invalid value at `.triggers.maxSizeGb`: expected a number above 0 and up to {SIZE_GB_MAX}, but found `{given}`."
            ))
        })?),
    };
    let max_age = Some(value["maxAge"].clone()).filter(|age| !age.is_null());
    let max_age_seconds = max_age.as_ref().map(age_seconds).transpose()?;
    if max_docs.is_none() && max_size_gb.is_none() && max_age.is_none() {
        let message = "`.triggers` is empty: at least one of `maxDocs`, `maxAge`, `maxSizeGb` is needed.";
        return Err(bad(message));
    }
    Ok(Triggers { max_docs, max_age, max_age_seconds, max_size_gb })
}

/// A time such as `"7d"`, `"12h"`, `"30m"`, `"45s"`, or a whole number of seconds.
fn age_seconds(value: &Value) -> Result<u64, ApiError> {
    let of_text = |text: &str| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    };
    let seconds = match value {
        Value::String(text) => of_text(text),
        other => other.as_u64(),
    };
    seconds.filter(|seconds| (1..=AGE_SECONDS_MAX).contains(seconds)).ok_or_else(|| {
        bad(format!(
            "Invalid value at `.triggers.maxAge`: expected a time such as `\"7d\"`, with one of `s`, `m`, `h`, `d` and of at most ten years, but found `{value}`."
        ))
    })
}

fn keep_indexes(value: &Value) -> Result<usize, ApiError> {
    let value = member_object(value, "retention", &["keepIndexes"])?;
    let given = &value["keepIndexes"];
    let count = given.as_u64().and_then(|count| usize::try_from(count).ok());
    count.filter(|count| (1..=KEPT_MAX).contains(count)).ok_or_else(|| {
        bad(format!(
            "Invalid value at `.retention.keepIndexes`: expected a whole number from 1 to {KEPT_MAX}, but found `{given}`."
        ))
    })
}

type Template = (Option<String>, Option<Map<String, Value>>);

fn template(value: &Value) -> Result<Template, ApiError> {
    if value.is_null() {
        return Ok((None, None));
    }
    let value = member_object(value, "template", &["primaryKey", "settings"])?;
    let primary_key = match &value["primaryKey"] {
        Value::Null => None,
        Value::String(name) if router::reserved::is_reserved(name) => {
            let message = format!("The field `{name}` is reserved: it cannot be a primary key.");
            return Err(ApiError::new(Code::MiroirReservedField, message));
        }
        Value::String(name) => Some(name.clone()),
        other => {
            let message =
                format!("Invalid value at `.template.primaryKey`: expected a string, but found `{other}`.");
            return Err(bad(message));
        }
    };
    let settings = match &value["settings"] {
        Value::Null => None,
        Value::Object(members) => {
            SettingsChange::Whole(members.clone()).check()?;
            Some(members.clone())
        }
        other => {
            let message =
                format!("Invalid value at `.template.settings`: expected an object, but found `{other}`.");
            return Err(bad(message));
        }
    };
    Ok((primary_key, settings))
}

/// A member that is an object with no members but those known.
fn member_object(value: &Value, name: &str, known: &[&str]) -> Result<Value, ApiError> {
    match value {
        Value::Null => Err(bad(format!("Missing field `{name}`."))),
        Value::Object(_) => object(value.clone(), known).map_err(|error| error.inside(&format!(".{name}"))),
        other => Err(bad(format!("Invalid value at `.{name}`: expected an object, but found `{other}`."))),
    }
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::BadRequest, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Value {
        json!({
            "name": "logs",
            "writeAlias": "logs-write",
            "readAlias": "logs-read",
            "pattern": "logs-{YYYY-MM-DD}",
            "triggers": {"maxDocs": 10, "maxAge": "7d", "maxSizeGb": 1.5},
            "retention": {"keepIndexes": 3},
            "template": {"primaryKey": "id", "settings": {"embedders": {"a": {"apiKey": "0123456789"}}}},
        })
    }

    #[test]
    fn a_policy_is_read_shown_and_stored() {
        let policy = Policy::parse(body(), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(policy.triggers.max_age_seconds, Some(7 * 86_400));
        let view = policy.view();
        assert_eq!(view["triggers"], json!({"maxDocs": 10, "maxAge": "7d", "maxSizeGb": 1.5}));
        assert_eq!(view["template"]["settings"]["embedders"]["a"]["apiKey"], "01XXXX...");
        let stored = serde_json::to_value(&policy).unwrap();
        assert_eq!(serde_json::from_value::<Policy>(stored).unwrap(), policy);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (path, value, word) in [
            ("/name", json!(null), "`name`"),
            ("/name", json!("a b"), ".name"),
            ("/writeAlias", json!(1), ".writeAlias"),
            ("/readAlias", json!("logs-write"), "the same"),
            ("/pattern", json!("logs"), ".pattern"),
            ("/pattern", json!("logs-{YYYY-QQ}"), "`QQ`"),
            ("/triggers", json!(null), "`triggers`"),
            ("/triggers", json!({}), "maxDocs"),
            ("/triggers/maxDocs", json!(0), "maxDocs"),
            ("/triggers/maxAge", json!("7w"), "maxAge"),
            ("/triggers/maxAge", json!("d"), "maxAge"),
            ("/triggers/maxAge", json!(""), "maxAge"),
            ("/triggers/maxAge", json!("99999999999999999999d"), "maxAge"),
            ("/triggers/maxAge", json!(1.5), "maxAge"),
            ("/triggers/maxSizeGb", json!(-1), "maxSizeGb"),
            ("/retention", json!({}), "keepIndexes"),
            ("/retention/keepIndexes", json!(0), "keepIndexes"),
            ("/retention/keepIndexes", json!(65), "keepIndexes"),
            ("/template", json!([]), ".template"),
            ("/template/primaryKey", json!("_miroir_shard"), "reserved"),
            ("/template/settings", json!({"sortableAttributes": ["_miroir_shard"]}), "reserved"),
            ("/template/settings", json!(1), ".template.settings"),
        ] {
            let mut body = body();
            *body.pointer_mut(path).unwrap() = value;
            let error = Policy::parse(body, OffsetDateTime::UNIX_EPOCH).unwrap_err();
            let answer: Value = serde_json::from_slice(&error.into_answer().body.unwrap()).unwrap();
            assert!(answer["message"].as_str().unwrap().contains(word), "{path}: {answer}");
        }
        let mut unknown = body();
        unknown["triggers"]["maxBytes"] = json!(1);
        assert!(Policy::parse(unknown, OffsetDateTime::UNIX_EPOCH).is_err());
    }
}
