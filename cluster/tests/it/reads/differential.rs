//! A cluster answers as one node with all the documents: a short run of the differential harness on each kind of
//! cluster, and hidden attributes stay hidden.
//! Invariant: families in which the gateway still differs are listed here, each with the reason.

use std::path::PathBuf;

use cluster::cluster::ClusterOptions;
use cluster::differential::{Layout, Options, Ties, family_names, run};
use serde_json::json;

use crate::support::{PROGRAM, SingleNode, TestCluster, load_cities, real_node};

const SEED: u64 = 0x5eed_c171;
/// Questions and documents for each kind of cluster: few, because the nodes are debug builds.
const QUERIES: usize = 300;
const DOCUMENTS: usize = 150;

/// Families in which some query is still answered differently from one node.
const AWAITED: &[&str] = &[
    // One node finds neighbours that a smaller index misses.
    "vector",
    "hybrid",
    "similar",
    "multi-search",
    "federated",
];

#[test]
fn three_nodes_answer_as_one() {
    compare(|_| {});
}

#[test]
fn three_nodes_with_two_copies_answer_as_one() {
    compare(|options| {
        options.cluster.replication_factor = 2;
    });
}

#[test]
fn two_groups_answer_as_one() {
    compare(|options| {
        options.cluster.nodes = 4;
        options.cluster.groups = 2;
    });
}

#[test]
fn an_alias_answers_as_its_index() {
    compare(|options| {
        options.layout = Layout::Alias;
    });
}

#[test]
fn an_alias_of_three_indexes_answers_as_one_index() {
    compare(|options| {
        options.layout = Layout::Parts(3);
    });
}

#[test]
fn what_one_node_hides_a_cluster_hides() {
    let (cluster, single) = (TestCluster::start(|_| {}), SingleNode::start());
    for client in [&cluster.client, &single.client] {
        load_cities(client);
        let hidden = json!({"displayedAttributes": ["id", "name", "country"]});
        client.done("PATCH", "/indexes/cities/settings", &hidden);
        let settings = client.read("/indexes/cities/settings");
        assert_eq!(settings["displayedAttributes"], json!(["id", "name", "country"]));
    }
    // Sorted by a hidden field without ties, so the hits must be equal byte for byte.
    let sort = json!(["population:desc", "name:asc"]);
    let asked = [
        json!({"q": "san"}),
        json!({"q": "new york", "attributesToRetrieve": ["*"]}),
        json!({"q": "new york", "attributesToRetrieve": ["name", "population"]}),
        json!({"q": "london", "attributesToRetrieve": ["population"]}),
        json!({"q": "paris", "attributesToHighlight": ["*"], "showMatchesPosition": true}),
        json!({"q": "byzance", "attributesToHighlight": ["alternateNames", "name"], "showMatchesPosition": true}),
        json!({"q": "byzance", "attributesToCrop": ["*:3"], "attributesToRetrieve": ["id"]}),
        json!({"q": "a", "page": 2, "hitsPerPage": 7}),
    ];
    for mut query in asked {
        query["sort"] = sort.clone();
        let (expected, found) =
            (single.client.search("cities", &query), cluster.client.search("cities", &query));
        assert_eq!(found["hits"], expected["hits"], "{query}");
    }
}

/// Compares every family that must agree.
fn compare(change: impl FnOnce(&mut Options)) {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let node_binary = real_node();
    let awaited = |name: &&str| AWAITED.contains(name);
    let held = family_names().into_iter().filter(|name| !awaited(name)).map(str::to_owned);
    let mut options = Options {
        seed: SEED,
        queries: QUERIES,
        documents: DOCUMENTS,
        families: held.collect(),
        ties: Ties::Strict,
        down: 0,
        layout: Layout::Index,
        rewrite: false,
        shrink_max: 3,
        cluster: ClusterOptions {
            node_binary,
            no_sync: true,
            node_master_key: Some("the-key-of-the-nodes".to_owned()),
            gateway_arguments: vec!["--cores".to_owned(), "2".to_owned()],
            ..ClusterOptions::new(PathBuf::from(PROGRAM), data.path().to_owned())
        },
    };
    change(&mut options);
    let report = run(&options, &mut |_| {}).unwrap();
    assert!(report.compared() > QUERIES / 2, "{}", report.to_markdown());
    assert_eq!(report.unexplained(), 0, "{}", report.to_markdown());
}
