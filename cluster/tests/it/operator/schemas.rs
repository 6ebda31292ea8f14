//! What `miroir-ctl` prints with `--json`, checked against the schema that scripts rely on.
//!
//! Invariant: every command there is has a definition, and is run; a new one fails this test until it has both.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::data::imports::small_dump;
use crate::operator::{Ended, ctl, operated};
use crate::support::{SingleNode, TestCluster};
use node::test_client::Client;

/// How long something may take to show.
const SEEN_MAX: Duration = Duration::from_secs(60);
const LOCATION: &str = "urn:miroir:ctl";

/// The schema, and the commands whose output was checked against it.
struct Checked {
    compiler: Compiler,
    schemas: Schemas,
    commands: Vec<String>,
    seen: BTreeSet<String>,
}

impl Checked {
    fn new() -> Self {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let schema = serde_json::from_str(ctl::JSON_SCHEMA).unwrap();
        compiler.add_resource(LOCATION, schema).unwrap();
        Self { compiler, schemas: Schemas::new(), commands: ctl::commands(), seen: BTreeSet::new() }
    }

    fn definition(&mut self, name: &str) -> SchemaIndex {
        let pointer = format!("{LOCATION}#/$defs/{}", name.replace(' ', "%20"));
        let compiled = self.compiler.compile(&pointer, &mut self.schemas);
        compiled.unwrap_or_else(|error| panic!("{name} has no sound schema: {error:#}"))
    }

    /// The command that the words begin with.
    fn command(&self, words: &[&str]) -> String {
        let is_meant =
            |name: &&String| name.split(' ').eq(words.iter().take(name.split(' ').count()).copied());
        self.commands.iter().find(is_meant).unwrap_or_else(|| panic!("{words:?} is no command")).clone()
    }

    /// Runs the words, which must end with one of these codes, and checks what they print.
    #[track_caller]
    fn run_to(&mut self, cluster: &TestCluster, words: &[&str], codes: &[i32]) -> Value {
        let name = self.command(words);
        let Ended { code, out, error } = ctl(cluster, &[words, &["--json"]].concat());
        assert!(codes.contains(&code), "{words:?}: {code} {out}{error}");
        let printed = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"));
        let schema = self.definition(&name);
        if let Err(error) = self.schemas.validate(&printed, schema) {
            panic!("{words:?} does not print what the schema says: {error:#}\n{out}");
        }
        self.seen.insert(name);
        printed
    }

    #[track_caller]
    fn run(&mut self, cluster: &TestCluster, words: &str) -> Value {
        self.run_to(cluster, &words.split(' ').collect::<Vec<_>>(), &[0])
    }

    /// Runs a command that has to be refused: it prints nothing to be read.
    #[track_caller]
    fn refused(&mut self, cluster: &TestCluster, words: &str, reason: &str) {
        let words = words.split(' ').collect::<Vec<_>>();
        let name = self.command(&words);
        let Ended { code, out, error } = ctl(cluster, &[&words[..], &["--json"]].concat());
        assert!(code == 1 && out.is_empty() && error.contains(reason), "{words:?}: {code} {out}{error}");
        self.definition(&name);
        self.seen.insert(name);
    }

    /// Runs the words until what they print is as wanted.
    #[track_caller]
    fn until(&mut self, cluster: &TestCluster, words: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SEEN_MAX;
        loop {
            let printed = self.run_to(cluster, &words.split(' ').collect::<Vec<_>>(), &[0, 1]);
            if is_wanted(&printed) {
                return printed;
            }
            assert!(Instant::now() < deadline, "{words}: {printed}");
            std::thread::yield_now();
        }
    }
}

/// A cluster in which every command has something to do, and a shadow of it.
fn start(dumps: &Path) -> (TestCluster, SingleNode) {
    let shadow = SingleNode::start();
    let (cluster, _) = operated(|options| {
        // Only embedded nodes can be stalled.
        (options.control, options.node_binary) = (true, None);
        (options.shards, options.no_sync) = (8, true);
        let mirrored = format!("name=next,url={},sample=1", shadow.client.base());
        let arguments = ["--allowed-ip-networks", "127.0.0.0/8", "--shadow", &mirrored];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
        options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "the-gateways-own".to_owned())];
        options.gateway_arguments.extend(["--tenant-affinity", "explicit", "--cdc", "on"].map(str::to_owned));
        options.gateway_arguments.extend(["--dump-dir".to_owned(), dumps.display().to_string()]);
    });
    for uid in ["films", "books"] {
        cluster.client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
    }
    let films = (0..50).map(|id| json!({"id": id, "title": format!("film {id}")})).collect::<Vec<_>>();
    cluster.client.done("POST", "/indexes/films/documents", &json!(films));
    (cluster, shadow)
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let dumps = tempfile::tempdir().unwrap();
    let (mut cluster, shadow) = start(dumps.path());
    let mut checked = Checked::new();
    look(&mut checked, &cluster);
    names_and_policies(&mut checked, &cluster);
    searches(&mut checked, &cluster);
    data(&mut checked, &cluster, &shadow);
    backups(&mut checked, &cluster);
    writes(&mut checked, &cluster);
    reshards(&mut checked, &cluster);
    shape(&mut checked, &mut cluster);
    stores(&mut checked, &mut cluster);
    let known = checked.commands.iter().cloned().collect::<BTreeSet<_>>();
    let missing = known.difference(&checked.seen).collect::<Vec<_>>();
    assert!(missing.is_empty(), "this test does not run {missing:?}");
}

/// What only looks.
fn look(checked: &mut Checked, cluster: &TestCluster) {
    for words in ["status", "cluster health", "node list", "node stats", "shards list", "task status 0"] {
        checked.run(cluster, words);
    }
    checked.run_to(cluster, &["doctor"], &[0, 4]);
    let idle = json!({"waiting": 0, "operation": null, "scheduleWindows": []});
    assert_eq!(checked.run(cluster, "rebalance status"), idle);
    for words in ["operations list", "writes list", "backup list", "anti-entropy status"] {
        checked.run(cluster, words);
    }
    checked.run(cluster, "verify --index films");
    checked.run(cluster, "anti-entropy verify --index films --shards 0-3");
    checked.run(cluster, "anti-entropy run");
    let history = checked.run(cluster, "anti-entropy history");
    assert_eq!(history["results"].as_array().unwrap().len(), 3, "{history}");
    assert!(checked.run(cluster, "anti-entropy status")["last"].is_object());
    for kind in ["bash", "zsh", "fish", "man"] {
        checked.run(cluster, &format!("completions {kind}"));
    }
}

fn names_and_policies(checked: &mut Checked, cluster: &TestCluster) {
    checked.run(cluster, "alias create shop films");
    checked.run(cluster, "alias create all films books");
    checked.run(cluster, "alias flip shop books");
    let listed = checked.run(cluster, "alias list");
    assert_eq!(listed["results"][1]["history"].as_array().unwrap().len(), 1, "{listed}");
    checked.run(cluster, "explain all --q film");
    checked.run(cluster, "alias delete shop --yes");
    checked.run(cluster, "alias delete all --yes");
    checked.run(cluster, "ttl set books --sweep-interval 60");
    checked.run(cluster, "ttl show books");
    checked.run(cluster, "ttl delete books --yes");
    let set = checked.run(cluster, "tenant set acme --group 0");
    assert_eq!(set, json!({"tenant": "acme", "group": 0}));
    let listed = checked.run(cluster, "tenant list");
    assert_eq!(listed["results"].as_array().unwrap().len(), 1, "{listed}");
    checked.run(cluster, "tenant delete acme");
    let rotated = checked.run(cluster, "ui rotate-jwt-secret");
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2, "{rotated}");
    let audit = checked.run(cluster, "audit --limit 5");
    assert_eq!(audit["results"].as_array().unwrap().len(), 5, "{audit}");
}

fn searches(checked: &mut Checked, cluster: &TestCluster) {
    checked.run(cluster, "explain films --q film");
    let executed = checked.run(cluster, "explain films --q film --execute");
    assert!(!executed["execution"]["legs"].as_array().unwrap().is_empty(), "{executed}");
    let canary = json!({"name": "few", "index": "films", "intervalSeconds": 1, "query": {"q": "film"},
        "assertions": [{"type": "min_hits", "value": 1000}]});
    let file = cluster.directory().join("canary.json");
    fs::write(&file, canary.to_string()).unwrap();
    checked.run_to(cluster, &["canary", "create", file.to_str().unwrap()], &[0]);
    checked.run(cluster, "canary list");
    let has_failed =
        |status: &Value| !status["results"][0]["runs"][0]["failures"].as_array().is_none_or(Vec::is_empty);
    checked.until(cluster, "canary status", has_failed);
    checked.run(cluster, "canary capture films --count 1 --prefix seen");
    checked.run(cluster, "canary delete few");
    cluster.client.search("films", &json!({"q": "film"}));
    // The shadow has no such index, so each search differs.
    checked.until(cluster, "shadow diff", |diffs| {
        diffs["results"].as_array().is_some_and(|diffs| !diffs.is_empty())
    });
}

/// What comes in and goes out, and what rolls over.
fn data(checked: &mut Checked, cluster: &TestCluster, other: &SingleNode) {
    let policy = json!({"name": "logs", "writeAlias": "logs", "readAlias": "all-logs", "pattern": "logs-{NNN}",
        "triggers": {"maxDocs": 10}, "retention": {"keepIndexes": 2}, "template": {"primaryKey": "id"}});
    let file = cluster.directory().join("policy.json");
    fs::write(&file, policy.to_string()).unwrap();
    checked.run_to(cluster, &["rollover", "create", file.to_str().unwrap()], &[0]);
    checked.until(cluster, "rollover list", |policies| policies["results"][0]["phase"] == "resting");
    checked.run(cluster, "rollover run logs --dry-run");
    assert_eq!(checked.run(cluster, "rollover run logs --watch")["status"], "succeeded");
    checked.run(cluster, "rollover delete logs --yes");
    let told = checked.run(cluster, "cdc tail --since 0 --limit 1");
    assert_eq!(told["results"][0]["index"], "films", "{told}");
    checked.run(cluster, "cdc sinks");
    let file = cluster.directory().join("small.dump");
    fs::write(&file, small_dump()).unwrap();
    let words = ["dump", "import", file.to_str().unwrap(), "--watch"];
    let imported = checked.run_to(cluster, &words, &[0]);
    assert_eq!(imported["dump"]["indexes"]["small"]["documents"], 3, "{imported}");
    checked.run(cluster, "dump status");
    checked.run(cluster, &format!("dump status {}", imported["operation"]));
    other.client.done("POST", "/indexes", &json!({"uid": "copied", "primaryKey": "id"}));
    other.client.done("POST", "/indexes/copied/documents", &json!([{"id": 1}]));
    let copied = checked.run(cluster, &format!("migrate --from {}", other.client.base()));
    assert_eq!(copied["indexes"][0]["documents"], 1, "{copied}");
}

fn backups(checked: &mut Checked, cluster: &TestCluster) {
    assert_eq!(checked.run(cluster, "backup status"), Value::Null);
    let begun = checked.run(cluster, "backup create --index books");
    assert!(begun["backup"].is_string(), "{begun}");
    checked.run(cluster, &format!("operations show {} --watch", begun["operation"]));
    let made = checked.run(cluster, "backup create --index films --watch");
    assert_eq!(made["status"], "succeeded", "{made}");
    let newest = checked.run(cluster, "backup status");
    let id = newest["id"].as_str().unwrap();
    assert_eq!(newest["manifest"]["indexes"][0]["documents"], 50, "{newest}");
    checked.run(cluster, &format!("backup status {id}"));
    checked.run(cluster, &format!("backup verify {id}"));
    assert_eq!(checked.run(cluster, "backup list")["results"].as_array().unwrap().len(), 2);
    cluster.client.done("DELETE", "/indexes/films", &Value::Null);
    let restored = checked.run(cluster, &format!("backup restore {id} --watch"));
    assert_eq!((&restored["kind"], &restored["status"]), (&json!("restore"), &json!("succeeded")));
}

/// Sets the faults of a node.
fn fault(cluster: &TestCluster, number: usize, faults: &Value) {
    let control = Client::new(cluster.cluster.node(number).unwrap().control().unwrap());
    control.post("/faults", faults);
}

fn writes(checked: &mut Checked, cluster: &TestCluster) {
    (0..3).for_each(|number| fault(cluster, number, &json!({"stall_tasks": true})));
    let (_, summary) =
        cluster.client.call("POST", "/indexes/films/documents", &json!([{"id": 7, "title": "x"}]));
    let uid = summary["taskUid"].as_u64().unwrap();
    let listed = checked.run(cluster, "writes list --index films --doc-id 7");
    assert_eq!(listed["results"][0]["uid"], uid, "{listed}");
    let ended = checked.run(cluster, &format!("writes fail --task {uid} --reason late --yes"));
    assert_eq!(ended["status"], "failed", "{ended}");
    checked.run_to(cluster, &["task", "status", &uid.to_string()], &[1]);
    (0..3).for_each(|number| fault(cluster, number, &json!({})));
}

/// An index gets another number of shards, and its old one back.
fn reshards(checked: &mut Checked, cluster: &TestCluster) {
    checked.run(cluster, "reshard simulate --index books --new-shards 16");
    checked.run(cluster, "reshard check-window");
    let start = "reshard start --index books --new-shards 16 --manual-cutover";
    checked.run(cluster, start);
    let waits = checked.run(cluster, "reshard watch");
    assert_eq!((&waits["status"], &waits["phase"]), (&json!("paused"), &json!("CutoverBegin")));
    checked.run(cluster, "reshard stats");
    checked.run_to(cluster, &["reshard", "abort", "--yes"], &[0, 1]);
    let ended = checked.until(cluster, "reshard watch", |ended| ended["status"] == "aborted");
    assert_eq!(ended["index"], "books", "{ended}");
    // With a document a second there is time to steer it.
    checked.run(cluster, "reshard start --index films --new-shards 16 --throttle 1");
    checked.until(cluster, "reshard stats", |shown| shown["stats"]["phase"] == "Backfill");
    checked.run(cluster, "reshard pause");
    checked.until(cluster, "reshard stats", |shown| shown["stats"]["status"] == "paused");
    checked.run(cluster, "reshard resume");
    checked.run_to(cluster, &["reshard", "abort", "--yes"], &[0, 1]);
    checked.until(cluster, "reshard watch", |ended| ended["status"] == "aborted");
    checked.run(cluster, "reshard start --index books --new-shards 16 --watch");
    checked.run(cluster, "reshard cutover");
    let status = checked.run(cluster, "reshard status --index books");
    assert_eq!((&status["shards"], &status["kept"]["shards"]), (&json!(16), &json!(8)), "{status}");
    checked.run(cluster, "routing test --index books --samples 10");
    let reverted = checked.run(cluster, "routing revert --index books --watch --yes");
    assert_eq!(reverted["kind"], "revertReshard", "{reverted}");
}

/// Nodes and groups come and go.
fn shape(checked: &mut Checked, cluster: &mut TestCluster) {
    let mut spare = || {
        let number = cluster.cluster.start_spare_node().unwrap();
        (number, cluster.cluster.node(number).unwrap().url())
    };
    let ((third, third_url), (_, fourth_url), (_, fifth_url), (_, last_url)) =
        (spare(), spare(), spare(), spare());
    // A node that does nothing holds up its own arrival, so that there is something to steer.
    fault(cluster, third, &json!({"stall_tasks": true}));
    checked.run(cluster, &format!("node add n3 {third_url} --dry-run"));
    let number = checked.run(cluster, &format!("node add n3 {third_url}"))["operation"].clone();
    checked.run(cluster, "rebalance status");
    assert_eq!(checked.run(cluster, &format!("operations pause {number}"))["status"], "paused");
    checked.run(cluster, &format!("operations resume {number}"));
    checked.refused(cluster, &format!("operations cutover {number}"), "it cuts over by itself");
    checked.run_to(cluster, &["operations", "abort", &number.to_string(), "--yes"], &[0, 1]);
    fault(cluster, third, &json!({}));
    let ended = checked.run_to(cluster, &["operations", "show", &number.to_string(), "--watch"], &[1]);
    assert_eq!(ended["status"], "aborted", "{ended}");
    let done = |checked: &mut Checked, words: &str| {
        let ended = checked.run(cluster, &format!("{words} --watch --yes"));
        assert_eq!(ended["status"], "succeeded", "{words}: {ended}");
    };
    done(checked, &format!("node add n4 {fourth_url}"));
    checked.run(cluster, "node drain n0 --dry-run");
    done(checked, "node drain n0");
    done(checked, "node remove n0");
    done(checked, &format!("node replace n1 n5 {fifth_url}"));
    checked.run(cluster, "rebalance start --dry-run");
    done(checked, "rebalance start");
    done(checked, &format!("group add 1 --node m0={last_url}"));
    done(checked, "group remove 1");
    let listed = checked.run(cluster, "operations list --limit 3");
    assert_eq!(listed["results"].as_array().unwrap().len(), 3, "{listed}");
}

/// The store, which no gateway may have open.
fn stores(checked: &mut Checked, cluster: &mut TestCluster) {
    cluster.cluster.kill_gateway().unwrap();
    let unreachable = checked.run_to(cluster, &["doctor"], &[4]);
    assert!(unreachable["seen"].is_null(), "{unreachable}");
    let (from, to) = (cluster.directory().join("gateway"), cluster.directory().join("moved"));
    let file = cluster.directory().join("store.jsonl");
    let [from, to] = [from, to].map(|folder| format!("sled:{}", folder.display()));
    let file = file.to_str().unwrap();
    let exported = checked.run_to(cluster, &["store", "export", "--store", &from, file], &[0]);
    let imported = checked.run_to(cluster, &["store", "import", "--store", &to, file], &[0]);
    assert_eq!(exported, imported);
}
