//! A blocking client of one server.
//! Invariant: every status is an answer; an error is a request without one.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use crate::cluster::agent;
use crate::differential::question::{Answer, Question};

/// How long a task may take.
const TASK_MAX: Duration = Duration::from_secs(1_800);
/// The pause between two polls of a task.
const TASK_PAUSE: Duration = Duration::from_millis(5);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(crate) fn new(base: String, key: Option<String>) -> Self {
        Self { agent: agent(), base, key }
    }

    /// Asks a question about the index `uid`.
    pub(super) fn ask(&self, question: &Question, uid: &str) -> anyhow::Result<Answer> {
        self.send(question.method, &question.target(uid), question.body.as_ref())
    }

    pub(crate) fn send(&self, method: &str, target: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.base));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(body.to_string())?)
            }
            None if method == "GET" || method == "DELETE" => self.agent.run(request.body(())?),
            None => self.agent.run(request.body(String::new())?),
        };
        let mut answer = sent.with_context(|| format!("{method} {target}"))?;
        let status = answer.status().as_u16();
        let bytes = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        };
        Ok(Answer { status, body })
    }

    /// Sends a write and waits until its task has succeeded.
    pub(crate) fn done(&self, method: &str, target: &str, body: Option<&Value>) -> anyhow::Result<()> {
        let task = self.finished(method, target, body)?;
        ensure!(task["status"] == "succeeded", "{method} {target}: {task}");
        Ok(())
    }

    /// Sends a write and waits until its task has ended.
    pub(crate) fn finished(&self, method: &str, target: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let Answer { status, body: summary } = self.send(method, target, body)?;
        ensure!(status == 202, "{method} {target}: {status} {summary}");
        let deadline = Instant::now() + TASK_MAX;
        loop {
            let task = self.send("GET", &format!("/tasks/{}", summary["taskUid"]), None)?;
            ensure!(task.status == 200, "task {}: {} {}", summary["taskUid"], task.status, task.body);
            if !task.body["finishedAt"].is_null() {
                return Ok(task.body);
            }
            ensure!(Instant::now() < deadline, "the task is not finished after {TASK_MAX:?}: {}", task.body);
            std::thread::sleep(TASK_PAUSE);
        }
    }
}
