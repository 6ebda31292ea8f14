//! Clients: each writes registers of its own, one after the other, through any pod, and follows its tasks.
//! - Every operation is recorded before it is sent, and stays recorded with every answer to it.
//! - A client continues after a failure; the record says what is then unknown.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use gateway::wire::runtime::timeout;
use serde_json::{Value, json};

use super::http::{Question, Wire};
use super::kernel::{Site, kernel, sleep};
use super::network::{address_of, connect};

pub(super) const INDEX: &str = "registers";
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a client sends a request with one idempotency key.
const REPETITIONS: usize = 3;
/// How long a client follows a task before it continues.
const FOLLOWED: Duration = Duration::from_secs(3);

/// One operation on a register.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// The written value; `None` deletes.
    pub(super) value: Option<u64>,
    pub(super) asked: Duration,
    /// When the gateway acknowledged it, and its task.
    pub(super) acknowledged: Option<(Duration, u64)>,
}

/// Everything that clients have sent and received.
#[derive(Default)]
pub(super) struct Record {
    /// By key, in the order of the client's operations.
    pub(super) registers: BTreeMap<String, Vec<Operation>>,
    /// The last known status of each acknowledged task.
    pub(super) tasks: BTreeMap<u64, String>,
    /// What clients know of other indexes, by name.
    pub(super) indexes: BTreeMap<String, Fate>,
    pub(super) reads: u64,
    pub(super) refused: u64,
    pub(super) settings: u64,
    /// Observations that no client may make.
    pub(super) wrong: Vec<String>,
}

impl Record {
    /// Records the result of creating or deleting an index.
    fn note_fate(&mut self, name: String, is_new: bool, task: Option<u64>) {
        self.tasks.extend(task.map(|task| (task, "enqueued".to_owned())));
        let fate = self.indexes.entry(name).or_default();
        match (is_new, task) {
            (true, task) => fate.is_made = task.is_some(),
            (false, Some(_)) => fate.is_dropped = true,
            (false, None) => fate.is_doubtful = true,
        }
    }
}

/// What is known of an index that is created once and deleted at most a few times.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fate {
    pub(super) is_made: bool,
    pub(super) is_dropped: bool,
    /// A client tried to delete it, and the outcome is unknown.
    pub(super) is_doubtful: bool,
}

pub(super) type Known = Rc<RefCell<Record>>;

/// A client: the pods that it knows, and the shared record.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) pods: Vec<Site>,
    pub(super) record: Known,
}

impl Client {
    /// Sends one request to a pod, over a connection of its own.
    pub(super) async fn ask(&self, pod: Site, question: Question<'_>) -> io::Result<(u16, Value)> {
        let asking = async { Wire::new(connect(address_of(pod)).await?).ask(&question).await };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Requests a change and returns its task. With an idempotency key it repeats the request through other pods while
    /// the outcome is unknown; a repetition of a completed request gets the task that did it.
    async fn change(&self, question: Question<'_>) -> Option<u64> {
        let attempts = if question.key.is_some() { REPETITIONS } else { 1 };
        for _ in 0..attempts {
            let Ok((202, summary)) = self.ask(self.any_pod(), question).await else { continue };
            let task = summary["taskUid"].as_u64();
            if task.is_none() {
                self.record.borrow_mut().wrong.push(format!("a 202 without a task: {summary}"));
            }
            if question.key.is_some()
                && kernel().random(|rng| rng.u8(0..4)) == 0
                && let Ok((202, again)) = self.ask(self.any_pod(), question).await
                && again["taskUid"].as_u64() != task
            {
                self.record.borrow_mut().wrong.push(format!("{question:?} was {summary} and then {again}"));
            }
            return task;
        }
        self.record.borrow_mut().refused += 1;
        None
    }

    fn any_pod(&self) -> Site {
        kernel().random(|rng| self.pods[rng.usize(0..self.pods.len())])
    }

    /// Creates the index; tries until it exists.
    pub(super) async fn prepare(&self) {
        let (body, target) = (json!({"uid": INDEX, "primaryKey": "id"}), format!("/indexes/{INDEX}"));
        loop {
            let question = Question { method: "POST", target: "/indexes", body: Some(&body), key: None };
            let _ = self.ask(self.any_pod(), question).await;
            for _ in 0..20 {
                sleep(Duration::from_millis(100)).await;
                if let Ok((200, _)) = self.ask(self.any_pod(), Question::get(&target)).await {
                    return;
                }
            }
        }
    }

    /// Creates indexes and deletes them until then.
    pub(super) async fn build(self, until: Duration) {
        let mut number = 0;
        while kernel().now() < until {
            let (uid, is_new) = kernel().random(|rng| (rng.u32(0..=number), rng.bool()));
            let uid = if is_new { number + 1 } else { uid };
            number = number.max(uid);
            let name = format!("extra-{uid}");
            let (body, target) = (json!({"uid": name, "primaryKey": "id"}), format!("/indexes/{name}"));
            let question = match is_new {
                true => Question { method: "POST", target: "/indexes", body: Some(&body), key: None },
                false => Question { method: "DELETE", target: &target, body: None, key: None },
            };
            let task = self.change(question).await;
            self.record.borrow_mut().note_fate(name, is_new, task);
            let pause = kernel().random(|rng| rng.u64(100..4_000));
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Writes and reads until then.
    pub(super) async fn work(self, keys: Vec<String>, until: Duration) {
        let mut next = 0;
        while kernel().now() < until {
            let (key, kind) = kernel().random(|rng| (keys[rng.usize(0..keys.len())].clone(), rng.u8(0..100)));
            match kind {
                0..60 => {
                    next += 1;
                    self.write(&key, Some(next)).await;
                }
                60..75 => self.write(&key, None).await,
                75..98 => self.read(&key).await,
                _ => self.change_settings(next).await,
            }
            let pause = kernel().random(|rng| rng.u64(1..400));
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn write(&self, key: &str, value: Option<u64>) {
        let place = {
            let mut record = self.record.borrow_mut();
            let register = record.registers.entry(key.to_owned()).or_default();
            register.push(Operation { value, asked: kernel().now(), acknowledged: None });
            register.len() - 1
        };
        let documents = format!("/indexes/{INDEX}/documents");
        let (body, target) = (json!([{"id": key, "value": value}]), format!("{documents}/{key}"));
        let once = kernel().random(fastrand::Rng::bool).then(|| format!("{key}-{place}"));
        let task = match value {
            Some(_) => {
                Question { method: "POST", target: &documents, body: Some(&body), key: once.as_deref() }
            }
            None => Question { method: "DELETE", target: &target, body: None, key: once.as_deref() },
        };
        let Some(task) = self.change(task).await else { return };
        {
            let mut record = self.record.borrow_mut();
            if let Some(register) = record.registers.get_mut(key) {
                register[place].acknowledged = Some((kernel().now(), task));
            }
            record.tasks.insert(task, "enqueued".to_owned());
        }
        if kernel().random(fastrand::Rng::bool) {
            self.follow(task).await;
        }
    }

    /// Asks about a task until it has ended, for at most `FOLLOWED`.
    async fn follow(&self, task: u64) {
        let until = kernel().now() + FOLLOWED;
        while kernel().now() < until {
            if self.look_at(self.any_pod(), task).await {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks one pod about a task and returns whether it has ended. Every pod must know it, and an ended task must stay
    /// ended.
    pub(super) async fn look_at(&self, pod: Site, task: u64) -> bool {
        let Ok((status, view)) = self.ask(pod, Question::get(&format!("/tasks/{task}"))).await else {
            return false;
        };
        let mut record = self.record.borrow_mut();
        if status == 404 {
            record.wrong.push(format!("pod-{pod} does not know the task {task}"));
        }
        let Some(now) = view["status"].as_str().filter(|_| status == 200) else { return false };
        let is_over = |status: &str| matches!(status, "succeeded" | "failed" | "canceled");
        let before = record.tasks.insert(task, now.to_owned()).unwrap_or_default();
        if is_over(&before) && before != now {
            record.wrong.push(format!("the task {task} was {before} and is {now} on pod-{pod}"));
        }
        is_over(now)
    }

    async fn read(&self, key: &str) {
        let pod = self.any_pod();
        if let Ok(found) = self.value_of(pod, key).await {
            let mut record = self.record.borrow_mut();
            record.reads += 1;
            let known = record.registers.get(key).map(Vec::as_slice).unwrap_or_default();
            if found.is_some() && !known.iter().any(|operation| operation.value == found) {
                record.wrong.push(format!("pod-{pod} gave {found:?} for {key}, which nobody wrote"));
            }
        }
    }

    /// The value of a register according to a pod, or the pod's other answer.
    pub(super) async fn value_of(&self, pod: Site, key: &str) -> Result<Option<u64>, String> {
        let target = format!("/indexes/{INDEX}/documents/{key}");
        match self.ask(pod, Question::get(&target)).await {
            Ok((200, document)) => {
                let fields = document.as_object().map_or(0, serde_json::Map::len);
                if fields != 2 {
                    self.record
                        .borrow_mut()
                        .wrong
                        .push(format!("pod-{pod} shows more than was written: {document}"));
                }
                Ok(document["value"].as_u64())
            }
            Ok((404, error)) if error["code"] == "document_not_found" => Ok(None),
            other => Err(format!("{other:?}")),
        }
    }

    async fn change_settings(&self, number: u64) {
        let body = json!({"stopWords": [format!("word-{number}")]});
        let target = format!("/indexes/{INDEX}/settings");
        let question = Question { method: "PATCH", target: &target, body: Some(&body), key: None };
        if let Some(task) = self.change(question).await {
            let mut record = self.record.borrow_mut();
            record.settings += 1;
            record.tasks.insert(task, "enqueued".to_owned());
        }
    }
}
