//! Several searches in one request: each is planned, scattered and merged on its own, some at the same time.
//!
//! Invariants: the answers are in the order of the queries. The first error ends the request. A request that a node
//! refuses is refused in the words that the node has for the whole request.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        search::{
            federation_rules::{renumbered, without_tie_breaks},
            multi_search::{MultiQuery, MultiSearchRequest},
            request::SearchRequest,
        },
    },
    auth::Permission,
    config::limits,
    handlers::{extract, network::AsRemote, refusal::not_spread},
    read::{
        context::ReadContext,
        federated::{federated, in_nodes_order, incompatible_orders},
        foreign_keys,
        refusal::refusal_to,
    },
    state::{core::Core, merged_answer::MergedAnswer, snapshot::Snapshot},
    wire::h1::{Request, Response},
};

/// `POST /multi-search`.
pub(crate) async fn multi_search(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let body = extract::question(core, request)?;
    let parsed = MultiSearchRequest::parse(&body);
    let (parsed, as_remote) = match parsed {
        Ok(parsed) => (Ok(parsed), None),
        Err(error) => match AsRemote::read(core, &body).await {
            Some((here, as_remote)) => (MultiSearchRequest::parse(&here), Some(as_remote)),
            None => (Err(error), None),
        },
    };
    let Ok(mut search) = parsed else {
        let renamed = for_nodes(&snapshot, &body, &[]);
        let refusal = refusal_to(core, request, "/multi-search", renamed).await;
        return Err(refusal.unwrap_or_else(|| not_spread(request)));
    };
    for (position, query) in search.queries.iter_mut().enumerate() {
        let rules = permission.rules_for(&query.index_uid);
        query.narrow(rules.map_err(|error| error.inside(&format!(".queries[{position}]")))?);
    }
    let most = core.edge().multi_search_queries_max;
    if search.queries.len() > most {
        let reason = format!("A multi-search takes at most {most} queries on this gateway.");
        return Err(ApiError::new(Code::BadRequest, reason).because("too_many_queries"));
    }
    let answered = match &search.federation {
        None => apart(core, &snapshot, &search.queries).await,
        Some(federation) => federated(core, &snapshot, &search.queries, federation).await,
    };
    match answered {
        // The refusal of a single query does not say which query it was: a node refuses the whole request and names
        // it.
        Err(error) if error.status().is_client_error() => {
            let renamed = for_nodes(&snapshot, &body, &search.queries);
            let refusal = refusal_to(core, request, "/multi-search", renamed.clone()).await.unwrap_or(error);
            match refusal.node_code().as_deref() {
                Some("invalid_multi_search_query_ranking_rules") => {
                    Err(refusal_by_own_rules(core, request, &snapshot, &search.queries, &renamed, refusal)
                        .await)
                }
                _ => {
                    let searched = search.queries.iter().filter_map(|query| snapshot.find(&query.index_uid));
                    let refusal = in_clients_names(refusal, &snapshot, &search.queries);
                    Err(searched.fold(refusal, |error, index| {
                        foreign_keys::refused(error, &index.rules.foreign_keys)
                    }))
                }
            }
        }
        Err(error) => Err(error),
        Ok(merged) => {
            let searched = search.queries.iter().map(|query| query.index_uid.as_str()).collect::<Vec<_>>();
            let merged = foreign_keys::hydrated(core, &snapshot, permission, &searched, merged).await?;
            let merged = match &as_remote {
                Some(as_remote) => as_remote.named(merged),
                None => merged,
            };
            Ok(merged.into_response())
        }
    }
}

/// The refusal of a federation by the user's ranking rules alone. Nodes have one more rule, and so refuse queries
/// that go together. Each query is judged alone, and two whose orders do not go together as a pair.
async fn refusal_by_own_rules(
    core: &Core,
    request: &Request,
    snapshot: &Snapshot,
    queries: &[MultiQuery],
    renamed: &Bytes,
    refusal: ApiError,
) -> ApiError {
    let parsed = serde_json::from_slice::<Value>(renamed).unwrap_or_default();
    let about = async |positions: &[usize]| {
        let some = positions.iter().map(|position| parsed["queries"][*position].clone());
        let body = json!({"federation": {}, "queries": some.collect::<Vec<_>>()});
        let refusal = refusal_to(core, request, "/multi-search", Bytes::from(body.to_string())).await?;
        Some(refusal.rewrite(|message| renumbered(message, positions)))
    };
    let pair = incompatible_orders(core, snapshot, queries);
    for position in in_nodes_order(queries) {
        if let Some((before, _)) = pair.filter(|(_, later)| *later == position) {
            let indexes = queries.iter().filter_map(|query| snapshot.find(&query.index_uid));
            let tie_breaks = indexes.filter_map(|index| Some(index.rules.tie_break.as_ref()?.field.as_str()));
            let tie_breaks = tie_breaks.collect::<Vec<_>>();
            let refusal = about(&[before, position]).await.unwrap_or(refusal);
            return refusal.rewrite(|message| without_tie_breaks(message, &tie_breaks));
        }
        if let Some(refusal) = about(&[position]).await {
            return refusal;
        }
    }
    refusal
}

/// Puts the index names of the queries into a refusal.
fn in_clients_names(refusal: ApiError, snapshot: &Snapshot, queries: &[MultiQuery]) -> ApiError {
    refusal.rename_indexes(|name| {
        let mut named = queries.iter().filter(|query| {
            snapshot.find(&query.index_uid).is_some_and(|index| index.record.node_uid == name)
        });
        named.next().map(|query| query.index_uid.clone())
    })
}

/// A body with the nodes' names of its indexes, and with the filters that the queries have by now; an unreadable body
/// stays as it is.
fn for_nodes(snapshot: &Snapshot, body: &Bytes, narrowed: &[MultiQuery]) -> Bytes {
    let Ok(mut renamed) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    let node_uid = |uid: &str| snapshot.find(uid).map(|index| index.record.node_uid.clone());
    for query in renamed.get_mut("queries").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::String(uid)) = query.get_mut("indexUid")
            && let Some(known) = node_uid(uid)
        {
            *uid = known;
        }
    }
    let all = renamed.get_mut("queries").and_then(Value::as_array_mut).into_iter().flatten();
    for (query, narrowed) in all.zip(narrowed) {
        // A tenant's rules are judged along with the client's own filter.
        if let Some(filter) = narrowed.member("filter").and_then(|raw| serde_json::from_str(raw).ok()) {
            query["filter"] = filter;
        }
    }
    if let Some(by_index) = renamed.pointer_mut("/federation/facetsByIndex").and_then(Value::as_object_mut) {
        let facets = std::mem::take(by_index).into_iter();
        by_index.extend(facets.map(|(uid, names)| (node_uid(&uid).unwrap_or(uid), names)));
    }
    Bytes::from(renamed.to_string())
}

/// Answers every query on its own.
async fn apart(core: &Core, snapshot: &Snapshot, queries: &[MultiQuery]) -> Result<MergedAnswer, ApiError> {
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
        // A search's answer is an object with members, so its opening brace is replaced.
        body.extend_from_slice(answer.body.get(1..).unwrap_or_default());
    }
    body.extend_from_slice(b"]}");
    Ok(MergedAnswer::of_parts(body, &answers))
}

async fn one(core: &Core, snapshot: &Snapshot, query: &MultiQuery) -> Result<MergedAnswer, ApiError> {
    let index = crate::state::snapshot::find_index(snapshot, &query.index_uid)?;
    let body = query.search_body(&[]);
    let not_understood = |_| {
        ApiError::new(
            Code::BadRequest,
            "A query of this multi-search cannot be spread over the nodes of a cluster.",
        )
    };
    let search = SearchRequest::parse(body.as_bytes()).map_err(not_understood)?;
    crate::read::search::search_index(ReadContext { core, snapshot, index, search: &search }, None).await
}
