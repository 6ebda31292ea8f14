//! Reads documents: single ones from an owner, pages over all shards.
//!
//! Invariant: reserved fields are cut out of every document before it is answered.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use router::{NodeIndex, ShardSet};
use serde_json::json;

use crate::{
    api::{
        documents::list::{DocumentsRequest, fetch_body},
        error::{ApiError, Code},
        http::query_string::Query,
    },
    handlers::{
        extract,
        refusal::{node_target, refusal_at, refusal_of_a_node},
    },
    nodes::pool::NodeRequest,
    read::{
        ask, expiry, key_order,
        scatter::{Gathered, LegQuestion, Scatter},
    },
    state::{
        core::Core,
        coverage,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
    wire::h1::{NodeAnswer, Request, Response},
};

/// `GET /indexes/{uid}/documents/{id}`.
pub(crate) async fn get(core: &Core, request: &Request, uid: &str, id: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let named = crate::state::snapshot::find_index(&snapshot, uid)?;
    let mut found = None;
    for part in 0..named.parts() {
        let in_part = Box::pin(get_in(core, request, &snapshot, named.part(part), id)).await;
        // With several indexes the first one that has the document answers.
        let lacks = matches!(&in_part, Err(error) if error.status() == http::StatusCode::NOT_FOUND);
        found = Some(in_part);
        if !lacks {
            break;
        }
    }
    found.unwrap_or_else(|| Err(no_owner(core, &snapshot, named, id)))
}

async fn get_in(
    core: &Core,
    request: &Request,
    snapshot: &Snapshot,
    index: &Index,
    id: &str,
) -> Result<Response, ApiError> {
    let suffix = format!("/documents/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    let target = node_target(request, index, &suffix);
    let question = NodeRequest::get(&target);
    let owners = owners(snapshot, index, id);
    let (answer, missing) = match ask::first_of(core, owners.clone(), question.clone()).await {
        Ok(Ok(answer)) => (answer, ShardSet::default()),
        Ok(Err(refusal)) => return Err(ApiError::from_node(refusal.status, &refusal.body)),
        // A copy that may be old is better than none, but its lack of the document proves nothing.
        Err(_) => match ask::stand_in(core, owners, question).await {
            Ok(Ok(answer)) => (answer, [router::shard_of(id, index.record.shards)].into_iter().collect()),
            Ok(Err(_)) | Err(_) => return Err(no_owner(core, snapshot, index, id)),
        },
    };
    if expiry::applies(core, index) && expiry::has_ended(&answer.body) {
        return Err(ApiError::new(Code::DocumentNotFound, format!("Document `{id}` not found.")));
    }
    let mut body = Vec::with_capacity(answer.body.len());
    match merge::strip_document(&answer.body, &mut body) {
        Ok(_) => Ok(MergedAnswer { body: body.into(), missing }.into_response()),
        Err(_) => Err(no_owner(core, snapshot, index, id)),
    }
}

/// Asks the nodes that hold a document, one after the other until one answers.
///
/// # Errors
/// A node's refusal; 503 when none answers.
pub(crate) async fn ask_an_owner(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    id: &str,
    request: NodeRequest<'_>,
) -> Result<NodeAnswer, ApiError> {
    match ask::first_of(core, owners(snapshot, index, id), request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(ApiError::from_node(refusal.status, &refusal.body)),
        Err(_) => Err(no_owner(core, snapshot, index, id)),
    }
}

/// The refusal of a question about one document.
pub(crate) fn no_owner(core: &Core, snapshot: &Snapshot, index: &Index, id: &str) -> ApiError {
    let shard = [router::shard_of(id, index.record.shards)].into_iter().collect();
    coverage::unanswered(&core.shared, snapshot, index, &shard)
}

/// `GET /indexes/{uid}/documents` and `POST /indexes/{uid}/documents/fetch`.
pub(crate) async fn fetch(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let body = match request.method == Method::POST {
        true => extract::question(core, request)?,
        false => fetch_body(&Query::parse(request.uri.query())).map(Bytes::from).unwrap_or_default(),
    };
    let suffix = if request.method == Method::POST { "/documents/fetch" } else { "/documents" };
    let Ok(page_request) = DocumentsRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, suffix).await);
    };
    crate::read::hits::check_page_depth(core, page_request.offset.saturating_add(page_request.limit))?;
    let order = page_request.order(index.record.primary_key.as_deref());
    let extra = page_request.extra(&order);
    let of_leg = |leg: &LegQuestion<'_>, _| Bytes::from(page_request.leg_body(&order, leg.filter));
    let scatter = Scatter::new(core, &snapshot, index, page_request.turn(), "documents/fetch", of_leg);
    let by_key = key_order::applies(&snapshot, index, &page_request);
    let mut total = 0;
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let (offset, limit) = (page_request.offset, page_request.limit);
        total = merge::documents(gathered.bodies, &order, extra.as_ref(), offset, limit, body)?.total;
        if by_key && total <= offset.saturating_add(limit) as u64 {
            body.clear();
            let list = merge::WholeList::default();
            merge::whole_documents(gathered.bodies, &order, extra.as_ref(), (offset, limit), list, body)?;
        }
        Ok(())
    };
    let page = scatter.ask_and_merge(merge).await;
    let page = match page {
        Ok(page) if by_key => {
            Box::pin(key_order::page(core, &snapshot, index, &page_request, page, total)).await
        }
        page => page,
    };
    match page {
        // A node words its refusal of a query string by parameters, and that of a body by fields.
        Err(error) if request.method != Method::POST && error.status().is_client_error() => {
            let target = node_target(request, index, suffix);
            Err(refusal_at(core, request, &target).await.unwrap_or(error))
        }
        other => other.map(MergedAnswer::into_response),
    }
}

/// How many documents an index has, each counted once, whichever nodes answer; and the shards that were not counted.
pub(crate) async fn count(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
) -> Result<(u64, ShardSet), ApiError> {
    let of_leg = |leg: &LegQuestion<'_>, _| json!({"limit": 0, "filter": leg.filter}).to_string().into();
    let scatter = Scatter::new(core, snapshot, index, core.turn(), "documents/fetch", of_leg);
    let mut total = 0;
    let sum = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        total = merge::documents(gathered.bodies, &[], None, 0, 0, body)?.total;
        Ok(())
    };
    let missing = scatter.ask_and_merge(sum).await?.missing;
    Ok((total, missing))
}

/// The nodes that hold the document with this id, in every group.
pub(crate) fn owners(snapshot: &Snapshot, index: &Index, id: &str) -> Vec<NodeIndex> {
    let shard = router::shard_of(id, index.record.shards);
    let groups = snapshot.topology.groups().len();
    (0..groups).flat_map(|group| index.placement.owners(group, shard).iter().copied()).collect()
}
