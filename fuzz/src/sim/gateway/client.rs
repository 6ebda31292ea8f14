//! Clients: each writes registers of its own, one after the other, through any pod, and follows its tasks.
//! - Every operation is recorded before it is sent, and stays recorded with every answer to it.
//! - A client continues after a failure; the record says what is then unknown.

use std::io;
use std::time::Duration;

use gateway::wire::runtime::timeout;
use serde_json::{Value, json};

use super::http::{Question, Reply, Wire};
use super::kernel::{Site, kernel, sleep};
use super::network::{address_of, connect};
use super::record::{Known, Operation};

pub(super) const INDEX: &str = "registers";
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a client sends a request with one idempotency key.
const REPETITIONS: usize = 3;
/// How long a client follows a task before it continues.
const FOLLOWED: Duration = Duration::from_secs(3);

/// What a pod says of a register.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) value: Option<u64>,
    /// The pod says that it asked a copy that may be old.
    pub(super) is_degraded: bool,
}

/// A client: the pods that it knows, and the shared record.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) pods: Vec<Site>,
    pub(super) record: Known,
}

impl Client {
    /// Sends one request to a pod, over a connection of its own.
    pub(super) async fn ask(&self, pod: Site, question: Question<'_>) -> io::Result<(u16, Value)> {
        self.exchange(pod, question).await.map(|reply| (reply.status, reply.body))
    }

    /// Like `ask`, and tells whether the answer may lack something.
    pub(super) async fn exchange(&self, pod: Site, question: Question<'_>) -> io::Result<Reply> {
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

    pub(super) fn any_pod(&self) -> Site {
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
                    self.write(&key, Some(next), false).await;
                }
                60..75 => self.write(&key, None, false).await,
                75..98 => self.read(&key).await,
                _ => self.change_settings(next).await,
            }
            let pause = kernel().random(|rng| rng.u64(1..400));
            let is_burst = kernel().now() < self.record.borrow().burst_until;
            sleep(Duration::from_millis(if is_burst { pause / 40 } else { pause })).await;
        }
    }

    /// Writes registers once, and one of them now and then until the end, so that most are certain at any time.
    pub(super) async fn keep(self, keys: Vec<String>, until: Duration) {
        for (value, key) in keys.iter().enumerate() {
            self.write(key, u64::try_from(value).ok(), true).await;
        }
        let mut next = 1_000;
        while kernel().now() < until {
            let pause = kernel().random(|rng| rng.u64(1_000..6_000));
            sleep(Duration::from_millis(pause)).await;
            next += 1;
            let (key, deletes) = kernel().random(|rng| (&keys[rng.usize(0..keys.len())], rng.u8(0..4) == 0));
            self.write(key, (!deletes).then_some(next), true).await;
        }
    }

    /// Writes a register, and follows the task if that `must` be known or else sometimes.
    async fn write(&self, key: &str, value: Option<u64>, must: bool) {
        let place = {
            let mut record = self.record.borrow_mut();
            let register = record.registers.entry(key.to_owned()).or_default();
            register.push(Operation { value, asked: kernel().now(), acknowledged: None, done: None });
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
        let follows = kernel().random(fastrand::Rng::bool) || must;
        if follows && self.follow(task).await {
            let mut record = self.record.borrow_mut();
            let has_succeeded = record.tasks.get(&task).is_some_and(|status| status == "succeeded");
            if let Some(register) = record.registers.get_mut(key).filter(|_| has_succeeded) {
                register[place].done = Some(kernel().now());
            }
        }
    }

    /// Asks about a task until it has ended, for at most `FOLLOWED`; tells whether it has.
    async fn follow(&self, task: u64) -> bool {
        let until = kernel().now() + FOLLOWED;
        while kernel().now() < until {
            if self.look_at(self.any_pod(), task).await {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
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

    /// The value of a register according to a pod, or the pod's other answer.
    pub(super) async fn value_of(&self, pod: Site, key: &str) -> Result<Found, String> {
        let target = format!("/indexes/{INDEX}/documents/{key}");
        let Reply { status, body: document, is_degraded } =
            self.exchange(pod, Question::get(&target)).await.map_err(|error| error.to_string())?;
        match status {
            200 => {
                let fields = document.as_object().map_or(0, serde_json::Map::len);
                if fields != 2 {
                    self.record
                        .borrow_mut()
                        .wrong
                        .push(format!("pod-{pod} shows more than was written: {document}"));
                }
                Ok(Found { value: document["value"].as_u64(), is_degraded })
            }
            404 if document["code"] == "document_not_found" => Ok(Found { value: None, is_degraded }),
            _ => Err(format!("{status} {document}")),
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
