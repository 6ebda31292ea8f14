//! A small blocking client for tests against a node or anything that behaves like one.
//! Invariant: statuses are data, never errors; a request without an answer is an `Err`. Anything else unexpected
//! panics, which fails the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a failed unwrap is a failed test"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// How long a task may take before a test gives up.
const TASK_MAX: Duration = Duration::from_secs(60);

pub struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TASK_MAX))
            .build()
            .new_agent();
        Self { agent, base: base.into(), key: None }
    }

    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Base URL, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends bytes; returns status and body.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        self.with_headers(method, path, headers, body).map(|(status, _, body)| (status, body))
    }

    /// Sends bytes; returns status, headers and body.
    pub fn with_headers(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(u16, HeaderMap, Vec<u8>), ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let has_body = !matches!(method, "GET" | "DELETE");
        let mut response = if has_body {
            self.agent.run(request.body(body.to_vec()).expect("a valid request"))?
        } else {
            self.agent.run(request.body(()).expect("a valid request"))?
        };
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(256 << 20).read_to_vec()?;
        Ok((status, response.headers().clone(), body))
    }

    /// Sends JSON; returns status and JSON.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("Content-Type", "application/json")];
        let (status, answer) = self.raw(method, path, &headers, body.to_string().as_bytes()).unwrap();
        let answer = if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() };
        (status, answer)
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &Value::Null)
    }

    /// GETs a path; the status must be 200. Returns the body.
    pub fn read(&self, path: &str) -> Value {
        let (status, answer) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// POSTs a body; the status must be 200. Returns the body.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call("POST", path, body);
        assert_eq!(status, 200, "POST {path} {body}: {answer}");
        answer
    }

    /// Sends a write, waits for its task and returns it.
    pub fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 202, "{method} {path}: {answer}");
        self.finished(&answer)
    }

    /// Like `write`; the task must have succeeded.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let task = self.write(method, path, body);
        assert_eq!(task["status"], "succeeded", "{method} {path}: {task}");
        task
    }

    /// Waits until the task of a summary is finished.
    pub fn finished(&self, summary: &Value) -> Value {
        let deadline = Instant::now() + TASK_MAX;
        loop {
            let task = self.read(&format!("/tasks/{}", summary["taskUid"]));
            // A node may know when a swap ended and still report it as processing.
            if !task["finishedAt"].is_null() && task["status"] != "processing" {
                return task;
            }
            assert!(Instant::now() < deadline, "task is not finished: {task}");
            std::thread::yield_now();
        }
    }

    pub fn search(&self, index: &str, query: &Value) -> Value {
        self.post(&format!("/indexes/{index}/search"), query)
    }
}

/// Films with fields to filter, sort, facet and rank.
pub fn films() -> Value {
    json!([
        { "id": 1, "title": "The Matrix", "year": 1999, "genres": ["action", "scifi"], "rating": 8.7,
          "director": { "name": "Wachowski" }, "_geo": { "lat": 45.47, "lng": 9.18 } },
        { "id": 2, "title": "The Matrix Reloaded", "year": 2003, "genres": ["action"], "rating": 7.2,
          "director": { "name": "Wachowski" }, "_geo": { "lat": 48.85, "lng": 2.35 } },
        { "id": 3, "title": "Blade Runner", "year": 1982, "genres": ["scifi"], "rating": 8.1,
          "director": { "name": "Scott" } },
        { "id": 4, "title": "Alien", "year": 1979, "genres": ["horror", "scifi"], "rating": 8.5,
          "director": { "name": "Scott" }, "_geo": { "lat": 51.5, "lng": -0.12 } },
        { "id": 5, "title": "Gardening for Beginners", "year": 2011, "genres": [], "rating": 3.0,
          "director": { "name": "Nobody" } }
    ])
}

/// The ids of the hits or results, in order.
pub fn ids(answer: &Value) -> Vec<i64> {
    let list = answer.get("hits").or_else(|| answer.get("results")).unwrap().as_array().unwrap();
    list.iter().map(|hit| hit["id"].as_i64().unwrap()).collect()
}
