//! One node with all the documents, and a cluster with the same documents.
//! Invariants: both are loaded by the same requests in the same order; behind an alias of several indexes the cluster
//! gets each document once. Nodes are embedded ones, or all the same real Meilisearch.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterOptions};
use crate::differential::client::Client;
use crate::differential::corpus::{Corpus, Index};
use crate::node_process::{NodeKind, NodeProcess, SpawnOptions};

/// The number of documents of one request.
const BATCH: usize = 2_000;
/// The number of documents of one rewriting request.
const BATCH_REWRITTEN: usize = 50;

/// How the cluster holds the index that a question names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As an index of that name.
    Index,
    /// As an alias of one index.
    Alias,
    /// As an alias of this many indexes that share the documents.
    Parts(usize),
}

impl Layout {
    /// The names of the indexes behind a name.
    fn indexes(self, uid: &str) -> Vec<String> {
        match self {
            Self::Index => vec![uid.to_owned()],
            Self::Alias => vec![format!("{uid}-now")],
            Self::Parts(count) => (0..count).map(|part| format!("{uid}-part-{part}")).collect(),
        }
    }

    /// The body that makes the alias; `None` without one.
    fn alias(self, uid: &str) -> Option<Value> {
        let indexes = self.indexes(uid);
        match self {
            Self::Index => None,
            Self::Alias => Some(json!({"name": uid, "target": indexes[0]})),
            Self::Parts(_) => Some(json!({"name": uid, "targets": indexes})),
        }
    }
}

/// The version of the nodes: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u64, pub(super) u64);

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) single: Client,
    pub(super) gateway: Client,
    pub(super) version: Version,
    /// The number of killed nodes of the cluster.
    pub(super) killed: usize,
    pub(super) layout: Layout,
    cluster: Cluster,
    _node: NodeProcess,
}

impl Pair {
    /// Starts the node and the cluster described by the options.
    pub(super) fn start(options: &ClusterOptions, layout: Layout) -> anyhow::Result<Self> {
        let data = options.data.join("single");
        let mut spawn = SpawnOptions { no_sync: true, ..SpawnOptions::default() };
        let node = match &options.node_binary {
            Some(binary) => NodeProcess::spawn(NodeKind::Meilisearch, binary, &data, &spawn),
            None => {
                spawn.leading_arguments = vec!["role-node".to_owned()];
                NodeProcess::spawn(NodeKind::Embedded, &options.program, &data, &spawn)
            }
        };
        let node = node.context("the single node")?;
        let cluster = ClusterOptions { data: options.data.join("cluster"), ..options.clone() };
        let cluster = Cluster::start(cluster).context("the cluster")?;
        let (single, gateway) = (Client::new(node.url(), None), Client::new(cluster.url(), None));
        let version = version(&single)?;
        // Not every gateway accepts these, so set them on the nodes themselves.
        let key = &options.node_master_key;
        let nodes = cluster.node_urls().into_iter().map(|url| Client::new(url, key.clone()));
        for node in nodes.chain([single.clone()]) {
            node.send("PATCH", "/experimental-features", Some(&json!({"containsFilter": true})))?;
        }
        Ok(Self { single, gateway, version, killed: 0, layout, cluster, _node: node })
    }

    pub(super) fn load(&self, corpus: &Corpus) -> anyhow::Result<()> {
        corpus.indexes.iter().try_for_each(|index| self.create(index, index.uid, &index.documents))
    }

    /// Creates the index under the name `uid`, with these documents.
    pub(super) fn create(&self, index: &Index, uid: &str, documents: &[Value]) -> anyhow::Result<()> {
        for (client, layout) in self.both() {
            for name in layout.indexes(uid) {
                let new = json!({"uid": name, "primaryKey": index.primary_key});
                client.done("POST", "/indexes", Some(&new))?;
                client.done("PATCH", &format!("/indexes/{name}/settings"), Some(&index.settings))?;
            }
            if let Some(alias) = layout.alias(uid) {
                let made = client.send("POST", "/_miroir/aliases", Some(&alias))?;
                ensure!(made.status == 201, "alias {uid}: {} {}", made.status, made.body);
            }
            add(client, layout, uid, documents)?;
        }
        Ok(())
    }

    /// Replaces all documents of an index by these.
    pub(super) fn fill(&self, uid: &str, documents: &[Value]) -> anyhow::Result<()> {
        for (client, layout) in self.both() {
            for name in layout.indexes(uid) {
                client.done("DELETE", &format!("/indexes/{name}/documents"), None)?;
            }
            add(client, layout, uid, documents)?;
        }
        Ok(())
    }

    pub(super) fn delete(&self, uid: &str) -> anyhow::Result<()> {
        for (client, layout) in self.both() {
            if layout.alias(uid).is_some() {
                client.send("DELETE", &format!("/_miroir/aliases/{uid}"), None)?;
            }
            for name in layout.indexes(uid) {
                client.finished("DELETE", &format!("/indexes/{name}"), None)?;
            }
        }
        Ok(())
    }

    /// The single node and the gateway, each with how it holds an index.
    fn both(&self) -> [(&Client, Layout); 2] {
        [(&self.single, Layout::Index), (&self.gateway, self.layout)]
    }

    /// Kills a node of the cluster with SIGKILL.
    pub(super) fn kill_node(&mut self, number: usize) -> anyhow::Result<()> {
        self.killed += 1;
        self.cluster.kill_node(number)
    }
}

/// Adds documents: through the name where it can be written, else each to one of the indexes in turn.
fn add(client: &Client, layout: Layout, uid: &str, documents: &[Value]) -> anyhow::Result<()> {
    let names = match layout {
        Layout::Index | Layout::Alias => vec![uid.to_owned()],
        Layout::Parts(_) => layout.indexes(uid),
    };
    for (number, name) in names.iter().enumerate() {
        let own = documents.iter().skip(number).step_by(names.len()).cloned().collect::<Vec<_>>();
        for batch in own.chunks(BATCH) {
            let batch = Value::Array(batch.to_vec());
            client.done("POST", &format!("/indexes/{name}/documents"), Some(&batch))?;
        }
    }
    Ok(())
}

fn version(client: &Client) -> anyhow::Result<Version> {
    let answer = client.send("GET", "/version", None)?;
    let text = answer.body["pkgVersion"].as_str().context("the node tells no version")?;
    let mut parts = text.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        anyhow::bail!("`{text}` is no version");
    };
    Ok(Version(major, minor))
}

/// Rewrites the documents of the cluster unchanged, repeatedly, until told to stop. Returns how many documents were
/// written.
pub(super) fn rewrite(gateway: &Client, corpus: &Corpus, stop: &AtomicBool) -> anyhow::Result<usize> {
    let mut written = 0;
    loop {
        for index in &corpus.indexes {
            for batch in index.documents.chunks(BATCH_REWRITTEN) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(written);
                }
                let target = format!("/indexes/{}/documents", index.uid);
                gateway.done("POST", &target, Some(&Value::Array(batch.to_vec())))?;
                written += batch.len();
            }
        }
    }
}
