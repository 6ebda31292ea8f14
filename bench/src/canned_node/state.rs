//! The state and the answers of a canned node outside search: enough for a gateway to adopt it and to create an index.
//!
//! Invariants: every write is accepted and its task has succeeded immediately. The node stores only index names,
//! primary keys and settings, so what the comparison sends bounds its memory.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const MOMENT: &str = "2026-01-01T00:00:00Z";
const TASKS_LISTED_MAX: u32 = 1000;

/// The indexes of one canned node, and the number of its tasks.
#[derive(Default)]
pub(crate) struct NodeState {
    tasks: u32,
    indexes: BTreeMap<String, Index>,
}

#[derive(Default)]
struct Index {
    primary_key: Value,
    settings: Map<String, Value>,
}

/// The parts of a request that the routes use.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
}

impl NodeState {
    /// Answers with a status and a body, in Meilisearch's shapes.
    pub(crate) fn answer(&mut self, request: &Request<'_>) -> (u16, Value) {
        let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
        match (request.method, parts.as_slice()) {
            ("GET", ["health"]) => (200, json!({"status": "available"})),
            ("GET", ["version"]) => {
                (200, json!({"commitSha": "canned", "commitDate": MOMENT, "pkgVersion": "1.24.0"}))
            }
            ("GET", ["stats"]) => (200, self.stats()),
            ("GET", ["tasks", uid]) => match uid.parse() {
                Ok(uid) => (200, task(uid)),
                Err(_) => not_found(request),
            },
            ("GET", ["tasks"]) => (200, self.task_list(request.query)),
            ("GET" | "PATCH", ["experimental-features"]) => (200, experimental_features(request.body)),
            ("GET", ["indexes"]) => (200, self.index_list()),
            ("POST", ["indexes"]) => self.create(request),
            ("GET", ["indexes", uid]) => match self.indexes.get(*uid) {
                Some(index) => (200, index_view(uid, index)),
                None => index_not_found(uid),
            },
            ("GET", ["indexes", uid, "settings"]) => match self.indexes.get(*uid) {
                Some(index) => (200, Value::Object(index.settings.clone())),
                None => index_not_found(uid),
            },
            ("GET", ["indexes", uid, "stats"]) => match self.indexes.contains_key(*uid) {
                true => (200, index_stats()),
                false => index_not_found(uid),
            },
            ("PATCH", ["indexes", uid, "settings"]) => {
                let settings = &mut self.indexes.entry((*uid).to_owned()).or_default().settings;
                if let Ok(Value::Object(changed)) = serde_json::from_slice(request.body) {
                    settings.extend(changed);
                }
                self.accepted(Some(uid), "settingsUpdate")
            }
            ("DELETE", ["indexes", uid]) => {
                self.indexes.remove(*uid);
                self.accepted(Some(uid), "indexDeletion")
            }
            ("PATCH", ["indexes", uid]) => self.accepted(Some(uid), "indexUpdate"),
            ("POST" | "PUT" | "DELETE", ["indexes", uid, "documents", ..]) => {
                self.accepted(Some(uid), "documentAdditionOrUpdate")
            }
            ("PUT" | "DELETE", ["indexes", uid, "settings", ..]) => {
                self.accepted(Some(uid), "settingsUpdate")
            }
            _ => not_found(request),
        }
    }

    fn create(&mut self, request: &Request<'_>) -> (u16, Value) {
        let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
        let Some(uid) = body["uid"].as_str() else {
            return (400, error("missing `uid`", "missing_index_uid", "invalid_request"));
        };
        let primary_key = body["primaryKey"].clone();
        self.indexes.entry(uid.to_owned()).or_default().primary_key = primary_key;
        self.accepted(Some(uid), "indexCreation")
    }

    fn accepted(&mut self, index_uid: Option<&str>, kind: &str) -> (u16, Value) {
        let uid = self.tasks;
        self.tasks += 1;
        (
            202,
            json!({"taskUid": uid, "indexUid": index_uid, "status": "enqueued", "type": kind, "enqueuedAt": MOMENT}),
        )
    }

    fn stats(&self) -> Value {
        let indexes: Map<String, Value> =
            self.indexes.keys().map(|uid| (uid.clone(), index_stats())).collect();
        json!({"databaseSize": 1 << 20, "usedDatabaseSize": 1 << 19, "lastUpdate": MOMENT, "indexes": indexes})
    }

    fn index_list(&self) -> Value {
        let results: Vec<Value> = self.indexes.iter().map(|(uid, index)| index_view(uid, index)).collect();
        json!({"total": results.len(), "results": results, "offset": 0, "limit": 20})
    }

    /// The tasks named by `uids=1,2,…`, or the newest ones, newest first.
    fn task_list(&self, query: &str) -> Value {
        let named = query.split('&').find_map(|pair| pair.strip_prefix("uids="));
        let mut uids: Vec<u32> = match named {
            Some(list) => list.replace("%2C", ",").split(',').filter_map(|uid| uid.parse().ok()).collect(),
            None => (self.tasks.saturating_sub(TASKS_LISTED_MAX)..self.tasks).collect(),
        };
        uids.sort_unstable_by(|left, right| right.cmp(left));
        let results: Vec<Value> = uids.iter().map(|uid| task(*uid)).collect();
        json!({"total": results.len(), "results": results, "limit": TASKS_LISTED_MAX, "from": uids.first(), "next": null})
    }
}

fn task(uid: u32) -> Value {
    json!({
        "uid": uid, "batchUid": uid, "indexUid": null, "status": "succeeded", "type": "settingsUpdate",
        "canceledBy": null, "details": null, "error": null, "duration": "PT0.001S",
        "enqueuedAt": MOMENT, "startedAt": MOMENT, "finishedAt": MOMENT,
    })
}

fn experimental_features(body: &[u8]) -> Value {
    let mut features = json!({"metrics": false, "network": false});
    if let (Some(known), Ok(Value::Object(changed))) =
        (features.as_object_mut(), serde_json::from_slice::<Value>(body))
    {
        known.extend(changed);
    }
    features
}

fn index_view(uid: &str, index: &Index) -> Value {
    json!({"uid": uid, "createdAt": MOMENT, "updatedAt": MOMENT, "primaryKey": index.primary_key})
}

fn index_stats() -> Value {
    json!({"numberOfDocuments": 1000, "isIndexing": false, "fieldDistribution": {"id": 1000, "title": 1000}})
}

fn index_not_found(uid: &str) -> (u16, Value) {
    (404, error(&format!("Index `{uid}` not found."), "index_not_found", "invalid_request"))
}

fn not_found(request: &Request<'_>) -> (u16, Value) {
    let message = format!("A canned node has no route {} {}", request.method, request.path);
    (404, error(&message, "not_found", "invalid_request"))
}

fn error(message: &str, code: &str, kind: &str) -> Value {
    let link = format!("https://docs.meilisearch.com/errors#{code}");
    json!({"message": message, "code": code, "type": kind, "link": link})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_answer_in_the_shapes_of_a_node() {
        let mut state = NodeState::default();
        let mut check = |method, target: &str, body: &str, status: u16, pointer: &str, expected: Value| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let (found, answer) = state.answer(&Request { method, path, query, body: body.as_bytes() });
            assert_eq!(found, status, "{method} {target}: {answer}");
            assert_eq!(answer.pointer(pointer), Some(&expected), "{method} {target}: {answer}");
        };
        check("GET", "/health", "", 200, "/status", json!("available"));
        check("GET", "/version", "", 200, "/pkgVersion", json!("1.24.0"));
        check("GET", "/indexes/a", "", 404, "/code", json!("index_not_found"));
        check("POST", "/indexes", r#"{"uid":"a","primaryKey":"id"}"#, 202, "/taskUid", json!(0));
        check("GET", "/indexes/a", "", 200, "/primaryKey", json!("id"));
        check(
            "PATCH",
            "/indexes/a/settings",
            r#"{"sortableAttributes":["price"]}"#,
            202,
            "/taskUid",
            json!(1),
        );
        check("GET", "/indexes/a/settings", "", 200, "/sortableAttributes/0", json!("price"));
        check("POST", "/indexes/a/documents", "[]", 202, "/taskUid", json!(2));
        check("GET", "/tasks/2", "", 200, "/status", json!("succeeded"));
        check("GET", "/tasks?uids=0,2&limit=9", "", 200, "/results/0/uid", json!(2));
        check("GET", "/stats", "", 200, "/indexes/a/isIndexing", json!(false));
        check("GET", "/nowhere", "", 404, "/code", json!("not_found"));
        check("DELETE", "/indexes/a", "", 202, "/taskUid", json!(3));
        check("GET", "/indexes", "", 200, "/total", json!(0));
    }
}
