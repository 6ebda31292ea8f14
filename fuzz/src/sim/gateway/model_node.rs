//! A model of a node: a register for each document, tasks that run one by one, settings; searches find everything.
//! - It keeps what it has acknowledged, whatever happens to its process (`Disk`). A task that was running is run again.
//! - Tasks run in the order of their uids, each at one instant.
//! - It answers what it does not support with 404 or 501, never with invented data.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::sim::gateway::http::{Message, Wire};
use crate::sim::gateway::kernel::{self, kernel, sleep};
use crate::sim::gateway::network::{address_of, listen};

const VERSION: &str = "1.15.0";
const UNKNOWN: (u16, Value) = (501, Value::Null);

/// The durable state of a node.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) indexes: BTreeMap<String, Index>,
    tasks: Vec<Task>,
    /// Wakes the task runner while there are no tasks.
    idle: Option<Waker>,
    pub(super) rest: Rest,
}

/// The longest durations, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) answer_ms: u64,
    pub(super) task_ms: u64,
}

impl Default for Rest {
    fn default() -> Self {
        Self { answer_ms: 2, task_ms: 30 }
    }
}

/// By key.
pub(super) type Documents = BTreeMap<String, Map<String, Value>>;

#[derive(Default)]
pub(super) struct Index {
    primary_key: Option<String>,
    settings: Map<String, Value>,
    pub(super) documents: Documents,
    created_at: String,
    updated_at: String,
}

struct Task {
    index: Option<String>,
    work: Work,
    status: &'static str,
    details: Value,
    error: Value,
    canceled_by: Option<usize>,
    enqueued_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Clone)]
enum Work {
    Create { primary_key: Option<String> },
    Update { primary_key: Option<String> },
    Drop,
    Settings(Map<String, Value>),
    Add { documents: Vec<Map<String, Value>>, replace: bool, primary_key: Option<String> },
    Delete(Vec<String>),
    DeleteOf(Shards),
    Clear,
    Cancel(Vec<usize>),
}

impl Work {
    fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "indexCreation",
            Self::Update { .. } => "indexUpdate",
            Self::Drop => "indexDeletion",
            Self::Settings(_) => "settingsUpdate",
            Self::Add { .. } => "documentAdditionOrUpdate",
            Self::Delete(_) | Self::DeleteOf(_) | Self::Clear => "documentDeletion",
            Self::Cancel(_) => "taskCancelation",
        }
    }
}

/// Starts a node on the current site.
pub(super) fn start(disk: &Rc<RefCell<Disk>>) {
    let serving = Rc::clone(disk);
    kernel().spawn(async move {
        let Ok(listener) = listen(address_of(kernel().site())) else { return };
        loop {
            let (stream, _) = listener.accept().await;
            let disk = Rc::clone(&serving);
            kernel().spawn(serve(disk, Wire::new(stream)));
        }
    });
    kernel().spawn(work_off(Rc::clone(disk)));
}

async fn serve(disk: Rc<RefCell<Disk>>, mut wire: Wire) {
    while let Ok(Some(message)) = wire.next().await {
        let most = disk.borrow().rest.answer_ms;
        rest(most).await;
        let (status, body) = disk.borrow_mut().answer(&message);
        rest(most).await;
        if wire.answer(status, &body).await.is_err() {
            return;
        }
    }
}

async fn rest(most_ms: u64) {
    let micros = kernel().random(|rng| rng.u64(20..=most_ms * 1000));
    sleep(Duration::from_micros(micros)).await;
}

async fn work_off(disk: Rc<RefCell<Disk>>) {
    loop {
        let next = poll_fn(|context| {
            let mut disk = disk.borrow_mut();
            match disk.tasks.iter().position(|task| matches!(task.status, "enqueued" | "processing")) {
                Some(uid) => Poll::Ready(uid),
                None => {
                    disk.idle = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        {
            let mut disk = disk.borrow_mut();
            let task = &mut disk.tasks[next];
            task.status = "processing";
            task.started_at = Some(date());
        }
        let most = disk.borrow().rest.task_ms;
        rest(most).await;
        disk.borrow_mut().perform(next);
    }
}

fn date() -> String {
    OffsetDateTime::from(kernel::wall()).format(&Rfc3339).unwrap_or_default()
}

fn refusal(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"message": code, "code": code, "type": "invalid_request", "link": ""}))
}

/// Decodes a part of a path.
fn decoded(part: &str) -> Cow<'_, str> {
    percent_decode_str(part).decode_utf8_lossy()
}

fn list_of(query: &BTreeMap<&str, &str>, name: &str) -> Option<Vec<String>> {
    query.get(name).map(|list| list.split(',').map(str::to_owned).collect())
}

impl Disk {
    fn answer(&mut self, message: &Message) -> (u16, Value) {
        let mut words = message.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, &parts[..]) {
            ("GET", ["health"]) => (200, json!({"status": "available"})),
            ("GET", ["version"]) => {
                (200, json!({"commitSha": "model", "commitDate": "model", "pkgVersion": VERSION}))
            }
            ("GET", ["stats"]) => (200, self.stats()),
            ("GET", ["indexes"]) => (200, self.list()),
            ("POST", ["indexes"]) => {
                let Some(uid) = body["uid"].as_str() else { return refusal(400, "missing_index_uid") };
                let primary_key = body["primaryKey"].as_str().map(str::to_owned);
                self.enqueue(Some(uid), Work::Create { primary_key })
            }
            ("GET", ["tasks"]) => (200, self.tasks(&query)),
            ("GET", ["tasks", uid]) => match uid.parse().ok().filter(|uid| *uid < self.tasks.len()) {
                Some(uid) => (200, self.task(uid)),
                None => refusal(404, "task_not_found"),
            },
            ("POST", ["tasks", "cancel"]) => {
                let uids = list_of(&query, "uids").unwrap_or_default();
                self.enqueue(None, Work::Cancel(uids.iter().filter_map(|uid| uid.parse().ok()).collect()))
            }
            (_, ["indexes", uid, rest @ ..]) => self.of_index(method, uid, rest, &query, body),
            _ => UNKNOWN,
        }
    }

    fn of_index(
        &mut self,
        method: &str,
        uid: &str,
        rest: &[&str],
        query: &BTreeMap<&str, &str>,
        body: Value,
    ) -> (u16, Value) {
        let primary_key = query.get("primaryKey").map(|key| (*key).to_owned());
        let work = match (method, rest) {
            ("DELETE", []) => Work::Drop,
            ("PATCH", []) => Work::Update { primary_key: body["primaryKey"].as_str().map(str::to_owned) },
            ("PATCH", ["settings"]) => Work::Settings(body.as_object().cloned().unwrap_or_default()),
            ("POST" | "PUT", ["documents"]) => {
                // A single document is treated as a list of one.
                let list = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
                let documents = list.into_iter().filter_map(|document| document.as_object().cloned());
                Work::Add { documents: documents.collect(), replace: method == "POST", primary_key }
            }
            ("POST", ["documents", "delete-batch"]) => {
                let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                Work::Delete(body.as_array().into_iter().flatten().map(text).collect())
            }
            ("POST", ["documents", "delete"]) => match Shards::parse(&body["filter"]) {
                Some(Some(shards)) => Work::DeleteOf(shards),
                Some(None) => return refusal(400, "missing_document_filter"),
                None => return UNKNOWN,
            },
            ("DELETE", ["documents"]) => Work::Clear,
            _ => return self.read(method, uid, rest, &body),
        };
        self.enqueue(Some(uid), work)
    }

    fn read(&self, method: &str, uid: &str, rest: &[&str], body: &Value) -> (u16, Value) {
        let Some(index) = self.indexes.get(uid) else { return refusal(404, "index_not_found") };
        match (method, rest) {
            ("GET", []) => (200, index.view(uid)),
            ("GET", ["settings"]) => (200, index.all_settings()),
            ("GET", ["stats"]) => (200, index.stats()),
            ("GET", ["documents", key]) => match index.documents.get(&*decoded(key)) {
                Some(document) => (200, Value::Object(document.clone())),
                None => refusal(404, "document_not_found"),
            },
            ("POST", ["documents", "fetch"]) => match Shards::parse(&body["filter"]) {
                Some(shards) => (200, index.fetch(body, shards.as_ref())),
                None => UNKNOWN,
            },
            ("POST", ["search"]) => index.search(body).map_or(UNKNOWN, |found| (200, found)),
            _ => UNKNOWN,
        }
    }

    fn enqueue(&mut self, index: Option<&str>, work: Work) -> (u16, Value) {
        let details = match &work {
            Work::Add { documents, .. } => {
                json!({"receivedDocuments": documents.len(), "indexedDocuments": null})
            }
            Work::Delete(keys) => json!({"providedIds": keys.len(), "deletedDocuments": null}),
            Work::DeleteOf(shards) => {
                json!({"providedIds": 0, "originalFilter": shards.text, "deletedDocuments": null})
            }
            Work::Clear => json!({"providedIds": 0, "deletedDocuments": null}),
            Work::Settings(settings) => Value::Object(settings.clone()),
            Work::Create { primary_key } | Work::Update { primary_key } => json!({"primaryKey": primary_key}),
            Work::Drop => json!({"deletedDocuments": null}),
            Work::Cancel(uids) => json!({"matchedTasks": uids.len(), "canceledTasks": null}),
        };
        let uid = self.tasks.len();
        let kind = work.kind();
        let enqueued_at = date();
        let summary = json!({
            "taskUid": uid, "indexUid": index, "status": "enqueued", "type": kind, "enqueuedAt": enqueued_at,
        });
        self.tasks.push(Task {
            index: index.map(str::to_owned),
            work,
            status: "enqueued",
            details,
            error: Value::Null,
            canceled_by: None,
            enqueued_at,
            started_at: None,
            finished_at: None,
        });
        self.idle.take().into_iter().for_each(Waker::wake);
        (202, summary)
    }

    /// The documents that tasks are about which have not ended.
    pub(super) fn unfinished(&self, keys: &mut BTreeSet<String>) {
        // Tasks run in their order.
        let has_run = |task: &&Task| matches!(task.status, "succeeded" | "failed");
        for task in self.tasks.iter().rev().take_while(|task| !has_run(task)) {
            match &task.work {
                Work::Add { documents, .. } => {
                    keys.extend(
                        documents
                            .iter()
                            .filter_map(|document| Some(document.get("id")?.as_str()?.to_owned())),
                    );
                }
                Work::Delete(deleted) => keys.extend(deleted.iter().cloned()),
                Work::Create { .. }
                | Work::Update { .. }
                | Work::Drop
                | Work::Settings(_)
                | Work::DeleteOf(_)
                | Work::Clear
                | Work::Cancel(_) => {}
            }
        }
    }

    fn task(&self, uid: usize) -> Value {
        let task = &self.tasks[uid];
        json!({
            "uid": uid, "batchUid": null, "indexUid": task.index, "status": task.status, "type": task.work.kind(),
            "canceledBy": task.canceled_by, "details": task.details, "error": task.error, "duration": null,
            "enqueuedAt": task.enqueued_at, "startedAt": task.started_at, "finishedAt": task.finished_at,
        })
    }

    fn tasks(&self, query: &BTreeMap<&str, &str>) -> Value {
        let (statuses, types) = (list_of(query, "statuses"), list_of(query, "types"));
        let (indexes, uids) = (list_of(query, "indexUids"), list_of(query, "uids"));
        let among = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|known| known == name))
        };
        let mut found: Vec<usize> = (0..self.tasks.len())
            .filter(|uid| {
                let task = &self.tasks[*uid];
                among(&statuses, task.status)
                    && among(&types, task.work.kind())
                    && among(&indexes, task.index.as_deref().unwrap_or_default())
                    && among(&uids, &uid.to_string())
            })
            .collect();
        if query.get("reverse") != Some(&"true") {
            found.reverse();
        }
        let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
        let total = found.len();
        let next = found.get(limit).copied();
        let results: Vec<Value> = found.iter().take(limit).map(|uid| self.task(*uid)).collect();
        json!({"results": results, "total": total, "limit": limit, "from": found.first(), "next": next})
    }

    fn list(&self) -> Value {
        let results: Vec<Value> = self.indexes.iter().map(|(uid, index)| index.view(uid)).collect();
        json!({"results": results, "offset": 0, "limit": results.len(), "total": results.len()})
    }

    fn stats(&self) -> Value {
        let indexes: Map<String, Value> =
            self.indexes.iter().map(|(uid, index)| (uid.clone(), index.stats())).collect();
        json!({"databaseSize": 0, "usedDatabaseSize": 0, "lastUpdate": date(), "indexes": indexes})
    }

    fn perform(&mut self, uid: usize) {
        let (work, name) = (self.tasks[uid].work.clone(), self.tasks[uid].index.clone().unwrap_or_default());
        let outcome = if let Work::Cancel(uids) = &work {
            Ok(self.cancel(uid, uids))
        } else {
            self.change(&name, work)
        };
        let task = &mut self.tasks[uid];
        task.finished_at = Some(date());
        match outcome {
            Ok(counted) => {
                task.status = "succeeded";
                if let (Some(details), Some((name, count))) = (task.details.as_object_mut(), counted) {
                    details.insert(name.to_owned(), count.into());
                }
            }
            Err(code) => {
                task.status = "failed";
                task.error = refusal(400, code).1;
            }
        }
        kernel().note((uid, task.status));
    }

    fn cancel(&mut self, by: usize, uids: &[usize]) -> Option<(&'static str, usize)> {
        let mut count = 0;
        for uid in uids {
            if let Some(task) = self.tasks.get_mut(*uid).filter(|task| task.status == "enqueued") {
                (task.status, task.canceled_by, task.finished_at) = ("canceled", Some(by), Some(date()));
                count += 1;
            }
        }
        Some(("canceledTasks", count))
    }

    /// Performs a task on an index. Returns what to count in the task's details.
    fn change(&mut self, name: &str, work: Work) -> Result<Option<(&'static str, usize)>, &'static str> {
        let creates = matches!(work, Work::Create { .. } | Work::Settings(_) | Work::Add { .. });
        match (self.indexes.contains_key(name), &work) {
            (true, Work::Create { .. }) => return Err("index_already_exists"),
            (false, _) if creates => {
                let index = Index { created_at: date(), ..Index::default() };
                self.indexes.insert(name.to_owned(), index);
            }
            _ => {}
        }
        let Some(index) = self.indexes.get_mut(name) else { return Err("index_not_found") };
        index.updated_at = date();
        Ok(match work {
            Work::Create { primary_key } | Work::Update { primary_key } => {
                index.primary_key = primary_key.or(index.primary_key.take());
                None
            }
            Work::Drop => {
                let count = index.documents.len();
                self.indexes.remove(name);
                Some(("deletedDocuments", count))
            }
            Work::Settings(settings) => {
                index.set(settings);
                None
            }
            Work::Add { documents, replace, primary_key } => {
                let key = index.primary_key.clone().or(primary_key).unwrap_or_else(|| "id".to_owned());
                let count = documents.len();
                for document in documents {
                    let id = document.get(&key).ok_or("missing_document_id")?;
                    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                    let known = index.documents.entry(id).or_default();
                    match replace {
                        true => *known = document,
                        false => known.extend(document),
                    }
                }
                index.primary_key = Some(key);
                Some(("indexedDocuments", count))
            }
            Work::Delete(keys) => {
                let gone = keys.iter().filter(|key| index.documents.remove(*key).is_some()).count();
                Some(("deletedDocuments", gone))
            }
            Work::DeleteOf(shards) => {
                let before = index.documents.len();
                index.documents.retain(|_, document| !shards.hold(document));
                Some(("deletedDocuments", before - index.documents.len()))
            }
            Work::Clear => Some(("deletedDocuments", std::mem::take(&mut index.documents).len())),
            Work::Cancel(_) => None,
        })
    }
}

impl Index {
    fn view(&self, uid: &str) -> Value {
        let (created, updated) = (&self.created_at, &self.updated_at);
        json!({"uid": uid, "primaryKey": self.primary_key, "createdAt": created, "updatedAt": updated})
    }

    fn stats(&self) -> Value {
        let sizes = self.documents.values().map(|document| json!(document).to_string().len());
        let average = sizes.sum::<usize>().checked_div(self.documents.len()).unwrap_or(0);
        json!({
            "numberOfDocuments": self.documents.len(), "isIndexing": false, "fieldDistribution": {},
            "avgDocumentSize": average,
        })
    }

    /// The defaults, overridden by the changed settings.
    pub(super) fn all_settings(&self) -> Value {
        let mut settings = json!({
            "displayedAttributes": ["*"], "searchableAttributes": ["*"], "filterableAttributes": [],
            "sortableAttributes": [], "stopWords": [], "synonyms": {}, "distinctAttribute": null,
            "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness"],
            "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
            "pagination": {"maxTotalHits": 1000}, "embedders": {},
        });
        for (name, value) in &self.settings {
            match (settings[name].as_object_mut(), value) {
                (Some(defaults), Value::Object(members)) if has_members(name) => {
                    defaults.extend(members.clone());
                }
                _ => settings[name] = value.clone(),
            }
        }
        settings
    }

    fn set(&mut self, settings: Map<String, Value>) {
        for (name, value) in settings {
            match value {
                Value::Null => drop(self.settings.remove(&name)),
                Value::Object(change) if has_members(&name) => {
                    let known = self.settings.entry(name).or_insert_with(|| json!({})).as_object_mut();
                    let Some(known) = known else { continue };
                    for (member, value) in change {
                        if value.is_null() {
                            known.remove(&member);
                        } else {
                            known.insert(member, value);
                        }
                    }
                }
                value @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => drop(self.settings.insert(name, value)),
            }
        }
    }

    fn fetch(&self, body: &Value, shards: Option<&Shards>) -> Value {
        let number = |name: &str| body[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (offset, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(20));
        let ids: Option<Vec<String>> = body["ids"].as_array().map(|ids| {
            ids.iter().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect()
        });
        let found = self.documents.iter().filter(|(key, document)| {
            ids.as_ref().is_none_or(|ids| ids.contains(key))
                && shards.is_none_or(|shards| shards.hold(document))
        });
        let found: Vec<_> = found.map(|(_, document)| document).collect();
        let page: Vec<_> = found.iter().skip(offset).take(limit).collect();
        json!({"results": page, "offset": offset, "limit": limit, "total": found.len()})
    }
}

impl Index {
    /// Searches for everything, in the order of the primary key; `None` for any other search.
    fn search(&self, body: &Value) -> Option<Value> {
        const UNDERSTOOD: [&str; 5] = ["q", "offset", "limit", "filter", "showRankingScoreDetails"];
        let is_understood = |name: &String| UNDERSTOOD.contains(&name.as_str());
        let is_plain = body["q"].as_str().unwrap_or_default().is_empty();
        let by_key = format!("{}:asc", self.primary_key.as_deref()?);
        let rules = self.all_settings()["rankingRules"].as_array()?.clone();
        let mut fields = rules.iter().filter(|rule| rule.as_str().is_some_and(|rule| rule.contains(':')));
        if !is_plain || !body.as_object()?.keys().all(is_understood) || fields.any(|rule| *rule != by_key) {
            return None;
        }
        let shards = Shards::parse(&body["filter"])?;
        let number = |name: &str| body[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (offset, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(20));
        let found = self.documents.iter();
        let found = found.filter(|(_, document)| shards.as_ref().is_none_or(|shards| shards.hold(document)));
        let found: Vec<_> = found.collect();
        let hits = found.iter().skip(offset).take(limit).map(|(key, document)| {
            let mut hit = (*document).clone();
            if body["showRankingScoreDetails"] == true {
                let details = json!({by_key.as_str(): {"order": 0, "value": key}});
                hit.insert("_rankingScoreDetails".to_owned(), details);
            }
            hit
        });
        Some(json!({
            "hits": hits.collect::<Vec<_>>(), "query": "", "processingTimeMs": 0, "offset": offset, "limit": limit,
            "estimatedTotalHits": found.len(),
        }))
    }
}

/// Whether a change of a setting changes the members that it names, and leaves the others.
fn has_members(setting: &str) -> bool {
    matches!(setting, "faceting" | "pagination")
}

/// The only supported filter: `_miroir_shard IN ["…", "…"]`, optionally with a `NOT` before it.
#[derive(Clone)]
struct Shards {
    text: String,
    markers: Vec<String>,
    is_not: bool,
}

impl Shards {
    /// Reads a filter; `Some(None)` when there is none, `None` when it is not supported.
    fn parse(filter: &Value) -> Option<Option<Self>> {
        if filter.is_null() {
            return Some(None);
        }
        let text = filter.as_str()?;
        let (is_not, rest) = text.strip_prefix("NOT ").map_or((false, text), |rest| (true, rest));
        let list = rest.strip_prefix("_miroir_shard IN ")?;
        let markers = serde_json::from_str(list).ok()?;
        Some(Some(Self { text: text.to_owned(), markers, is_not }))
    }

    fn hold(&self, document: &Map<String, Value>) -> bool {
        let shard = document.get("_miroir_shard").and_then(Value::as_str).unwrap_or_default();
        self.is_not != self.markers.iter().any(|marker| marker == shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_members_keep_what_a_change_does_not_name() {
        let mut index = Index::default();
        let facets = |index: &Index| index.all_settings()["faceting"].clone();
        let order = json!({"*": "alpha"});
        let mut check = |change: Value, expected: Value| {
            index.set(json!({"faceting": change}).as_object().cloned().unwrap());
            assert_eq!(facets(&index), expected, "{change}");
        };
        check(json!({"maxValuesPerFacet": 7}), json!({"maxValuesPerFacet": 7, "sortFacetValuesBy": order}));
        check(
            json!({"maxValuesPerFacet": 8, "sortFacetValuesBy": null}),
            json!({"maxValuesPerFacet": 8, "sortFacetValuesBy": order}),
        );
        check(Value::Null, json!({"maxValuesPerFacet": 100, "sortFacetValuesBy": order}));
    }

    #[test]
    fn filters_by_shard_are_understood_and_no_others() {
        let document = |shard: &str| json!({"_miroir_shard": shard}).as_object().cloned().unwrap();
        let check = |filter: &str, held: [bool; 2]| {
            let shards = Shards::parse(&json!(filter)).unwrap().unwrap();
            assert_eq!([shards.hold(&document("a1")), shards.hold(&document("b2"))], held, "{filter}");
        };
        check(r#"_miroir_shard IN ["a1", "c3"]"#, [true, false]);
        check(r#"NOT _miroir_shard IN ["a1", "c3"]"#, [false, true]);
        check("_miroir_shard IN []", [false, false]);
        assert!(Shards::parse(&Value::Null).unwrap().is_none());
        for other in [json!("color = red"), json!(["_miroir_shard IN []"]), json!(7)] {
            assert!(Shards::parse(&other).is_none(), "{other}");
        }
    }
}
