//! The load: writers with documents of their own, and readers that count documents that nobody changes.
//! Invariants: a writer waits for each answer before its next request, so the order of operations on a document is
//! known. A writer records an operation without an answer as uncertain.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use crate::chaos::register::{Content, Operation, Register};
use crate::chaos::report::Report;
use crate::chaos::{INDEX, STATIC_DOCUMENTS};
use crate::cluster::Cluster;
use crate::differential::Client;

const WRITERS: usize = 4;
const READERS: usize = 2;
/// The number of documents of one writer.
const DOCUMENTS: usize = 20;
/// The most documents of one request.
const BATCH_MAX: usize = 4;
/// After this many writes a writer waits for the end of its task.
const TASK_WAIT_EVERY: u64 = 8;
/// How long a worker waits for an answer, and for the end of a task.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const TASK_MAX: Duration = Duration::from_secs(90);
/// A write that takes longer is slow, which is acceptable only while a failure is being noticed.
const SLOW: Duration = Duration::from_secs(1);
/// The pause before a worker asks again when the gateway did not answer or a task has not ended.
const PAUSE: Duration = Duration::from_millis(10);
/// The number of requests that every worker completes before faults begin.
const BUSY: usize = 20;
/// How long that may take.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// All workers and what they know.
pub(super) struct Load {
    url: String,
    seed: u64,
    /// Whether requests without an answer are expected.
    gateway_dies: bool,
    writers: Vec<Mutex<Vec<Register>>>,
    report: Mutex<Report>,
    search_times: Mutex<Vec<Duration>>,
    written: AtomicUsize,
    read: AtomicUsize,
}

/// An answer: status, whether it reports missing shards, and the body.
type Answer = (u16, bool, Value);

impl Load {
    pub(super) fn new(url: String, seed: u64, gateway_dies: bool) -> Self {
        Self {
            url,
            seed,
            gateway_dies,
            writers: (0..WRITERS).map(|_| Mutex::new(vec![Register::new(); DOCUMENTS])).collect(),
            report: Mutex::default(),
            search_times: Mutex::default(),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
        }
    }

    /// Starts all workers; they end soon after `stop` is set.
    pub(super) fn start<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        stop: &'s AtomicBool,
    ) -> Vec<ScopedJoinHandle<'s, ()>> {
        let writers = (0..WRITERS).map(|number| scope.spawn(move || self.write(number, stop)));
        let writers = writers.collect::<Vec<_>>();
        let readers = (0..READERS).map(|number| scope.spawn(move || self.read(number, stop)));
        writers.into_iter().chain(readers.collect::<Vec<_>>()).collect()
    }

    /// Waits until all workers are working.
    pub(super) fn wait_until_busy(&self) {
        let deadline = Instant::now() + BUSY_MAX;
        let is_busy = |count: &AtomicUsize, workers| count.load(Ordering::Relaxed) >= BUSY * workers;
        while !(is_busy(&self.written, WRITERS) && is_busy(&self.read, READERS)) && Instant::now() < deadline
        {
            std::thread::sleep(PAUSE);
        }
    }

    /// The durations of the searches since the last call.
    pub(super) fn read_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *lock(&self.search_times))
    }

    /// The observations so far.
    pub(super) fn report(&self) -> Report {
        std::mem::take(&mut *lock(&self.report))
    }

    /// Compares every document with its allowed states.
    pub(super) fn check(&self, cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
        let client = Client::new(cluster.url(), None);
        for (writer, registers) in self.writers.iter().enumerate() {
            for (number, register) in lock(registers).iter().enumerate() {
                let id = id(writer, number);
                let answer = client.send("GET", &format!("/indexes/{INDEX}/documents/{id}"), None)?;
                ensure!(
                    matches!(answer.status, 200 | 404),
                    "document {id}: {} {}",
                    answer.status,
                    answer.body
                );
                let state = (answer.status == 200).then(|| content(&answer.body));
                if !register.allows(state) {
                    report.lost_writes += 1;
                    report.deletes_undone += u64::from(register.undoes_a_deletion(state));
                    report.problem(format!("document {id} is {state:?}, {}", register.describe()));
                }
            }
        }
        Ok(())
    }

    fn write(&self, writer: usize, stop: &AtomicBool) {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (writer as u64 + 1) << 32);
        let agent = agent();
        let mut number = 0;
        let mut last = None;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let mut chosen = (0..DOCUMENTS).collect::<Vec<_>>();
            random.shuffle(&mut chosen);
            chosen.truncate(random.usize(1..=BATCH_MAX));
            let operation = match random.u8(..10) {
                0..5 => Operation::Replace(number),
                5..8 => Operation::Update(number),
                _ => Operation::Delete,
            };
            let (method, target, body) = request(operation, writer, &chosen);
            let started = Instant::now();
            let answer = send(&agent, method, &format!("{}{target}", self.url), Some(&body));
            let took = started.elapsed();
            let acknowledged = matches!(&answer, Ok((202, _, _)));
            for document in &chosen {
                lock(&self.writers[writer])[*document].note(operation, acknowledged);
            }
            self.note_write(&answer, took, chosen.len());
            match answer {
                Ok((202, _, summary)) => {
                    self.written.fetch_add(1, Ordering::Relaxed);
                    if number % TASK_WAIT_EVERY == 0 {
                        self.wait_for_task(&agent, &summary["taskUid"]);
                    }
                    last = Some(summary);
                }
                Ok(_) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
        // Checks an acknowledged write only after its task has ended; until then all copies may be equally old.
        if let Some(summary) = last {
            self.wait_for_task(&agent, &summary["taskUid"]);
        }
    }

    fn note_write(&self, answer: &anyhow::Result<Answer>, took: Duration, documents: usize) {
        let mut report = lock(&self.report);
        if took > SLOW && answer.is_ok() {
            report.slow_writes += 1;
            report.slowest_write = report.slowest_write.max(took);
        }
        match answer {
            Ok((202, _, _)) => {
                report.writes += 1;
                report.operations += documents as u64;
            }
            Ok((status, _, body)) => {
                report.refused += 1;
                report.problem(format!("a write was refused after {took:?}: {status} {body}"));
            }
            Err(error) => {
                report.unanswered += 1;
                if !self.gateway_dies {
                    report.refused += 1;
                    report.problem(format!("a write was not answered: {error:#}"));
                }
            }
        }
    }

    fn wait_for_task(&self, agent: &Agent, uid: &Value) {
        let deadline = Instant::now() + TASK_MAX;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Ok((200, _, task)) = send(agent, "GET", &format!("{}/tasks/{uid}", self.url), None) {
                if task["status"] == "succeeded" {
                    return;
                }
                let ended = !task["finishedAt"].is_null();
                last = task;
                if ended {
                    break;
                }
            }
            std::thread::sleep(PAUSE);
        }
        let mut report = lock(&self.report);
        report.tasks_not_succeeded += 1;
        report.problem(format!("task {uid} has not succeeded: {last}"));
    }

    fn read(&self, reader: usize, stop: &AtomicBool) {
        let agent = agent();
        let mut number = reader as u64;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let (method, target, body) = question(number);
            let started = Instant::now();
            let answer = send(&agent, method, &format!("{}{target}", self.url), body.as_ref());
            if number.is_multiple_of(QUESTIONS) {
                lock(&self.search_times).push(started.elapsed());
            }
            self.read.fetch_add(1, Ordering::Relaxed);
            self.note_read(number, answer);
        }
    }

    fn note_read(&self, number: u64, answer: anyhow::Result<Answer>) {
        let mut report = lock(&self.report);
        match answer {
            Ok((200, true, body)) => {
                report.degraded_reads += 1;
                report.degraded_whole += u64::from(is_whole(number, &body));
            }
            Ok((503, _, body)) if body["code"] == "miroir_shard_unavailable" => {
                report.degraded_reads += 1;
                report.unavailable_reads += 1;
            }
            Ok((200, false, body)) if is_whole(number, &body) => report.reads += 1,
            Ok((200, false, body)) => {
                report.incomplete_reads += 1;
                report.problem(format!("question {} is not answered whole: {body}", number % QUESTIONS));
            }
            Ok((status, _, body)) => {
                report.failed_reads += 1;
                report.problem(format!("question {} failed: {status} {body}", number % QUESTIONS));
            }
            Err(_) if self.gateway_dies => {
                drop(report);
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                report.failed_reads += 1;
                report.problem(format!("question {} was not answered: {error:#}", number % QUESTIONS));
            }
        }
    }
}

fn request(operation: Operation, writer: usize, chosen: &[usize]) -> (&'static str, String, Value) {
    let ids = chosen.iter().map(|document| id(writer, *document));
    let documents = format!("/indexes/{INDEX}/documents");
    match operation {
        Operation::Replace(number) => {
            let body = ids.map(|id| json!({"id": id, "kind": "live", "whole": number})).collect();
            ("POST", documents, body)
        }
        Operation::Update(number) => {
            let body = ids.map(|id| json!({"id": id, "part": number})).collect();
            ("PUT", documents, body)
        }
        Operation::Delete => ("POST", format!("{documents}/delete-batch"), ids.collect()),
    }
}

/// The number of kinds of questions. The first is the search whose time counts.
const QUESTIONS: u64 = 4;

fn question(number: u64) -> (&'static str, String, Option<Value>) {
    let index = format!("/indexes/{INDEX}");
    let filter = "kind = static";
    match number % QUESTIONS {
        0 => {
            let query = json!({"q": "word", "filter": filter, "page": 1, "hitsPerPage": 20});
            ("POST", format!("{index}/search"), Some(query))
        }
        1 => ("GET", format!("{index}/documents/static-{}", number / QUESTIONS % STATIC_DOCUMENTS), None),
        2 => ("POST", format!("{index}/documents/fetch"), Some(json!({"filter": filter, "limit": 3}))),
        _ => {
            let query = json!({"indexUid": INDEX, "filter": filter, "page": 1, "hitsPerPage": 1});
            ("POST", "/multi-search".to_owned(), Some(json!({"queries": [query]})))
        }
    }
}

/// Whether the answer to a question counts all the documents that nobody changes.
fn is_whole(number: u64, body: &Value) -> bool {
    match number % QUESTIONS {
        0 => body["totalHits"] == STATIC_DOCUMENTS,
        1 => body["kind"] == "static",
        2 => body["total"] == STATIC_DOCUMENTS,
        _ => body["results"][0]["totalHits"] == STATIC_DOCUMENTS,
    }
}

fn id(writer: usize, document: usize) -> String {
    format!("live-{writer}-{document}")
}

fn content(document: &Value) -> Content {
    Content { whole: document["whole"].as_u64(), part: document["part"].as_u64() }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX)).build().new_agent()
}

fn send(agent: &Agent, method: &str, url: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
    let request = Request::builder().method(method).uri(url);
    let mut answer = match body {
        Some(body) => {
            agent.run(request.header("Content-Type", "application/json").body(body.to_string())?)?
        }
        None => agent.run(request.body(())?)?,
    };
    let degraded = answer.headers().contains_key("x-miroir-degraded");
    let body = answer.body_mut().read_to_vec()?;
    Ok((answer.status().as_u16(), degraded, serde_json::from_slice(&body)?))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No thread leaves the value half changed, so a poisoned lock is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
