//! Foreign keys: replaces ids of another index's documents, in hits, by these documents.
//!
//! Invariants: nodes are never told of foreign keys, for each would look among its own documents only. A tenant's
//! rules and a key's indexes apply to foreign documents, too. An index without foreign keys costs nothing.

use std::{collections::BTreeSet, sync::Arc};

use ahash::AHashMap;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        index_rules::ForeignKey,
        search::filter::combine_filters,
    },
    auth::Permission,
    read::scatter::{Gathered, LegQuestion, Scatter},
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
};

/// The nodes' name for the feature.
const FEATURE: &str = "foreignKeys";
const NOT_SERVED: &str =
    "This gateway does not serve `_foreign` in filters: a node would look among its own documents only";
/// The member of a hit in which ids are looked for, beside the hit itself.
const FORMATTED: &str = "_formatted";

/// Documents by foreign index and document id.
type Documents = AHashMap<(String, String), Value>;

/// Puts foreign documents into the hits of a search of these indexes.
pub(crate) async fn hydrated(
    core: &Core,
    snapshot: &Snapshot,
    permission: &Permission,
    searched: &[&str],
    merged: MergedAnswer,
) -> Result<MergedAnswer, ApiError> {
    let mut searched = searched.iter().filter_map(|uid| snapshot.find(uid));
    let has_keys = searched.clone().any(|index| !index.rules.foreign_keys.is_empty());
    match searched.next() {
        Some(first) if has_keys => Box::pin(hydrate(core, snapshot, permission, first, merged)).await,
        _ => Ok(merged),
    }
}

async fn hydrate(
    core: &Core,
    snapshot: &Snapshot,
    permission: &Permission,
    first: &Arc<Index>,
    merged: MergedAnswer,
) -> Result<MergedAnswer, ApiError> {
    if !crate::read::node_features::is_on(core, FEATURE).await {
        return Ok(merged);
    }
    let unreadable = |_| ApiError::new(Code::Internal, "An answer cannot be read.");
    let mut answer = serde_json::from_slice::<Value>(&merged.body).map_err(unreadable)?;
    let mut wanted = AHashMap::<String, BTreeSet<String>>::new();
    for_each_hit(&mut answer, snapshot, first, &mut |index, hit| {
        for key in &index.rules.foreign_keys {
            // The foreign index must exist, whatever the hits hold.
            let ids = wanted.entry(key.index_uid.clone()).or_default();
            for_each_value(hit, &key.field, &mut |value| ids.extend(document_id(value)));
        }
    });
    let mut documents = Documents::new();
    let mut readable = BTreeSet::new();
    let mut missing = merged.missing.clone();
    for (uid, ids) in wanted {
        let index = crate::state::snapshot::find_index(snapshot, &uid)?;
        // A key that may not search the foreign index sees the ids in the hits, but not the documents.
        let Ok(rules) = permission.rules_for(&uid) else { continue };
        let found = fetch(core, snapshot, index, rules.as_deref(), &ids).await?;
        missing = missing.union(&found.missing);
        read_documents(&uid, index, &found.body, &mut documents);
        readable.insert(uid);
    }
    for_each_hit(&mut answer, snapshot, first, &mut |index, hit| {
        for key in index.rules.foreign_keys.iter().filter(|key| readable.contains(&key.index_uid)) {
            replace(hit, key, &documents);
        }
    });
    Ok(MergedAnswer { body: answer.to_string().into(), missing })
}

/// Rewrites a node's refusal of a filter on foreign documents: the node knows of no foreign keys.
pub(crate) fn refused(error: ApiError, keys: &[ForeignKey]) -> ApiError {
    error.rewrite(|message| {
        let mut known = keys.iter().map(|key| format!("Field `{}` is not a foreign key", key.field));
        match known.find(|unknown| message.contains(unknown)) {
            Some(unknown) => message.replace(&unknown, NOT_SERVED),
            None => message.to_owned(),
        }
    })
}

/// Visits every hit and its formatted part with its index, in one answer or in those of several queries.
fn for_each_hit(
    answer: &mut Value,
    snapshot: &Snapshot,
    index: &Arc<Index>,
    visit: &mut impl FnMut(&Index, &mut Map<String, Value>),
) {
    for result in answer.get_mut("results").and_then(Value::as_array_mut).into_iter().flatten() {
        let index = result["indexUid"].as_str().and_then(|uid| snapshot.find(uid)).cloned();
        if let Some(index) = index {
            for_each_hit(result, snapshot, &index, visit);
        }
    }
    for hit in answer.get_mut("hits").and_then(Value::as_array_mut).into_iter().flatten() {
        let federated = hit["_federation"]["indexUid"].as_str().and_then(|uid| snapshot.find(uid));
        let index = federated.unwrap_or(index);
        if let Some(hit) = hit.as_object_mut() {
            visit(index, hit);
            if let Some(formatted) = hit.get_mut(FORMATTED).and_then(Value::as_object_mut) {
                visit(index, formatted);
            }
        }
    }
}

/// Visits every value at a field's path, also inside arrays.
fn for_each_value(document: &mut Map<String, Value>, path: &str, visit: &mut impl FnMut(&mut Value)) {
    if let Some(value) = document.get_mut(path) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(&mut *visit),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                visit(value)
            }
        }
    }
    for (dot, _) in path.match_indices('.') {
        let rest = &path[dot + 1..];
        let below = match document.get_mut(&path[..dot]) {
            Some(Value::Array(values)) => values.iter_mut().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        for document in below.into_iter().filter_map(Value::as_object_mut) {
            for_each_value(document, rest, visit);
        }
    }
}

fn replace(hit: &mut Map<String, Value>, key: &ForeignKey, documents: &Documents) {
    for_each_value(hit, &key.field, &mut |value| {
        if let Some(id) = document_id(value) {
            // As on one node, an id without a document becomes an empty document.
            let found = documents.get(&(key.index_uid.clone(), id)).cloned();
            *value = found.unwrap_or_else(|| json!({}));
        }
    });
}

/// The text of a value that can be a document's id.
fn document_id(value: &Value) -> Option<String> {
    let is_id = |text: &str| {
        let bytes = text.bytes();
        !text.is_empty()
            && text.len() <= 511
            && bytes.into_iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| is_id(text)),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Asks every shard of an index for documents by their ids.
async fn fetch(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    rules: Option<&str>,
    ids: &BTreeSet<String>,
) -> Result<MergedAnswer, ApiError> {
    if ids.is_empty() {
        return Ok(MergedAnswer { body: Bytes::new(), missing: router::ShardSet::default() });
    }
    let of_leg = |leg: &LegQuestion<'_>, _| {
        let filter = combine_filters(rules, leg.filter);
        let filter = filter.as_deref().and_then(|filter| serde_json::from_str::<Value>(filter).ok());
        Bytes::from(json!({"ids": ids, "limit": ids.len(), "filter": filter}).to_string())
    };
    let scatter = Scatter::new(core, snapshot, index, core.turn(), "documents/fetch", of_leg);
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        merge::documents(gathered.bodies, &[], None, 0, ids.len(), body).map(|_| ())
    };
    scatter.ask_and_merge(merge).await
}

fn read_documents(uid: &str, index: &Index, body: &[u8], documents: &mut Documents) {
    let mut page = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let key = index.record.primary_key.as_deref().unwrap_or_default();
    for document in page["results"].as_array_mut().into_iter().flatten() {
        let Some(document) = document.as_object_mut() else { continue };
        let mut id = None;
        for_each_value(document, key, &mut |value| id = document_id(value));
        let Some(id) = id else { continue };
        if let Some(displayed) = &index.rules.displayed {
            document.retain(|name, _| displayed.iter().any(|field| field == name));
        }
        documents.insert((uid.to_owned(), id), Value::Object(std::mem::take(document)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_documents_wherever_they_stand() {
        let documents = Documents::from_iter([
            (("b".to_owned(), "1".to_owned()), json!({"id": 1, "name": "one"})),
            (("b".to_owned(), "x".to_owned()), json!({"id": "x"})),
        ]);
        let check = |field: &str, mut hit: Value, expected: Value| {
            let key = ForeignKey { index_uid: "b".to_owned(), field: field.to_owned() };
            replace(hit.as_object_mut().unwrap(), &key, &documents);
            assert_eq!(hit, expected, "{field}");
        };
        let one = json!({"id": 1, "name": "one"});
        check("a", json!({"a": 1, "b": 1}), json!({"a": one, "b": 1}));
        check("a", json!({"a": ["1", "x", "none"]}), json!({"a": [one, {"id": "x"}, {}]}));
        check(
            "a",
            json!({"a": [1.5, null, "<em>x</em>", {"id": 1}]}),
            json!({"a": [1.5, null, "<em>x</em>", {"id": 1}]}),
        );
        check(
            "a.b",
            json!({"a": [{"b": 1}, {"b": "x"}, 1], "a.b": "1"}),
            json!({"a": [{"b": one}, {"b": {"id": "x"}}, 1], "a.b": one}),
        );
        check("c", json!({"a": 1}), json!({"a": 1}));
    }
}
