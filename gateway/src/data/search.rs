//! Search from end to end: plan, scatter, merge, answer.
//!
//! Invariants: one leg that covers everything is asked for no details it does not need; an answer
//! that breaks the merge's invariants is a failed leg, never a wrong order in silence; a request
//! nobody here understands is refused by a node in its own words.

use bytes::Bytes;
use merge::SearchSpec;
use router::Leg;

use super::{
    Core, ingress, plan,
    pool::NodeRequest,
    scatter::{Scatter, is_refusal},
};
use crate::{
    api::{
        error::{ApiError, Code},
        query::Query,
        search::{self, NotUnderstood, SearchRequest},
    },
    auth::Permission,
    h1::{Request, Response},
    runtime::Runtime,
    shared::NodeVersion,
    snapshot::Index,
};

/// From this version on, totals of nodes go beyond `maxTotalHits` (found on running nodes; the route
/// was rewritten in it).
const TOTALS_UNCLIPPED_SINCE: NodeVersion = NodeVersion(1, 47);

/// `POST` and `GET /indexes/{uid}/search`.
pub(super) async fn search<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let started = R::now();
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let body = match request.method == http::Method::POST {
        true => ingress::json_body(core, request)?,
        false => match search::body_of_query(&Query::parse(request.uri.query())) {
            Ok(body) => Bytes::from(body),
            Err(NotUnderstood) => return Err(refusal_of_a_node(core, request, index, "/search").await),
        },
    };
    let Ok(mut asked) = SearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/search").await);
    };
    asked.restrict(permission.rules_for(uid)?);
    let target = format!("/indexes/{}/search", index.record.node_uid);
    // A leg that covers everything gives the answer's order: nothing has to be compared.
    let prefixes = [false, true].map(|details| asked.leg_prefix(&index.rules, details));
    let scatter = Scatter::new(core, &snapshot, index, asked.turn(), &target, |leg: &Leg| {
        let details = leg.shards.len() < index.record.shards;
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(&prefixes[usize::from(details)], filter.as_deref()))
    });
    let merge = |bodies: &[&[u8]], whole: bool, body: &mut Vec<u8>| {
        let spec = SearchSpec {
            paging: asked.paging,
            show_ranking_score: asked.show_ranking_score,
            show_ranking_score_details: asked.show_ranking_score_details,
            details_in_legs: !whole || asked.show_ranking_score_details,
            facets: Some(&index.rules.facets),
            processing_time_ms: milliseconds(R::now().saturating_duration_since(started)),
            hits_total_max: index.rules.hits_total_max,
            total_clipped: core.shared.health.lowest_version() < Some(TOTALS_UNCLIPPED_SINCE),
        };
        merge::search(bodies, &spec, body)?;
        asked.hide_positions(&index.rules, body);
        Ok(())
    };
    scatter.answer(merge).await
}

/// `POST /indexes/{uid}/facet-search`.
pub(super) async fn facet_search<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let started = R::now();
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let body = ingress::json_body(core, request)?;
    let Ok(mut asked) = search::FacetSearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/facet-search").await);
    };
    asked.restrict(permission.rules_for(uid)?);
    let target = format!("/indexes/{}/facet-search", index.record.node_uid);
    let scatter = Scatter::new(core, &snapshot, index, core.turn(), &target, |leg: &Leg| {
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(filter.as_deref()))
    });
    let facets = &index.rules.facets;
    let merge = |bodies: &[&[u8]], _: bool, body: &mut Vec<u8>| {
        let took = milliseconds(R::now().saturating_duration_since(started));
        merge::facet_search(bodies, facets.order(&asked.facet_name), facets.values_max, took, body)
    };
    scatter.answer(merge).await
}

/// Gives a request the gateway does not understand to a node, which says what is wrong with it.
pub(super) async fn refusal_of_a_node<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    index: &Index,
    suffix: &str,
) -> ApiError {
    let mut target = format!("/indexes/{}{suffix}", index.record.node_uid);
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let body = match ingress::decoded_body(core, request) {
        Ok(body) => body,
        Err(error) => return error,
    };
    for node in plan::every_node(&core.shared.snapshot().topology) {
        let content_type = (request.method != http::Method::GET).then_some("application/json");
        let request = NodeRequest {
            method: request.method.clone(),
            target: &target,
            content_type,
            body: body.clone(),
            repeatable: true,
        };
        match core.pools.ask(node, request, core.shared.config.node_timeout).await {
            Ok(answer) if is_refusal(&answer) => return ApiError::from_node(answer.status, &answer.body),
            // A request the gateway cannot read but a node can must not be answered by one node.
            Ok(answer) if answer.status.is_success() => {
                return ApiError::new(Code::BadRequest, "The gateway does not understand this request.");
            }
            Ok(_) | Err(_) => {}
        }
    }
    ApiError::new(Code::MiroirShardUnavailable, "No node is available.")
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
