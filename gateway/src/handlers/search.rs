//! The search routes of one index.
//!
//! Invariants: `read::search` answers a search, whether of one list or of two halves. A request that the gateway does
//! not understand is refused by a node in its own words.

use std::pin::pin;

use bytes::Bytes;

use crate::{
    api::{
        error::ApiError,
        http::query_string::Query,
        reserved_fields::conceal,
        search::{
            facet_search::FacetSearchRequest,
            query_string,
            request::{NotUnderstood, SearchRequest},
        },
    },
    auth::Permission,
    handlers::{
        extract,
        refusal::{node_target, refusal_at, refusal_of_a_node},
    },
    read::{
        coalesce,
        context::ReadContext,
        facet_spelling, foreign_keys,
        hits::milliseconds,
        scatter::{Gathered, LegQuestion, Scatter},
        search::search_index,
    },
    state::{core::Core, merged_answer::MergedAnswer},
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
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let body = match request.method == http::Method::POST {
        true => extract::question(core, request)?,
        false => match query_string::body_of_query(&Query::parse(request.uri.query())) {
            Ok(body) => conceal(Bytes::from(body)),
            Err(NotUnderstood) => return Err(refusal_of_a_node(core, request, index, "/search").await),
        },
    };
    let Ok(mut search) = SearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/search").await);
    };
    let rules = permission.rules_for(uid)?;
    search.restrict(rules.clone());
    let scatter = pin!(search_index(ReadContext { core, snapshot: &snapshot, index, search: &search }, None));
    match coalesce::join_or_run(core, index, &body, rules, scatter).await {
        // A node words its refusal of a query string by parameters, and that of a body by members.
        Err(error) if request.method != http::Method::POST && error.status().is_client_error() => {
            let target = node_target(request, index, "/search");
            Err(refusal_at(core, request, &target).await.unwrap_or(error))
        }
        Err(error) => Err(error),
        Ok(merged) => foreign_keys::hydrated(core, &snapshot, permission, &[uid], merged)
            .await
            .map(MergedAnswer::into_response),
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
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let body = extract::question(core, request)?;
    let Ok(mut facet_search) = FacetSearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/facet-search").await);
    };
    facet_search.restrict(permission.rules_for(uid)?);
    let scatter =
        Scatter::new(core, &snapshot, index, core.turn(), "facet-search", |leg: &LegQuestion<'_>, _| {
            Bytes::from(facet_search.leg_body(leg.filter))
        });
    let facets = &index.rules.facets;
    let mut contested = Vec::new();
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let took = milliseconds(runtime::now().saturating_duration_since(started));
        let order = facets.order(&facet_search.facet_name);
        let cut = (order, facets.values_max);
        contested = merge::facet_search(gathered.bodies, &facet_search.facet_name, cut, took, body)?;
        Ok(())
    };
    let merged = scatter.ask_and_merge(merge).await?;
    if contested.is_empty() {
        return Ok(merged.into_response());
    }
    let Ok(everything) = SearchRequest::parse(b"{}") else { return Ok(merged.into_response()) };
    let context = ReadContext { core, snapshot: &snapshot, index, search: &everything };
    let merged = Box::pin(facet_spelling::resolve_hits(context, merged, contested)).await;
    Ok(merged.into_response())
}
