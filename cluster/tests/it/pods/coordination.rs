//! Many pods on one Redis: they have the same state and share the work, and acknowledged writes survive while pods are
//! killed and paused and Redis restarts. The Redis is started here, on a free port.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cluster::cluster::{Cluster, ClusterOptions, Pod};
use serde_json::{Value, json};

pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// How long electing a leader may take, including a margin for a busy machine.
pub(crate) const LEADER_WITHIN: Duration = Duration::from_secs(12);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Redis {
    port: u16,
    is_durable: bool,
    directory: PathBuf,
    child: Child,
}

impl Redis {
    fn start(directory: &Path, is_durable: bool) -> Self {
        let directory = directory.to_owned();
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = spawn(port, &directory, is_durable) {
                return Self { port, is_durable, directory, child };
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Restarts Redis as after a crash; it has its data again if it is durable.
    /// What this Redis answers to a command, as its own client prints it.
    pub(crate) fn asked(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let client = Command::new("redis-cli").args(["-p", &port, "--raw"]).args(command).output();
        String::from_utf8(client.expect("redis-cli comes with redis-server").stdout).unwrap()
    }

    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.port, &self.directory, self.is_durable).expect("its port is still free");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, directory: &Path, is_durable: bool) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    let keeps = if is_durable { "yes" } else { "no" };
    command.args(["--appendonly", keeps, "--appendfsync", "always", "--dir"]).arg(directory);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    loop {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let _ = stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n");
            let _ = stream.read_to_string(&mut answer);
            if answer.contains("+PONG") && answer.contains(&format!("process_id:{}\r", child.id())) {
                return Some(child);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Three pods on one Redis, and their nodes.
pub(crate) struct Pods {
    // Dropped in this order.
    pub(crate) pods: Vec<Pod>,
    pub(crate) cluster: Cluster,
    pub(crate) redis: Redis,
    _data: tempfile::TempDir,
}

impl Pods {
    pub(crate) fn start() -> Self {
        Self::start_with(true, |options| options.node_binary = crate::support::real_node())
    }

    pub(crate) fn start_with(is_durable: bool, change: impl FnOnce(&mut ClusterOptions)) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let redis = Redis::start(data.path(), is_durable);
        let mut options = ClusterOptions::new(PathBuf::from(crate::support::PROGRAM), data.path().to_owned());
        options.no_sync = true;
        options.shards = 8;
        options.store = Some(format!("redis://127.0.0.1:{}", redis.port));
        options.node_master_key = Some("the-key-of-the-nodes".to_owned());
        options.gateway_arguments =
            ["--cores", "1", "--admin-key", "admin", "--master-key", "master"].map(str::to_owned).to_vec();
        change(&mut options);
        let mut cluster = Cluster::start(options).unwrap();
        let pods = ["a", "b", "c"].map(|id| cluster.start_pod(id, None).unwrap()).into();
        // This gateway has created the store and is no longer needed.
        cluster.kill_gateway().unwrap();
        let pods = Self { pods, cluster, redis, _data: data };
        for pod in 0..3 {
            pods.until(pod, "/_miroir/ready", |answer| answer["ready"] == true);
        }
        pods
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.pods.iter().map(Pod::url).collect()
    }

    /// Polls a pod until its answer is `wanted`. Returns how long that took.
    pub(crate) fn until(&self, pod: usize, path: &str, mut wanted: impl FnMut(&Value) -> bool) -> Duration {
        let (begun, url) = (Instant::now(), format!("{}{path}", self.pods[pod].url()));
        let mut last = Value::Null;
        while begun.elapsed() < SETTLED_WITHIN {
            if let Some((_, answer)) = ask("GET", &url, None) {
                if wanted(&answer) {
                    return begun.elapsed();
                }
                last = answer;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("{path} of pod {pod}: {last}");
    }

    pub(crate) fn signal(&self, pod: usize, signal: &str) {
        let id = self.pods[pod].process_id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Starts a stopped pod again.
    pub(crate) fn restart(&mut self, pod: usize) {
        let (id, address) = (["a", "b", "c"][pod], self.pods[pod].address());
        let deadline = Instant::now() + SETTLED_WITHIN;
        while TcpListener::bind(address).is_err() {
            assert!(Instant::now() < deadline, "the port stays in use");
            std::thread::sleep(PAUSE);
        }
        self.pods[pod] = self.cluster.start_pod(id, Some(address)).unwrap();
    }

    /// The pod among these that leads a scope.
    fn leader(&self, scope: &str, among: &[usize]) -> Option<usize> {
        among.iter().copied().find(|pod| {
            let url = format!("{}/_miroir/topology", self.pods[*pod].url());
            let answer = ask("GET", &url, None).map(|(_, answer)| answer).unwrap_or_default();
            answer["coordinator"]["leads"].as_array().is_some_and(|leads| leads.contains(&json!(scope)))
        })
    }

    pub(crate) fn until_led(&self, scope: &str, among: &[usize]) -> (usize, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(pod) = self.leader(scope, among) {
                return (pod, begun.elapsed());
            }
            assert!(begun.elapsed() < SETTLED_WITHIN, "nobody leads {scope}");
            std::thread::sleep(PAUSE);
        }
    }
}

/// Sends one request with the master key, or the admin key below `/_miroir/`. `None` when there is no answer in time.
pub(crate) fn ask(method: &str, url: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    ask_once(method, url, body, None)
}

/// Like `ask`, with an `Idempotency-Key`.
pub(crate) fn ask_once(
    method: &str,
    url: &str,
    body: Option<&Value>,
    once: Option<&str>,
) -> Option<(u16, Value)> {
    let key = if url.contains("/_miroir/") { "Bearer admin" } else { "Bearer master" };
    let request = ureq::http::Request::builder().method(method).uri(url).header("Authorization", key);
    let request = request.header("X-Admin-Key", "admin").header("Content-Type", "application/json");
    let request = match once {
        Some(once) => request.header("Idempotency-Key", once),
        None => request,
    };
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(15)))
        .build()
        .into();
    let answer = agent.run(request.body(body).unwrap()).ok()?;
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or_default()))
}

#[test]
fn pods_know_the_same() {
    let pods = Pods::start();
    let urls = pods.urls();
    for pod in 0..3 {
        pods.until(pod, "/_miroir/topology", |answer| {
            answer["coordinator"]["pods"] == json!(["a", "b", "c"])
        });
    }
    let write = |pod: usize, method: &str, path: &str, body: &Value| {
        let (status, answer) = ask(method, &format!("{}{path}", urls[pod]), Some(body)).unwrap();
        assert!(status < 300, "{status} {answer}");
        answer
    };
    let task = write(0, "POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let seen = [1, 2].map(|pod| pods.until(pod, "/indexes/films", |index| index["uid"] == "films"));
    assert!(seen.iter().all(|seen| *seen < Duration::from_secs(1)), "{seen:?}");
    for pod in 0..3 {
        let path = format!("/tasks/{}", task["taskUid"]);
        pods.until(pod, &path, |task| task["status"] == "succeeded");
    }
    let key = write(1, "POST", "/keys", &json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null}));
    let path = format!("/keys/{}", key["uid"].as_str().unwrap());
    let seen = pods.until(2, &path, |found| found["key"] == key["key"]);
    assert!(seen < Duration::from_secs(1), "{seen:?}");
    write(2, "PATCH", "/indexes/films/settings", &json!({"sortableAttributes": ["year"]}));
    for pod in 0..3 {
        pods.until(pod, "/indexes/films/settings", |settings| {
            settings["sortableAttributes"] == json!(["year"])
        });
    }
    // All pods create the same index concurrently; the result is one index.
    let made: Vec<Value> = std::thread::scope(|scope| {
        let make = |url: &String| {
            let url = format!("{url}/indexes/books/documents?primaryKey=id");
            scope.spawn(move || {
                let id = url.len() + usize::from(url.as_bytes()[url.len() / 3]);
                let begun = Instant::now();
                loop {
                    let answer =
                        ask("POST", &url, Some(&json!([{"id": format!("{id}-{}", url.len()), "from": url}])));
                    match answer {
                        Some((202, answer)) => return answer,
                        other => assert!(begun.elapsed() < SETTLED_WITHIN, "{other:?}"),
                    }
                }
            })
        };
        let threads: Vec<_> = urls.iter().map(make).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for answer in made {
        let path = format!("/tasks/{}", answer["taskUid"]);
        pods.until(1, &path, |task| task["status"] == "succeeded");
    }
    let (_, list) = ask("GET", &format!("{}/indexes", urls[0]), None).unwrap();
    assert_eq!(list["total"], 2, "{list}");
}

/// The documents' ids and the tasks that were acknowledged to clients.
#[derive(Default)]
struct Acknowledged {
    ids: Mutex<BTreeSet<String>>,
    tasks: Mutex<BTreeSet<u64>>,
    refused: AtomicUsize,
}

/// Writes through the writer's own pod, and through the next one when that does not answer.
fn write_until(over: &AtomicBool, urls: &[String], writer: usize, told: &Acknowledged) {
    let mut turn = writer;
    for number in 0.. {
        let id = format!("{writer}-{number}");
        let documents = json!([{"id": id, "writer": writer, "number": number}]);
        loop {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let url = format!("{}/indexes/films/documents", urls[turn % urls.len()]);
            match ask("POST", &url, Some(&documents)) {
                Some((202, answer)) => {
                    told.ids.lock().unwrap().insert(id);
                    told.tasks.lock().unwrap().insert(answer["taskUid"].as_u64().unwrap());
                    break;
                }
                _ => {
                    told.refused.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}

#[test]
fn what_any_pod_acknowledged_stays() {
    let mut pods = Pods::start();
    let urls = pods.urls();
    let (status, task) =
        ask("POST", &format!("{}/indexes", urls[0]), Some(&json!({"uid": "films", "primaryKey": "id"})))
            .unwrap();
    assert_eq!(status, 202, "{task}");
    for pod in 0..3 {
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    let (over, told) = (AtomicBool::new(false), Acknowledged::default());
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (over, urls, told) = (&over, &urls, &told);
                scope.spawn(move || write_until(over, urls, writer, told))
            })
            .collect();
        disturb(&mut pods, &told);
        over.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    check(&pods, &told);
}

/// Kills the leader, pauses the next one and restarts Redis, with progress of the writes in between.
fn disturb(pods: &mut Pods, told: &Acknowledged) {
    let progress = || {
        let (begun, before) = (Instant::now(), told.ids.lock().unwrap().len());
        while told.ids.lock().unwrap().len() < before + 30 {
            assert!(begun.elapsed() < SETTLED_WITHIN, "nothing is acknowledged any more");
            std::thread::sleep(PAUSE);
        }
    };
    progress();
    let (first, _) = pods.until_led("settings", &[0, 1, 2]);
    pods.signal(first, "-KILL");
    pods.pods[first].wait().unwrap();
    let rest: Vec<usize> = (0..3).filter(|pod| *pod != first).collect();
    let (second, took) = pods.until_led("settings", &rest);
    assert!(took < LEADER_WITHIN, "{took:?}");
    progress();
    pods.restart(first);
    pods.until(first, "/_miroir/ready", |answer| answer["ready"] == true);
    pods.signal(second, "-STOP");
    let rest: Vec<usize> = (0..3).filter(|pod| *pod != second).collect();
    let (_, took) = pods.until_led("settings", &rest);
    assert!(took < LEADER_WITHIN, "{took:?}");
    progress();
    pods.signal(second, "-CONT");
    pods.until(second, "/_miroir/topology", |answer| {
        answer["coordinator"]["pods"].as_array().unwrap().len() == 3
    });
    assert!(!(pods.leader("settings", &[second]).is_some() && pods.leader("settings", &rest).is_some()));
    pods.redis.restart();
    progress();
    // A pod that is asked to stop hands its leases over immediately.
    let (third, _) = pods.until_led("settings", &[0, 1, 2]);
    pods.signal(third, "-TERM");
    assert!(pods.pods[third].wait().unwrap().success());
    let rest: Vec<usize> = (0..3).filter(|pod| *pod != third).collect();
    let (_, took) = pods.until_led("settings", &rest);
    assert!(took < Duration::from_secs(4), "{took:?}");
    pods.restart(third);
    progress();
}

fn check(pods: &Pods, told: &Acknowledged) {
    let (ids, tasks) = (told.ids.lock().unwrap(), told.tasks.lock().unwrap());
    let refused = told.refused.load(Ordering::Relaxed);
    assert!(ids.len() > refused, "{} acknowledged, {refused} refused or unanswered", ids.len());
    for pod in 0..3 {
        pods.until(pod, "/tasks?statuses=enqueued,processing", |page| page["total"] == 0);
        let url = format!("{}/tasks?limit=100000&statuses=succeeded", pods.pods[pod].url());
        let (_, page) = ask("GET", &url, None).unwrap();
        let known = page["results"].as_array().unwrap().iter();
        let known: BTreeSet<u64> = known.map(|task| task["uid"].as_u64().unwrap()).collect();
        assert!(tasks.is_subset(&known), "unknown: {:?}", tasks.difference(&known).collect::<Vec<_>>());
        let url = format!("{}/indexes/films/documents?limit=100000&fields=id", pods.pods[pod].url());
        let (_, page) = ask("GET", &url, None).unwrap();
        let found = page["results"].as_array().unwrap().iter();
        let found: BTreeSet<String> =
            found.map(|document| document["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.is_subset(&found), "lost: {:?}", ids.difference(&found).collect::<Vec<_>>());
    }
}
