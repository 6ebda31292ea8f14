//! A search for documents similar to one, as the client sent it.
//!
//! Invariants: as for other searches, only what the gateway must know is read, and a node refuses what it cannot
//! read. Source: Meilisearch's similar routes, 1.15 to 1.50.

use serde_json::{Map, Value, json};
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::api::{
    http::{
        json_depth::is_bounded,
        query_string::{Query, members},
    },
    index_rules::IndexRules,
    search::{
        filter::narrow,
        nullable::is_absent,
        request::{HITS_DEFAULT, NotUnderstood},
    },
};

/// What the gateway reads of `POST /indexes/{uid}/similar`.
pub struct SimilarRequest {
    pub id: String,
    pub embedder: String,
    pub offset: usize,
    pub limit: usize,
    pub ranking_score_threshold: Option<f64>,
    pub show_ranking_score: bool,
    pub show_ranking_score_details: bool,
    /// The client's filter, raw.
    pub filter: Option<String>,
    /// Members that a vector search accepts unchanged: names and raw values.
    copied: Vec<(String, String)>,
}

impl SimilarRequest {
    /// Adds a filter that all hits must pass.
    pub fn narrow(&mut self, rules: Option<String>) {
        if let Some(rules) = rules {
            self.filter = Some(narrow(self.filter.as_deref(), rules));
        }
    }

    /// Reads the JSON body.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        if !is_bounded(body) {
            return Err(NotUnderstood);
        }
        let (mut id, mut embedder) = (None, None);
        let mut request = Self {
            id: String::new(),
            embedder: String::new(),
            offset: 0,
            limit: HITS_DEFAULT,
            ranking_score_threshold: None,
            show_ranking_score: false,
            show_ranking_score_details: false,
            filter: None,
            copied: Vec::new(),
        };
        for member in sonic_rs::to_object_iter(body) {
            let (name, value) = member.map_err(|_| NotUnderstood)?;
            let flag = || value.as_bool().ok_or(NotUnderstood);
            match name.as_ref() {
                "id" => id = Some(document_id(&value)?),
                "embedder" => embedder = Some(value.as_str().ok_or(NotUnderstood)?.to_owned()),
                _ if is_absent(&name, &value)? => {}
                "offset" => request.offset = count(&value)?,
                "limit" => request.limit = count(&value)?,
                "rankingScoreThreshold" => {
                    request.ranking_score_threshold = Some(value.as_f64().ok_or(NotUnderstood)?);
                }
                "showRankingScore" => request.show_ranking_score = flag()?,
                "showRankingScoreDetails" => request.show_ranking_score_details = flag()?,
                "filter" => request.filter = Some(value.as_raw_str().to_owned()),
                "attributesToRetrieve" | "retrieveVectors" | "showPerformanceDetails" => {
                    request.copied.push((name.into_owned(), value.as_raw_str().to_owned()));
                }
                _ => return Err(NotUnderstood),
            }
        }
        request.id = id.ok_or(NotUnderstood)?;
        request.embedder = embedder.ok_or(NotUnderstood)?;
        Ok(request)
    }

    /// The body of a search for documents near `vector` (raw JSON), the document itself included.
    #[must_use]
    pub fn search_body(&self, vector: &str, rules: &IndexRules) -> String {
        // Vectors are shown if the settings show them, since nodes display everything.
        let hides_vectors = !rules.displays("_vectors");
        let embedder = sonic_rs::to_string(&self.embedder).unwrap_or_default();
        let limit = self.offset.saturating_add(self.limit).saturating_add(1);
        let mut body = format!(
            "{{\"vector\":{vector},\"hybrid\":{{\"embedder\":{embedder},\"semanticRatio\":1.0}},\"limit\":{limit},\
             \"showRankingScore\":true,\"showRankingScoreDetails\":true"
        );
        if rules.distinct.is_some() {
            body.push_str(&format!(",\"distinct\":\"{NOTHING}\""));
        }
        let filter = self.filter.iter().map(|filter| ("filter", filter.as_str()));
        let copied = self.copied.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let copied = copied.filter(|(name, _)| !hides_vectors || *name != "retrieveVectors");
        for (name, value) in copied.chain(filter) {
            body.push_str(&format!(",\"{name}\":{value}"));
        }
        body.push('}');
        body
    }
}

/// A filterable field that no document has: similar documents are not made distinct, whatever the settings.
const NOTHING: &str = "_miroir_shard.none";

/// Converts the query string of `GET …/similar` to the body of the `POST` route.
///
/// # Errors
/// [`NotUnderstood`]: a node then refuses the request as it came.
pub fn body_of_query(query: &Query<'_>) -> Result<Vec<u8>, NotUnderstood> {
    let mut body = Map::new();
    for (name, text) in query.iter() {
        let value = match name {
            "id" | "embedder" => Value::from(text),
            "offset" | "limit" => Value::from(text.parse::<u64>().map_err(|_| NotUnderstood)?),
            "rankingScoreThreshold" => Value::from(text.parse::<f64>().map_err(|_| NotUnderstood)?),
            "retrieveVectors" | "showRankingScore" | "showRankingScoreDetails" | "showPerformanceDetails" => {
                Value::Bool(text.parse().map_err(|_| NotUnderstood)?)
            }
            "attributesToRetrieve" => json!(members(text).collect::<Vec<_>>()),
            "filter" if text.is_empty() => continue,
            // A filter that is valid JSON is read as JSON, any other as a filter expression.
            "filter" => match serde_json::from_str(text) {
                Ok(value @ (Value::Array(_) | Value::String(_))) => value,
                _ => Value::from(text),
            },
            _ => return Err(NotUnderstood),
        };
        body.insert(name.to_owned(), value);
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// The raw vectors of an embedder in a document's `_vectors`.
#[must_use]
pub fn vectors_of(document: &[u8], embedder: &str) -> Option<Vec<String>> {
    let value = serde_json::from_slice::<Value>(document).ok()?;
    let vectors = &value["results"][0]["_vectors"][embedder];
    let embeddings = vectors.get("embeddings").unwrap_or(vectors);
    match embeddings.as_array() {
        None => Some(Vec::new()),
        Some(list) if list.first().is_some_and(Value::is_number) => Some(vec![embeddings.to_string()]),
        Some(list) => Some(list.iter().map(Value::to_string).collect()),
    }
}

fn document_id(value: &LazyValue<'_>) -> Result<String, NotUnderstood> {
    let id = match value.as_str() {
        Some(id) => id.to_owned(),
        None if value.is_i64() || value.is_u64() => value.as_raw_str().to_owned(),
        None => return Err(NotUnderstood),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_id = (1..=511).contains(&id.len()) && id.bytes().all(allowed);
    if is_id { Ok(id) } else { Err(NotUnderstood) }
}

fn count(value: &LazyValue<'_>) -> Result<usize, NotUnderstood> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(NotUnderstood)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_searched_by_vector() {
        let request = SimilarRequest::parse(
            br#"{"id":7,"embedder":"e","offset":1,"limit":2,"filter":"a = 1","retrieveVectors":true,"attributesToRetrieve":null}"#,
        );
        let request = request.unwrap();
        assert_eq!((request.id.as_str(), request.offset, request.limit), ("7", 1, 2));
        let body = |settings: Value| request.search_body("[1,2]", &IndexRules::from_settings(&settings));
        assert!(body(json!({"distinctAttribute": "a"})).contains(r#""distinct":"_miroir_shard.none""#));
        assert!(!body(json!({"displayedAttributes": ["id"]})).contains("retrieveVectors"));
        assert_eq!(
            body(Value::Null),
            r#"{"vector":[1,2],"hybrid":{"embedder":"e","semanticRatio":1.0},"limit":4,"showRankingScore":true,"showRankingScoreDetails":true,"retrieveVectors":true,"filter":"a = 1"}"#
        );
    }

    #[test]
    fn what_is_not_understood_is_left_to_a_node() {
        for body in [
            "",
            "{}",
            r#"{"id":1}"#,
            r#"{"embedder":"e"}"#,
            r#"{"id":[],"embedder":"e"}"#,
            r#"{"id":"a b","embedder":"e"}"#,
            r#"{"id":1.5,"embedder":"e"}"#,
            r#"{"id":1,"embedder":"e","limit":-1}"#,
            r#"{"id":1,"embedder":"e","nope":1}"#,
        ] {
            assert!(SimilarRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn query_strings_become_bodies() {
        let body = |query: &str| body_of_query(&Query::parse(Some(query)));
        let listed = body("id=1&attributesToRetrieve=a,,b,").unwrap();
        assert_eq!(String::from_utf8(listed).unwrap(), r#"{"id":"1","attributesToRetrieve":["a","b"]}"#);
        let read = String::from_utf8(
            body("id=1&embedder=e&limit=3&attributesToRetrieve=a,b&filter=a%20%3D%201").unwrap(),
        );
        assert_eq!(
            read.unwrap(),
            r#"{"id":"1","embedder":"e","limit":3,"attributesToRetrieve":["a","b"],"filter":"a = 1"}"#
        );
        assert!(body("limit=x").is_err());
        assert!(body("nope=1").is_err());
    }

    #[test]
    fn vectors_are_read_from_a_fetched_document() {
        let check = |vectors: &str, expected: &[&str]| {
            let document = format!(r#"{{"results":[{{"id":1,"_vectors":{vectors}}}]}}"#);
            assert_eq!(vectors_of(document.as_bytes(), "e").unwrap(), expected, "{vectors}");
        };
        check(
            r#"{"e":{"embeddings":[[0.5,1.0],[2.0,0.25]],"regenerate":false}}"#,
            &["[0.5,1.0]", "[2.0,0.25]"],
        );
        check(r#"{"e":{"embeddings":[0.5,1.0],"regenerate":false}}"#, &["[0.5,1.0]"]);
        check(r#"{"e":{"embeddings":[],"regenerate":false}}"#, &[]);
        check("{}", &[]);
        assert_eq!(vectors_of(b"nope", "e"), None);
    }
}
