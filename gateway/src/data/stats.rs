//! Statistics: sums over the nodes of one group, each document counted once.
//!
//! Source of the members: Meilisearch's stats routes, 1.15 to 1.50.

use http::StatusCode;
use serde_json::{Map, Value, json};
use store::IndexRecord;

use super::{Core, documents, gather, ingress};
use crate::{api::error::ApiError, auth::Permission, h1::Response, runtime::Runtime, snapshot::Snapshot};

/// Members of an index's stats that count documents or their parts.
const COUNTS: &[&str] =
    &["numberOfDocuments", "numberOfEmbeddings", "numberOfEmbeddedDocuments", "rawDocumentDbSize"];

/// `GET /stats`.
pub(super) async fn all<R: Runtime>(core: &Core<R>, permission: &Permission) -> Result<Response, ApiError> {
    let (of_nodes, whole) = whole_or_answering(core, "/stats").await?;
    let snapshot = core.shared.snapshot();
    let sum = |name: &str| of_nodes.iter().filter_map(|stats| stats[name].as_u64()).sum::<u64>();
    let mut indexes = Map::new();
    let mut uids = snapshot.indexes.values().map(|index| &index.record).collect::<Vec<_>>();
    uids.retain(|record| permission.allows_index(&record.uid));
    uids.sort_by(|one, other| one.uid.cmp(&other.uid));
    let last_update = match permission.allows_all_indexes() {
        true => of_nodes.iter().filter_map(|stats| stats["lastUpdate"].as_str().map(str::to_owned)).max(),
        false => last_update_of(core, &uids).await?,
    };
    for record in uids {
        let of_index = of_nodes.iter().map(|stats| &stats["indexes"][&record.node_uid]);
        let of_index = of_index.filter(|stats| stats.is_object()).collect::<Vec<_>>();
        if !of_index.is_empty() {
            let share = share(core, &snapshot, record, &of_index, whole).await?;
            indexes.insert(record.uid.clone(), merge_index_stats(&of_index, share));
        }
    }
    let mut merged = json!({"databaseSize": sum("databaseSize")});
    if of_nodes.iter().any(|stats| !stats["usedDatabaseSize"].is_null()) {
        merged["usedDatabaseSize"] = json!(sum("usedDatabaseSize"));
    }
    merged["lastUpdate"] = json!(last_update);
    merged["indexes"] = Value::Object(indexes);
    Ok(Response::json(StatusCode::OK, merged.to_string()))
}

/// When the last of some indexes was touched; nodes say it of all of them together only.
async fn last_update_of<R: Runtime>(
    core: &Core<R>,
    records: &[&IndexRecord],
) -> Result<Option<String>, ApiError> {
    let of_nodes = gather::answering(core, "/indexes?limit=1000000").await?;
    let indexes = of_nodes.iter().filter_map(|list| list["results"].as_array()).flatten();
    let visible =
        indexes.filter(|index| records.iter().any(|record| index["uid"] == record.node_uid.as_str()));
    Ok(visible.filter_map(|index| index["updatedAt"].as_str().map(str::to_owned)).max())
}

/// `GET /indexes/{uid}/stats`.
pub(super) async fn one<R: Runtime>(core: &Core<R>, uid: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = ingress::find_index(&snapshot, uid)?;
    let target = format!("/indexes/{}/stats", index.record.node_uid);
    let (of_nodes, whole) = whole_or_answering(core, &target).await?;
    let of_nodes = of_nodes.iter().collect::<Vec<_>>();
    let share = share(core, &snapshot, &index.record, &of_nodes, whole).await?;
    Ok(Response::json(StatusCode::OK, merge_index_stats(&of_nodes, share).to_string()))
}

/// What a group that answers whole says; else what all nodes say that answer, and `false`.
async fn whole_or_answering<R: Runtime>(
    core: &Core<R>,
    target: &str,
) -> Result<(Vec<Value>, bool), ApiError> {
    match gather::group(core, target).await {
        Ok(of_nodes) => Ok((of_nodes, true)),
        Err(error) if error.status().is_client_error() => Err(error),
        Err(_) => Ok((gather::answering(core, target).await?, false)),
    }
}

/// How many documents there are, of how many the nodes counted.
#[derive(Debug, Clone, Copy)]
struct Share {
    documents: u64,
    counted: u64,
}

impl Share {
    /// A sum over the nodes as a count of documents; rounded where some nodes are missing.
    fn of(self, sum: u64) -> u64 {
        let scaled = u128::from(sum) * u128::from(self.documents) + u128::from(self.counted / 2);
        scaled.checked_div(u128::from(self.counted)).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }
}

/// While a node is missing, others hold its documents, but no node counts by shard: the documents are counted
/// exactly, and everything else in proportion.
async fn share<R: Runtime>(
    core: &Core<R>,
    snapshot: &Snapshot,
    record: &IndexRecord,
    of_nodes: &[&Value],
    whole: bool,
) -> Result<Share, ApiError> {
    let counted = of_nodes.iter().filter_map(|stats| stats["numberOfDocuments"].as_u64()).sum::<u64>();
    let copies = u64::from(snapshot.topology.replication_factor).max(1);
    let documents = match snapshot.indexes.get(&record.uid) {
        Some(index) if !whole => documents::count(core, snapshot, index).await?,
        _ => counted / copies,
    };
    Ok(Share { documents, counted })
}

fn merge_index_stats(of_nodes: &[&Value], share: Share) -> Value {
    let mut merged = Map::new();
    let sum = |values: &mut dyn Iterator<Item = Option<u64>>| share.of(values.flatten().sum::<u64>());
    let first = of_nodes.first().and_then(|stats| stats.as_object());
    for name in first.into_iter().flat_map(|members| members.keys()) {
        let value = match name.as_str() {
            counted if COUNTS.contains(&counted) => {
                json!(sum(&mut of_nodes.iter().map(|stats| stats[counted].as_u64())))
            }
            "isIndexing" => json!(of_nodes.iter().any(|stats| stats[name] == true)),
            "avgDocumentSize" => average_document_size(of_nodes),
            "fieldDistribution" => field_distribution(of_nodes, share),
            _ => of_nodes[0][name].clone(),
        };
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

fn average_document_size(of_nodes: &[&Value]) -> Value {
    let number = |stats: &Value, name: &str| stats[name].as_u64().unwrap_or(0);
    let documents: u64 = of_nodes.iter().map(|stats| number(stats, "numberOfDocuments")).sum();
    let bytes: u64 = of_nodes
        .iter()
        .map(|stats| number(stats, "numberOfDocuments") * number(stats, "avgDocumentSize"))
        .sum();
    json!(bytes.checked_div(documents).unwrap_or(0))
}

fn field_distribution(of_nodes: &[&Value], share: Share) -> Value {
    let mut fields = std::collections::BTreeMap::<&str, u64>::new();
    for (name, count) in of_nodes.iter().filter_map(|stats| stats["fieldDistribution"].as_object()).flatten()
    {
        if !router::reserved::is_reserved(name) {
            *fields.entry(name).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    let fields = fields.into_iter().map(|(name, count)| (name.to_owned(), json!(share.of(count))));
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_summed_once_per_copy_and_hide_reserved_fields() {
        let of_node = |documents: u64| {
            json!({
                "numberOfDocuments": documents,
                "isIndexing": documents > 3,
                "avgDocumentSize": 10 * documents,
                "fieldDistribution": {"id": documents, "_miroir_shard": documents},
            })
        };
        let merged = merge_index_stats(&[&of_node(2), &of_node(4)], Share { documents: 3, counted: 6 });
        assert_eq!(
            merged,
            json!({"numberOfDocuments": 3, "isIndexing": true, "avgDocumentSize": 33, "fieldDistribution": {"id": 3}})
        );
    }
}
