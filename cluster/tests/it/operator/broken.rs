//! What an operator types when something is broken that takes long to show: clocks, hints, stuck tasks, a store that
//! is away, two operators at once, a pod that leads nothing.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::operator::{
    Ended, ctl, ctl_at, operated,
    tools::{finds, finds_at, is_well},
};
use crate::pods::coordination::Pods;
use crate::support::{PROGRAM, TestCluster};
use node::test_client::Client;

/// How long a command may take to work again.
const WORKS_MAX: Duration = Duration::from_secs(60);

#[test]
fn the_doctor_names_a_clock_that_is_wrong_and_a_hint_log_that_is_full() {
    let (mut cluster, operator) = operated(|options| {
        options.replication_factor = 2;
        (options.control, options.node_binary) = (true, None);
        options.gateway_arguments.extend(["--hint-limit", "4kB"].map(str::to_owned));
    });
    cluster.client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let control = Client::new(cluster.cluster.node(1).unwrap().control().unwrap());
    control.post("/faults", &json!({"clock_skew_ms": 3_630_000}));
    let said = finds(&cluster, "the clock of node n1 is 1h 0m ahead of the gateway's");
    assert!(said.contains("start chrony or ntpd"), "{said}");
    control.post("/faults", &json!({"clock_skew_ms": -3_630_000}));
    finds(&cluster, "the clock of node n1 is 1h 0m behind the gateway's");
    control.post("/faults", &json!({}));

    cluster.cluster.kill_node(2).unwrap();
    let films = (0..200).map(|id| json!({"id": id, "title": "a film that node n2 misses"}));
    cluster.client.call("POST", "/indexes/films/documents", &films.collect::<Vec<_>>().into());
    let said = finds(&cluster, "node n2 missed more than its hint log holds, and needs a whole copy");
    assert!(said.contains("--hint-limit"), "{said}");
    // It comes back, is copied anew, and nothing is wrong any more.
    cluster.cluster.start_node(2).unwrap();
    until_well(&cluster);
    assert_eq!(operator.read("/_miroir/topology")["nodes"][2]["hints"]["copyNeeded"], false);
}

/// Waits until the doctor finds nothing.
#[track_caller]
fn until_well(cluster: &TestCluster) {
    let deadline = Instant::now() + WORKS_MAX;
    loop {
        let ended = ctl(cluster, &["doctor"]);
        if is_well(&ended) {
            return;
        }
        assert!(Instant::now() < deadline, "{}{}", ended.out, ended.error);
        thread::yield_now();
    }
}

/// Runs `miroir-ctl store`, which must succeed.
fn store(verb: &str, store: &str, file: &str) {
    let output =
        Command::new(PROGRAM).args(["role-ctl", "store", verb, "--store", store, file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a task that has not ended older, in the store of a gateway that does not run.
fn age(cluster: &TestCluster, uid: u64) {
    let (folder, file) = (cluster.directory().join("gateway"), cluster.directory().join("export.jsonl"));
    let (location, name) = (format!("sled:{}", folder.display()), file.to_str().unwrap());
    store("export", &location, name);
    let text = fs::read_to_string(&file).unwrap();
    let mut aged = 0;
    let lines = text.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if let Some(task) = value.get_mut("task").filter(|task| task["uid"] == uid) {
            assert!(task["enqueued_at"].is_string(), "{task}");
            task["enqueued_at"] = json!("2026-01-01T00:00:00Z");
            aged += 1;
        }
        value.to_string()
    });
    let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(aged, 1, "task {uid} is not in {text}");
    fs::write(&file, lines).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    store("import", &location, name);
}

#[test]
fn the_doctor_names_a_stuck_task_and_the_command_that_ends_it() {
    let (mut cluster, _) = operated(|options| (options.control, options.node_binary) = (true, None));
    cluster.client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let control = (0..3).map(|number| Client::new(cluster.cluster.node(number).unwrap().control().unwrap()));
    let control = control.collect::<Vec<_>>();
    for node in &control {
        node.post("/faults", &json!({"stall_tasks": true}));
    }
    let (status, task) = cluster.client.call("POST", "/indexes/films/documents", &json!([{"id": 7}]));
    assert_eq!(status, 202, "{task}");
    let uid = task["taskUid"].as_u64().unwrap();
    // It is stuck once it is minutes old.
    cluster.cluster.kill_gateway().unwrap();
    age(&cluster, uid);
    cluster.cluster.start_gateway().unwrap();
    let said =
        finds(&cluster, &format!("task {uid} is stuck: documentAdditionOrUpdate of films waits for n"));
    let stuck = ctl(&cluster, &["writes", "list", "--stuck"]);
    assert!(
        stuck.code == 1 && stuck.out.contains("documentAdditionOrUpdate"),
        "{}{}",
        stuck.out,
        stuck.error
    );
    // The command that the doctor names ends it.
    let command = format!("miroir-ctl writes fail --task {uid}");
    assert!(said.contains(&command), "{said}");
    let words = format!("{} --reason stalled --yes", command.trim_start_matches("miroir-ctl "));
    let ended = ctl(&cluster, &words.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{}", ended.error);
    for node in &control {
        node.post("/faults", &json!({}));
    }
    until_well(&cluster);
    assert_eq!(ctl(&cluster, &["writes", "list", "--stuck"]).code, 0);
}

#[test]
fn the_doctor_names_a_store_that_is_away_and_any_pod_does_what_is_asked() {
    let pods = Pods::start_with(true, |options| {
        let folder = options.data.join("backups").display().to_string();
        options.gateway_arguments.extend(["--backup-dir".to_owned(), folder]);
    });
    let urls = pods.urls();
    let run = |pod: usize, words: &str| ctl_at(&urls[pod], "admin", &words.split(' ').collect::<Vec<_>>());
    Client::new(urls[0].clone()).with_key("master").done(
        "POST",
        "/indexes",
        &json!({"uid": "films", "primaryKey": "id"}),
    );
    // Whichever pod leads, each of them takes commands, and what one did the others show.
    for pod in 0..3 {
        let alias = format!("alias create from-{pod} films");
        let deadline = Instant::now() + WORKS_MAX;
        while run(pod, &alias).code != 0 {
            assert!(Instant::now() < deadline, "pod {pod} does not know the index");
            thread::yield_now();
        }
        let made = run(pod, "backup create --index films --watch");
        assert!(made.code == 0 && made.out.contains("succeeded"), "{}{}", made.out, made.error);
    }
    for pod in 0..3 {
        pods.until(pod, "/_miroir/aliases", |aliases| {
            aliases["results"].as_array().is_some_and(|all| all.len() == 3)
        });
    }
    pods.redis.signal("-STOP");
    let said = finds_at(&urls[1], "admin", "the store does not answer");
    assert!(said.contains("writes are refused until it does"), "{said}");
    let status = run(1, "status");
    assert!(status.out.contains("does not answer: writes are refused until it does"), "{}", status.out);
    let refused = run(1, "alias delete from-1 --yes");
    assert!(refused.code == 1 && refused.error.lines().count() == 1, "{}", refused.error);
    pods.redis.signal("-CONT");
    let deadline = Instant::now() + WORKS_MAX;
    // The refused deletion may have been done once the store went on.
    while !matches!(run(1, "alias delete from-1 --yes"), Ended { code: 0, .. })
        && run(1, "alias list").out.contains("from-1")
    {
        assert!(Instant::now() < deadline, "the store is back and commands do not work");
        thread::yield_now();
    }
}

#[test]
fn of_two_operators_at_once_one_is_told_of_the_other() {
    let (cluster, operator) = operated(|_| {});
    for uid in ["films", "books"] {
        cluster.client.done("POST", "/indexes", &json!({"uid": uid}));
    }
    assert_eq!(ctl(&cluster, &["alias", "create", "shop", "films"]).code, 0);
    for version in 1..=10 {
        let flip = |target: &'static str| {
            let version = version.to_string();
            ctl(&cluster, &["alias", "flip", "shop", target, "--version", &version])
        };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| flip("books"));
            let other = flip("films");
            (one.join().unwrap(), other)
        });
        let (done, told) = if one.code == 0 { (one, other) } else { (other, one) };
        assert_eq!((done.code, told.code), (0, 1), "{}{}", done.error, told.error);
        assert!(told.error.contains("status 409") && told.error.lines().count() == 1, "{}", told.error);
        assert_eq!(operator.read("/_miroir/aliases/shop")["version"], version + 1);
    }
}
