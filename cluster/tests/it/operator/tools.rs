//! `miroir-ctl` against clusters that work and clusters that are broken.

use std::time::{Duration, Instant};

use cluster::faulty_proxy::Trouble;
use serde_json::{Value, json};

use crate::operator::{ADMIN_KEY, Ended, ctl, ctl_at, operated};
use crate::support::TestCluster;
use node::test_client::Client;

/// How long the doctor may take to see what was broken.
const SEEN_MAX: Duration = Duration::from_secs(60);

/// Runs the doctor until one of its first ten lines has these words; it must call the cluster unwell then.
#[track_caller]
pub(crate) fn finds(cluster: &TestCluster, words: &str) -> String {
    finds_at(&cluster.cluster.url(), ADMIN_KEY, words)
}

/// Whether the doctor has found nothing; the disk of the machine that runs the tests is no matter of theirs.
pub(crate) fn is_well(doctor: &Ended) -> bool {
    let is_well = doctor.code == 0 && doctor.out.ends_with("nothing is wrong\n");
    let disks_alone = doctor.code == 4 && doctor.out.lines().all(|line| line.contains(": the disk of "));
    is_well || disks_alone
}

/// The same for the gateway at a URL, with a key.
#[track_caller]
pub(crate) fn finds_at(url: &str, key: &str, words: &str) -> String {
    let deadline = Instant::now() + SEEN_MAX;
    loop {
        let ended = ctl_at(url, key, &["doctor"]);
        if ended.out.lines().take(10).any(|line| line.contains(words)) {
            assert_eq!(ended.code, 4, "{}", ended.out);
            return ended.out;
        }
        assert!(Instant::now() < deadline, "{words} is not among: {}{}", ended.out, ended.error);
        std::thread::yield_now();
    }
}

#[test]
fn the_doctor_names_what_is_broken() {
    let (mut cluster, _) = operated(|options| {
        options.replication_factor = 2;
        options.proxied = true;
        options.gateway_arguments.extend(["--settings-drift-interval", "24h"].map(str::to_owned));
    });
    cluster.client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
    cluster.client.done("PUT", "/indexes/things/settings/stop-words", &json!(["a"]));
    let operator = Client::new(cluster.cluster.url()).with_key(ADMIN_KEY);
    let deadline = Instant::now() + SEEN_MAX;
    // Nodes join, and the settings are committed, a moment later.
    loop {
        let well = ctl(&cluster, &["doctor"]);
        let version = &operator.read("/_miroir/topology")["indexes"][0]["settingsVersion"];
        if is_well(&well) && version.as_u64() >= Some(1) {
            break;
        }
        assert!(Instant::now() < deadline, "{}{}", well.out, well.error);
        std::thread::yield_now();
    }
    cluster.cluster.proxy(1).unwrap().set(Trouble::Delay(Duration::from_millis(500)));
    finds(&cluster, "node n1 is slow");
    cluster.cluster.proxy(1).unwrap().set(Trouble::None);
    // Somebody changes settings on a node itself.
    let topology = operator.read("/_miroir/topology");
    let node_uid = topology["indexes"][0]["nodeUid"].as_str().unwrap();
    let node = Client::new(cluster.cluster.node(2).unwrap().url()).with_key("the-key-of-the-nodes");
    node.done("PUT", &format!("/indexes/{node_uid}/settings/stop-words"), &json!(["the"]));
    finds(&cluster, "settings drift: index things has other settings on n2");
    cluster.cluster.kill_node(0).unwrap();
    let said = finds(&cluster, "node n0 is");
    assert!(said.contains("does not answer"), "{said}");
    let health = ctl(&cluster, &["cluster", "health"]);
    assert!(health.code == 4 && health.out.contains("node n0 is"), "{}", health.out);
}

#[test]
fn the_doctor_names_a_wrong_key_of_the_nodes() {
    let (mut cluster, _) = operated(|_| {});
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.change_options(|options| options.node_master_key = Some("another-key".to_owned()));
    cluster.cluster.start_gateway_unready().unwrap();
    finds(&cluster, "node n0 refuses the gateway's key");
    cluster.cluster.kill_gateway().unwrap();
    let ended = ctl(&cluster, &["doctor"]);
    assert_eq!(ended.code, 4);
    assert!(ended.out.contains("does not answer") && ended.out.contains("systemctl status"), "{}", ended.out);
    let ended = ctl(&cluster, &["status"]);
    assert!(ended.code == 3 && ended.error.lines().count() == 1, "{}", ended.error);
}

#[test]
fn commands_do_what_they_say() {
    let (cluster, operator) = operated(|options| options.replication_factor = 2);
    for uid in ["products", "films"] {
        cluster.client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
    }
    let task =
        cluster.client.done("POST", "/indexes/products/documents", &json!([{"id": 7, "name": "shoe"}]));
    let run = |words: &str, code: i32, said: &str| {
        let words = words.split(' ').collect::<Vec<_>>();
        let ended = ctl(&cluster, &words);
        assert_eq!(ended.code, code, "{words:?}: {}{}", ended.out, ended.error);
        assert!(
            ended.out.contains(said) || ended.error.contains(said),
            "{words:?}: {}{}",
            ended.out,
            ended.error
        );
        ended.out
    };
    run("status", 0, "ready\n");
    run("cluster health", 0, "healthy\n");
    run("nodes list", 0, "n0    healthy  0      0      http://");
    run("shards list", 0, "group 0, 64 shards");
    run(&format!("task status {}", task["uid"]), 0, "succeeded");
    run("task status 999", 1, "Task `999` not found");
    run("writes list --stuck", 0, "TASK");
    run("writes fail --task 0 --reason x", 2, "give --yes");
    run("writes fail --task 0 --reason x --yes", 1, "it cannot be failed");
    run("writes fail --doc-id 7 --reason x --yes", 2, "--doc-id with --index");
    run("alias create shop products", 0, "shop");
    run("alias flip shop films --version 1", 0, "films");
    run("alias flip shop products --version 1", 1, "status 409");
    run("aliases list", 0, "single  films");
    run("ttl set products --sweep-interval 60", 0, "60s");
    run("ttl show products", 0, "yes");
    run("ttl show films", 1, "has no TTL policy");
    run("ttl delete products --yes", 0, "no policy any more");
    run("explain products --q shoe", 0, "64 of them");
    run("explain products --body [", 2, "it is no JSON");
    run("explain nothing --q shoe", 1, "not found");
    run("verify --index products", 0, "0 differ");
    run("anti-entropy verify --index products --shards 0-7", 0, ": 8 shards");
    run("anti-entropy verify --index products --shards 7-0", 1, "expected FIRST-LAST");
    run("anti-entropy run", 0, "0 failed");
    run("alias delete shop", 2, "give --yes");
    run("alias delete shop --yes", 0, "shop is deleted");
    let audit = run("audit --json --limit 3", 0, "DELETE /_miroir/aliases/{name}");
    let audit: Value = serde_json::from_str(&audit).unwrap();
    assert_eq!(audit, operator.read("/_miroir/audit?limit=3"));
    run("node lost", 2, "did you mean `miroir-ctl node list`?");
}
