//! Anti-entropy: after any change to one copy behind the gateway's back, one pass makes all copies equal and right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::cluster::ClusterOptions;
use serde_json::{Map, Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

/// The expected documents by id, without reserved fields.
type Documents = BTreeMap<String, Value>;

const EMBEDDER: &str = "given";

/// A cluster with an index of numbered things, and its expected content.
struct Things {
    cluster: TestCluster,
    right: Documents,
}

impl Things {
    fn start(change: impl FnOnce(&mut ClusterOptions)) -> Self {
        let cluster = TestCluster::start(change);
        let client = &cluster.client;
        client.done("POST", "/indexes", &json!({"uid": "things", "primaryKey": "id"}));
        client.done("PATCH", "/indexes/things/settings", &json!({"filterableAttributes": ["kind"]}));
        let mut things = Self { cluster, right: Documents::new() };
        things.add(
            (0..400).map(|id| json!({"id": id, "kind": id % 4, "name": format!("thing {id}")})).collect(),
        );
        things
    }

    fn client(&self) -> &Client {
        &self.cluster.client
    }

    fn add(&mut self, documents: Vec<Value>) {
        self.client().done("POST", "/indexes/things/documents", &json!(documents));
        self.right.extend(documents.into_iter().map(|document| (key(&document), document)));
    }

    /// The name of the index on the nodes.
    fn node_uid(&self) -> String {
        let topology = self.client().read("/_miroir/topology");
        let mut indexes = topology["indexes"].as_array().unwrap().iter();
        let things = indexes.find(|index| index["uid"] == "things").unwrap();
        things["nodeUid"].as_str().unwrap().to_owned()
    }

    fn node(&self, number: usize) -> Client {
        Client::new(self.cluster.cluster.node(number).unwrap().url()).with_key("the-key-of-the-nodes")
    }

    /// Changes one copy without the gateway's knowledge.
    fn tamper(&self, node: usize, method: &str, suffix: &str, body: &Value) {
        self.node(node).done(method, &format!("/indexes/{}/documents{suffix}", self.node_uid()), body);
    }

    /// The documents on a node, by id, as stored there.
    fn held(&self, node: usize) -> Documents {
        let target = format!("/indexes/{}/documents/fetch", self.node_uid());
        let page = self.node(node).post(&target, &json!({"limit": 100_000, "retrieveVectors": true}));
        let documents = page["results"].as_array().unwrap().iter();
        documents.map(|document| (key(document), document.clone())).collect()
    }

    fn nodes(&self) -> usize {
        self.client().read("/_miroir/topology")["nodes"].as_array().unwrap().len()
    }

    /// The nodes that have a copy of a document.
    fn holders(&self, id: &str) -> Vec<usize> {
        (0..self.nodes()).filter(|node| self.held(*node).contains_key(id)).collect()
    }

    fn wait_until_healthy(&self, id: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let state = || {
            let topology = self.client().read("/_miroir/topology");
            let node = topology["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).cloned();
            node.unwrap()["state"].clone()
        };
        while state() != "healthy" {
            assert!(Instant::now() < deadline, "{id} is {}", state());
            std::thread::yield_now();
        }
    }

    fn pass(&self) -> Value {
        self.ask_pass(&json!({}))
    }

    fn ask_pass(&self, body: &Value) -> Value {
        let (status, asked) = self.client().call("POST", "/_miroir/anti-entropy", body);
        assert_eq!(status, 202, "{asked}");
        loop {
            let seen = self.client().read("/_miroir/anti-entropy");
            if seen["last"]["number"] == asked["pass"] {
                return seen["last"]["report"].clone();
            }
            std::thread::yield_now();
        }
    }

    /// Checks that every copy of every document has the right content on the right node.
    fn check_level(&self) {
        let shards = self.client().read("/_miroir/shards");
        let mut copies = 0;
        for node in 0..self.nodes() {
            let id = format!("n{node}");
            for (key, document) in self.held(node) {
                let shard = router_shard(&document, &shards);
                let owners = shards["placements"][0]["groups"].as_array().unwrap().iter();
                let mut owners = owners.flat_map(|group| group["owners"][shard].as_array().unwrap());
                assert!(owners.any(|owner| *owner == id), "{key} stands on {id}: {document}");
                assert_eq!(Some(&bare(document)), self.right.get(&key), "{key} on {id}");
                copies += 1;
            }
        }
        let topology = self.client().read("/_miroir/topology");
        let factor = usize::try_from(topology["replicationFactor"].as_u64().unwrap()).unwrap();
        let groups = shards["placements"][0]["groups"].as_array().unwrap().len();
        assert_eq!(copies, self.right.len() * factor * groups, "every copy is there");
    }
}

fn key(document: &Value) -> String {
    let key = &document["id"];
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

/// The document as the client sent it.
fn bare(document: Value) -> Value {
    let Value::Object(members) = document else { panic!("{document} is no document") };
    let kept = members
        .into_iter()
        .filter(|(name, value)| !(name.starts_with("_miroir_") || name == "_vectors" && *value == json!({})));
    Value::Object(kept.collect::<Map<_, _>>())
}

/// The shard in a stored document's marker.
fn router_shard(document: &Value, shards: &Value) -> usize {
    let marker = document["_miroir_shard"].as_str().unwrap_or_else(|| panic!("{document} has no shard"));
    let digit = |character| ",.:;".find(character).unwrap();
    let shard = marker.chars().fold(0, |number, character| number * 4 + digit(character));
    assert!(shard < usize::try_from(shards["placements"][0]["shards"].as_u64().unwrap()).unwrap());
    shard
}

fn two_copies(options: &mut ClusterOptions) {
    options.replication_factor = 2;
    options.shards = 16;
}

fn three_copies(options: &mut ClusterOptions) {
    options.replication_factor = 3;
    options.shards = 16;
}

fn two_groups(options: &mut ClusterOptions) {
    (options.nodes, options.groups, options.shards) = (4, 2, 16);
}

/// Tests every kind of change to one copy.
fn one_tampered_copy(change: impl FnOnce(&mut ClusterOptions)) {
    let mut things = Things::start(change);
    // Documents newer than the first write are right too.
    things.add((100..110).map(|id| json!({"id": id, "kind": "newer"})).collect());
    assert_eq!(things.pass()["differing"], 0, "nothing differs yet");
    things.check_level();
    let held = things.held(0);
    let victims = held.iter().filter(|(_, document)| document["kind"].is_u64()).take(60);
    let victims = victims.map(|(_, document)| document.clone()).collect::<Vec<_>>();
    for (position, victim) in victims.iter().enumerate() {
        let mut document = victim.clone();
        let members = document.as_object_mut().unwrap();
        members.remove("_vectors");
        members.insert("name".to_owned(), json!("tampered"));
        match position % 6 {
            0 => things.tamper(0, "POST", "/delete-batch", &json!([victim["id"]])),
            // With the original marker and timestamp.
            1 => things.tamper(0, "POST", "", &json!([document])),
            2 => things.tamper(0, "PUT", "", &json!([{"id": victim["id"], "name": "tampered"}])),
            // Without the fields that the gateway adds.
            3 => things.tamper(0, "POST", "", &json!([{"id": victim["id"], "name": "tampered"}])),
            // An additional document in the same shard.
            4 => {
                members.insert("id".to_owned(), json!(format!("new-{position}")));
                members.remove("_miroir_updated_at");
                let id = (0..).map(|number| format!("new-{number}")).find(|id| {
                    let shard = router_shard(victim, &things.client().read("/_miroir/shards"));
                    shard_of(id, 16) == shard
                });
                members.insert("id".to_owned(), json!(id.unwrap()));
                things.tamper(0, "POST", "", &json!([document]));
            }
            // An additional document in no shard.
            _ => things.tamper(0, "POST", "", &json!([{"id": format!("odd-{position}")}])),
        }
    }
    let found = things.ask_pass(&json!({"dryRun": true, "index": "things"}));
    assert!(found["differing"].as_u64().unwrap() >= 50, "{found}");
    let report = things.pass();
    assert_eq!((&report["failed"], &report["undecided"]), (&json!(0), &json!(0)), "{report}");
    things.check_level();
    let again = things.pass();
    assert_eq!((&again["differing"], &again["strays"]), (&json!(0), &json!(0)), "{again}");
    things.check_level();
}

/// The shard of an id, as the gateway computes it.
fn shard_of(id: &str, shards: u64) -> usize {
    usize::try_from(xxhash_rust::xxh3::xxh3_64(id.as_bytes()) % shards).unwrap()
}

#[test]
fn one_tampered_copy_of_two() {
    one_tampered_copy(two_copies);
}

#[test]
fn one_tampered_copy_of_three() {
    one_tampered_copy(three_copies);
}

#[test]
fn one_tampered_copy_in_one_of_two_groups() {
    one_tampered_copy(two_groups);
}

#[test]
fn a_deletion_that_a_copy_missed_is_not_undone() {
    let mut things = Things::start(two_copies);
    let before = things.held(1);
    let kept = |document: &Value| document["kind"] == 3;
    let (by_id, by_filter) = (json!([0, 4, 8, 12]), json!({"filter": "kind = 1"}));
    things.client().done("POST", "/indexes/things/documents/delete-batch", &by_id);
    things.client().done("POST", "/indexes/things/documents/delete", &by_filter);
    things
        .right
        .retain(|_, document| !by_id.as_array().unwrap().contains(&document["id"]) && document["kind"] != 1);
    things.check_level();
    // The copy looks as if it had missed the deletions, and something else that was no deletion.
    let returned = before.values().filter(|document| !kept(document)).cloned().collect::<Vec<_>>();
    things.tamper(1, "POST", "", &json!(returned));
    things.cluster.cluster.kill_gateway().unwrap();
    things.cluster.cluster.start_gateway().unwrap();
    let report = things.pass();
    let gone = before.values().filter(|document| !things.right.contains_key(&key(document))).count();
    assert_eq!(report["deleted"], gone, "{report}");
    things.check_level();
    // A document written again after its deletion stays.
    things.add(vec![json!({"id": 0, "kind": "again"}), json!({"id": 1, "kind": "again"})]);
    things.pass();
    things.check_level();
}

#[test]
fn vectors_are_repaired_and_kept() {
    let mut things = Things::start(two_copies);
    things.client().done("DELETE", "/indexes/things/documents", &Value::Null);
    things.right.clear();
    let embedders = json!({"embedders": {EMBEDDER: {"source": "userProvided", "dimensions": 2}}});
    things.client().done("PATCH", "/indexes/things/settings", &embedders);
    let given = |numbers: [f32; 2]| json!({EMBEDDER: {"embeddings": [numbers], "regenerate": false}});
    let with = |id: u16| json!({"id": id, "_vectors": given([0.1, f32::from(id)])});
    things.add((0..20).map(with).collect());
    let without = |id: i32| json!({"id": id, "_vectors": {EMBEDDER: null}});
    things.client().done("POST", "/indexes/things/documents", &(20..30).map(without).collect());
    let held = things.held(0);
    things.right.extend(
        held.iter()
            .filter(|(_, held)| held["id"].as_u64().unwrap() >= 20)
            .map(|(id, held)| (id.clone(), bare(held.clone()))),
    );
    let elsewhere = things.held(1).into_iter().chain(things.held(2));
    let elsewhere = elsewhere.filter(|(_, held)| held["id"].as_u64().unwrap() >= 20);
    things.right.extend(elsewhere.map(|(id, held)| (id, bare(held))).collect::<Vec<_>>());
    assert_eq!(things.pass()["differing"], 0);
    things.check_level();
    let changed = held.values().map(|document| {
        let vectors = if document["id"].as_u64().unwrap().is_multiple_of(2) {
            given([7.0, 7.0])
        } else {
            json!({EMBEDDER: null})
        };
        json!({"id": document["id"], "_vectors": vectors})
    });
    let changed = changed.collect::<Vec<_>>();
    things.tamper(0, "PUT", "", &json!(changed));
    things.pass();
    things.check_level();
}

#[test]
fn a_wiped_node_becomes_what_it_was() {
    let mut things = Things::start(two_copies);
    let settings =
        json!({"stopWords": ["the"], "synonyms": {"one": ["1"]}, "pagination": {"maxTotalHits": 50}});
    things.client().done("PATCH", "/indexes/things/settings", &settings);
    things.client().done("POST", "/indexes", &json!({"uid": "empty"}));
    let target = format!("/indexes/{}/settings", things.node_uid());
    let before = things.node(1).read(&target);
    things.cluster.cluster.kill_node(1).unwrap();
    std::fs::remove_dir_all(things.cluster.directory().join("node-1")).unwrap();
    things.cluster.cluster.start_node(1).unwrap();
    let index = format!("/indexes/{}", things.node_uid());
    let deadline = Instant::now() + Duration::from_secs(60);
    while things.node(1).get(&index).0 != 200 {
        assert!(Instant::now() < deadline, "nobody has noticed that it lost its data");
        std::thread::yield_now();
    }
    things.wait_until_healthy("n1");
    things.check_level();
    assert_eq!(things.node(1).read(&target), before);
    let names = things.node(1).read("/indexes");
    let names = names["results"].as_array().unwrap().iter().map(|index| index["uid"].as_str().unwrap());
    let names = names.collect::<Vec<_>>();
    assert!(names.iter().any(|name| name.starts_with("empty-")), "{names:?}");
    // An index named like the gateway's own that it has not created, and a foreign one.
    for uid in ["ghost-7777", "somebodys"] {
        things.node(1).done("POST", "/indexes", &json!({"uid": uid}));
    }
    let report = things.ask_pass(&json!({"node": "n1"}));
    assert_eq!((&report["failed"], &report["undecided"]), (&json!(0), &json!(0)), "{report}");
    while things.node(1).get("/indexes/ghost-7777").0 == 200 {
        std::thread::yield_now();
    }
    assert_eq!(things.node(1).get("/indexes/somebodys").0, 200);
    assert_eq!(things.client().call("POST", "/_miroir/anti-entropy", &json!({"node": "n9"})).0, 400);
    assert_eq!(things.pass()["differing"], 0);
}

/// Two of three nodes lose their data at once: what only they had is gone, what the third has comes back, and nobody
/// waits for ever.
#[test]
fn nodes_that_are_each_the_others_only_source_come_back() {
    let mut things = Things::start(|options| {
        options.nodes = 3;
        options.replication_factor = 2;
    });
    let left = things.held(2).into_keys().collect::<Vec<_>>();
    assert!((1..400).contains(&left.len()), "{}", left.len());
    things.right.retain(|id, _| left.contains(id));
    for number in [0, 1] {
        things.cluster.cluster.kill_node(number).unwrap();
        std::fs::remove_dir_all(things.cluster.directory().join(format!("node-{number}"))).unwrap();
    }
    for number in [0, 1] {
        things.cluster.cluster.start_node(number).unwrap();
    }
    let index = format!("/indexes/{}", things.node_uid());
    let deadline = Instant::now() + Duration::from_secs(60);
    for number in [0, 1] {
        while things.node(number).get(&index).0 != 200 {
            assert!(Instant::now() < deadline, "nobody has noticed that n{number} lost its data");
            std::thread::yield_now();
        }
    }
    for id in ["n0", "n1"] {
        things.wait_until_healthy(id);
    }
    things.check_level();
    assert_eq!(things.pass()["differing"], 0);
    let found = things.client().post("/indexes/things/search", &json!({"limit": 1000}));
    assert_eq!(found["hits"].as_array().unwrap().len(), left.len());
}

#[test]
fn the_command_line_finds_differences_and_repairs_them() {
    let things = Things::start(|options| {
        two_copies(options);
        options.gateway_arguments.extend(["--admin-key", "the-admins-key"].map(str::to_owned));
    });
    let run = |key: &str, words: &[&str]| {
        let address = things.cluster.cluster.url().replace("http://", "");
        let mut command = std::process::Command::new(crate::support::PROGRAM);
        command.args(["role-ctl", "--url", &address]).args(words).env("MIROIR_ADMIN_API_KEY", key);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text, String::from_utf8(output.stderr).unwrap())
    };
    let key = "the-admins-key";
    let (code, _, said) = run("wrong", &["status"]);
    assert!(code == 1 && said.contains("401"), "{said}");
    let (code, text, _) = run(key, &["status"]);
    assert!(code == 0 && text.starts_with("ready") && text.contains("n2 "), "{text}");
    assert_eq!(run(key, &["anti-entropy", "verify"]).0, 0);
    let topology = run(key, &["--json", "node", "list"]).1;
    let topology = serde_json::from_str::<Value>(&topology).unwrap();
    let node_uid = topology["indexes"][0]["nodeUid"].as_str().unwrap();
    let gone: Vec<i32> = (0..400).collect();
    things.node(0).done("POST", &format!("/indexes/{node_uid}/documents/delete-batch"), &json!(gone));
    assert_eq!(run(key, &["anti-entropy", "verify", "--index", "things"]).0, 1);
    let (code, text, _) = run(key, &["anti-entropy", "run"]);
    assert!(code == 0 && text.contains(" 0 failed"), "{text}");
    assert_eq!(run(key, &["anti-entropy", "verify"]).0, 0);
    let (code, text, _) = run(key, &["anti-entropy", "history"]);
    assert!(code == 0 && text.lines().count() == 4, "{text}");
    assert_eq!(run(key, &["shards", "list"]).1.lines().count(), 17);
    assert_eq!(run(key, &["dance"]).0, 2);
}

#[test]
fn passes_are_remembered_and_asked_for_in_words_that_are_understood() {
    let things = Things::start(two_copies);
    let report = things.pass();
    assert_eq!((&report["shards"], &report["compared"]), (&json!(16), &json!(800)), "{report}");
    let history = things.client().read("/_miroir/anti-entropy/history");
    assert_eq!(history["results"][0]["report"], report);
    assert_eq!(history["results"][0]["whole"], true);
    for (body, status, code) in
        [(json!({"index": "nope"}), 404, "index_not_found"), (json!({"pace": 1}), 400, "bad_request")]
    {
        let (seen, answer) = things.client().call("POST", "/_miroir/anti-entropy", &body);
        assert_eq!((seen, &answer["code"]), (status, &json!(code)), "{answer}");
    }
    assert!(things.holders("5").len() == 2);
}

/// The ended passes by themselves, oldest first, once there are so many.
fn periodic_passes(things: &Things, least: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let history = things.client().read("/_miroir/anti-entropy/history");
        let ended = history["results"].as_array().unwrap().iter().rev();
        let periodic = ended.filter(|pass| pass["periodic"] == true).cloned().collect::<Vec<_>>();
        if periodic.len() >= least {
            return periodic;
        }
        assert!(Instant::now() < deadline, "{history}");
        std::thread::yield_now();
    }
}

#[test]
fn a_pass_may_do_a_few_shards_and_the_next_goes_on_there() {
    let things = Things::start(|options| {
        (options.nodes, options.replication_factor, options.shards) = (3, 2, 8);
        let arguments = ["--anti-entropy-interval", "100ms", "--anti-entropy-shards-per-pass", "3"];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
    });
    // A round is three passes: of three shards, three, and the two that are left.
    let passes = periodic_passes(&things, 8);
    let is_end = |pass: &Value| pass["stoppedAt"].is_null();
    let first = passes.iter().position(is_end).unwrap();
    let next = passes.iter().skip(first + 1).position(is_end).unwrap();
    let round = &passes[first + 1..=first + 1 + next];
    let shards = round.iter().map(|pass| pass["report"]["shards"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(shards, [3, 3, 2], "{passes:?}");
    let documents = round.iter().map(|pass| pass["report"]["compared"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(documents, 2 * 400, "{passes:?}");
    assert!(round.iter().map(|pass| pass["whole"] == true).eq([false, false, true]), "{passes:?}");
    assert_eq!(round[2]["round"]["clock"], round[0]["clock"], "{passes:?}");
}

#[test]
fn a_pass_by_itself_repairs_only_where_it_may() {
    let things = Things::start(|options| {
        (options.nodes, options.replication_factor, options.shards) = (3, 2, 8);
        let arguments = ["--anti-entropy-interval", "100ms", "--anti-entropy-auto-repair", "off"];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
        let reads =
            ["--anti-entropy-max-read-concurrency", "1", "--anti-entropy-fingerprint-batch-size", "7"];
        options.gateway_arguments.extend(reads.map(str::to_owned));
    });
    let holder = things.holders("7")[0];
    things.tamper(holder, "DELETE", "/7", &Value::Null);
    let seen = periodic_passes(&things, 1).len();
    let passes = periodic_passes(&things, seen + 2);
    let last = passes.last().unwrap();
    assert_eq!((&last["dryRun"], &last["report"]["differing"]), (&json!(true), &json!(1)), "{last}");
    assert!(!things.held(holder).contains_key("7"));
    // An operator's pass repairs all the same.
    things.pass();
    things.check_level();
}
