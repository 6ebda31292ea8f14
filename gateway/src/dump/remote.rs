//! Sends indexes with their settings and documents to another server that speaks Meilisearch: the tasks of exports.
//!
//! Invariants: what is sent has no reserved fields, and each document once. Batches are bounded. An export that was
//! interrupted is begun again, which changes nothing at the other server. Addresses are guarded as for webhooks.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use store::{Change, TaskChange, TaskKind, TaskQuery, TaskRecord, TaskStatus};
use ureq::Agent;

use crate::{
    api::{
        error::{ApiError, Code},
        settings,
    },
    clock,
    config::limits,
    dump::{export, pages::Pages},
    observe::log,
    read::ask,
    state::{core::Core, leadership::Term, shared::EXPORTS, snapshot::Index},
    wire::{
        outbound::{self, blocking},
        runtime,
    },
    write::lane,
};

/// The other server.
#[derive(Clone)]
struct Remote {
    agent: Agent,
    url: String,
    key: Option<String>,
}

/// What the other server answered.
struct Answer {
    status: u16,
    body: Value,
}

/// Performs the requested exports, oldest first.
pub(crate) async fn work_off(core: &Core, term: &Term) {
    let query = TaskQuery {
        kinds: Some(vec![TaskKind::Export]),
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: 1,
        reverse: true,
        ..TaskQuery::default()
    };
    while let Ok(page) = core.shared.store.tasks(query.clone()).await
        && let Some(record) = page.tasks.into_iter().next()
    {
        let begun = TaskChange {
            status: Some(TaskStatus::Processing),
            started_at: Some(clock::utc()),
            ..TaskChange::default()
        };
        let change = |change| Change::UpdateTask { uid: record.uid, change: Box::new(change) };
        if core.shared.commit_by(term, vec![change(begun)]).await.is_err() {
            // Another pod leads by now.
            return;
        }
        let mut ended = match export(core, &record).await {
            Ok(details) => TaskChange {
                status: Some(TaskStatus::Succeeded),
                details: Some(details),
                ..TaskChange::default()
            },
            Err(error) => {
                let error = error.into_task_error();
                log::warn("export_failed", &[("task", &record.uid.to_string()), ("reason", &error.message)]);
                TaskChange { status: Some(TaskStatus::Failed), error: Some(error), ..TaskChange::default() }
            }
        };
        ended.finished_at = Some(clock::utc());
        let forget = Change::ForgetRecord { table: EXPORTS, key: record.uid.to_string() };
        if core.shared.commit_by(term, vec![change(ended), forget]).await.is_err() {
            return;
        }
    }
}

async fn export(core: &Core, task: &TaskRecord) -> Result<Value, ApiError> {
    let mut details = task.details.clone().unwrap_or_default();
    let secret = core.shared.store.record(EXPORTS, &task.uid.to_string()).await?;
    let secret = secret.map(|record| record.value).unwrap_or_default();
    let bytes = secret["payloadBytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.unwrap_or(limits::EXPORT_PAYLOAD_BYTES_DEFAULT);
    let remote = Remote {
        agent: outbound::agent(&core.shared.config.allowed_ip_networks, limits::EXPORT_REQUEST_TIMEOUT),
        url: details["url"].as_str().unwrap_or_default().to_owned(),
        key: secret["apiKey"].as_str().map(str::to_owned),
    };
    let patterns = details["indexes"].as_object().cloned().unwrap_or_default();
    for (pattern, wanted) in &patterns {
        let mut sent = 0;
        let snapshot = core.shared.snapshot();
        for index in snapshot.in_order() {
            let uid = &index.record.uid;
            let fits = match pattern.strip_suffix('*') {
                Some(start) => uid.starts_with(start),
                None => uid == pattern,
            };
            if fits {
                sent += one_index(core, uid, &remote, wanted, bytes).await?;
            }
        }
        details["indexes"][pattern.as_str()]["matchedDocuments"] = json!(sent);
    }
    Ok(details)
}

/// Sends one index; gives how many documents it has sent.
async fn one_index(
    core: &Core,
    uid: &str,
    remote: &Remote,
    wanted: &Value,
    payload_bytes: usize,
) -> Result<u64, ApiError> {
    // The documents are of one moment, as those of a dump.
    let _guard = lane::lock(core, vec![uid]).await?;
    export::wait_for_earlier(core, None, Some(uid)).await?;
    let snapshot = core.shared.snapshot();
    // It may have been deleted since the list was made.
    let Some(index) = snapshot.indexes.get(uid) else { return Ok(0) };
    let found = remote.ask("GET", &format!("/indexes/{uid}"), None).await?;
    let is_new = found.status == 404;
    if !is_new && found.status != 200 {
        return Err(refused(uid, &found));
    }
    if is_new {
        let body = json!({"uid": uid, "primaryKey": index.record.primary_key});
        expect(uid, remote.ask("POST", "/indexes", Some(body)).await?)?;
    }
    if is_new || wanted["overrideSettings"] == true {
        let target = format!("/indexes/{}/settings", index.record.node_uid);
        let mut shown = ask::any_node(core, &target).await?;
        if let Value::Object(members) = &mut shown {
            settings::from_node(members, &index.record.settings, index.rules.tie_break.as_ref());
            // Nodes hide the keys of embedders; the gateway has them as the client gave them.
            if let Some(embedders) = index.record.settings.get("embedders") {
                members.insert("embedders".to_owned(), embedders.clone());
            }
        }
        let path = format!("/indexes/{uid}/settings");
        expect(uid, remote.ask("PATCH", &path, Some(shown)).await?)?;
    }
    let filter = Some(&wanted["filter"]).filter(|filter| !filter.is_null());
    let mut pages = Pages::new(core, &snapshot, index, filter)?;
    let (mut batch, mut waiting, mut sent) = (Vec::new(), 0, 0);
    while let Some((lines, count)) = pages.next().await? {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if !batch.is_empty() && batch.len() + line.len() > payload_bytes {
                remote.send(uid, index, std::mem::take(&mut batch)).await?;
            }
            batch.extend_from_slice(line);
        }
        waiting += count as u64;
        if batch.is_empty() {
            sent += std::mem::take(&mut waiting);
        }
    }
    if !batch.is_empty() {
        remote.send(uid, index, batch).await?;
    }
    Ok(sent + waiting)
}

impl Remote {
    /// Sends a batch of lines, as often as the other server is late or overloaded.
    async fn send(&self, uid: &str, index: &Index, lines: Vec<u8>) -> Result<(), ApiError> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&lines);
        let body = encoder.finish().unwrap_or_default();
        let key = index.record.primary_key.as_deref().unwrap_or_default();
        let key = form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>();
        let path = format!("/indexes/{uid}/documents?primaryKey={key}");
        let answer = self.tried("POST", &path, Some(body), true).await?;
        expect(uid, answer)
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer, ApiError> {
        let body = body.map(|body| body.to_string().into_bytes());
        self.tried(method, path, body, false).await
    }

    /// Asks again, ever more rarely, what the other server did not answer or has no room for.
    async fn tried(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
        is_batch: bool,
    ) -> Result<Answer, ApiError> {
        let mut pause = limits::EXPORT_RETRY_PAUSE;
        let mut reason = String::new();
        for attempt in 0..limits::EXPORT_ATTEMPTS_MAX {
            if attempt > 0 {
                runtime::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            let (remote, method, path) = (self.clone(), method.to_owned(), path.to_owned());
            let body = body.clone();
            let call = move || remote.call(&method, &path, body.as_deref(), is_batch);
            match blocking("export", call).await {
                Some(Ok(answer)) if answer.status < 500 && answer.status != 429 && answer.status != 408 => {
                    return Ok(answer);
                }
                Some(Ok(answer)) => reason = format!("status {}", answer.status),
                Some(Err(error)) => {
                    let is_forbidden = error.contains("--allowed-ip-networks");
                    reason = error;
                    // Trying again would not change what the operator allows.
                    if is_forbidden {
                        break;
                    }
                }
                None => "no thread could be had for it".clone_into(&mut reason),
            }
        }
        let message = format!("The remote `{}` cannot be reached: {reason}.", self.url);
        Err(ApiError::new(Code::RemoteCouldNotSendRequest, message))
    }

    fn call(&self, method: &str, path: &str, body: Option<&[u8]>, is_batch: bool) -> Result<Answer, String> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if body.is_some() {
            let media_type = if is_batch { "application/x-ndjson" } else { "application/json" };
            request = request.header("content-type", media_type);
        }
        if is_batch {
            request = request.header("content-encoding", "gzip");
        }
        let text = |error: http::Error| error.to_string();
        let answer = match body {
            Some(body) => self.agent.run(request.body(body.to_vec()).map_err(text)?),
            None => self.agent.run(request.body(()).map_err(text)?),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(limits::EXPORT_ANSWER_BYTES_MAX).read_to_vec();
        let body = serde_json::from_slice(&text.map_err(|error| error.to_string())?).unwrap_or_default();
        Ok(Answer { status, body })
    }
}

fn expect(uid: &str, answer: Answer) -> Result<(), ApiError> {
    match answer.status {
        200..300 => Ok(()),
        _ => Err(refused(uid, &answer)),
    }
}

fn refused(uid: &str, answer: &Answer) -> ApiError {
    let said = answer.body["message"].as_str().unwrap_or("nothing");
    let message = format!("The remote refuses the index `{uid}` with status {}: {said}", answer.status);
    let code = match answer.status {
        401 | 403 => Code::RemoteInvalidApiKey,
        _ => Code::RemoteBadRequest,
    };
    ApiError::new(code, message)
}
