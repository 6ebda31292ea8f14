//! Changes of where documents are, as an operator types them.

use std::process::Command;

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
    });
    load_cities(&cluster.client);
    cluster
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
