//! Documents whose vectors are near those of one document.
//! Invariant: the document itself is never among its neighbours.

use std::collections::BTreeSet;
use std::time::Instant;

use deserr::Deserr;
use milli::{MatchingWords, Similar};
use serde_json::{Value, json};

use super::Engine;
use super::search::{Found, LIMIT, SearchQuery, Threshold, parse_filter};
use crate::errors::ApiError;
use crate::names;
use crate::wire::{self, WireError};

/// `POST /indexes/{uid}/similar`.
#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
pub(crate) struct SimilarQuery {
    id: Value,
    #[deserr(default = 0)]
    offset: usize,
    #[deserr(default = LIMIT)]
    limit: usize,
    #[deserr(default)]
    filter: Option<Value>,
    embedder: String,
    #[deserr(default)]
    attributes_to_retrieve: Option<BTreeSet<String>>,
    #[deserr(default)]
    retrieve_vectors: bool,
    #[deserr(default)]
    show_ranking_score: bool,
    #[deserr(default)]
    show_ranking_score_details: bool,
    #[deserr(default)]
    ranking_score_threshold: Option<Threshold>,
}

impl SimilarQuery {
    /// The document id as text, if it is valid.
    fn id(&self) -> Result<String, ApiError> {
        let id = match &self.id {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) if !id.is_f64() => Some(id.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        };
        id.filter(|id| names::is_document_id(id)).ok_or_else(|| {
            ApiError::new(
                "invalid_similar_id",
                "Invalid value at `.id`: the value of `id` is invalid. A document identifier can be of type \
                 integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and \
                 underscores (_), and can not be more than 511 bytes.",
            )
        })
    }

    /// The parameters for showing hits, as a search.
    fn as_search(&self) -> Result<SearchQuery, ApiError> {
        let mut search: SearchQuery = wire::read(json!({}), wire::SEARCH)?;
        search.attributes_to_retrieve.clone_from(&self.attributes_to_retrieve);
        search.retrieve_vectors = self.retrieve_vectors;
        search.show_ranking_score = self.show_ranking_score;
        search.show_ranking_score_details = self.show_ranking_score_details;
        Ok(search)
    }
}

impl Engine {
    /// The complete answer of a similar search.
    pub(crate) fn similar(&self, uid: &str, query: &SimilarQuery) -> Result<Value, ApiError> {
        let started = Instant::now();
        let snapshot = self.index.read_txn()?;
        let wrong = |name: &str| milli::UserError::InvalidSimilarEmbedder(name.to_owned());
        let semantic = self.semantic(&snapshot, &query.embedder, None, wrong)?;
        let id = query.id()?;
        let Some(internal) = self.index.external_documents_ids().get(&snapshot, &id)? else {
            return Err(ApiError::new("not_found_similar_id", format!("Document `{id}` not found.")));
        };
        let (name, embedder, quantized) = semantic.into_parts();
        let mut similar = Similar::new(
            internal,
            query.offset,
            query.limit,
            &self.index,
            &snapshot,
            name,
            embedder,
            quantized,
        );
        if let Some(filter) = &query.filter
            && let Some(filter) =
                parse_filter(filter, "invalid_similar_filter", self.workers.contains_filter())?
        {
            similar.filter(filter);
        }
        if let Some(Threshold(threshold)) = query.ranking_score_threshold {
            similar.ranking_score_threshold(threshold);
        }
        let result = similar
            .execute()
            .map_err(|error| ApiError::engine_filter(uid, error, "invalid_similar_filter"))?;
        let total = usize::try_from(result.candidates.len()).unwrap_or(usize::MAX);
        let mut found = Found {
            ids: result.documents_ids,
            scores: result.document_scores,
            candidates: result.candidates,
            matching_words: MatchingWords::default(),
            semantic_hits: None,
        };
        let hits = self
            .hits(&snapshot, &query.as_search()?, &mut found, None)
            .map_err(|error| ApiError::engine(uid, error))?;
        Ok(json!({
            "hits": hits,
            "id": id,
            "processingTimeMs": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "limit": query.limit,
            "offset": query.offset,
            "estimatedTotalHits": total.min(self.max_total_hits(&snapshot)?),
        }))
    }
}
