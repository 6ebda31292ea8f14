//! Statistics: sums over the nodes of one group, with each document counted once.
//!
//! Invariant: nodes are asked for sizes in plain bytes, which can be summed; only sums are written for humans. Source
//! of the members: Meilisearch's stats routes, 1.15 to 1.50.

use router::ShardSet;
use serde_json::{Map, Value, json};
use store::IndexRecord;

use crate::{
    api::{error::ApiError, http::query_string::Query},
    auth::Permission,
    handlers::documents,
    read::{ask, expiry},
    state::{core::Core, merged_answer::MergedAnswer, snapshot::Snapshot},
    wire::h1::{Request, Response},
};

/// Members of an index's stats that count documents or their parts.
const COUNTS: &[&str] =
    &["numberOfDocuments", "numberOfEmbeddings", "numberOfEmbeddedDocuments", "rawDocumentDbSize"];

/// Members that are sizes in bytes, besides those of the internal databases.
const SIZES: &[&str] = &["databaseSize", "usedDatabaseSize", "rawDocumentDbSize", "avgDocumentSize"];

/// The form in which a request wants sizes.
pub(crate) struct Sizes {
    /// The query string for nodes, with its question mark: it asks for plain bytes.
    of_nodes: &'static str,
    human: bool,
}

impl Sizes {
    /// Plain bytes, without those of internal databases.
    pub(crate) fn plain() -> Self {
        Self { of_nodes: "", human: false }
    }

    /// Reads a query string as a node does: refuses what a node refuses, and ignores what a node ignores.
    async fn wanted(core: &Core, request: &Request) -> Result<Self, ApiError> {
        let Some(query) = request.uri.query().filter(|query| !query.is_empty()) else {
            return Ok(Self { of_nodes: "", human: false });
        };
        let of_a_node = ask::any_node(core, &format!("/stats?{query}")).await?;
        let internal = Query::parse(Some(query)).get("showInternalDatabaseSizes") == Some("true");
        let of_nodes = if internal { "?showInternalDatabaseSizes=true" } else { "" };
        Ok(Self { of_nodes, human: of_a_node["databaseSize"].is_string() })
    }

    /// Writes the sizes of an answer, or of an index in it, for humans where that is wanted.
    fn write(&self, stats: &mut Value) {
        let Some(members) = stats.as_object_mut().filter(|_| self.human) else { return };
        for (name, value) in members {
            let inner = value.as_object_mut().filter(|_| name == "internalDatabaseSizes");
            let sizes = inner.into_iter().flat_map(Map::values_mut);
            sizes.for_each(|size| *size = json!(human(size.as_u64().unwrap_or(0))));
            if SIZES.contains(&name.as_str()) {
                *value = json!(human(value.as_u64().unwrap_or(0)));
            }
        }
    }
}

/// A size in its largest fitting unit, with at most two decimals.
#[expect(clippy::cast_precision_loss, reason = "two decimals are kept")]
fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let step = (0..units.len()).rev().find(|step| bytes >> (10 * step) > 0).unwrap_or(0);
    let hundredths = (bytes as f64 / (1_u64 << (10 * step)) as f64 * 100.0).round() / 100.0;
    format!("{hundredths} {}", units[step])
}

/// `GET /stats`.
pub(crate) async fn all(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let sizes = Sizes::wanted(core, request).await?;
    let (summed, missing) = summed(core, permission, &sizes).await?;
    Ok(MergedAnswer { body: summed.to_string().into(), missing }.into_response())
}

/// The stats of all indexes that a client may see, and the shards that are missing from them.
pub(crate) async fn summed(
    core: &Core,
    permission: &Permission,
    sizes: &Sizes,
) -> Result<(Value, ShardSet), ApiError> {
    let (of_nodes, whole) = whole_or_answering(core, &format!("/stats{}", sizes.of_nodes)).await?;
    let snapshot = core.shared.snapshot();
    let sum = |name: &str| of_nodes.iter().filter_map(|stats| stats[name].as_u64()).sum::<u64>();
    let mut indexes = Map::new();
    let mut missing = ShardSet::default();
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
            let share = share(core, &snapshot, record, &of_index, whole, &mut missing).await?;
            let mut merged = merge_index_stats(&of_index, share);
            sizes.write(&mut merged);
            indexes.insert(record.uid.clone(), merged);
        }
    }
    let mut merged = json!({"databaseSize": sum("databaseSize")});
    if of_nodes.iter().any(|stats| !stats["usedDatabaseSize"].is_null()) {
        merged["usedDatabaseSize"] = json!(sum("usedDatabaseSize"));
    }
    merged["lastUpdate"] = json!(last_update);
    sizes.write(&mut merged);
    merged["indexes"] = Value::Object(indexes);
    Ok((merged, missing))
}

/// When the last of some indexes was updated; nodes tell that only for all of them together.
async fn last_update_of(core: &Core, records: &[&IndexRecord]) -> Result<Option<String>, ApiError> {
    let of_nodes = ask::all_reachable(core, "/indexes?limit=1000000").await?;
    let indexes = of_nodes.iter().filter_map(|list| list["results"].as_array()).flatten();
    let visible =
        indexes.filter(|index| records.iter().any(|record| index["uid"] == record.node_uid.as_str()));
    Ok(visible.filter_map(|index| index["updatedAt"].as_str().map(str::to_owned)).max())
}

/// `GET /indexes/{uid}/stats`.
pub(crate) async fn one(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let sizes = Sizes::wanted(core, request).await?;
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let (mut missing, mut of_parts) = (ShardSet::default(), Vec::with_capacity(index.parts()));
    for part in 0..index.parts() {
        let (record, first) = (&index.part(part).record, index.first_shard(part));
        let target = format!("/indexes/{}/stats{}", record.node_uid, sizes.of_nodes);
        let (of_nodes, whole) = whole_or_answering(core, &target).await?;
        let of_nodes = of_nodes.iter().collect::<Vec<_>>();
        let mut not_counted = ShardSet::default();
        let share = share(core, &snapshot, record, &of_nodes, whole, &mut not_counted).await?;
        missing = missing.union(&not_counted.iter().map(|shard| first + shard).collect());
        of_parts.push(merge_index_stats(&of_nodes, share));
    }
    let mut merged = match of_parts.len() {
        1 => of_parts.remove(0),
        _ => {
            // Documents of several indexes are each in one of them.
            let of_parts = of_parts.iter().collect::<Vec<_>>();
            merge_index_stats(&of_parts, Share { documents: 1, counted: 1 })
        }
    };
    sizes.write(&mut merged);
    Ok(MergedAnswer { body: merged.to_string().into(), missing }.into_response())
}

/// The answers of a group that answers completely; else those of all nodes that answer, and `false`.
async fn whole_or_answering(core: &Core, target: &str) -> Result<(Vec<Value>, bool), ApiError> {
    match ask::group(core, target).await {
        Ok(of_nodes) => Ok((of_nodes, true)),
        Err(error) if error.status().is_client_error() => Err(error),
        Err(_) => Ok((ask::all_reachable(core, target).await?, false)),
    }
}

/// How many documents there are, and how many of them the nodes counted.
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

/// While a node is missing, other nodes hold its documents, but no node counts by shard. So documents are counted
/// exactly, and everything else in proportion. Shards that no node counts are added to `missing`.
async fn share(
    core: &Core,
    snapshot: &Snapshot,
    record: &IndexRecord,
    of_nodes: &[&Value],
    whole: bool,
    missing: &mut ShardSet,
) -> Result<Share, ApiError> {
    let counted = of_nodes.iter().filter_map(|stats| stats["numberOfDocuments"].as_u64()).sum::<u64>();
    let copies = u64::from(snapshot.topology.replication_factor).max(1);
    let documents = match snapshot.indexes.get(&record.uid) {
        // Nodes count expired documents as well, and while shards move some have more copies than others.
        Some(index) if !whole || !snapshot.topology.is_settled() || expiry::applies(core, index) => {
            let (documents, not_counted) = documents::count(core, snapshot, index).await?;
            *missing = missing.union(&not_counted);
            documents
        }
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
            "internalDatabaseSizes" => continue,
            _ => of_nodes[0][name].clone(),
        };
        merged.insert(name.clone(), value);
    }
    // As a node does, leaves the member out where all its databases are empty.
    let internal = internal_database_sizes(of_nodes);
    if !internal.is_empty() {
        merged.insert("internalDatabaseSizes".to_owned(), Value::Object(internal));
    }
    Value::Object(merged)
}

/// The size on the disks of a group, all copies included, as `databaseSize` counts it.
fn internal_database_sizes(of_nodes: &[&Value]) -> Map<String, Value> {
    let mut databases = Map::new();
    let sizes = of_nodes.iter().filter_map(|stats| stats["internalDatabaseSizes"].as_object()).flatten();
    for (name, size) in sizes {
        let sum = databases.entry(name).or_insert_with(|| json!(0));
        *sum = json!(sum.as_u64().unwrap_or(0) + size.as_u64().unwrap_or(0));
    }
    databases
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
    fn sizes_are_put_into_words_where_they_are_wanted_so() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (332 << 10, "332 KiB"),
            (1_300_000, "1.24 MiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(human(bytes), expected);
        }
        let stats =
            json!({"databaseSize": 2048, "numberOfDocuments": 7, "internalDatabaseSizes": {"main": 4096}});
        let mut written = stats.clone();
        Sizes { of_nodes: "", human: false }.write(&mut written);
        assert_eq!(written, stats);
        Sizes { of_nodes: "", human: true }.write(&mut written);
        assert_eq!(
            written,
            json!({"databaseSize": "2 KiB", "numberOfDocuments": 7, "internalDatabaseSizes": {"main": "4 KiB"}})
        );
    }

    #[test]
    fn internal_databases_are_summed_by_name() {
        let of_nodes = [
            json!({"internalDatabaseSizes": {"main": 1, "documents": 2}}),
            json!({}),
            json!({"internalDatabaseSizes": {"main": 4}}),
        ];
        let merged =
            merge_index_stats(&of_nodes.iter().collect::<Vec<_>>(), Share { documents: 1, counted: 2 });
        assert_eq!(merged, json!({"internalDatabaseSizes": {"documents": 2, "main": 5}}));
        assert_eq!(
            merge_index_stats(&[&json!({}), &json!({})], Share { documents: 0, counted: 0 }),
            json!({})
        );
    }

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
