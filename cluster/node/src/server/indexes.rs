//! Routes about indexes as a whole: list, create, update, delete, swap, statistics.
//! Invariant: errors that Meilisearch reports in a task (a missing or existing index) are reported in a task here too.

use std::collections::BTreeSet;

use deserr::Deserr;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use crate::errors::ApiError;
use crate::names;
use crate::tasks::{Swap, Work, time_text};
use crate::wire::{self, Parameter, WireError};

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct NewIndex {
    uid: String,
    #[deserr(default)]
    primary_key: Option<String>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct ChangedIndex {
    #[deserr(default)]
    primary_key: Option<String>,
    #[deserr(default)]
    uid: Option<String>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct NewSwap {
    indexes: Vec<String>,
    #[deserr(default)]
    rename: bool,
}

pub(super) fn list(call: &Call) -> Result<Reply, ApiError> {
    let known = [("offset", Parameter::Integer), ("limit", Parameter::Integer)];
    let query = wire::query(&call.query, &known, wire::INDEXES)?;
    let size =
        |name: &str, unset: u64| usize::try_from(query[name].as_u64().unwrap_or(unset)).unwrap_or(usize::MAX);
    let (offset, limit) = (size("offset", 0), size("limit", 20));
    let all = call.node.catalog.all();
    let total = all.len();
    let results: Vec<Value> =
        all.iter().skip(offset).take(limit).map(|(uid, index)| index.view(uid)).collect::<Result<_, _>>()?;
    Reply::ok(&json!({ "results": results, "offset": offset, "limit": limit, "total": total }))
}

pub(super) fn create(call: &Call) -> Result<Reply, ApiError> {
    let new: NewIndex = wire::read(call.json()?, wire::INDEXES)?;
    let uid = names::index_uid(&new.uid)
        .map_err(|error| ApiError::new(error.code, format!("Invalid value at `.uid`: {}", error.message)))?;
    Reply::accepted(&call.node.enqueue(Some(&uid), Work::IndexCreation { primary_key: new.primary_key })?)
}

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    Reply::ok(&call.node.catalog.get(&uid)?.view(&uid)?)
}

pub(super) fn update(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let body = call.json()?;
    let immutable =
        [("createdAt", "immutable_index_created_at"), ("updatedAt", "immutable_index_updated_at")];
    for (field, code) in immutable {
        if body.get(field).is_some() {
            let text = format!("Immutable field `{field}`: expected one of `primaryKey`, `uid`");
            return Err(ApiError::new(code, text));
        }
    }
    let changed: ChangedIndex = wire::read(body, wire::INDEXES)?;
    let ChangedIndex { primary_key, uid: new_uid } = changed;
    let new_uid = new_uid.as_deref().map(names::index_uid).transpose()?;
    let work = Work::IndexUpdate { primary_key, new_uid };
    let mut details = work.details();
    if let Work::IndexUpdate { new_uid: Some(new_uid), .. } = &work {
        details["oldIndexUid"] = uid.clone().into();
        details["newIndexUid"] = new_uid.clone().into();
    }
    Reply::accepted(&call.node.enqueue_with_details(&uid, work, details)?)
}

pub(super) fn delete(call: &Call) -> Result<Reply, ApiError> {
    Reply::accepted(&call.node.enqueue(Some(&call.index_uid()?), Work::IndexDeletion)?)
}

pub(super) fn compact(call: &Call) -> Result<Reply, ApiError> {
    Reply::accepted(&call.node.enqueue(Some(&call.index_uid()?), Work::IndexCompaction)?)
}

pub(super) fn stats(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    Reply::ok(&call.node.catalog.get(&uid)?.stats(call.node.registry.is_indexing(&uid))?)
}

pub(super) fn all_stats(call: &Call) -> Result<Reply, ApiError> {
    let (mut size, mut used, mut last_update) = (0, 0, None);
    let mut indexes = Map::new();
    for (uid, index) in call.node.catalog.all() {
        let (on_disk, in_use) = index.sizes()?;
        size += on_disk;
        used += in_use;
        last_update = last_update.max(Some(index.updated_at()?));
        let stats = index.stats(call.node.registry.is_indexing(&uid))?;
        indexes.insert(uid, stats);
    }
    Reply::ok(&json!({
        "databaseSize": size,
        "usedDatabaseSize": used,
        "lastUpdate": last_update.map(time_text),
        "indexes": indexes,
    }))
}

pub(super) fn swap(call: &Call) -> Result<Reply, ApiError> {
    let swaps: Vec<NewSwap> = wire::read(call.json()?, wire::SWAPS)?;
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    let mut pairs = Vec::with_capacity(swaps.len());
    for (position, swap) in swaps.iter().enumerate() {
        for (place, uid) in swap.indexes.iter().enumerate() {
            names::index_uid(uid).map_err(|error| {
                let text = format!("Invalid value at `[{position}].indexes[{place}]`: {}", error.message);
                ApiError::new("invalid_swap_indexes", text)
            })?;
            if !seen.insert(uid.clone()) {
                twice.insert(format!("`{uid}`"));
            }
        }
        let [left, right] = swap.indexes.as_slice() else {
            let list = swap.indexes.iter().map(|uid| format!("\"{uid}\"")).collect::<Vec<_>>().join(", ");
            let text = format!(
                "Two indexes must be given for each swap. The list `[{list}]` contains {} indexes.",
                swap.indexes.len()
            );
            return Err(ApiError::new("invalid_swap_indexes", text));
        };
        pairs.push(Swap { indexes: (left.clone(), right.clone()), rename: swap.rename });
    }
    if !twice.is_empty() {
        let were = if twice.len() == 1 { "was" } else { "were" };
        let names = twice.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "Indexes must be declared only once during a swap. {names} {were} specified several times."
        );
        return Err(ApiError::new("invalid_swap_duplicate_index_found", text));
    }
    Reply::accepted(&call.node.enqueue(None, Work::Swap { swaps: pairs })?)
}
