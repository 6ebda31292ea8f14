//! Aliases as clients give them and as they are stored: names for one index, or for several that are read as one.
//!
//! Invariants: no IO. An alias never changes between one index and several. Each change has the next version. The
//! former targets are kept, newest first.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Table;
use time::OffsetDateTime;

use crate::api::{
    error::{ApiError, Code},
    http::json_body::object,
    tasks::view::{date, invalid_index_uid_reason, is_index_uid},
};

/// The table of aliases, by name.
pub const ALIASES: Table = Table::named("aliases");
/// Former targets that are kept.
pub const HISTORY_MAX: usize = 10;
/// Indexes for which one alias may stand.
pub const TARGETS_MAX: usize = 64;
/// The owner of aliases that operators make.
pub const OPERATOR: &str = "operator";
/// The owner of aliases that a policy makes, before the policy's name.
pub const POLICY: &str = "policy:";

/// Whether an alias stands for one index or for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AliasKind {
    Single,
    Multi,
}

/// A name that stands for indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alias {
    pub name: String,
    pub kind: AliasKind,
    /// One for [`AliasKind::Single`]; else one to [`TARGETS_MAX`], all different.
    pub targets: Vec<String>,
    /// Begins with 1 and grows by one with each change.
    pub version: u64,
    /// The party that changes it: an operator, or a policy by its name.
    pub owner: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Its former targets, newest first; at most [`HISTORY_MAX`].
    pub history: Vec<Former>,
}

/// The targets of an alias before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Former {
    pub targets: Vec<String>,
    pub version: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// The targets that a client wants for an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub kind: AliasKind,
    pub targets: Vec<String>,
    /// The version on which the change builds.
    pub version: Option<u64>,
}

/// Reads the body of `POST /_miroir/aliases`: the name and its targets.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_new(body: Value) -> Result<(String, Wanted), ApiError> {
    let body = object(body, &["name", "target", "targets"])?;
    let Some(name) = body["name"].as_str() else {
        return Err(bad(match body["name"].is_null() {
            true => "Missing field `name`.".to_owned(),
            false => format!("Invalid value at `.name`: expected a string, but found `{}`.", body["name"]),
        }));
    };
    check_name(name, ".name")?;
    let wanted = wanted(&body)?;
    if wanted.targets.iter().any(|target| target == name) {
        return Err(bad(format!("The alias `{name}` cannot stand for itself.")));
    }
    Ok((name.to_owned(), wanted))
}

/// Reads the body of `PUT /_miroir/aliases/{name}`.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_flip(name: &str, body: Value) -> Result<Wanted, ApiError> {
    let body = object(body, &["target", "targets", "version"])?;
    let mut wanted = wanted(&body)?;
    if wanted.targets.iter().any(|target| target == name) {
        return Err(bad(format!("The alias `{name}` cannot stand for itself.")));
    }
    if !body["version"].is_null() {
        let version = body["version"].as_u64();
        wanted.version = Some(version.ok_or_else(|| {
            bad(format!(
                "Invalid value at `.version`: expected a whole number, but found `{}`.",
                body["version"]
            ))
        })?);
    }
    Ok(wanted)
}

fn wanted(body: &Value) -> Result<Wanted, ApiError> {
    let (kind, targets) = match (&body["target"], &body["targets"]) {
        (Value::Null, Value::Null) => return Err(bad("Missing field `target` or `targets`.".to_owned())),
        (Value::String(target), Value::Null) => (AliasKind::Single, vec![target.clone()]),
        (Value::Null, Value::Array(list)) => {
            let texts = list.iter().map(|target| target.as_str().map(str::to_owned));
            let texts = texts.collect::<Option<Vec<_>>>();
            let wrong = || bad("Invalid value at `.targets`: expected an array of strings.".to_owned());
            (AliasKind::Multi, texts.ok_or_else(wrong)?)
        }
        (_, Value::Null) => return Err(bad("Invalid value at `.target`: expected a string.".to_owned())),
        (Value::Null, _) => {
            return Err(bad("Invalid value at `.targets`: expected an array of strings.".to_owned()));
        }
        (_, _) => return Err(bad("An alias has either a `target` or `targets`.".to_owned())),
    };
    if targets.is_empty() || targets.len() > TARGETS_MAX {
        let message =
            format!("An alias stands for 1 to {TARGETS_MAX} indexes, but {} are given.", targets.len());
        return Err(bad(message));
    }
    for (position, target) in targets.iter().enumerate() {
        let place =
            if kind == AliasKind::Single { ".target".to_owned() } else { format!(".targets[{position}]") };
        check_name(target, &place)?;
        if targets[..position].contains(target) {
            return Err(bad(format!("Invalid value at `{place}`: `{target}` is named twice.")));
        }
    }
    Ok(Wanted { kind, targets, version: None })
}

fn check_name(name: &str, place: &str) -> Result<(), ApiError> {
    match is_index_uid(name) {
        true => Ok(()),
        false => {
            let message = format!("Invalid value at `{place}`: {}", invalid_index_uid_reason(name));
            Err(ApiError::new(Code::InvalidIndexUid, message))
        }
    }
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::BadRequest, message)
}

impl Alias {
    /// The alias that an operator makes.
    #[must_use]
    pub fn new(name: String, wanted: Wanted, now: OffsetDateTime) -> Self {
        let Wanted { kind, targets, .. } = wanted;
        let (owner, history) = (OPERATOR.to_owned(), Vec::new());
        Self { name, kind, targets, version: 1, owner, created_at: now, history }
    }

    /// The policy that changes it, if one does.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.owner.strip_prefix(POLICY)
    }

    /// The alias after a change.
    ///
    /// # Errors
    /// 409 when the change builds on another version, or is for another kind of alias.
    pub fn flipped(&self, wanted: Wanted, now: OffsetDateTime) -> Result<Self, ApiError> {
        let conflict = |message| Err(ApiError::new(Code::MiroirAliasConflict, message));
        if let Some(version) = wanted.version.filter(|version| *version != self.version) {
            let message = format!("The alias `{}` has version {}, not {version}.", self.name, self.version);
            return conflict(message);
        }
        if wanted.kind != self.kind {
            return conflict(match self.kind {
                AliasKind::Single => {
                    format!("The alias `{}` stands for one index: give it a `target`.", self.name)
                }
                AliasKind::Multi => {
                    format!("The alias `{}` stands for several indexes: give it `targets`.", self.name)
                }
            });
        }
        let mut flipped = self.clone();
        let former = Former { targets: flipped.targets, version: self.version, until: now };
        flipped.history.insert(0, former);
        flipped.history.truncate(HISTORY_MAX);
        flipped.targets = wanted.targets;
        flipped.version += 1;
        Ok(flipped)
    }

    /// The alias as the management API shows it.
    #[must_use]
    pub fn view(&self) -> Value {
        let history = self.history.iter().map(|former| {
            let mut view = json!({"version": former.version, "until": date(former.until)});
            self.show_targets(&former.targets, &mut view);
            view
        });
        let mut view = json!({
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "owner": self.owner,
            "createdAt": date(self.created_at),
            "history": history.collect::<Vec<_>>(),
        });
        self.show_targets(&self.targets, &mut view);
        view
    }

    fn show_targets(&self, targets: &[String], view: &mut Value) {
        match self.kind {
            AliasKind::Single => view["target"] = json!(targets.first()),
            AliasKind::Multi => view["targets"] = json!(targets),
        }
    }

    /// Why nothing can be written through the alias.
    #[must_use]
    pub fn not_writable(&self) -> ApiError {
        let message = format!(
            "The alias `{}` stands for several indexes and takes no writes: it is changed by its owner, `{}`. Write to one of its indexes.",
            self.name, self.owner
        );
        ApiError::new(Code::MiroirMultiAliasNotWritable, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bodies_are_refused_with_what_is_wrong() {
        let check = |body: Value, expected: &str| {
            let message = parse_new(body.clone()).unwrap_err().into_task_error().message;
            assert!(message.contains(expected), "{body}: {message}");
        };
        check(json!([]), "object");
        check(json!({"target": "a"}), "Missing field `name`");
        check(json!({"name": 1, "target": "a"}), "`.name`");
        check(json!({"name": "a b", "target": "a"}), "`.name`");
        check(json!({"name": "a"}), "`target` or `targets`");
        check(json!({"name": "a", "target": "a"}), "itself");
        check(json!({"name": "a", "targets": ["b", "a"]}), "itself");
        check(json!({"name": "a", "target": "b", "targets": ["c"]}), "either");
        check(json!({"name": "a", "target": 7}), "`.target`");
        check(json!({"name": "a", "targets": "b"}), "`.targets`");
        check(json!({"name": "a", "targets": [1]}), "`.targets`");
        check(json!({"name": "a", "targets": []}), "1 to 64");
        check(json!({"name": "a", "targets": ["b", "b"]}), "named twice");
        check(json!({"name": "a", "target": "b", "x": 1}), "x");
        let flip = |body: Value| parse_flip("a", body).unwrap_err().into_task_error().message;
        assert!(flip(json!({"target": "b", "version": "1"})).contains("`.version`"));
        assert!(flip(json!({"target": "a"})).contains("itself"));
    }

    #[test]
    fn flips_are_compared_counted_and_remembered() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let (name, wanted) = parse_new(json!({"name": "a", "target": "b0"})).unwrap();
        let mut alias = Alias::new(name, wanted, now);
        for number in 1..=12_u64 {
            let body = json!({"target": format!("b{number}"), "version": number});
            alias = alias.flipped(parse_flip("a", body).unwrap(), now).unwrap();
        }
        assert_eq!((alias.version, alias.targets.as_slice()), (13, &["b12".to_owned()][..]));
        let view = alias.view();
        assert_eq!((view["kind"].as_str(), view["target"].as_str()), (Some("single"), Some("b12")));
        let former = alias.history.iter().map(|former| former.targets[0].as_str()).collect::<Vec<_>>();
        assert_eq!(former, ["b11", "b10", "b9", "b8", "b7", "b6", "b5", "b4", "b3", "b2"]);
        let refused = |body: Value| alias.flipped(parse_flip("a", body).unwrap(), now).unwrap_err().code();
        assert_eq!(refused(json!({"target": "c", "version": 12})), Some(Code::MiroirAliasConflict));
        assert_eq!(refused(json!({"targets": ["c"]})), Some(Code::MiroirAliasConflict));
    }
}
