//! Similar documents: the document's vectors are fetched from an owner, then every shard is searched with them.
//!
//! Invariants: a node that holds the document judges the request before a vector is searched, so that what one node
//! refuses is refused in its words. Hits are ranked by their vectors alone.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use futures_util::future::{join3, try_join_all};
use http::Method;
use merge::{ExtraFields, SearchSpec, SimilarSpec};
use serde_json::value::RawValue;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
        search::{
            filter::combine_filters,
            request::{LegNeeds, SearchRequest},
            similar::{SimilarRequest, body_of_query, vectors_of},
        },
    },
    auth::Permission,
    config::limits,
    handlers::{
        documents, extract,
        refusal::{node_target, refusal_of_a_node},
    },
    nodes::pool::NodeRequest,
    observe::log,
    read::{
        expiry,
        hits::milliseconds,
        scatter::{Gathered, LegQuestion, Scatter},
    },
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::{
        h1::{Request, Response},
        runtime,
    },
};

/// `POST` and `GET /indexes/{uid}/similar`.
pub(crate) async fn similar(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let started = runtime::now();
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let body = match request.method == Method::POST {
        true => Ok(extract::question(core, request)?),
        false => body_of_query(&Query::parse(request.uri.query())).map(Bytes::from),
    };
    let Some((body, mut query)) =
        body.ok().and_then(|body| SimilarRequest::parse(&body).ok().map(|query| (body, query)))
    else {
        return Err(refusal_of_a_node(core, request, index, "/similar").await);
    };
    let rules = permission.rules_for(uid)?;
    query.narrow(rules.clone());
    let home = home(core, &snapshot, index, &query.id).await?;
    let search =
        Similar { core, snapshot: &snapshot, index, home, query: &query, rules: rules.as_deref(), started };
    let document = search.document(request, body).await?;
    let candidates = search.candidates(&document).await?;
    if document.vectors.len() > limits::SIMILAR_VECTORS_MAX {
        let most = limits::SIMILAR_VECTORS_MAX;
        let reason = format!("This gateway finds what is similar to documents of at most {most} vectors.");
        return Err(ApiError::new(Code::FeatureNotEnabled, reason));
    }
    let near = document.vectors.iter().map(|vector| search.near(vector, &document.primary_key));
    let found = try_join_all(near).await?;
    search.response(&document, candidates, &found)
}

/// The index that has the document: of several behind an alias, the first that has one of this id. Where none has it,
/// a node of the first says so.
async fn home<'a>(
    core: &Core,
    snapshot: &Snapshot,
    index: &'a Index,
    id: &str,
) -> Result<&'a Index, ApiError> {
    if index.targets.is_empty() {
        return Ok(index);
    }
    let id_text = sonic_rs::to_string(id).unwrap_or_default();
    let body = Bytes::from(format!("{{\"ids\":[{id_text}],\"limit\":0}}"));
    for number in 0..index.parts() {
        let part = index.part(number);
        let target = format!("/indexes/{}/documents/fetch", part.record.node_uid);
        let request = NodeRequest::post_json(&target, body.clone());
        let answer = documents::ask_an_owner(core, snapshot, part, id, request).await?;
        let counted = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
        if counted["total"].as_u64().is_some_and(|total| total > 0) {
            return Ok(part);
        }
    }
    Ok(index.part(0))
}

/// One similar search under way.
struct Similar<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    index: &'a Index,
    /// The index that has the document: `index` itself, or one of those that it stands for.
    home: &'a Index,
    query: &'a SimilarRequest,
    /// The filter of a tenant's search rules; it is also part of the request's filter.
    rules: Option<&'a str>,
    started: Instant,
}

/// The request by which a node judges what the client asked.
struct Judged {
    method: Method,
    target: String,
    body: Bytes,
}

/// The document, as its owner describes it.
struct Document {
    primary_key: String,
    vectors: Vec<String>,
    /// Whether the document passes the client's filter.
    is_candidate: bool,
}

/// The answer of a vector search, and the fields to cut out of its hits.
struct Near {
    answer: MergedAnswer,
    extra: Option<ExtraFields<'static>>,
}

impl Similar<'_> {
    /// Asks an owner of the document for its vectors, and has it judge the request.
    async fn document(&self, request: &Request, body: Bytes) -> Result<Document, ApiError> {
        let similar = self.judged(request, body);
        let fetch = format!("/indexes/{}/documents/fetch", self.home.record.node_uid);
        let id = sonic_rs::to_string(&self.query.id).unwrap_or_default();
        let not_ended = expiry::filter_of(self.core, self.home);
        let rules = combine_filters(self.rules, not_ended.as_deref());
        let rules = rules.as_deref().unwrap_or("null");
        let vectors = Bytes::from(format!("{{\"ids\":[{id}],\"filter\":{rules},\"retrieveVectors\":true}}"));
        let filter = combine_filters(self.query.filter.as_deref(), not_ended.as_deref());
        let filter = filter.as_deref().unwrap_or("null");
        let counted = Bytes::from(format!("{{\"ids\":[{id}],\"filter\":{filter},\"limit\":0}}"));
        let judged = NodeRequest {
            method: similar.method.clone(),
            target: &similar.target,
            content_type: (similar.method != Method::GET).then_some("application/json"),
            body: similar.body.clone(),
            repeatable: true,
        };
        let ask =
            |request| documents::ask_an_owner(self.core, self.snapshot, self.home, &self.query.id, request);
        let (judged, vectors, counted) = join3(
            ask(judged),
            ask(NodeRequest::post_json(&fetch, vectors)),
            ask(NodeRequest::post_json(&fetch, counted)),
        )
        .await;
        judged?;
        let unusable = || documents::no_owner(self.core, self.snapshot, self.home, &self.query.id);
        self.read(&vectors?.body, &counted?.body).unwrap_or_else(|| Err(unusable()))
    }

    /// The request that a node judges; under a tenant's rules it contains their filter.
    fn judged(&self, request: &Request, body: Bytes) -> Judged {
        let method = request.method.clone();
        let Some(filter) = self.query.filter.as_deref().filter(|_| self.rules.is_some()) else {
            let body = if method == Method::GET { Bytes::new() } else { body };
            return Judged { method, target: node_target(request, self.home, "/similar"), body };
        };
        let mut members =
            serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(&body).unwrap_or_default();
        members.extend(
            RawValue::from_string(filter.to_owned()).map(|filter| ("filter".to_owned(), filter)).ok(),
        );
        Judged {
            method: Method::POST,
            target: format!("/indexes/{}/similar", self.home.record.node_uid),
            body: serde_json::to_vec(&members).unwrap_or_default().into(),
        }
    }

    /// Reads the owner's answers. For a tenant whose rules leave the document out, it does not exist.
    fn read(&self, vectors: &[u8], counted: &[u8]) -> Option<Result<Document, ApiError>> {
        let seen = serde_json::from_slice::<serde_json::Value>(vectors).ok()?["total"].as_u64()? > 0;
        if !seen && (self.rules.is_some() || expiry::applies(self.core, self.home)) {
            let message = format!("Document `{}` not found.", self.query.id);
            return Some(Err(ApiError::new(Code::NotFoundSimilarId, message)));
        }
        let counted = serde_json::from_slice::<serde_json::Value>(counted).ok()?;
        Some(Ok(Document {
            primary_key: self.home.record.primary_key.clone()?,
            vectors: vectors_of(vectors, &self.query.embedder)?,
            is_candidate: counted["total"].as_u64()? > 0,
        }))
    }

    /// How many other documents pass the client's filter.
    async fn candidates(&self, document: &Document) -> Result<u64, ApiError> {
        let turn = self.core.turn();
        let body = |leg: &LegQuestion<'_>, _| {
            let filter = combine_filters(self.query.filter.as_deref(), leg.filter);
            format!("{{\"limit\":0,\"filter\":{}}}", filter.as_deref().unwrap_or("null")).into()
        };
        let scatter = Scatter::new(self.core, self.snapshot, self.index, turn, "documents/fetch", body);
        let mut total = 0;
        let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
            total = merge::documents(gathered.bodies, &[], None, 0, 0, body)?.total;
            Ok(())
        };
        scatter.ask_and_merge(merge).await?;
        Ok(total.saturating_sub(u64::from(document.is_candidate)))
    }

    /// The documents near one vector, over all shards, the document itself included.
    async fn near(&self, vector: &str, primary_key: &str) -> Result<Near, ApiError> {
        let body = self.query.search_body(vector, &self.index.rules);
        let unreadable = |_| ApiError::new(Code::Internal, "A search for a vector cannot be read.");
        let mut search = SearchRequest::parse(body.as_bytes()).map_err(unreadable)?;
        let rules = &self.index.rules;
        let extra = search.also_retrieve([primary_key], rules);
        // A similar search is limited by its own limit alone.
        let hits = self.query.offset.saturating_add(self.query.limit).saturating_add(1);
        let prefix = search.leg_prefix(rules, LegNeeds { hits, merged: true, plain: false });
        let turn = search.turn();
        let body = |leg: &LegQuestion<'_>, _| search.leg_body(&prefix, leg.filter).into();
        let scatter = Scatter::new(self.core, self.snapshot, self.index, turn, "search", body);
        let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
            let spec = SearchSpec {
                show_ranking_score: true,
                show_ranking_score_details: true,
                ..SearchSpec::plain(search.paging, hits)
            };
            merge::search(gathered.bodies, &spec, body).map(|_| ())
        };
        Ok(Near { answer: scatter.ask_and_merge(merge).await?, extra })
    }

    fn response(&self, document: &Document, candidates: u64, found: &[Near]) -> Result<Response, ApiError> {
        let extra = found.first().and_then(|near| near.extra.as_ref());
        let spec = SimilarSpec {
            id: &self.query.id,
            primary_key: &document.primary_key,
            offset: self.query.offset,
            limit: self.query.limit,
            ranking_score_threshold: self.query.ranking_score_threshold,
            show_ranking_score: self.query.show_ranking_score,
            show_ranking_score_details: self.query.show_ranking_score_details,
            extra,
            candidates,
            hits_total_max: self.index.rules.hits_total_max,
            processing_time_ms: milliseconds(runtime::now().saturating_duration_since(self.started)),
        };
        let searches = found.iter().map(|near| &near.answer.body[..]).collect::<Vec<_>>();
        let mut body = Vec::new();
        match merge::similar(&searches, &spec, &mut body) {
            Ok(_) => {
                with_performance(&mut body, found);
                let parts = found.iter().map(|near| &near.answer);
                Ok(MergedAnswer::of_parts(body, parts).into_response())
            }
            Err(error) => {
                log::warn("similar_not_merged", &[("reason", &error.to_string())]);
                let message = "This gateway finds similar documents only where no sort rule comes before the other ranking rules.";
                Err(ApiError::new(Code::FeatureNotEnabled, message))
            }
        }
    }
}

/// Adds the performance details of the first search, if they were requested.
fn with_performance(body: &mut Vec<u8>, found: &[Near]) {
    const NAME: &str = "performanceDetails";
    let details = found.first().and_then(|near| sonic_rs::get(&near.answer.body[..], [NAME]).ok());
    if let Some(details) = details {
        body.pop();
        body.extend_from_slice(format!(",\"{NAME}\":{}}}", details.as_raw_str()).as_bytes());
    }
}
