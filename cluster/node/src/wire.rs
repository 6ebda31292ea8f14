//! Parsing request bodies and query strings with Meilisearch's messages and codes.
//! Invariants: the texts come from `deserr`, which Meilisearch itself uses. The code follows from the request family
//! and the path of the offending field (`invalid_search_limit` for `limit`), so no field has a code of its own. An
//! unknown field is `bad_request`.

use std::convert::Infallible;
use std::ops::ControlFlow;

use deserr::errors::{JsonError, QueryParamError};
use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, ValuePointerRef, take_cf_content,
};
use serde_json::{Map, Value};

use crate::errors::ApiError;

/// What is wrong and where, before the request's family determines the code.
#[derive(Debug)]
pub(crate) struct WireError {
    message: String,
    /// The field names from the root, without array positions; empty for the root and for unknown fields.
    path: Vec<String>,
    missing: bool,
}

impl DeserializeError for WireError {
    fn error<V: IntoValue>(
        _previous: Option<Self>,
        error: ErrorKind<V>,
        location: ValuePointerRef,
    ) -> ControlFlow<Self, Self> {
        let mut path = fields(location);
        let missing = match &error {
            ErrorKind::MissingField { field } => {
                path.push((*field).to_owned());
                true
            }
            ErrorKind::IncorrectValueKind { .. }
            | ErrorKind::UnknownKey { .. }
            | ErrorKind::UnknownValue { .. }
            | ErrorKind::BadSequenceLen { .. }
            | ErrorKind::Unexpected { .. } => false,
        };
        let message = take_cf_content(JsonError::error(None, error, location)).to_string();
        ControlFlow::Break(Self { message, path, missing })
    }
}

impl MergeWithError<WireError> for WireError {
    fn merge(_previous: Option<Self>, other: Self, _location: ValuePointerRef) -> ControlFlow<Self, Self> {
        ControlFlow::Break(other)
    }
}

/// The errors of values that parse themselves: their text, at the value's place.
macro_rules! merge_text {
    ($($error:ty),+) => {
        $(impl MergeWithError<$error> for WireError {
            fn merge(
                _previous: Option<Self>,
                other: $error,
                location: ValuePointerRef,
            ) -> ControlFlow<Self, Self> {
                Self::error::<Infallible>(None, ErrorKind::Unexpected { msg: other.to_string() }, location)
            }
        })+
    };
}

merge_text!(milli::CriterionError, OutOfRange);

/// A number that had to lie between 0 and 1.
#[derive(Debug, thiserror::Error)]
#[error("the value of `{0}` is invalid, expected a float between `0.0` and `1.0`.")]
pub(crate) struct OutOfRange(pub(crate) &'static str);

/// The field names on the path to a place.
fn fields(location: ValuePointerRef) -> Vec<String> {
    match location {
        ValuePointerRef::Origin => Vec::new(),
        ValuePointerRef::Index { prev, .. } => fields(*prev),
        ValuePointerRef::Key { key, prev } => {
            let mut path = fields(*prev);
            path.push(key.to_owned());
            path
        }
    }
}

/// A group of requests whose fields share one naming of error codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// Precedes the snake case field, e.g. `invalid_search_`.
    prefix: &'static str,
    /// Dotted paths whose code does not follow the rule.
    exceptions: &'static [(&'static str, &'static str)],
    /// Codes of required fields that are missing.
    missing: &'static [(&'static str, &'static str)],
}

pub(crate) const SEARCH: Family = Family {
    prefix: "invalid_search_",
    exceptions: &[
        ("hybrid", "invalid_search_hybrid_query"),
        ("hybrid.embedder", "invalid_search_embedder"),
        ("hybrid.semanticRatio", "invalid_search_semantic_ratio"),
        ("hybridEmbedder", "invalid_search_embedder"),
        ("hybridSemanticRatio", "invalid_search_semantic_ratio"),
    ],
    missing: &[],
};
pub(crate) const FEDERATION: Family = Family {
    prefix: "invalid_multi_search_",
    exceptions: &[
        ("queries", "bad_request"),
        ("federation", "invalid_multi_search_federated"),
        ("federation.limit", "invalid_search_limit"),
        ("federation.offset", "invalid_search_offset"),
        ("federation.facetsByIndex", "invalid_multi_search_facets_by_index"),
        ("federation.mergeFacets", "invalid_multi_search_merge_facets"),
        ("federation.mergeFacets.maxValuesPerFacet", "invalid_multi_search_max_values_per_facet"),
    ],
    missing: &[],
};
pub(crate) const FEDERATION_OPTIONS: Family =
    Family { prefix: "invalid_multi_search_", exceptions: &[], missing: &[] };
pub(crate) const FACET_SEARCH: Family = Family {
    prefix: "invalid_search_",
    exceptions: &[
        ("facetName", "invalid_facet_search_facet_name"),
        ("facetQuery", "invalid_facet_search_query"),
        ("exhaustiveFacetCount", "invalid_facet_search_exhaustive_facet_count"),
        ("hybrid", "invalid_search_hybrid_query"),
        ("hybrid.embedder", "invalid_search_embedder"),
        ("hybrid.semanticRatio", "invalid_search_semantic_ratio"),
    ],
    missing: &[("facetName", "missing_facet_search_facet_name")],
};
pub(crate) const SIMILAR: Family = Family { prefix: "invalid_similar_", exceptions: &[], missing: &[] };
pub(crate) const DOCUMENTS: Family = Family {
    prefix: "invalid_document_",
    exceptions: &[("primaryKey", "invalid_index_primary_key")],
    missing: &[("filter", "missing_document_filter")],
};
pub(crate) const INDEXES: Family =
    Family { prefix: "invalid_index_", exceptions: &[], missing: &[("uid", "missing_index_uid")] };
pub(crate) const SETTINGS: Family = Family { prefix: "invalid_settings_", exceptions: &[], missing: &[] };
pub(crate) const TASKS: Family = Family {
    prefix: "invalid_task_",
    exceptions: &[("indexUids", "invalid_index_uid"), ("batchUids", "invalid_batch_uids")],
    missing: &[],
};
pub(crate) const SWAPS: Family =
    Family { prefix: "invalid_swap_", exceptions: &[], missing: &[("indexes", "missing_swap_indexes")] };
pub(crate) const FEATURES: Family = Family { prefix: "bad_request_", exceptions: &[], missing: &[] };

impl Family {
    /// The code of a wrong value at `path`: that of the longest listed path, else that of its first field.
    pub(crate) fn code(&self, path: &[String]) -> String {
        let Some(first) = path.first() else { return "bad_request".to_owned() };
        if self.prefix == FEATURES.prefix {
            return "bad_request".to_owned();
        }
        for length in (1..=path.len()).rev() {
            let dotted = path[..length].join(".");
            if let Some((_, code)) = self.exceptions.iter().find(|(listed, _)| *listed == dotted) {
                return (*code).to_owned();
            }
        }
        format!("{}{}", self.prefix, snake_case(first))
    }

    fn error(&self, error: WireError) -> ApiError {
        if error.missing {
            let listed =
                self.missing.iter().find(|(field, _)| error.path.last().is_some_and(|last| last == field));
            let code = listed.map_or_else(
                || if error.path.len() > 1 { self.code(&error.path[..1]) } else { "bad_request".to_owned() },
                |(_, code)| (*code).to_owned(),
            );
            return ApiError::new(code, error.message);
        }
        ApiError::new(self.code(&error.path), error.message)
    }
}

/// Parses a typed request from JSON.
pub(crate) fn read<T: Deserr<WireError>>(value: Value, family: Family) -> Result<T, ApiError> {
    deserr::deserialize::<T, _, WireError>(value).map_err(|error| family.error(error))
}

/// Parses a JSON body; the texts are Meilisearch's.
pub(crate) fn body(content_type: Option<&str>, bytes: &[u8]) -> Result<Value, ApiError> {
    let media = content_type.map(media_type);
    if media.as_deref() != Some("application/json") {
        let accepted = "Accepted values for the Content-Type header are: `application/json`";
        return Err(match media {
            None => {
                ApiError::new("missing_content_type", format!("A Content-Type header is missing. {accepted}"))
            }
            Some(media) => ApiError::new(
                "invalid_content_type",
                format!("The Content-Type `{media}` is invalid. {accepted}"),
            ),
        });
    }
    if bytes.is_empty() {
        return Err(ApiError::new("missing_payload", "A json payload is missing."));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new("malformed_payload", format!("The json payload provided is malformed. `{error}`."))
    })
}

/// The media type of a Content-Type header, without parameters.
pub(crate) fn media_type(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The same error with "parameter" instead of "field" in its text.
pub(crate) fn of_parameter(error: ApiError) -> ApiError {
    let (from, to) = match error.message.split_once(' ') {
        Some(("Unknown", _)) => (" at `.", " for parameter `"),
        Some(("Missing", _)) => ("Missing field", "Missing parameter"),
        _ => (" at `.", " in parameter `"),
    };
    let message = error.message.replacen(from, to, 1);
    ApiError::new(error.code, message)
}

/// How the text of a query parameter becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Text,
    Integer,
    /// A number from 0 to 1, with the name that the error uses for it.
    Fraction(&'static str),
    Flag,
    /// Comma-separated texts.
    List,
    /// Comma-separated numbers.
    Numbers,
    /// JSON if it parses as such, else text; for filters.
    Loose,
}

/// Converts a query string to the JSON object that the same request would have as a body.
pub(crate) fn query(
    raw: &str,
    known: &[(&'static str, Parameter)],
    family: Family,
) -> Result<Value, ApiError> {
    let mut object = Map::new();
    for (name, text) in form_urlencoded::parse(raw.as_bytes()) {
        let Some((name, kind)) = known.iter().find(|(known, _)| *known == name.as_ref()) else {
            let accepted: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let kind = ErrorKind::UnknownKey { key: &name, accepted: &accepted };
            let error =
                take_cf_content(QueryParamError::error::<Infallible>(None, kind, ValuePointerRef::Origin));
            return Err(ApiError::new("bad_request", error.to_string()));
        };
        let value = parameter(&text, *kind).map_err(|reason| {
            ApiError::new(
                family.code(&[(*name).to_owned()]),
                format!("Invalid value in parameter `{name}`: {reason}"),
            )
        })?;
        object.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(object))
}

fn parameter(text: &str, kind: Parameter) -> Result<Value, String> {
    let number = |text: &str| text.trim().parse::<f64>().map(Value::from).map_err(|error| error.to_string());
    Ok(match kind {
        Parameter::Text => Value::from(text),
        Parameter::Integer => {
            let parsed: Result<u64, _> = text.parse();
            Value::from(parsed.map_err(|_| format!("could not parse `{text}` as a positive integer"))?)
        }
        Parameter::Fraction(name) => match text.trim().parse::<f64>() {
            Ok(fraction) if (0.0..=1.0).contains(&fraction) => Value::from(fraction),
            _ => return Err(OutOfRange(name).to_string()),
        },
        Parameter::Flag => {
            let parsed: Result<bool, _> = text.parse();
            Value::from(parsed.map_err(|_| {
                format!("could not parse `{text}` as a boolean, expected either `true` or `false`")
            })?)
        }
        Parameter::List => members(text).map(Value::from).collect(),
        Parameter::Numbers => Value::Array(members(text).map(number).collect::<Result<_, _>>()?),
        Parameter::Loose => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| value.is_array())
            .unwrap_or_else(|| Value::from(text)),
    })
}

/// The members of a comma-separated list; empty ones do not count.
fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|member| !member.is_empty())
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_decides_the_code() {
        for (family, path, code) in [
            (SEARCH, "attributesToSearchOn", "invalid_search_attributes_to_search_on"),
            (SEARCH, "hybrid", "invalid_search_hybrid_query"),
            (SEARCH, "hybrid.semanticRatio", "invalid_search_semantic_ratio"),
            (SETTINGS, "typoTolerance.minWordSizeForTypos", "invalid_settings_typo_tolerance"),
            (FACET_SEARCH, "facetQuery", "invalid_facet_search_query"),
            (TASKS, "indexUids", "invalid_index_uid"),
            (TASKS, "beforeEnqueuedAt", "invalid_task_before_enqueued_at"),
            (FEATURES, "metrics", "bad_request"),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            assert_eq!(family.code(&path), code);
        }
    }

    #[test]
    fn query_strings_become_json() {
        let known = &[("limit", Parameter::Integer), ("facets", Parameter::List), ("q", Parameter::Text)];
        let value = query("limit=3&facets=a,b&q=x%20y", known, SEARCH).unwrap();
        assert_eq!(value, serde_json::json!({"limit": 3, "facets": ["a", "b"], "q": "x y"}));
        let error = query("limit=-1", known, SEARCH).unwrap_err();
        assert_eq!(error.code, "invalid_search_limit");
        assert_eq!(
            error.message,
            "Invalid value in parameter `limit`: could not parse `-1` as a positive integer"
        );
        let error = query("limt=1", known, SEARCH).unwrap_err();
        assert_eq!(error.code, "bad_request");
        assert!(error.message.starts_with("Unknown parameter `limt`: did you mean `limit`?"));
    }
}
