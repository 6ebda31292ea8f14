//! Which fields some node knows, for searches whose answer depends on that: a node leaves out of a search's lists the
//! fields that none of its documents has, and one node with all documents would not.
//!
//! Invariants: searches that name no path inside a field, and whose hits are all formatted as requested, ask nothing.
//! That a node knows a field is remembered for a while, that nobody does only until some task ends.

use std::time::Instant;

use bytes::Bytes;
use router::NodeIndex;
use serde_json::{Value, json};

use crate::{
    api::search::request::SearchRequest,
    config::limits,
    read::{
        context::ReadContext,
        scatter::{Gathered, LegQuestion, Scatter},
    },
    state::{
        core::{Core, KnownField},
        merged_answer::MergedAnswer,
    },
    wire::runtime,
};

/// What is known of fields.
struct Known {
    /// Those that some node knows.
    somewhere: Vec<String>,
    /// Whether every node knows all of these; what nobody knows makes no difference.
    everywhere: bool,
}

/// The search as nodes have to be asked where some may not know its fields; `None` where that makes no difference.
pub(crate) async fn widened<'a>(
    context: ReadContext<'_>,
    search: &SearchRequest<'a>,
) -> Option<SearchRequest<'a>> {
    let rules = &context.index.rules;
    let names = search.inner_fields(rules);
    if names.is_empty() || !spans_nodes(context) {
        return None;
    }
    widen(context, search, names).await
}

/// The same for a search whose answer shows that some nodes have formatted their hits and others have not, or that
/// none has.
pub(crate) async fn widened_after<'a>(
    context: ReadContext<'_>,
    search: &SearchRequest<'a>,
    answer: &MergedAnswer,
) -> Option<SearchRequest<'a>> {
    let names = search.fields_marked_by_name(&context.index.rules);
    if names.is_empty() || !spans_nodes(context) || merge::is_formatted(&answer.body) {
        return None;
    }
    widen(context, search, names).await
}

fn spans_nodes(ReadContext { snapshot, .. }: ReadContext<'_>) -> bool {
    snapshot.topology.every_node().len() > 1
}

async fn widen<'a>(
    context: ReadContext<'_>,
    search: &SearchRequest<'a>,
    mut names: Vec<String>,
) -> Option<SearchRequest<'a>> {
    let rules = &context.index.rules;
    names.extend(search.fields_marked_by_name(rules));
    names.sort_unstable();
    names.dedup();
    if names.len() > limits::FIELDS_IN_DOUBT_MAX {
        return None;
    }
    let known = known(context, &names).await?;
    (!known.everywhere).then(|| search.widened(&known.somewhere, rules))
}

/// Looks up fields, and asks the nodes about those of which too little is remembered. `None` where they do not tell.
async fn known(context: ReadContext<'_>, names: &[String]) -> Option<Known> {
    let ReadContext { core, snapshot, index, .. } = context;
    let parts = (0..index.parts()).map(|part| index.part(part).record.node_uid.as_str());
    let uid = parts.collect::<Vec<_>>().join(",");
    let all = snapshot.topology.every_node();
    let key = |name: &String| (uid.clone(), name.clone());
    let now = runtime::now();
    let asked = {
        let fields = core.known_fields.borrow();
        let in_doubt =
            |name: &&String| fields.get(&key(name)).is_none_or(|seen| !holds(seen, core, now, &all));
        names.iter().filter(in_doubt).cloned().collect::<Vec<_>>()
    };
    if !asked.is_empty() {
        let tasks_ended = core.shared.tasks_ended();
        let found = ask(context, &asked).await?;
        let mut fields = core.known_fields.borrow_mut();
        if fields.len() + asked.len() > limits::FIELDS_REMEMBERED_MAX {
            fields.retain(|field, _| names.iter().any(|name| *field == key(name)));
        }
        for (name, nodes) in asked.iter().zip(found) {
            let unseen = KnownField { nodes: Vec::new(), at: now, tasks_ended };
            let seen = fields.entry(key(name)).or_insert(unseen);
            if now.saturating_duration_since(seen.at) > limits::FIELDS_REMEMBERED_FOR {
                seen.nodes.clear();
            }
            seen.nodes.extend(nodes);
            seen.nodes.sort_unstable();
            seen.nodes.dedup();
            (seen.at, seen.tasks_ended) = (now, tasks_ended);
        }
    }
    let fields = core.known_fields.borrow();
    let seen = |name: &&String| fields.get(&key(name)).map(|seen| seen.nodes.as_slice()).unwrap_or_default();
    let somewhere = names.iter().filter(|name| !seen(name).is_empty()).cloned().collect::<Vec<_>>();
    let everywhere = somewhere.iter().all(|name| all.iter().all(|node| seen(&name).contains(node)));
    Some(Known { somewhere, everywhere })
}

/// Whether nodes need not be asked about a field again.
fn holds(seen: &KnownField, core: &Core, now: Instant, all: &[NodeIndex]) -> bool {
    let age = now.saturating_duration_since(seen.at);
    let by_all = all.iter().all(|node| seen.nodes.contains(node));
    let unchanged = !seen.nodes.is_empty() || seen.tasks_ended == core.shared.tasks_ended();
    age < limits::FIELDS_REMEMBERED_FOR && by_all || age < limits::FIELDS_IN_DOUBT_FOR && unchanged
}

/// The nodes that know each field: those whose first document is formatted when it alone is to be highlighted.
async fn ask(context: ReadContext<'_>, names: &[String]) -> Option<Vec<Vec<NodeIndex>>> {
    const TARGET: &str = "/multi-search";
    let ReadContext { core, snapshot, index, search } = context;
    let of_leg = |leg: &LegQuestion<'_>, _| {
        let about = |name: &String| {
            json!({
                "indexUid": leg.index.record.node_uid,
                "limit": 1,
                "attributesToRetrieve": [router::reserved::SHARD_FIELD],
                "attributesToHighlight": [name],
            })
        };
        Bytes::from(json!({"queries": names.iter().map(about).collect::<Vec<_>>()}).to_string())
    };
    let mut found = vec![Vec::new(); names.len()];
    let collect = |gathered: &Gathered<'_>, _: &mut Vec<u8>| {
        found.iter_mut().for_each(Vec::clear);
        for (body, (leg, _)) in gathered.bodies.iter().zip(gathered.legs) {
            let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
            for (nodes, result) in found.iter_mut().zip(answer["results"].as_array().into_iter().flatten()) {
                if result["hits"][0]["_formatted"].is_object() {
                    nodes.push(leg.node);
                }
            }
        }
        Ok(())
    };
    let scatter = Scatter::new(core, snapshot, index, search.turn(), TARGET, of_leg).at(TARGET).with_ended();
    scatter.ask_and_merge(collect).await.ok()?;
    Some(found)
}
