//! Checks on the nodes themselves whether all copies of every document are equal.
//! Invariant: the whole stored document counts, including the gateway's own fields.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::chaos::{INDEX, report::Report};
use crate::cluster::Cluster;
use crate::differential::Client;

/// The pause between two checks of all nodes.
const PAUSE: Duration = Duration::from_millis(100);
/// The most documents requested of a node.
const DOCUMENTS_MAX: usize = 100_000;

/// Waits until all copies are equal. Returns the time it took, or `None` when it exceeded `longest`.
pub(super) fn wait(
    cluster: &Cluster,
    longest: Duration,
    report: &mut Report,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Option<Duration>> {
    let started = Instant::now();
    loop {
        let differences = differences(cluster).unwrap_or_else(|error| vec![format!("{error:#}")]);
        if differences.is_empty() {
            return Ok(Some(started.elapsed()));
        }
        if started.elapsed() > longest {
            say(&format!("{} documents differ between copies", differences.len()));
            differences.into_iter().take(5).for_each(|difference| report.problem(difference));
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The documents with unequal copies, or with a wrong number of copies.
fn differences(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let gateway = Client::new(cluster.url(), None);
    let topology = gateway.send("GET", "/_miroir/topology", None)?.body;
    let indexes = topology["indexes"].as_array().context("the topology lists indexes")?;
    let index = indexes.iter().find(|index| index["uid"] == INDEX).context("the index is gone")?;
    let node_uid = index["nodeUid"].as_str().context("an index has a name on nodes")?;
    let options = cluster.options();
    let mut copies: BTreeMap<String, Vec<(usize, Value)>> = BTreeMap::new();
    for number in 0..options.nodes {
        let node = cluster.node(number).context("every node runs again")?;
        let client = Client::new(node.url(), options.node_master_key.clone());
        let body = json!({"limit": DOCUMENTS_MAX});
        let answer = client.send("POST", &format!("/indexes/{node_uid}/documents/fetch"), Some(&body))?;
        ensure!(answer.status == 200, "node {number} answers {}: {}", answer.status, answer.body);
        for document in answer.body["results"].as_array().into_iter().flatten() {
            let id = document["id"].as_str().unwrap_or_default().to_owned();
            copies.entry(id).or_default().push((number, document.clone()));
        }
    }
    let expected = options.replication_factor * options.groups;
    let differ = |(id, copies): (String, Vec<(usize, Value)>)| {
        let equal = copies.iter().all(|(_, document)| *document == copies[0].1);
        (copies.len() != expected || !equal).then(|| format!("copies of {id}: {copies:?}"))
    };
    Ok(copies.into_iter().filter_map(differ).collect())
}
