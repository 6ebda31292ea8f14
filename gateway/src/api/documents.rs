//! Reading documents: `GET …/documents` and `POST …/documents/fetch` as legs get them.
//!
//! Invariants as for searches: what is not needed stays raw, what is not understood is refused by
//! a node. Source: Meilisearch's documents routes, 1.15 to 1.50.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use sonic_rs::JsonValueTrait;

use super::{
    depth::is_bounded,
    error::{ApiError, Code},
    filter::combine_filters,
    query::Query,
    search::{NotUnderstood, turn_of},
};

/// Documents per page when the client does not say.
const DOCUMENTS_DEFAULT: usize = 20;

/// A page of documents as the client asked it.
pub struct DocumentsRequest {
    pub offset: usize,
    pub limit: usize,
    /// Whether an order was asked for; merging by it is not served.
    pub sorted: bool,
    filter: Option<String>,
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
        let mut request =
            Self { offset: 0, limit: DOCUMENTS_DEFAULT, sorted: false, filter: None, copied: String::new() };
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            if value.is_null() {
                continue;
            }
            let count =
                || value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood);
            match name.as_ref() {
                "offset" => request.offset = count()?,
                "limit" => request.limit = count()?,
                "filter" => request.filter = Some(value.as_raw_str().to_owned()),
                _ => {
                    request.sorted |= name == "sort";
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
        turn_of((&self.filter, &self.copied))
    }

    /// The same request for a leg.
    #[must_use]
    pub fn leg_body(&self, shard_filter: Option<&str>) -> Vec<u8> {
        let filter: Cow<'_, str> = match combine_filters(self.filter.as_deref(), shard_filter) {
            Some(filter) => filter.into(),
            None => "null".into(),
        };
        let limit = self.offset.saturating_add(self.limit);
        format!("{{{}\"offset\":0,\"limit\":{limit},\"filter\":{filter}}}", self.copied).into_bytes()
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
    for name in ["fields", "ids", "sort"] {
        if let Some(list) = query.get(name).filter(|list| !list.is_empty()) {
            body.insert(name.to_owned(), json!(list.split(',').collect::<Vec<_>>()));
        }
    }
    if let Some(filter) = query.get("filter").filter(|filter| !filter.is_empty()) {
        // A filter that reads as JSON is taken as such, anything else is a filter expression.
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
            assert_eq!(String::from_utf8(request.leg_body(filter)).unwrap(), expected);
        };
        check("{}", None, r#"{"offset":0,"limit":20,"filter":null}"#);
        check(
            r#"{"offset":5,"limit":3,"fields":["a"],"filter":"x = 1"}"#,
            Some("s IN [1]"),
            r#"{"fields":["a"],"offset":0,"limit":8,"filter":["x = 1","s IN [1]"]}"#,
        );
        check(
            r#"{"filter":[["a","b"],"c"]}"#,
            Some("s"),
            r#"{"offset":0,"limit":20,"filter":[["a","b"],"c","s"]}"#,
        );
        assert!(DocumentsRequest::parse(br#"{"limit":"a"}"#).is_err());
        assert!(DocumentsRequest::parse(b"[1]").is_err());
        assert!(DocumentsRequest::parse(br#"{"limit":1"#).is_err());
    }
}
