//! Whether every document stands on exactly the nodes that own its shard, and nowhere else, with equal contents.
//! Invariant: nodes are asked themselves; a document counts with everything stored for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::chaos::{INDEX, report::Report};
use crate::cluster::Cluster;
use crate::differential::Client;

/// Pause between two looks at all nodes.
const PAUSE: Duration = Duration::from_millis(100);
/// Documents a node is asked for.
const DOCUMENTS_MAX: usize = 100_000;

/// Waits until all documents are in their places; gives the time that took, or nothing when it took too long.
pub(super) fn wait(
    cluster: &Cluster,
    longest: Duration,
    report: &mut Report,
) -> anyhow::Result<Option<Duration>> {
    let started = Instant::now();
    loop {
        let misplaced = misplaced(cluster).unwrap_or_else(|error| vec![format!("{error:#}")]);
        if misplaced.is_empty() {
            return Ok(Some(started.elapsed()));
        }
        if started.elapsed() > longest {
            report.problem(format!("{} documents are not where they belong", misplaced.len()));
            misplaced.into_iter().take(5).for_each(|each| report.problem(each));
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The documents that are not on just their owners, or not equal there.
///
/// # Errors
/// When the gateway or a node does not answer.
pub fn misplaced(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let gateway = Client::new(cluster.url(), None);
    let topology = gateway.send("GET", "/_miroir/topology", None)?.body;
    let placed = gateway.send("GET", "/_miroir/shards", None)?.body;
    let indexes = topology["indexes"].as_array().context("the topology lists indexes")?;
    let index = indexes.iter().find(|index| index["uid"] == INDEX).context("the index is gone")?;
    let node_uid = index["nodeUid"].as_str().context("an index has a name on nodes")?;
    let shards = u32::try_from(index["shards"].as_u64().context("an index has shards")?)?;
    let placements = placed["placements"].as_array().context("shards are placed")?;
    let placement = placements.iter().find(|each| each["shards"] == shards).context("shards are placed")?;
    let mut copies: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    let key = cluster.options().node_master_key.clone();
    for node in topology["nodes"].as_array().into_iter().flatten() {
        if node["state"] == "removed" {
            continue;
        }
        let (id, url) = (node["id"].as_str().unwrap_or_default(), node["url"].as_str().unwrap_or_default());
        let client = Client::new(url.to_owned(), key.clone());
        let body = json!({"limit": DOCUMENTS_MAX, "retrieveVectors": true});
        let answer = client.send("POST", &format!("/indexes/{node_uid}/documents/fetch"), Some(&body))?;
        ensure!(answer.status == 200, "node {id} answers {}: {}", answer.status, answer.body);
        for document in answer.body["results"].as_array().into_iter().flatten() {
            let document_id = document["id"].as_str().unwrap_or_default().to_owned();
            copies.entry(document_id).or_default().insert(id.to_owned(), document.clone());
        }
    }
    let owners = |shard: usize| {
        let groups = placement["groups"].as_array().into_iter().flatten();
        let owners = groups.flat_map(|group| group["owners"][shard].as_array().into_iter().flatten());
        owners.filter_map(Value::as_str).collect::<BTreeSet<_>>()
    };
    let mut misplaced = Vec::new();
    for (id, copies) in &copies {
        let shard = router::shard_of(id, shards);
        let found = copies.keys().map(String::as_str).collect::<BTreeSet<_>>();
        let expected = owners(usize::try_from(shard)?);
        let mut contents = copies.values();
        let first = contents.next();
        if found != expected {
            misplaced.push(format!("{id} of shard {shard} is on {found:?}, its owners are {expected:?}"));
        } else if !contents.all(|other| Some(other) == first) {
            misplaced.push(format!("copies of {id} differ: {copies:?}"));
        }
    }
    Ok(misplaced)
}
