//! Several searches in one request: each is planned, scattered and merged on its own, some at once.
//!
//! Invariants: the answers come in the order of the queries; the first error ends it all, and a
//! request that a node refuses is refused in that node's words for the whole request.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Core,
    federated::federated,
    ingress,
    scatter::Merged,
    search::{self, refusal_of},
};
use crate::{
    api::{
        error::{ApiError, Code},
        multi_search::{MultiQuery, MultiSearchRequest, with_node_uids},
        search::SearchRequest,
    },
    auth::Permission,
    config::limits,
    h1::{Request, Response},
    runtime::Runtime,
    snapshot::Snapshot,
};

/// `POST /multi-search`.
pub(super) async fn multi_search<R: Runtime>(
    core: &Core<R>,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let body = ingress::question(core, request)?;
    let not_understood = || ApiError::new(Code::BadRequest, "The gateway does not understand this request.");
    let Ok(mut asked) = MultiSearchRequest::parse(&body) else {
        return Err(refusal(core, &snapshot, request, &body).await.unwrap_or_else(not_understood));
    };
    for (position, query) in asked.queries.iter_mut().enumerate() {
        let rules = permission.rules_for(&query.index_uid);
        query.narrow(rules.map_err(|error| error.inside(&format!(".queries[{position}]")))?);
    }
    if asked.queries.len() > limits::MULTI_SEARCH_QUERIES_MAX {
        let most = limits::MULTI_SEARCH_QUERIES_MAX;
        let reason = format!("A multi-search takes at most {most} queries on this gateway.");
        return Err(ApiError::new(Code::BadRequest, reason));
    }
    let answered = match &asked.federation {
        None => apart(core, &snapshot, &asked.queries).await,
        Some(federation) => federated(core, &snapshot, &asked.queries, federation).await,
    };
    match answered {
        // The refusal of a query says nothing of where it stands: a node names it as one node does.
        Err(error) if error.status().is_client_error() => {
            Err(refusal(core, &snapshot, request, &body).await.unwrap_or(error))
        }
        other => other.map(Merged::into_response),
    }
}

/// What nodes say against the whole request, which names indexes as they know them.
async fn refusal<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    request: &Request,
    body: &Bytes,
) -> Option<ApiError> {
    let names = snapshot.indexes.iter().map(|(uid, index)| (uid.as_str(), index.record.node_uid.as_str()));
    let names = names.collect::<Vec<_>>();
    let translated = with_node_uids(body, &names).map_or_else(|| body.clone(), Bytes::from);
    refusal_of(core, request, "/multi-search", translated).await
}

/// Every query with an answer of its own.
async fn apart<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    queries: &[MultiQuery],
) -> Result<Merged, ApiError> {
    let answers = queries.iter().enumerate().map(|(position, query)| async move {
        let answer = one(core, snapshot, query).await;
        answer.map_err(|error| error.inside(&format!(".queries[{position}]")))
    });
    let answers = stream::iter(answers).buffered(limits::MULTI_SEARCH_QUERIES_AT_ONCE);
    let answers = answers.try_collect::<Vec<_>>().await?;
    let mut body = Vec::with_capacity(answers.iter().map(|answer| answer.body.len() + 64).sum());
    body.extend_from_slice(b"{\"results\":[");
    for (position, (query, answer)) in queries.iter().zip(&answers).enumerate() {
        if position > 0 {
            body.push(b',');
        }
        let uid = sonic_rs::to_string(&query.index_uid).unwrap_or_default();
        body.extend_from_slice(format!("{{\"indexUid\":{uid},").as_bytes());
        // A search's answer is an object with members.
        body.extend_from_slice(answer.body.get(1..).unwrap_or_default());
    }
    body.extend_from_slice(b"]}");
    Ok(Merged::of_parts(body, &answers))
}

async fn one<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    query: &MultiQuery,
) -> Result<Merged, ApiError> {
    let index = ingress::find_index(snapshot, &query.index_uid)?;
    let body = query.search_body(&[]);
    let not_understood = |_| ApiError::new(Code::BadRequest, "The gateway does not understand this query.");
    let asked = SearchRequest::parse(body.as_bytes()).map_err(not_understood)?;
    search::answer(core, snapshot, index, &asked).await
}
