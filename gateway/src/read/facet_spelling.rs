//! A facet value that legs spell in several ways gets the spelling of its first document, as on one node.
//!
//! Invariants: nothing is asked where all legs agree. A value with too many documents to look through, or whose nodes
//! fail, keeps the spelling of the first leg.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use merge::Contested;
use serde_json::json;

use crate::{
    config::limits,
    read::{
        context::ReadContext,
        scatter::{Gathered, LegQuestion, Scatter},
    },
    state::merged_answer::MergedAnswer,
};

/// Gives the answer with its contested values spelt as one node spells them.
pub(crate) async fn resolve(
    context: ReadContext<'_>,
    merged: MergedAnswer,
    contested: Vec<Contested>,
) -> MergedAnswer {
    let ReadContext { index, search, .. } = context;
    let Some(primary_key) = index.record.primary_key.as_deref() else { return merged };
    // Under `distinct` the gateway does not know here which documents count.
    if search.distinct(&index.rules).is_some() {
        return merged;
    }
    let hits_max = if search.finds_everything() { u64::MAX } else { limits::SPELLING_HITS_MAX };
    let known = contested.into_iter().filter(|value| value.count <= hits_max);
    let spelt = spelt(context, primary_key, known).await;
    let body = String::from_utf8_lossy(&merged.body);
    let body = merge::respell(&body, &spelt).into_bytes();
    MergedAnswer { body: body.into(), missing: merged.missing }
}

/// Gives the answer of a facet search with its contested values spelt as one node spells them: as the first document
/// of all that have the value, whether they are found or not.
pub(crate) async fn resolve_hits(
    context: ReadContext<'_>,
    merged: MergedAnswer,
    contested: Vec<Contested>,
) -> MergedAnswer {
    let Some(primary_key) = context.index.record.primary_key.as_deref() else { return merged };
    let spelt = spelt(context, primary_key, contested.into_iter()).await;
    let body = merge::respell_hits(&String::from_utf8_lossy(&merged.body), &spelt).into_bytes();
    MergedAnswer { body: body.into(), missing: merged.missing }
}

/// Contested values with their spellings, of a bounded number of them; without those that no document tells.
async fn spelt(
    context: ReadContext<'_>,
    primary_key: &str,
    contested: impl Iterator<Item = Contested>,
) -> Vec<(Contested, String)> {
    stream::iter(contested.take(limits::SPELLINGS_MAX))
        .map(async |value| {
            let spelling = first(context, primary_key, &value).await?;
            Some((value, spelling))
        })
        .buffered(limits::SPELLINGS_AT_ONCE)
        .filter_map(async |spelt| spelt)
        .collect()
        .await
}

/// The spelling in the first of all documents found with the value.
async fn first(context: ReadContext<'_>, primary_key: &str, value: &Contested) -> Option<String> {
    let ReadContext { core, snapshot, index, search } = context;
    let attributes = [primary_key, value.facet.as_str()];
    // `documents/fetch` lists documents by internal number, `search` by rank.
    let (route, list, prefix) = match search.finds_everything() {
        true => {
            let body = json!({"limit": 1, "fields": attributes}).to_string();
            ("documents/fetch", "results", body.trim_end_matches('}').as_bytes().to_vec())
        }
        false => {
            let hits = usize::try_from(value.count).unwrap_or(usize::MAX);
            ("search", "hits", search.counting_prefix(&attributes, hits, true))
        }
    };
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\\\""));
    let condition = format!("{} = {}", quoted(&value.facet), quoted(&value.spelling));
    let scatter = Scatter::new(core, snapshot, index, search.turn(), route, |leg: &LegQuestion<'_>, _| {
        let filter = match leg.filter {
            Some(shards) => format!("{shards} AND {condition}"),
            None => condition.clone(),
        };
        Bytes::from(search.leg_body(&prefix, Some(&filter)))
    });
    let mut spelling = None;
    let find = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        spelling = merge::first_spelling(gathered.bodies, list, primary_key, value)?;
        Ok(())
    };
    scatter.ask_and_merge(find).await.ok()?;
    spelling
}
