//! The body of `POST /swap-indexes`.
//!
//! Source of checks and messages: Meilisearch's swap route, 1.15 to 1.50.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use store::{TaskKind, TaskRecord};

use crate::api::{
    error::{ApiError, Code},
    http::json_body::wrong_type,
    tasks::view::{invalid_index_uid_reason, is_index_uid},
};

/// Reads the swaps of a body.
///
/// # Errors
/// 400 as Meilisearch's.
pub fn parse(body: &Value) -> Result<Vec<Rename>, ApiError> {
    let Some(swaps) = body.as_array() else {
        return Err(wrong_type("", "an array", Code::BadRequest, body));
    };
    let swaps = swaps.iter().enumerate().map(|(position, swap)| read(position, swap));
    let swaps = swaps.collect::<Result<Vec<_>, _>>()?;
    let moves = swaps.into_iter().map(|(indexes, rename)| pair(indexes, rename));
    let moves = moves.collect::<Result<Vec<_>, _>>()?;
    check_duplicates(&moves)?;
    Ok(moves)
}

fn read(position: usize, swap: &Value) -> Result<(Vec<String>, bool), ApiError> {
    let Some(members) = swap.as_object() else {
        return Err(wrong_type(&format!("[{position}]"), "an object", Code::BadRequest, swap));
    };
    for (name, value) in members {
        match name.as_str() {
            "indexes" => check_indexes(position, value)?,
            "rename" if value.is_boolean() => {}
            "rename" => {
                let place = format!("[{position}].rename");
                return Err(wrong_type(&place, "a boolean", Code::InvalidSwapRename, value));
            }
            _ => {
                let message = format!(
                    "Unknown field `{name}` inside `[{position}]`: expected one of `indexes`, `rename`"
                );
                return Err(ApiError::new(Code::BadRequest, message));
            }
        }
    }
    let Some(indexes) = members.get("indexes").and_then(Value::as_array) else {
        let message = format!("Missing field `indexes` inside `[{position}]`");
        return Err(ApiError::new(Code::MissingSwapIndexes, message));
    };
    let indexes = indexes.iter().filter_map(|uid| uid.as_str().map(str::to_owned)).collect();
    Ok((indexes, swap["rename"] == true))
}

fn check_indexes(position: usize, indexes: &Value) -> Result<(), ApiError> {
    let place = format!("[{position}].indexes");
    let Some(indexes) = indexes.as_array() else {
        return Err(wrong_type(&place, "an array", Code::InvalidSwapIndexes, indexes));
    };
    for (number, value) in indexes.iter().enumerate() {
        let place = format!("{place}[{number}]");
        match value.as_str() {
            None => return Err(wrong_type(&place, "a string", Code::InvalidSwapIndexes, value)),
            Some(uid) if is_index_uid(uid) => {}
            Some(uid) => {
                let message = format!("Invalid value at `{place}`: {}", invalid_index_uid_reason(uid));
                return Err(ApiError::new(Code::InvalidSwapIndexes, message));
            }
        }
    }
    Ok(())
}

fn pair(indexes: Vec<String>, rename: bool) -> Result<Rename, ApiError> {
    match <[String; 2]>::try_from(indexes) {
        Ok([from, to]) => Ok(Rename { from, to, rename }),
        Err(indexes) => {
            let list = indexes.iter().map(|uid| format!("\"{uid}\"")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "Two indexes must be given for each swap. The list `[{list}]` contains {} indexes.",
                indexes.len()
            );
            Err(ApiError::new(Code::InvalidSwapIndexes, message))
        }
    }
}

/// # Errors
/// 400 for an index that is named more than once.
pub fn check_duplicates(moves: &[Rename]) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    let names = moves.iter().flat_map(|step| [&step.from, &step.to]);
    let twice = names.filter(|name| !seen.insert(*name)).collect::<BTreeSet<_>>();
    if twice.is_empty() {
        return Ok(());
    }
    let names = twice.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let were = if twice.len() == 1 { "was" } else { "were" };
    let message =
        format!("Indexes must be declared only once during a swap. {names} {were} specified several times.");
    Err(ApiError::new(Code::InvalidSwapDuplicateIndexFound, message))
}

/// Two names that exchange their indexes, or one index that takes another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    pub to: String,
    pub rename: bool,
}

impl Rename {
    /// The renames of a task: those of a swap, or that of a rename.
    #[must_use]
    pub fn of_task(task: &TaskRecord) -> Vec<Self> {
        let Some(details) = &task.details else { return Vec::new() };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if task.kind == TaskKind::IndexUpdate {
            let (from, to) = (text(&details["oldIndexUid"]), text(&details["newIndexUid"]));
            let renamed = from.zip(to).filter(|(from, to)| from != to);
            return renamed.map(|(from, to)| Self { from, to, rename: true }).into_iter().collect();
        }
        let swaps = details["swaps"].as_array().filter(|_| task.kind == TaskKind::IndexSwap);
        let read = |swap: &Value| {
            let (from, to) = (text(&swap["indexes"][0])?, text(&swap["indexes"][1])?);
            Some(Self { from, to, rename: swap["rename"] == true })
        };
        swaps.into_iter().flatten().filter_map(read).collect()
    }

    /// The rename in the details of a swap.
    #[must_use]
    pub fn view(&self) -> Value {
        json!({"indexes": [self.from, self.to], "rename": self.rename})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn swaps_are_read_or_refused() {
        let read = parse(&json!([{"indexes": ["a", "b"]}, {"indexes": ["c", "d"], "rename": true}])).unwrap();
        assert_eq!(read[1], Rename { from: "c".to_owned(), to: "d".to_owned(), rename: true });
        assert!(!read[0].rename);
        assert_eq!(parse(&json!([])).unwrap(), []);
        let check = |body: Value, code: Code, message: &str| {
            let error = parse(&body).unwrap_err();
            assert_eq!(error.code(), Some(code), "{body}");
            assert_eq!(error.into_task_error().message, message, "{body}");
        };
        let expected = "Invalid value type: expected an array, but found an object: `{}`";
        check(json!({}), Code::BadRequest, expected);
        let expected = "Invalid value type at `[0]`: expected an object, but found a string: `\"a\"`";
        check(json!(["a"]), Code::BadRequest, expected);
        check(json!([{}]), Code::MissingSwapIndexes, "Missing field `indexes` inside `[0]`");
        let expected =
            "Invalid value type at `[0].indexes[1]`: expected a string, but found a positive integer: `1`";
        check(json!([{"indexes": ["a", 1]}]), Code::InvalidSwapIndexes, expected);
        let expected = "Two indexes must be given for each swap. The list `[\"a\"]` contains 1 indexes.";
        check(json!([{"indexes": ["a"]}]), Code::InvalidSwapIndexes, expected);
        let expected = "Indexes must be declared only once during a swap. `a` was specified several times.";
        let twice = json!([{"indexes": ["a", "b"]}, {"indexes": ["a", "c"]}]);
        check(twice, Code::InvalidSwapDuplicateIndexFound, expected);
    }
}
