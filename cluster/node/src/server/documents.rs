//! Routes about documents.
//! Invariants: a payload's shape is validated before the 202, its documents in the task. Reads ignore
//! `displayedAttributes`, as in Meilisearch.

use deserr::Deserr;
use serde_json::Value;

use super::call::{Call, Reply};
use super::payload;
use crate::engine::Fetch;
use crate::errors::ApiError;
use crate::names;
use crate::tasks::Work;
use crate::wire::{self, Parameter, WireError};

const FETCH: [(&str, Parameter); 6] = [
    ("offset", Parameter::Integer),
    ("limit", Parameter::Integer),
    ("fields", Parameter::List),
    ("retrieveVectors", Parameter::Flag),
    ("filter", Parameter::Loose),
    ("ids", Parameter::List),
];

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct FetchQuery {
    #[deserr(default = 0)]
    offset: usize,
    #[deserr(default = 20)]
    limit: usize,
    #[deserr(default)]
    fields: Option<Vec<String>>,
    #[deserr(default)]
    retrieve_vectors: bool,
    #[deserr(default)]
    ids: Option<Vec<Value>>,
    #[deserr(default)]
    filter: Option<Value>,
}

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct DeletionQuery {
    filter: Value,
}

pub(super) fn list(call: &Call) -> Result<Reply, ApiError> {
    let mut query = wire::query(&call.query, &FETCH, wire::DOCUMENTS)?;
    // Only in a query string does `*` among the fields mean all of them.
    if query["fields"].as_array().is_some_and(|fields| fields.iter().any(|field| field == "*")) {
        query["fields"] = Value::Null;
    }
    fetch_page(call, query)
}

pub(super) fn fetch(call: &Call) -> Result<Reply, ApiError> {
    fetch_page(call, call.json()?)
}

fn fetch_page(call: &Call, query: Value) -> Result<Reply, ApiError> {
    let query: FetchQuery = wire::read(query, wire::DOCUMENTS)?;
    let uid = call.index_uid()?;
    let ids = query
        .ids
        .map(|ids| ids.iter().enumerate().map(|(place, id)| fetched_id(place, id)).collect::<Result<_, _>>())
        .transpose()?;
    let fetch = Fetch {
        offset: query.offset,
        limit: query.limit,
        fields: query.fields,
        filter: query.filter,
        ids,
        retrieve_vectors: query.retrieve_vectors,
    };
    Reply::ok(&call.node.catalog.get(&uid)?.fetch(&uid, &fetch)?)
}

/// `*` among the fields means all of them.
fn listed(fields: Option<Vec<String>>) -> Option<Vec<String>> {
    fields.filter(|fields| fields.iter().all(|field| field != "*"))
}

fn fetched_id(place: usize, id: &Value) -> Result<String, ApiError> {
    let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    if names::is_document_id(&text) && (id.is_string() || id.is_i64() || id.is_u64()) {
        return Ok(text);
    }
    Err(ApiError::new(
        "invalid_document_ids",
        format!(
            "In `.ids[{place}]`: Document identifier `{id}` is invalid. A document identifier can be of type \
             integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and \
             underscores (_), and can not be more than 511 bytes."
        ),
    ))
}

pub(super) fn get(call: &Call) -> Result<Reply, ApiError> {
    let known = [("fields", Parameter::List), ("retrieveVectors", Parameter::Flag)];
    let query: FetchQuery = wire::read(wire::query(&call.query, &known, wire::DOCUMENTS)?, wire::DOCUMENTS)?;
    let (uid, id) = (call.index_uid()?, &call.path[1]);
    let fields = listed(query.fields);
    let found = call.node.catalog.get(&uid)?.document(id, fields.as_deref(), query.retrieve_vectors)?;
    let missing = || ApiError::new("document_not_found", format!("Document `{id}` not found."));
    Reply::ok(&found.ok_or_else(missing)?)
}

pub(super) fn replace(call: &Call) -> Result<Reply, ApiError> {
    add(call, false)
}

pub(super) fn update(call: &Call) -> Result<Reply, ApiError> {
    add(call, true)
}

fn add(call: &Call, update: bool) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let known = [("primaryKey", Parameter::Text), ("csvDelimiter", Parameter::Text)];
    let query = wire::query(&call.query, &known, wire::DOCUMENTS)?;
    let delimiter = query["csvDelimiter"].as_str();
    let (payload, documents) = payload::read(call.content_type(), delimiter, &call.body)?;
    let primary_key = query["primaryKey"].as_str().map(str::to_owned);
    let work = Work::DocumentAddition { update, primary_key, documents };
    Reply::accepted(&call.node.enqueue_payload(&uid, work, payload)?)
}

pub(super) fn clear(call: &Call) -> Result<Reply, ApiError> {
    Reply::accepted(&call.node.enqueue(Some(&call.index_uid()?), Work::DocumentClear)?)
}

pub(super) fn delete(call: &Call) -> Result<Reply, ApiError> {
    let work = Work::DocumentDeletion { ids: vec![call.path[1].clone()] };
    Reply::accepted(&call.node.enqueue(Some(&call.index_uid()?), work)?)
}

pub(super) fn delete_batch(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    call.json()?;
    let ids: Vec<Value> = serde_json::from_slice(&call.body)
        .map_err(|error| ApiError::new("bad_request", format!("Json deserialize error: {error}")))?;
    let ids = ids.iter().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect();
    Reply::accepted(&call.node.enqueue(Some(&uid), Work::DocumentDeletion { ids })?)
}

pub(super) fn delete_by_filter(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let DeletionQuery { filter } = wire::read(call.json()?, wire::DOCUMENTS)?;
    let contains = call.node.workers.contains_filter();
    if crate::engine::parse_filter(&filter, "invalid_document_filter", contains)?.is_none() {
        return Err(ApiError::new("invalid_document_filter", "Sending an empty filter is forbidden."));
    }
    Reply::accepted(&call.node.enqueue(Some(&uid), Work::DocumentDeletionByFilter { filter })?)
}
