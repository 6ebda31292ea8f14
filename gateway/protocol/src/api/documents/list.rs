//! Reads documents: `GET …/documents` and `POST …/documents/fetch` as legs get them.
//!
//! Invariants: as for searches, what is not needed stays raw, and a node refuses what is not understood. Source:
//! Meilisearch's documents routes, 1.15 to 1.50.

use std::borrow::Cow;

use merge::{ExtraFields, SortField};
use serde_json::{Map, Value, json};
use sonic_rs::JsonValueTrait;

use crate::api::{
    error::{ApiError, Code},
    http::{
        json_depth::is_bounded,
        query_string::{Query, members},
    },
    search::{
        filter::combine_filters,
        nullable::is_absent,
        query_string::split_sort,
        request::{LEG_HITS_MAX, NotUnderstood, is_below, names, turn_of},
    },
};

/// Documents per page when the client does not say.
const DOCUMENTS_DEFAULT: usize = 20;

/// The client's request for a page of documents.
pub struct DocumentsRequest {
    pub offset: usize,
    pub limit: usize,
    /// The requested order; empty for the nodes' own.
    sort: Vec<SortField>,
    fields: Option<Vec<String>>,
    filter: Option<String>,
    /// The keys of the requested documents, as raw JSON.
    ids: Option<String>,
    /// Members copied to the legs unchanged, with a comma after each.
    copied: String,
}

impl DocumentsRequest {
    /// Reads the JSON body of `POST …/documents/fetch`.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let mut request = Self {
            offset: 0,
            limit: DOCUMENTS_DEFAULT,
            sort: Vec::new(),
            fields: None,
            filter: None,
            ids: None,
            copied: String::new(),
        };
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            if is_absent(&name, &value)? {
                continue;
            }
            let count =
                || value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood);
            match name.as_ref() {
                "offset" => request.offset = count()?,
                "limit" => request.limit = count()?,
                "filter" => request.filter = Some(value.as_raw_str().to_owned()),
                "fields" => request.fields = Some(names(&value)?),
                "ids" => request.ids = Some(value.as_raw_str().to_owned()),
                _ => {
                    if name == "sort" {
                        let fields = names(&value)?;
                        let fields = fields.iter().map(|field| SortField::parse(field).ok_or(NotUnderstood));
                        request.sort = fields.collect::<Result<_, _>>()?;
                    }
                    let quoted = sonic_rs::to_string(name.as_ref()).unwrap_or_default();
                    request.copied.push_str(&format!("{quoted}:{},", value.as_raw_str()));
                }
            }
        }
        Ok(request)
    }

    /// The same number for every page of one list.
    #[must_use]
    pub fn turn(&self) -> usize {
        turn_of((&self.filter, &self.ids, &self.copied))
    }

    /// The order in which legs are merged: the requested one, then by primary key.
    #[must_use]
    pub fn order(&self, primary_key: Option<&str>) -> Vec<SortField> {
        self.sort.iter().cloned().chain(primary_key.map(SortField::ascending)).collect()
    }

    /// Attributes that the merge reads and the client did not request.
    #[must_use]
    pub fn extra<'a>(&'a self, order: &'a [SortField]) -> Option<ExtraFields<'a>> {
        let fields = self.fields.as_ref()?;
        let top = |path: &'_ str| Cow::Owned(path.split('.').next().unwrap_or(path).to_owned());
        let members = self.missing_fields(order).map(top).collect::<Vec<_>>();
        let retrieved = fields.iter().map(|field| Cow::Borrowed(field.as_str())).collect();
        (!members.is_empty()).then_some(ExtraFields { members, retrieved, formatted: Vec::new() })
    }

    /// The attributes that the merge reads and `fields` do not contain.
    fn missing_fields<'a>(&self, order: &'a [SortField]) -> impl Iterator<Item = &'a str> {
        let held = |path: &str| {
            let holds = |field: &String| field == "*" || is_below(path, field);
            self.fields.as_ref().is_none_or(|fields| fields.iter().any(holds))
        };
        order.iter().map(SortField::attribute).filter(move |attribute| !held(attribute))
    }

    /// Whether nodes give the documents in the order in which they number them.
    #[must_use]
    pub fn has_no_order(&self) -> bool {
        self.sort.is_empty()
    }

    /// The request for the keys of up to `most` documents of a leg.
    #[must_use]
    pub fn keys_body(&self, primary_key: &str, most: usize, shard_filter: Option<&str>) -> Vec<u8> {
        let filter = combine_filters(self.filter.as_deref(), shard_filter);
        let ids = self.ids.as_ref().map(|ids| format!("\"ids\":{ids},")).unwrap_or_default();
        let fields = json!([primary_key]);
        let filter = filter.as_deref().unwrap_or("null");
        format!("{{{ids}\"fields\":{fields},\"limit\":{most},\"filter\":{filter}}}").into_bytes()
    }

    /// The same request for these documents.
    #[must_use]
    pub fn of_keys(&self, keys: &[Value]) -> Self {
        Self {
            offset: 0,
            limit: keys.len(),
            sort: Vec::new(),
            fields: self.fields.clone(),
            filter: self.filter.clone(),
            ids: Some(Value::from(keys).to_string()),
            copied: self.copied.clone(),
        }
    }

    /// The same request for a leg.
    #[must_use]
    pub fn leg_body(&self, order: &[SortField], shard_filter: Option<&str>) -> Vec<u8> {
        let filter: Cow<'_, str> = match combine_filters(self.filter.as_deref(), shard_filter) {
            Some(filter) => filter.into(),
            None => "null".into(),
        };
        let ids = self.ids.as_ref().map(|ids| format!("\"ids\":{ids},")).unwrap_or_default();
        let limit = self.offset.saturating_add(self.limit).min(LEG_HITS_MAX);
        let mut fields = String::new();
        if let Some(requested) = &self.fields {
            let requested =
                requested.iter().map(String::as_str).chain(self.missing_fields(order)).collect::<Vec<_>>();
            fields = format!("\"fields\":{},", sonic_rs::to_string(&requested).unwrap_or_default());
        }
        format!("{{{}{ids}{fields}\"offset\":0,\"limit\":{limit},\"filter\":{filter}}}", self.copied)
            .into_bytes()
    }
}

/// Turns the query string of `GET …/documents` into the body of the fetch route.
///
/// # Errors
/// 400 with Meilisearch's code for the parameter.
pub fn fetch_body(query: &Query<'_>) -> Result<Vec<u8>, ApiError> {
    query.only(&["limit", "offset", "fields", "retrieveVectors", "filter", "ids", "sort"])?;
    let mut body = Map::new();
    if let Some(offset) = query.integer::<usize>("offset", Code::InvalidDocumentOffset)? {
        body.insert("offset".to_owned(), json!(offset));
    }
    if let Some(limit) = query.integer::<usize>("limit", Code::InvalidDocumentLimit)? {
        body.insert("limit".to_owned(), json!(limit));
    }
    if let Some(flag) = query.flag("retrieveVectors", Code::InvalidDocumentRetrieveVectors)? {
        body.insert("retrieveVectors".to_owned(), json!(flag));
    }
    for name in ["fields", "ids"] {
        // An empty list is valid, too: it names no field and no document.
        let Some(list) = query.get(name).map(|list| members(list).collect::<Vec<_>>()) else { continue };
        // Only in a query string does `*` among the fields stand for all of them.
        if name == "ids" || !list.contains(&"*") {
            body.insert(name.to_owned(), json!(list));
        }
    }
    if let Some(sort) = query.get("sort") {
        body.insert("sort".to_owned(), json!(split_sort(sort)));
    }
    if let Some(filter) = query.get("filter").filter(|filter| !filter.is_empty()) {
        // A filter that is valid JSON is read as JSON, any other as a filter expression.
        let filter = match serde_json::from_str(filter) {
            Ok(value @ (Value::Array(_) | Value::String(_))) => value,
            _ => Value::String(filter.to_owned()),
        };
        body.insert("filter".to_owned(), filter);
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_from_the_start_of_every_leg() {
        let check = |body: &str, filter: Option<&str>, expected: &str| {
            let request = DocumentsRequest::parse(body.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(request.leg_body(&request.order(None), filter)).unwrap(), expected);
        };
        check("{}", None, r#"{"offset":0,"limit":20,"filter":null}"#);
        check(
            r#"{"offset":5,"limit":3,"fields":["a"],"filter":"x = 1"}"#,
            Some("s IN [1]"),
            r#"{"fields":["a"],"offset":0,"limit":8,"filter":["x = 1","s IN [1]"]}"#,
        );
        check(r#"{"limit":9007199254740991}"#, None, r#"{"offset":0,"limit":4294967295,"filter":null}"#);
        check(
            r#"{"offset":18446744073709551615,"limit":1}"#,
            None,
            r#"{"offset":0,"limit":4294967295,"filter":null}"#,
        );
        check(
            r#"{"filter":[["a","b"],"c"]}"#,
            Some("s"),
            r#"{"offset":0,"limit":20,"filter":[["a","b"],"c","s"]}"#,
        );
        check(
            r#"{"sort":["a.b:asc","_geoPoint(1,2):desc","c:asc"],"fields":["a","d"],"limit":1}"#,
            None,
            r#"{"sort":["a.b:asc","_geoPoint(1,2):desc","c:asc"],"fields":["a","d","_geo","c"],"offset":0,"limit":1,"filter":null}"#,
        );
        assert!(DocumentsRequest::parse(br#"{"sort":["a"]}"#).is_err());
        assert!(DocumentsRequest::parse(br#"{"limit":"a"}"#).is_err());
        assert!(DocumentsRequest::parse(b"[1]").is_err());
        assert!(DocumentsRequest::parse(br#"{"limit":1"#).is_err());
    }

    #[test]
    fn query_strings_become_bodies() {
        let check = |query: &str, expected: &str| {
            let body = fetch_body(&Query::parse(Some(query))).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        };
        check("fields=a,b&ids=1,2", r#"{"fields":["a","b"],"ids":["1","2"]}"#);
        check("fields=a,*", "{}");
        check("ids=", r#"{"ids":[]}"#);
        check("ids=1,,2&fields=", r#"{"fields":[],"ids":["1","2"]}"#);
        check("fields=,a,&ids=,", r#"{"fields":["a"],"ids":[]}"#);
        check("sort=_geoPoint(1,2):asc,a:desc", r#"{"sort":["_geoPoint(1,2):asc","a:desc"]}"#);
    }
}
