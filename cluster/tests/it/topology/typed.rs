//! Changes of where documents are, as an operator types them.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{PROGRAM, TestCluster, load_cities};

/// Runs `miroir-ctl`; gives its exit code and what it said.
fn typed(cluster: &TestCluster, words: &str) -> (i32, String) {
    let url = cluster.cluster.url();
    let mut command = Command::new(PROGRAM);
    command.args(["role-ctl", "--url", &url]).args(words.split_whitespace());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn check(cluster: &TestCluster, words: &str, code: i32, expected: &str) -> String {
    let (found, said) = typed(cluster, words);
    assert!(found == code && said.contains(expected), "miroir-ctl {words}: {found} {said}");
    said
}

fn start() -> TestCluster {
    let cluster = TestCluster::start(|options| {
        options.shards = 8;
        options.no_sync = true;
        let windows = ["--schedule-window", "always=00:00-23:59", "--reshard-keep", "1h"];
        options.gateway_arguments.extend(windows.map(str::to_owned));
    });
    load_cities(&cluster.client);
    cluster
}

#[test]
fn an_index_is_resharded_and_taken_back() {
    let cluster = start();
    check(&cluster, "reshard status", 1, "no index was resharded");
    let simulate = "reshard simulate --index cities --new-shards 32 --docs-avg-size 10kb";
    check(&cluster, simulate, 0, "storage needed");
    check(&cluster, "reshard simulate --index cities --new-shards 8", 1, "has 8 shards already");
    check(&cluster, "reshard simulate --index cities --new-shards 9 --docs-avg-size big", 2, "give a size");
    check(&cluster, "reshard check-window --schedule-window noon", 2, "knows no window");
    let (code, said) = typed(&cluster, "reshard check-window");
    assert!(code <= 1 && said.contains("always=00:00-23:59"), "{code} {said}");
    let start = "reshard start --index cities --new-shards 32 --throttle 10000 --manual-cutover";
    check(&cluster, start, 0, "has begun");
    loop {
        let (code, said) = typed(&cluster, "reshard status --json");
        let status: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(code, 0, "{said}");
        if status["operation"]["status"] == "paused" {
            break;
        }
        assert_eq!(status["operation"]["finishedAt"], Value::Null, "{said}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    check(&cluster, "reshard stats", 0, "CutoverBegin");
    check(&cluster, "reshard cutover --watch", 0, "succeeded");
    check(&cluster, "reshard status --index cities", 0, "kept: 8 shards");
    check(&cluster, "reshard cutover", 0, "the new copies serve already");
    check(&cluster, "routing test --index cities --samples 50", 0, "each is asked for at an owner");
    check(&cluster, "routing test --index none", 1, "there is no index none");
    check(&cluster, "routing revert --index cities", 2, "--yes");
    check(&cluster, "routing revert --index cities --watch --yes", 0, "succeeded");
    check(&cluster, "reshard status --index cities", 0, "index cities: 8 shards");
    check(&cluster, "routing test --index cities --samples 50", 0, "over 8 shards");
}

/// A cluster with an index of products, which gets more shards at night, for so long with a way back.
fn start_with_products(keep: &str) -> TestCluster {
    let cluster = TestCluster::start(|options| {
        options.shards = 64;
        options.no_sync = true;
        let arguments = ["--schedule-window", "off-peak=00:00-23:59", "--reshard-keep", keep];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
    });
    let products = (0..500).map(|id| json!({"id": id, "name": format!("product {id}")})).collect::<Vec<_>>();
    cluster.client.write("POST", "/indexes/products/documents", &Value::Array(products));
    cluster
}

#[test]
fn the_runbook_of_a_reshard_is_typed_from_beginning_to_end() {
    let cluster = start_with_products("48h");
    check(&cluster, "cluster health", 0, "healthy");
    check(&cluster, "node list", 0, "n2");
    check(&cluster, "shards list", 0, "64 shards");
    let plan = "reshard simulate --index products --new-shards 256 --docs-avg-size 10kb";
    check(&cluster, plan, 0, "plan: reshard, shards 256, 500 documents, ");
    check(&cluster, "anti-entropy status", 0, "running:");
    // The window is shut in the last minute of a day, and the reshard waits for the next.
    let (code, said) = typed(&cluster, "reshard check-window");
    assert!(code <= 1 && said.contains("off-peak=00:00-23:59"), "{code} {said}");
    let start = "reshard start --index products --new-shards 256 --throttle 10000 --schedule-window off-peak";
    check(&cluster, start, 0, "has begun");
    check(&cluster, "reshard watch", 0, "succeeded");
    check(&cluster, "reshard stats", 0, "documents  500 of 500");
    check(&cluster, "reshard cutover", 0, "the new copies serve already");
    check(&cluster, "reshard status", 0, "index products: 256 shards");
    check(&cluster, "anti-entropy verify --index products --shards 0-63", 0, "");
    let routed = check(&cluster, "routing test --index products --samples 1000", 0, "over 256 shards");
    assert!(routed.contains("each is asked for at an owner"), "{routed}");
    check(&cluster, "anti-entropy run", 0, "");
    check(&cluster, "cluster health", 0, "healthy");
    check(&cluster, "node stats", 0, "OF 64");
}

#[test]
fn each_way_back_from_a_reshard_is_typed() {
    let cluster = start_with_products("48h");
    // Before the cutover it is given up, and nothing is left.
    let start = "reshard start --index products --new-shards 128 --manual-cutover";
    check(&cluster, start, 0, "has begun");
    check(&cluster, "reshard watch", 0, "have them serve: miroir-ctl reshard cutover");
    check(&cluster, "reshard abort", 2, "--yes");
    check(&cluster, "reshard abort --yes --watch", 1, "aborted");
    let status = check(&cluster, "reshard status --index products", 0, "index products: 64 shards");
    assert!(!status.contains("kept"), "{status}");
    // After it the copies from before serve again, with what was written since.
    check(&cluster, start, 0, "has begun");
    check(&cluster, "reshard watch", 0, "reshard cutover");
    check(&cluster, "reshard cutover --watch", 0, "succeeded");
    let later = json!([{"id": 1, "name": "changed"}, {"id": 500, "name": "new"}]);
    cluster.client.write("POST", "/indexes/products/documents", &later);
    cluster.client.write("DELETE", "/indexes/products/documents/2", &Value::Null);
    check(&cluster, "routing revert --index products --yes --watch", 0, "succeeded");
    check(&cluster, "reshard status --index products", 0, "index products: 64 shards");
    check(&cluster, "anti-entropy verify --index products", 0, "");
    let found = cluster.client.read("/indexes/products/documents?limit=1000");
    let found = found["results"].as_array().unwrap();
    assert_eq!(found.len(), 500);
    assert!(found.contains(&later[0]) && found.contains(&later[1]), "{found:?}");
    assert!(found.iter().all(|product| product["id"] != 2));
    // Once they are gone the way back is another reshard.
    let cluster = start_with_products("0s");
    check(&cluster, "reshard start --index products --new-shards 128 --watch", 0, "succeeded");
    check(&cluster, "routing revert --index products --yes", 1, "products");
    check(&cluster, "reshard start --index products --new-shards 64 --watch", 0, "succeeded");
    check(&cluster, "reshard status --index products", 0, "index products: 64 shards");
}

#[test]
fn nodes_and_groups_come_and_go() {
    let mut cluster = start();
    let number = cluster.cluster.start_spare_node().unwrap();
    let url = cluster.cluster.node(number).unwrap().url();
    let plan = check(&cluster, &format!("node add n3 {url} --dry-run"), 0, "plan: addNode");
    assert!(plan.contains("to n3 from"), "{plan}");
    check(&cluster, &format!("node add n3 {url} --watch"), 0, "succeeded");
    check(&cluster, &format!("node add n3 {url}"), 1, "there is a node `n3` already");
    check(&cluster, "node stats", 0, "OF 8");
    check(&cluster, "node drain n0 --watch", 0, "succeeded");
    check(&cluster, "node remove n0", 2, "--yes");
    check(&cluster, "node remove n0 --watch --yes", 0, "succeeded");
    check(&cluster, "node list", 0, "removed");
    let number = cluster.cluster.start_spare_node().unwrap();
    let url = cluster.cluster.node(number).unwrap().url();
    check(&cluster, &format!("node replace n1 n4 {url} --watch --yes"), 0, "succeeded");
    let number = cluster.cluster.start_spare_node().unwrap();
    let url = cluster.cluster.node(number).unwrap().url();
    check(&cluster, "group add 1 --node nonsense", 2, "give NAME=URL");
    check(&cluster, &format!("group add 1 --node m1={url} --watch"), 0, "succeeded");
    check(&cluster, "group remove 1 --watch --yes", 0, "succeeded");
    check(&cluster, "rebalance start --dry-run", 0, "plan: rebalance");
    check(&cluster, "rebalance start --watch", 0, "succeeded");
    check(&cluster, "rebalance status", 0, "0 operations are not done");
    check(&cluster, "operations list --kind replaceNode", 0, "replaceNode");
    check(&cluster, "operations show 1", 0, "addNode");
    for verb in ["pause", "resume", "abort --yes", "cutover"] {
        check(&cluster, &format!("operations {verb} 1"), 1, "it has ended");
    }
    check(&cluster, "operations pause 99", 1, "There is no operation 99");
}
