//! Reading documents: one at its owner, pages over all shards.
//!
//! Invariant: reserved fields are cut out of every document before it leaves.

use bytes::Bytes;
use http::{Method, StatusCode};
use router::{Leg, NodeIndex};

use super::{
    Core, ingress, plan,
    pool::NodeRequest,
    scatter::{Gathered, Merged, Scatter, is_refusal},
    search::refusal_of_a_node,
};
use crate::{
    api::{
        documents::{DocumentsRequest, fetch_body},
        error::{ApiError, Code},
        query::Query,
    },
    h1::{Request, Response},
    runtime::Runtime,
    shared::NodeState,
    snapshot::{Index, Snapshot},
};

/// `GET /indexes/{uid}/documents/{id}`.
pub(super) async fn get<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    uid: &str,
    id: &str,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let mut target = format!("/indexes/{}/documents/{id}", index.record.node_uid);
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut nodes = owners(&snapshot, index, id);
    let turn = core.turn() % nodes.len().max(1);
    nodes.rotate_left(turn);
    nodes.sort_by_key(|node| core.shared.health.state(*node) == NodeState::Down);
    for node in nodes {
        match core.pools.ask(node, NodeRequest::get(&target), core.shared.config.node_timeout).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let mut body = Vec::with_capacity(answer.body.len());
                if merge::strip_document(&answer.body, &mut body).is_ok() {
                    return Ok(Response::json(StatusCode::OK, body));
                }
            }
            Ok(answer) if is_refusal(&answer) => {
                return Err(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(_) | Err(_) => {}
        }
    }
    let shard = router::shard_of(id, index.record.shards);
    Err(ApiError::new(Code::MiroirShardUnavailable, format!("No node answers for the shards {shard}.")))
}

/// `GET /indexes/{uid}/documents` and `POST /indexes/{uid}/documents/fetch`.
pub(super) async fn fetch<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    uid: &str,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let body = match request.method == Method::POST {
        true => ingress::json_body(core, request)?,
        false => Bytes::from(fetch_body(&Query::parse(request.uri.query()))?),
    };
    let Ok(asked) = DocumentsRequest::parse(&body) else {
        return Err(refusal_of_a_node(core, request, index, "/documents/fetch").await);
    };
    if asked.sorted && plan::cover(core, &snapshot, index, None, &[], 0).legs.len() > 1 {
        return Err(ApiError::new(
            Code::FeatureNotEnabled,
            "This gateway does not sort lists of documents yet.",
        ));
    }
    let target = format!("/indexes/{}/documents/fetch", index.record.node_uid);
    let scatter = Scatter::new(core, &snapshot, index, asked.turn(), &target, |leg: &Leg, _| {
        let filter = (!leg.whole_node).then(|| router::shard_filter(&leg.shards));
        Bytes::from(asked.leg_body(filter.as_deref()))
    });
    let merge = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        merge::documents(gathered.bodies, asked.offset, asked.limit, body).map(|_| ())
    };
    scatter.answer(merge).await.map(Merged::into_response)
}

/// The nodes that hold the document with this id, in every group.
fn owners(snapshot: &Snapshot, index: &Index, id: &str) -> Vec<NodeIndex> {
    let shard = router::shard_of(id, index.record.shards);
    let groups = snapshot.topology.groups().len();
    (0..groups).flat_map(|group| index.placement.owners(group, shard).iter().copied()).collect()
}
