//! Whole clusters: nodes and the gateway as child processes, used as clients use them.
//! Invariants: every test has a cluster of its own on free ports. With `MIROIR_NODE_BIN` the nodes (and the single node
//! of comparisons) are that Meilisearch binary, else embedded ones.

use std::path::{Path, PathBuf};

use cluster::cluster::{Cluster, ClusterOptions};
use cluster::node_process::{NodeKind, NodeProcess, SpawnOptions};
pub(crate) use node::test_client::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The binary that runs as node and as gateway.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_miroir-dev");
/// The sample of `miroir-dev`.
pub(crate) const CITIES: &str = include_str!("../../samples/cities.ndjson");

/// A cluster with a client of its gateway.
pub(crate) struct TestCluster {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    _data: TempDir,
}

impl TestCluster {
    pub(crate) fn start(change: impl FnOnce(&mut ClusterOptions)) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut options = ClusterOptions::new(PathBuf::from(PROGRAM), data.path().to_owned());
        options.node_binary = real_node();
        options.node_master_key = Some("the-key-of-the-nodes".to_owned());
        options.gateway_arguments = vec!["--cores".to_owned(), "2".to_owned()];
        change(&mut options);
        let cluster = Cluster::start(options).unwrap();
        let client = Client::new(cluster.url());
        Self { cluster, client, _data: data }
    }

    /// The directory of everything durable.
    pub(crate) fn directory(&self) -> &Path {
        self._data.path()
    }

    pub(crate) fn on_runtime(runtime: &str) -> Self {
        Self::start(|options| options.gateway_arguments.extend(["--runtime".to_owned(), runtime.to_owned()]))
    }
}

/// One node with a client, with which a cluster's answers are compared.
pub(crate) struct SingleNode {
    pub(crate) client: Client,
    _process: NodeProcess,
    _data: TempDir,
}

impl SingleNode {
    pub(crate) fn start() -> Self {
        Self::start_with_key(None)
    }

    pub(crate) fn start_with_key(master_key: Option<&str>) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let master_key = master_key.map(str::to_owned);
        let mut options = SpawnOptions { no_sync: true, master_key, ..SpawnOptions::default() };
        let process = match real_node() {
            Some(binary) => NodeProcess::spawn(NodeKind::Meilisearch, &binary, data.path(), &options),
            None => {
                options.leading_arguments = vec!["role-node".to_owned()];
                NodeProcess::spawn(NodeKind::Embedded, Path::new(PROGRAM), data.path(), &options)
            }
        };
        let process = process.unwrap();
        Self { client: Client::new(process.url()), _process: process, _data: data }
    }
}

/// A cluster whose clients need keys, and a client with the master key.
pub(crate) fn guarded_cluster(master_key: &str) -> (TestCluster, Client) {
    guarded_cluster_with(master_key, |_| {})
}

/// The same with further options.
pub(crate) fn guarded_cluster_with(
    master_key: &str,
    change: impl FnOnce(&mut ClusterOptions),
) -> (TestCluster, Client) {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--master-key", master_key].map(str::to_owned));
        change(options);
    });
    let master = Client::new(cluster.cluster.url()).with_key(master_key);
    (cluster, master)
}

/// The Meilisearch binary to test with, if one is configured.
pub(crate) fn real_node() -> Option<PathBuf> {
    std::env::var_os("MIROIR_NODE_BIN").map(PathBuf::from)
}

pub(crate) fn city_settings() -> Value {
    json!({
        "searchableAttributes": ["name", "alternateNames", "country"],
        "filterableAttributes": ["id", "country", "countryCode", "population", "timezone", "_geo"],
        "sortableAttributes": ["name", "population", "_geo"],
    })
}

pub(crate) fn cities() -> Vec<Value> {
    CITIES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Loads the cities as any client would.
pub(crate) fn load_cities(client: &Client) {
    client.done("POST", "/indexes", &json!({"uid": "cities", "primaryKey": "id"}));
    client.done("PATCH", "/indexes/cities/settings", &city_settings());
    let headers = [("Content-Type", "application/x-ndjson")];
    let (status, summary) =
        client.raw("POST", "/indexes/cities/documents", &headers, CITIES.as_bytes()).unwrap();
    assert_eq!(status, 202);
    let task = client.finished(&serde_json::from_slice(&summary).unwrap());
    assert_eq!(task["status"], "succeeded", "{task}");
    assert_eq!(task["details"]["indexedDocuments"], cities().len(), "{task}");
}
