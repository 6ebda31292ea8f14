//! Search from end to end: the routes of searches in one index, and whom a request is given to.
//!
//! Invariants: a search of one list is `list`'s, one of two halves is `hybrid`'s; a request nobody here
//! understands is refused by a node in its own words.

use std::pin::pin;

use bytes::Bytes;
use router::Leg;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
        reserved_fields::conceal,
        search::{
            facet_search::FacetSearchRequest,
            query_string,
            request::{NotUnderstood, SearchKind, SearchRequest},
        },
    },
    auth::Permission,
    handlers::extract,
    nodes::pool::NodeRequest,
    read::{
        ask, coalesce, foreign_keys,
        hits::{Shown, list, milliseconds},
        hybrid,
        scatter::{Gathered, Scatter},
    },
    state::{
        core::Core,
        merged_answer::Merged,
        snapshot::{Index, Snapshot},
    },
    wire::{
        h1::{Request, Response},
        runtime,
    },
};

/// `POST` and `GET /indexes/{uid}/search`.
pub(crate) async fn search(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = extract::find_index(&snapshot, uid)?;
    let body = match request.method == http::Method::POST {
        true => extract::question(core, request)?,
        false => match query_string::body_of_query(&Query::parse(request.uri.query())) {
            Ok(body) => conceal(Bytes::from(body)),
            Err(NotUnderstood) => return Err(refusal_of_a_node(core, request, index, "/search").await),
        },
    };
    let Ok(mut asked) = SearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/search").await);
    };
    let rules = permission.rules_for(uid)?;
    asked.restrict(rules.clone());
    let asking = pin!(answer(core, &snapshot, index, &asked));
    match coalesce::answer(core, index, &body, rules, asking).await {
        // A refusal of what a query string says speaks of parameters, not of a body's members.
        Err(error) if request.method != http::Method::POST && error.status().is_client_error() => {
            let target = node_target(request, index, "/search");
            Err(refusal_at(core, request, &target).await.unwrap_or(error))
        }
        Err(error) => Err(error),
        Ok(merged) => foreign_keys::hydrated(core, &snapshot, permission, &[uid], merged)
            .await
            .map(Merged::into_response),
    }
}

/// Answers one search of one index as one node would. What few searches need is on the heap, so that a request is no
/// larger than a plain search.
pub(crate) async fn answer(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
) -> Result<Merged, ApiError> {
    let started = runtime::now();
    match asked.kind() {
        SearchKind::Single if asked.needs_embedding() => {
            let asked = Box::pin(hybrid::with_vector(core, snapshot, index, asked.clone())).await?;
            Box::pin(list(core, snapshot, index, &asked, started, Shown::ToClient)).await
        }
        SearchKind::Single => list(core, snapshot, index, asked, started, Shown::ToClient).await,
        SearchKind::Hybrid { semantic_ratio } => {
            Box::pin(hybrid::answer(core, snapshot, index, asked, semantic_ratio, started)).await
        }
    }
}

/// `POST /indexes/{uid}/facet-search`.
pub(crate) async fn facet_search(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let started = runtime::now();
    let snapshot = core.shared.snapshot();
    let index = extract::find_index(&snapshot, uid)?;
    let body = extract::question(core, request)?;
    let Ok(mut asked) = FacetSearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/facet-search").await);
    };
    asked.restrict(permission.rules_for(uid)?);
    let target = format!("/indexes/{}/facet-search", index.record.node_uid);
    let scatter = Scatter::new(core, &snapshot, index, core.turn(), &target, |leg: &Leg, _| {
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(filter.as_deref()))
    });
    let facets = &index.rules.facets;
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let took = milliseconds(runtime::now().saturating_duration_since(started));
        let order = facets.order(&asked.facet_name);
        merge::facet_search(gathered.bodies, order, facets.values_max, took, body)
    };
    scatter.answer(merge).await.map(Merged::into_response)
}

/// Gives a request the gateway does not understand to a node, which says what is wrong with it.
pub(crate) async fn refusal_of_a_node(
    core: &Core,
    request: &Request,
    index: &Index,
    suffix: &str,
) -> ApiError {
    let target = node_target(request, index, suffix);
    // A request the gateway cannot read but a node can must not be answered by one node.
    let not_understood = || ApiError::new(Code::BadRequest, "The gateway does not understand this request.");
    refusal_at(core, request, &target).await.unwrap_or_else(not_understood)
}

/// Where nodes serve a request about an index, its query string included.
pub(crate) fn node_target(request: &Request, index: &Index, suffix: &str) -> String {
    let mut target = format!("/indexes/{}{suffix}", index.record.node_uid);
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// What nodes say against a request; `None` when one would serve it.
pub(crate) async fn refusal_at(core: &Core, request: &Request, target: &str) -> Option<ApiError> {
    match extract::decoded_body(core, request) {
        Ok(body) => Box::pin(refusal_to(core, request, target, body)).await,
        Err(error) => Some(error),
    }
}

/// The same for a request whose body nodes get in another form.
pub(crate) async fn refusal_to(
    core: &Core,
    request: &Request,
    target: &str,
    body: Bytes,
) -> Option<ApiError> {
    let nodes = core.shared.snapshot().topology.every_node();
    let content_type = (request.method != http::Method::GET).then_some("application/json");
    let request =
        NodeRequest { method: request.method.clone(), target, content_type, body, repeatable: true };
    match ask::one_of(core, nodes, request).await {
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => Some(ApiError::from_node(refusal.status, &refusal.body)),
        Err(error) => Some(error),
    }
}
