//! Search from end to end: plan, scatter, merge, answer.
//!
//! Invariants: one leg that covers everything is asked for no details it does not need; an answer
//! that breaks the merge's invariants is a failed leg, never a wrong order in silence; a request
//! nobody here understands is refused by a node in its own words.

use std::time::Instant;

use bytes::Bytes;
use merge::{MergeError, Paging, SearchSpec};
use router::Leg;

use super::{
    Core, hybrid, ingress, plan,
    pool::NodeRequest,
    scatter::{Gathered, Merged, Reach, Scatter, is_refusal},
};
use crate::{
    api::{
        error::{ApiError, Code},
        facet_search::FacetSearchRequest,
        query::Query,
        reserved::conceal,
        search::{LegNeeds, NotUnderstood, SearchKind, SearchRequest},
        search_query,
    },
    auth::Permission,
    config::limits,
    h1::{Request, Response},
    runtime::Runtime,
    shared::NodeVersion,
    snapshot::{Index, Snapshot},
};

/// From this version on, totals of nodes go beyond `maxTotalHits` (found on running nodes; the route
/// was rewritten in it).
const TOTALS_UNCLIPPED_SINCE: NodeVersion = NodeVersion(1, 47);

/// From this version on the facets `*` come in the orders of their own; before, in that of `*` (seen on
/// 1.15 and 1.50; the versions between were not looked at).
const FACET_ORDERS_UNDER_STAR_SINCE: NodeVersion = NodeVersion(1, 37);

/// `POST` and `GET /indexes/{uid}/search`.
pub(super) async fn search<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let body = match request.method == http::Method::POST {
        true => ingress::question(core, request)?,
        false => match search_query::body_of_query(&Query::parse(request.uri.query())) {
            Ok(body) => conceal(Bytes::from(body)),
            Err(NotUnderstood) => return Err(refusal_of_a_node(core, request, index, "/search").await),
        },
    };
    let Ok(mut asked) = SearchRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/search").await);
    };
    asked.restrict(permission.rules_for(uid)?);
    match answer(core, &snapshot, index, &asked).await {
        // A refusal of what a query string says speaks of parameters, not of a body's members.
        Err(error) if request.method != http::Method::POST && error.status().is_client_error() => {
            let target = node_target(request, index, "/search");
            Err(refusal_at(core, request, &target).await.unwrap_or(error))
        }
        other => other.map(Merged::into_response),
    }
}

/// Answers one search of one index as one node would.
pub(super) async fn answer<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
) -> Result<Merged, ApiError> {
    let started = R::now();
    match asked.kind() {
        SearchKind::Single if asked.needs_embedding() => {
            let asked = hybrid::with_vector(core, snapshot, index, asked.clone()).await?;
            list(core, snapshot, index, &asked, started, Shown::ToClient).await
        }
        SearchKind::Single => list(core, snapshot, index, asked, started, Shown::ToClient).await,
        SearchKind::Hybrid { semantic_ratio } => {
            hybrid::answer(core, snapshot, index, asked, semantic_ratio, started).await
        }
    }
}

/// Who reads a list of hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    ToClient,
    /// A further merge here, which looks at scores, details and every field asked for.
    ToMerge,
}

/// One list of hits in the order of one node.
pub(super) async fn list<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
    started: Instant,
    shown: Shown,
) -> Result<Merged, ApiError> {
    let rules = &index.rules;
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let wanted = asked.hits_wanted(rules);
    let needs = |leg: &Leg, reach: Reach| LegNeeds {
        hits: deeper(wanted, reach.depth),
        // A leg that covers everything gives the answer's order: nothing has to be compared.
        merged: shown == Shown::ToMerge || leg.shards.len() < index.record.shards,
        plain: reach.plain,
    };
    let total = match asked.paging {
        Paging::Page { .. } => distinct_total(core, snapshot, index, asked).await?,
        Paging::Offset { .. } => None,
    };
    // Most legs of most searches get one of these two.
    let prefixes =
        [false, true].map(|merged| asked.leg_prefix(rules, LegNeeds { hits: wanted, merged, plain: false }));
    let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, reach| {
        let needs = needs(leg, reach);
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        let body = match reach == Reach::default() {
            true => asked.leg_body(&prefixes[usize::from(needs.merged)], filter.as_deref()),
            false => asked.leg_body(&asked.leg_prefix(rules, needs), filter.as_deref()),
        };
        Bytes::from(body)
    });
    let extra_fields = asked.extra_fields(rules).filter(|_| shown == Shown::ToClient);
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let spec = SearchSpec {
            paging: asked.paging,
            show_ranking_score: asked.show_ranking_score,
            show_ranking_score_details: asked.show_ranking_score_details,
            details_in_legs: !gathered.whole || asked.show_ranking_score_details,
            hits_asked: deeper(wanted, gathered.reach.depth),
            distinct: asked.distinct(rules).filter(|_| !gathered.whole),
            distinct_legs: asked.distinct_is_asked(rules) && !gathered.reach.plain,
            tie_break: asked.tie_break(rules),
            displayed: rules.displayed.as_deref().filter(|_| !asked.raw_details),
            only_vectors: asked.only_vectors,
            pins: false,
            extra_fields: extra_fields.as_ref(),
            facets: Some(asked.facet_rules(rules, keeps_facet_orders(core))),
            processing_time_ms: milliseconds(R::now().saturating_duration_since(started)),
            hits_total_max: rules.hits_total_max,
            total_clipped: total_is_clipped(core),
            total: total.filter(|_| !gathered.whole),
        };
        merge::search(gathered.bodies, &spec, body)?;
        asked.hide_positions(rules, body);
        Ok(())
    };
    scatter.answer(merge).await
}

/// Whether the nodes name no total above `maxTotalHits`.
pub(super) fn total_is_clipped<R: Runtime>(core: &Core<R>) -> bool {
    core.shared.health.lowest_version() < Some(TOTALS_UNCLIPPED_SINCE)
}

/// Whether nodes asked for the facets `*` keep to the orders of single facets.
pub(super) fn keeps_facet_orders<R: Runtime>(core: &Core<R>) -> bool {
    core.shared.health.lowest_version() >= Some(FACET_ORDERS_UNDER_STAR_SINCE)
}

/// Hits to ask legs for when they were asked `reach` times already and gave too few.
fn deeper(wanted: usize, reach: u32) -> usize {
    if reach == 0 { wanted } else { wanted.max(20).saturating_mul(4_usize.saturating_pow(reach)) }
}

/// How many hits are left when every value of the distinct attribute counts once over all legs; `None` where a
/// sum over the legs is the total, or where there are too many hits to look at.
async fn distinct_total<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    index: &Index,
    asked: &SearchRequest<'_>,
) -> Result<Option<u64>, ApiError> {
    let Some(attribute) = asked.distinct(&index.rules) else { return Ok(None) };
    if plan::cover(core, snapshot, index, None, &[], asked.turn()).legs.len() < 2 {
        return Ok(None);
    }
    let target = format!("/indexes/{}/search", index.record.node_uid);
    let most = limits::DISTINCT_COUNTED_MAX;
    let plain = asked.distinct_is_asked(&index.rules);
    let prefix = asked.counting_prefix(attribute, most, plain);
    let scatter = Scatter::new(core, snapshot, index, asked.turn(), &target, |leg: &Leg, _| {
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(&prefix, filter.as_deref()))
    });
    let mut total = None;
    let count = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let paging = Paging::Page { page: 1, hits_per_page: most };
        let spec = SearchSpec { distinct: Some(attribute), ..SearchSpec::plain(paging, most) };
        match merge::search(gathered.bodies, &spec, body) {
            Ok(merged) => total = Some(merged.hits as u64),
            Err(MergeError::Short) => total = None,
            Err(error) => return Err(error),
        }
        Ok(())
    };
    scatter.answer(count).await?;
    Ok(total)
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
    let body = ingress::question(core, request)?;
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
        let took = milliseconds(R::now().saturating_duration_since(started));
        let order = facets.order(&asked.facet_name);
        merge::facet_search(gathered.bodies, order, facets.values_max, took, body)
    };
    scatter.answer(merge).await.map(Merged::into_response)
}

/// Gives a request the gateway does not understand to a node, which says what is wrong with it.
pub(super) async fn refusal_of_a_node<R: Runtime>(
    core: &Core<R>,
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
pub(super) fn node_target(request: &Request, index: &Index, suffix: &str) -> String {
    let mut target = format!("/indexes/{}{suffix}", index.record.node_uid);
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// What nodes say against a request; `None` when one would serve it.
pub(super) async fn refusal_at<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    target: &str,
) -> Option<ApiError> {
    match ingress::decoded_body(core, request) {
        Ok(body) => refusal_to(core, request, target, body).await,
        Err(error) => Some(error),
    }
}

/// The same for a request whose body nodes get in another form.
pub(super) async fn refusal_to<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    target: &str,
    body: Bytes,
) -> Option<ApiError> {
    for node in plan::every_node(&core.shared.snapshot().topology) {
        let content_type = (request.method != http::Method::GET).then_some("application/json");
        let request = NodeRequest {
            method: request.method.clone(),
            target,
            content_type,
            body: body.clone(),
            repeatable: true,
        };
        match core.pools.ask(node, request, core.shared.config.node_timeout).await {
            Ok(answer) if is_refusal(&answer) => {
                return Some(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(answer) if answer.status.is_success() => return None,
            Ok(_) | Err(_) => {}
        }
    }
    Some(ApiError::new(Code::MiroirShardUnavailable, "No node is available."))
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
