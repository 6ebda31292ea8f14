//! Pages of documents in the order of their keys, whichever copies answer.
//!
//! Nodes list documents as they number them, and two copies need not number alike. So the keys of the whole list are
//! asked for and ordered, and then the documents of the page.
//! Invariants: lists of which each document has a single copy, and those with an order of the client's, ask nothing
//! more. Lists that are longer than the bound are merged in the order of the nodes that answer.

use bytes::Bytes;
use merge::{SortField, WholeList};
use serde_json::Value;

use crate::{
    api::{documents::list::DocumentsRequest, error::ApiError},
    config::limits,
    read::scatter::{Gathered, LegQuestion, Scatter},
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        snapshot::{Index, Snapshot},
    },
};

/// Whether the order of a list may depend on which nodes answer.
pub(crate) fn applies(snapshot: &Snapshot, index: &Index, request: &DocumentsRequest) -> bool {
    let groups = 0..snapshot.topology.groups().len();
    let copies = groups.map(|group| index.placement.owners(group, 0).len()).sum::<usize>();
    copies > 1 && index.parts() == 1 && index.record.primary_key.is_some() && request.has_no_order()
}

/// Gives a page of a list of `total` documents in the order of their keys; `page` as it is where it is a whole list
/// already, or the list is too long.
///
/// # Errors
/// A node's refusal, or 503 when shards are unavailable and the policy says `error`.
pub(crate) async fn page(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    request: &DocumentsRequest,
    page: MergedAnswer,
    total: u64,
) -> Result<MergedAnswer, ApiError> {
    let (offset, limit) = (request.offset, request.limit);
    let most = limits::ORDERED_DOCUMENTS_MAX;
    let Some(primary_key) = index.record.primary_key.as_deref() else { return Ok(page) };
    if total <= offset.saturating_add(limit) as u64 || total > most as u64 || limit == 0 {
        return Ok(page);
    }
    let order = [SortField::ascending(primary_key)];
    let of_leg = |leg: &LegQuestion<'_>, _| Bytes::from(request.keys_body(primary_key, most, leg.filter));
    let scatter = Scatter::new(core, snapshot, index, request.turn(), "documents/fetch", of_leg);
    let mut total = 0;
    let ordered = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        let merged = merge::whole_documents(
            gathered.bodies,
            &order,
            None,
            (offset, limit),
            WholeList::default(),
            body,
        )?;
        total = merged.total;
        Ok(())
    };
    let keys = scatter.ask_and_merge(ordered).await?;
    let keys = serde_json::from_slice::<Value>(&keys.body).unwrap_or_default();
    let documents = keys["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key_of = |document: &Value| document.get(primary_key).cloned();
    let Some(keys) = documents.iter().map(key_of).collect::<Option<Vec<_>>>() else { return Ok(page) };
    let of_keys = request.of_keys(&keys);
    let extra = of_keys.extra(&order);
    let of_leg = |leg: &LegQuestion<'_>, _| Bytes::from(of_keys.leg_body(&order, leg.filter));
    let scatter = Scatter::new(core, snapshot, index, request.turn(), "documents/fetch", of_leg);
    let list = WholeList { skipped: offset, total: Some(total) };
    let written = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        merge::whole_documents(gathered.bodies, &order, extra.as_ref(), (offset, limit), list, body)
            .map(|_| ())
    };
    scatter.ask_and_merge(written).await
}
