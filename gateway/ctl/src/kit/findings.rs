//! What follows from the state of a cluster: findings, each with its cause and what to do.
//!
//! Invariant: pure. The thresholds are constants, and the worst findings come first.

use serde_json::{Value, json};

use super::{
    clock,
    show::{bytes, seconds, word},
};

/// Clocks that differ by more put writes in the wrong order.
const SKEW_SECONDS_MAX: i64 = 5;
/// A node that takes this much longer than the median of its peers is slow.
const SLOW_FACTOR: f64 = 5.0;
/// A node that answers faster than this is not slow, whatever its peers do.
const SLOW_MILLISECONDS_MIN: f64 = 50.0;
/// The store takes longer than this only when it is overloaded or far away.
const STORE_MILLISECONDS_MAX: f64 = 100.0;
/// Share of a hint log that is used, from which on it is about to be given up.
const HINTS_SHARE_MAX: f64 = 0.8;
/// Share of the disk, of descriptors and of requests in flight that has to stay free.
const FREE_SHARE_MIN: f64 = 0.1;
const IN_FLIGHT_SHARE_MAX: f64 = 0.8;
/// Locked memory that io_uring needs on kernels that count it.
const MEMLOCK_BYTES_MIN: u64 = 8 << 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Requests fail or data is at risk.
    Critical,
    /// Something works with less than it should have.
    Warning,
    /// Nothing is wrong.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// The cause.
    pub(crate) what: String,
    /// What to do.
    pub(crate) action: String,
}

impl Finding {
    /// The finding as `--json` shows it.
    pub(crate) fn value(&self) -> Value {
        let level = match self.level {
            Level::Critical => "critical",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        json!({"level": level, "what": self.what, "do": self.action})
    }
}

/// A list of findings that grows.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, level: Level, what: impl Into<String>, action: impl Into<String>) {
        self.0.push(Finding { level, what: what.into(), action: action.into() });
    }
}

/// All findings, the worst first. `now` is this machine's clock, in seconds since the epoch.
pub(crate) fn of(ready: &Value, topology: &Value, diagnosis: &Value, now: i64) -> Vec<Finding> {
    let mut found = Found::default();
    of_store(&mut found, ready, &diagnosis["store"]);
    of_clocks(&mut found, diagnosis, now);
    of_nodes(&mut found, diagnosis);
    of_coverage(&mut found, ready, topology);
    of_settings(&mut found, &diagnosis["settings"]);
    of_tasks(&mut found, &diagnosis["tasks"]);
    of_pods(&mut found, &diagnosis["coordinator"]);
    of_versions(&mut found, diagnosis);
    of_process(&mut found, &diagnosis["process"]);
    of_limits(&mut found, &diagnosis["limits"]);
    found.0.sort_by_key(|finding| finding.level);
    found.0
}

fn of_store(found: &mut Found, ready: &Value, store: &Value) {
    if ready["storeReached"] == false || store["reached"] == false {
        found.add(
            Level::Critical,
            format!("the store does not answer ({})", word(&store["error"])),
            "writes are refused until it does: look at the machine of --store, its disk and its network",
        );
        return;
    }
    for (name, what) in [("readMilliseconds", "read"), ("writeMilliseconds", "made durable")] {
        if store[name].as_f64().is_some_and(|took| took > STORE_MILLISECONDS_MAX) {
            found.add(
                Level::Warning,
                format!("the store is slow: a record was {what} in {} ms", word(&store[name])),
                "every write waits for it: look at the load and the disk of its machine",
            );
        }
    }
}

fn of_clocks(found: &mut Found, diagnosis: &Value, now: i64) {
    let theirs = diagnosis["time"].as_str().and_then(clock::seconds_of);
    if let Some(skew) = theirs.map(|theirs| theirs - now).filter(|skew| skew.abs() > SKEW_SECONDS_MAX) {
        found.add(
            Level::Critical,
            format!("the gateway's clock is {} this machine's", ahead(skew)),
            "writes are ordered by it: start chrony or ntpd where it is wrong",
        );
    }
    for node in nodes(diagnosis) {
        let skew = node["clockSkewSeconds"].as_i64().filter(|skew| skew.abs() > SKEW_SECONDS_MAX);
        if let Some(skew) = skew {
            found.add(
                Level::Warning,
                format!("the clock of node {} is {} the gateway's", word(&node["id"]), ahead(skew)),
                "start chrony or ntpd on both machines",
            );
        }
    }
}

fn ahead(skew: i64) -> String {
    let way = if skew > 0 { "ahead of" } else { "behind" };
    format!("{} {way}", seconds(&json!(skew.abs())))
}

fn of_nodes(found: &mut Found, diagnosis: &Value) {
    let mut times = nodes(diagnosis).filter_map(|node| node["milliseconds"].as_f64()).collect::<Vec<_>>();
    times.sort_unstable_by(f64::total_cmp);
    for node in nodes(diagnosis) {
        let id = word(&node["id"]);
        if node["keyRefused"] == true {
            found.add(
                Level::Critical,
                format!("node {id} refuses the gateway's key"),
                "give the nodes' master key as MIROIR_NODE_MASTER_KEY and restart the gateway",
            );
        }
        if !node["error"].is_null() {
            found.add(
                Level::Critical,
                format!(
                    "node {id} is {} and does not answer ({})",
                    word(&node["state"]),
                    word(&node["error"])
                ),
                "start it: it catches up by itself; a lost one is replaced (miroir-ctl node replace)",
            );
        } else if !matches!(node["state"].as_str(), Some("healthy" | "draining")) {
            found.add(
                Level::Warning,
                format!("node {id} answers and is {}", word(&node["state"])),
                "it is read once it has all that it missed: watch it (miroir-ctl node list --watch)",
            );
        }
        of_speed(found, node, &times);
        of_hints(found, node);
    }
}

/// A node that is slower than its peers; `times` are all nodes', ascending.
fn of_speed(found: &mut Found, node: &Value, times: &[f64]) {
    let Some(took) = node["milliseconds"].as_f64() else { return };
    // The lower median, so that one of two nodes can be the slow one.
    let Some(usual) = times.get(times.len().saturating_sub(1) / 2) else { return };
    if times.len() > 1 && took >= SLOW_MILLISECONDS_MIN && took > usual * SLOW_FACTOR {
        found.add(
            Level::Warning,
            format!("node {} is slow: {took:.0} ms where its peers take {usual:.0} ms", word(&node["id"])),
            "look at the load, the disk and the network of its machine; reads go to other copies meanwhile",
        );
    }
}

fn of_hints(found: &mut Found, node: &Value) {
    let (id, hints) = (word(&node["id"]), &node["hints"]);
    let share = share(&hints["bytes"], &hints["bytesMax"]);
    if hints["copyNeeded"] == true {
        found.add(
            Level::Warning,
            format!("node {id} missed more than its hint log holds, and needs a whole copy"),
            "it gets one from the others once it answers; a larger --hint-limit avoids that",
        );
    } else if share.is_some_and(|share| share > HINTS_SHARE_MAX) {
        found.add(
            Level::Warning,
            format!("the hint log of node {id} is nearly full: {}", bytes(&hints["bytes"])),
            "bring the node back soon, or raise --hint-limit: past it the node is copied anew",
        );
    } else if hints["count"].as_u64().is_some_and(|count| count > 0) {
        found.add(
            Level::Warning,
            format!("node {id} has missed {} writes", word(&hints["count"])),
            "they are replayed once it answers",
        );
    }
}

fn of_coverage(found: &mut Found, ready: &Value, topology: &Value) {
    if let Some(missing) = ready["uncoveredShards"].as_u64().filter(|missing| *missing > 0) {
        found.add(
            Level::Critical,
            format!(
                "{missing} of {} shards have no healthy node: answers lack their documents",
                word(&topology["shards"])
            ),
            "bring back the nodes that are down",
        );
    }
    if ready["draining"] == true {
        found.add(Level::Note, "the gateway is about to end", "ask another pod");
    }
}

fn of_settings(found: &mut Found, settings: &Value) {
    for index in settings["frozen"].as_array().into_iter().flatten() {
        found.add(
            Level::Critical,
            format!("index {} takes no writes: its settings differ between nodes", word(index)),
            "see the log for settings_differ, and set the settings of the index again",
        );
    }
    for drifted in settings["drifted"].as_array().into_iter().flatten() {
        found.add(
            Level::Warning,
            format!(
                "settings drift: index {} has other settings on {}",
                word(&drifted["index"]),
                word(&drifted["nodes"])
            ),
            "somebody changed them behind the gateway; they are repaired within --settings-drift-interval",
        );
    }
}

fn of_tasks(found: &mut Found, tasks: &Value) {
    for task in tasks["stuck"].as_array().into_iter().flatten().take(3) {
        let parts = task["nodes"].as_array().into_iter().flatten();
        let open = parts
            .filter(|part| !matches!(part["status"].as_str(), Some("succeeded" | "failed" | "canceled")));
        let nodes = open.map(|part| word(&part["node"])).collect::<Vec<_>>().join(" ");
        let uid = word(&task["uid"]);
        found.add(
            Level::Warning,
            format!(
                "task {uid} is stuck: {} of {} waits for {nodes} since {}",
                word(&task["type"]),
                word(&task["indexUid"]),
                seconds(&task["ageSeconds"])
            ),
            format!("see miroir-ctl task status {uid}; miroir-ctl writes fail --task {uid} ends it"),
        );
    }
}

fn of_pods(found: &mut Found, coordinator: &Value) {
    for peer in coordinator["peers"].as_array().into_iter().flatten() {
        if peer["alive"] == false {
            found.add(
                Level::Warning,
                format!("pod {} is missing", word(&peer["name"])),
                "start it, or take it out of --peer",
            );
        }
    }
}

fn of_versions(found: &mut Found, diagnosis: &Value) {
    let mut versions = nodes(diagnosis).filter_map(|node| node["version"].as_str()).collect::<Vec<_>>();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        found.add(
            Level::Warning,
            format!("nodes have different versions: {}", versions.join(", ")),
            "answers are those of the oldest: bring all nodes to one version",
        );
    }
    let (own, theirs) = (env!("CARGO_PKG_VERSION"), word(&diagnosis["version"]));
    if own != theirs {
        found.add(
            Level::Note,
            format!("the gateway is version {theirs}, miroir-ctl {own}"),
            "use the miroir-ctl of the gateway's version",
        );
    }
}

fn of_process(found: &mut Found, process: &Value) {
    let disk = &process["disk"];
    if share(&disk["bytesFree"], &disk["bytes"]).is_some_and(|free| free < FREE_SHARE_MIN) {
        found.add(
            Level::Warning,
            format!("the disk of {} is nearly full: {} left", word(&disk["path"]), bytes(&disk["bytesFree"])),
            "free some: without space the store refuses writes",
        );
    }
    if share(&process["filesOpen"], &process["filesMax"]).is_some_and(|used| used > 1.0 - FREE_SHARE_MIN) {
        found.add(
            Level::Warning,
            format!(
                "{} of {} file descriptors are in use",
                word(&process["filesOpen"]),
                word(&process["filesMax"])
            ),
            "raise the limit (LimitNOFILE= or ulimit -n)",
        );
    }
    if process["uring"] == false {
        found.add(
            Level::Note,
            "the kernel has io_uring switched off, so epoll is used",
            "set kernel.io_uring_disabled to 0 for less CPU a request",
        );
    }
    if process["memlockBytesMax"].as_u64().is_some_and(|most| most < MEMLOCK_BYTES_MIN) {
        found.add(
            Level::Note,
            format!("only {} of memory may be locked", bytes(&process["memlockBytesMax"])),
            "older kernels count io_uring's rings: raise it (LimitMEMLOCK= or ulimit -l)",
        );
    }
}

fn of_limits(found: &mut Found, limits: &Value) {
    let used = share(&limits["requestsInFlight"], &limits["requestsInFlightMax"]);
    if used.is_some_and(|used| used > IN_FLIGHT_SHARE_MAX) {
        found.add(
            Level::Warning,
            format!(
                "{} of {} requests are in flight",
                word(&limits["requestsInFlight"]),
                word(&limits["requestsInFlightMax"])
            ),
            "start another pod, or raise --in-flight-max",
        );
    }
}

fn nodes(diagnosis: &Value) -> impl Iterator<Item = &Value> {
    diagnosis["nodes"].as_array().into_iter().flatten()
}

/// A part of a whole; `None` where either is unknown or the whole is nothing.
fn share(part: &Value, whole: &Value) -> Option<f64> {
    let (part, whole) = (part.as_f64()?, whole.as_f64()?);
    (whole > 0.0).then_some(part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    /// A cluster in which nothing is wrong.
    fn well() -> (Value, Value, Value) {
        let node = |id: &str| {
            json!({
                "id": id, "state": "healthy", "version": "1.15.0", "keyRefused": false, "milliseconds": 1.0,
                "error": null, "clockSkewSeconds": 0,
                "hints": {"count": 0, "bytes": 0, "bytesMax": 1000, "copyNeeded": false},
            })
        };
        let diagnosis = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "time": "2023-11-14T22:13:20Z",
            "coordinator": {"peers": []},
            "nodes": [node("n0"), node("n1"), node("n2")],
            "store": {"reached": true, "readMilliseconds": 1.0, "writeMilliseconds": 5.0},
            "tasks": {"stuck": []},
            "settings": {"frozen": [], "drifted": []},
            "process": {
                "filesOpen": 10, "filesMax": 1000, "memlockBytesMax": null, "uring": true,
                "disk": {"path": "d", "bytesFree": 900, "bytes": 1000},
            },
            "limits": {"requestsInFlight": 1, "requestsInFlightMax": 1000},
        });
        (json!({"uncoveredShards": 0, "storeReached": true}), json!({"shards": 64}), diagnosis)
    }

    #[test]
    fn a_cluster_that_is_well_has_no_findings() {
        let (ready, topology, diagnosis) = well();
        assert_eq!(of(&ready, &topology, &diagnosis, NOW), []);
    }

    #[test]
    fn each_cause_is_named() {
        let check = |break_it: &dyn Fn(&mut Value, &mut Value), level: Level, what: &str| {
            let (mut ready, topology, mut diagnosis) = well();
            break_it(&mut ready, &mut diagnosis);
            let found = of(&ready, &topology, &diagnosis, NOW);
            let first = found.first().unwrap_or_else(|| panic!("{what}: nothing is found"));
            assert_eq!((first.level, found.len()), (level, 1), "{what}: {found:?}");
            assert!(first.what.contains(what) && !first.action.is_empty(), "{what}: {found:?}");
        };
        use Level::{Critical, Note, Warning};
        let node = |name: &'static str, value: Value| {
            move |_: &mut Value, diagnosis: &mut Value| diagnosis["nodes"][1][name] = value.clone()
        };
        let hints = |name: &'static str, value: Value| {
            move |_: &mut Value, diagnosis: &mut Value| diagnosis["nodes"][1]["hints"][name] = value.clone()
        };
        let part = |part: &'static str, name: &'static str, value: Value| {
            move |_: &mut Value, diagnosis: &mut Value| diagnosis[part][name] = value.clone()
        };
        check(&node("error", json!("connecting failed")), Critical, "node n1 is healthy and does not answer");
        check(&node("keyRefused", json!(true)), Critical, "node n1 refuses the gateway's key");
        check(&node("milliseconds", json!(400.0)), Warning, "node n1 is slow: 400 ms");
        check(&node("state", json!("joining")), Warning, "node n1 answers and is joining");
        check(&node("clockSkewSeconds", json!(-3600)), Warning, "the clock of node n1 is 1h 0m behind");
        check(&node("version", json!("1.16.0")), Warning, "different versions: 1.15.0, 1.16.0");
        check(&hints("count", json!(7)), Warning, "node n1 has missed 7 writes");
        check(&hints("bytes", json!(900)), Warning, "the hint log of node n1 is nearly full");
        check(&hints("copyNeeded", json!(true)), Warning, "needs a whole copy");
        check(&part("store", "reached", json!(false)), Critical, "the store does not answer");
        check(&part("store", "writeMilliseconds", json!(700.0)), Warning, "made durable in 700.0 ms");
        check(&part("settings", "frozen", json!(["a"])), Critical, "index a takes no writes");
        let drift = json!([{"index": "a", "nodes": ["n2"]}]);
        check(&part("settings", "drifted", drift), Warning, "index a has other settings on n2");
        let stuck = json!([{"uid": 9, "type": "documentAdditionOrUpdate", "indexUid": "a", "ageSeconds": 600,
            "nodes": [{"node": "n0", "status": "succeeded"}, {"node": "n1", "status": "enqueued"}]}]);
        check(
            &part("tasks", "stuck", stuck),
            Warning,
            "task 9 is stuck: documentAdditionOrUpdate of a waits for n1",
        );
        check(
            &part("coordinator", "peers", json!([{"name": "b", "alive": false}])),
            Warning,
            "pod b is missing",
        );
        check(&part("process", "filesOpen", json!(950)), Warning, "950 of 1000 file descriptors");
        check(&part("process", "uring", json!(false)), Note, "io_uring switched off");
        check(&part("process", "memlockBytesMax", json!(65_536)), Note, "only 64.0 KiB");
        let full = json!({"path": "d", "bytesFree": 50, "bytes": 1000});
        check(&part("process", "disk", full), Warning, "the disk of d is nearly full");
        check(&part("limits", "requestsInFlight", json!(900)), Warning, "900 of 1000 requests");
        let uncovered = |ready: &mut Value, _: &mut Value| ready["uncoveredShards"] = json!(3);
        check(&uncovered, Critical, "3 of 64 shards have no healthy node");
        let late = |_: &mut Value, diagnosis: &mut Value| diagnosis["time"] = json!("2023-11-14T23:13:20Z");
        check(&late, Critical, "the gateway's clock is 1h 0m ahead of this machine's");
    }

    #[test]
    fn the_worst_comes_first() {
        let (ready, topology, mut diagnosis) = well();
        diagnosis["process"]["uring"] = json!(false);
        diagnosis["nodes"][0]["milliseconds"] = json!(900.0);
        diagnosis["nodes"][2]["error"] = json!("timed out");
        let levels = of(&ready, &topology, &diagnosis, NOW);
        let levels = levels.iter().map(|finding| finding.level).collect::<Vec<_>>();
        assert_eq!(levels, [Level::Critical, Level::Warning, Level::Note]);
    }
}
