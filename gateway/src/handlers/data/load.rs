//! Writes what a dump or a backup has as clients would write it, whatever the shape of this cluster.
//!
//! Invariants: what is written passes every check of a client's request. Tasks that have not ended are bounded. The
//! first task that fails is an error, in its own words.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::TaskStatus;

use crate::{
    api::error::{ApiError, Code},
    auth::Permission,
    config::limits,
    handlers::{document_writes, indexes, keys, settings},
    observe::log,
    state::core::Core,
    wire::{
        h1::{Request, Response},
        runtime,
    },
    write::tasks::status,
};

/// The pause before a write for which there was no room is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// A task that is not known to have succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    task: u32,
    /// Documents that were written before it.
    pub(crate) from: u64,
}

/// Writes for one restore or import.
pub(crate) struct Loader {
    core: Rc<Core>,
    /// What has to succeed yet, oldest first.
    pub(crate) open: Vec<Open>,
    /// Documents that were written.
    documents: u64,
}

impl Loader {
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        Self::going_on(core, Vec::new(), 0)
    }

    /// Goes on after so many documents, with tasks that have to succeed yet.
    pub(crate) fn going_on(core: &Rc<Core>, open: Vec<Open>, documents: u64) -> Self {
        Self { core: Rc::clone(core), open, documents }
    }

    /// Makes an index, and waits for it.
    ///
    /// # Errors
    /// A refusal, or the error of the task.
    pub(crate) async fn index(&mut self, uid: &str, primary_key: Option<&str>) -> Result<(), ApiError> {
        let request =
            json_request(Method::POST, "/indexes", &json!({"uid": uid, "primaryKey": primary_key}))?;
        let answer = indexes::create(&self.core, &request, &Permission::everything()).await?;
        self.await_task(&answer).await
    }

    /// Sets the settings of an index, and waits until it has them.
    ///
    /// # Errors
    /// A refusal, or the error of the task.
    pub(crate) async fn settings(&mut self, uid: &str, settings: &Value) -> Result<(), ApiError> {
        let request = json_request(Method::PATCH, &format!("/indexes/{uid}/settings"), settings)?;
        let answer = settings::change(&self.core, &request, &Permission::everything(), uid).await?;
        self.await_task(&answer).await
    }

    /// Writes so many lines of documents. They are accepted when this returns, and perhaps not yet applied.
    ///
    /// # Errors
    /// A refusal, or the error of an earlier task.
    pub(crate) async fn documents(&mut self, uid: &str, lines: Bytes, count: u64) -> Result<(), ApiError> {
        let path = format!("/indexes/{uid}/documents");
        let request = request(Method::POST, &path, "application/x-ndjson", lines)?;
        let answer = self.written(&request, uid).await?;
        self.open.push(Open { task: task_of(&answer)?, from: self.documents });
        self.documents += count;
        self.wait_for_tasks(limits::RESTORE_TASKS_MAX).await
    }

    /// Writes documents; while the lane is full it waits, since nobody else waits for it.
    async fn written(&self, request: &Request, uid: &str) -> Result<Response, ApiError> {
        let everything = Permission::everything();
        loop {
            match document_writes::add(&self.core, request, &everything, uid, true).await {
                Err(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    log::warn("load_waits", &[("index", uid), ("reason", error.reason())]);
                    runtime::sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    /// Makes a key in the form of dumps; one whose uid is known already stays as it is.
    ///
    /// # Errors
    /// A refusal, in the words for clients.
    pub(crate) async fn key(&self, key: &Value) -> Result<(), ApiError> {
        // Keys follow from the master key: a gateway without one has none.
        if self.core.shared.config.master_key.is_none() {
            return Ok(());
        }
        let mut body = json!({
            "uid": key["uid"],
            "actions": key["actions"],
            "indexes": key["indexes"],
            "expiresAt": key["expires_at"],
        });
        for name in ["name", "description"] {
            if !key[name].is_null() {
                body[name] = key[name].clone();
            }
        }
        let request = json_request(Method::POST, "/keys", &body)?;
        match keys::create(&self.core, &request).await {
            Err(error) if error.code() == Some(Code::ApiKeyAlreadyExists) => Ok(()),
            // A key that has expired since cannot be made any more.
            Err(error) if error.code() == Some(Code::InvalidApiKeyExpiresAt) => Ok(()),
            created => created.map(drop),
        }
    }

    async fn await_task(&mut self, answer: &Response) -> Result<(), ApiError> {
        self.open.push(Open { task: task_of(answer)?, from: self.documents });
        self.wait_for_tasks(0).await
    }

    /// Waits until at most so many tasks have not ended.
    ///
    /// # Errors
    /// The error of a task that failed, which stays among those that have to succeed.
    pub(crate) async fn wait_for_tasks(&mut self, open_max: usize) -> Result<(), ApiError> {
        loop {
            let (mut left, mut failure) = (Vec::new(), None);
            for open in self.open.clone() {
                // One that was forgotten ended long ago.
                let Some(task) = self.core.shared.store.task(open.task).await? else { continue };
                let task = status::refresh(&self.core, task).await;
                if task.status == TaskStatus::Succeeded {
                    continue;
                }
                left.push(open);
                if task.status.is_finished() && failure.is_none() {
                    let reason =
                        task.error.map_or_else(|| "it was canceled".to_owned(), |error| error.message);
                    let message = format!("Task {} has failed: {reason}", open.task);
                    failure = Some(ApiError::new(Code::Internal, message));
                }
            }
            self.open = left;
            match failure {
                Some(error) => return Err(error),
                None if self.open.len() <= open_max => return Ok(()),
                None => {}
            }
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }
}

fn task_of(answer: &Response) -> Result<u32, ApiError> {
    let summary: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let uid = summary["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    uid.ok_or_else(|| ApiError::new(Code::Internal, "A step made no task."))
}

/// A request with a JSON body as a client would send it.
///
/// # Errors
/// 500 for a path that is none.
pub(crate) fn json_request(method: Method, path: &str, body: &Value) -> Result<Request, ApiError> {
    request(method, path, "application/json", body.to_string().into())
}

fn request(method: Method, path: &str, content_type: &'static str, body: Bytes) -> Result<Request, ApiError> {
    let uri = path.parse().map_err(|_| ApiError::new(Code::Internal, "A step has no path."))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(Request { method, uri, headers, body, keep_alive: true, peer: Request::NO_PEER, upload: None })
}
