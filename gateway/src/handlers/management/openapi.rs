//! The management API as OpenAPI 3.1, made from one table: `GET /_miroir/openapi.json`.
//!
//! Invariant: every route under `/_miroir/` has a row, which `server::routes_test` checks against the routes that are
//! served; what a row says of parameters and bodies is what its handler takes.

use serde_json::{Map, Value, json};

use super::openapi_answers as answers;

/// One request of the management API.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    /// The path with placeholders, as `Route::template` has it.
    pub(crate) path: &'static str,
    /// A sentence without its full stop.
    summary: &'static str,
    /// The status of its success.
    status: u16,
    /// Names of its query parameters with their types.
    query: &'static [(&'static str, &'static str)],
    /// Members of its body with their types; a name that begins with `*` must be given. Empty: it takes no body.
    body: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str, summary: &'static str) -> Row {
    Row { method: "GET", path, summary, status: 200, query: &[], body: &[] }
}

const fn change(
    method: &'static str,
    path: &'static str,
    status: u16,
    summary: &'static str,
    body: &'static [(&'static str, &'static str)],
) -> Row {
    Row { method, path, summary, status, query: &[], body }
}

impl Row {
    const fn with(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }
}

/// The members of an alias's body.
const ALIAS: &[(&str, &str)] = &[("*name", "string"), ("target", "string"), ("targets", "strings")];
/// The members of a flip's body.
const FLIP: &[(&str, &str)] = &[("target", "string"), ("targets", "strings"), ("version", "integer")];
/// The members of a TTL policy.
const TTL: &[(&str, &str)] =
    &[("enabled", "boolean"), ("sweepIntervalSeconds", "integer"), ("maxDeletesPerSweep", "integer")];
/// The members of a node that is added or takes another's place.
const NODE: &[(&str, &str)] = &[
    ("*id", "string"),
    ("*url", "string"),
    ("group", "integer"),
    ("capacity", "number"),
    ("dryRun", "boolean"),
];
/// The members of a change that may only be planned.
const PLAIN: &[(&str, &str)] = &[("dryRun", "boolean")];
/// The parameters of a change of the cluster's shape.
const SHAPE: &[(&str, &str)] = &[("force", "boolean"), ("dryRun", "boolean")];
/// The members of a change of the topology.
const TOPOLOGY: &[(&str, &str)] = &[("*replicationFactor", "integer"), ("dryRun", "boolean")];
/// The members of a reshard.
const RESHARD: &[(&str, &str)] = &[
    ("*shards", "integer"),
    ("throttle", "integer"),
    ("scheduleWindow", "string"),
    ("autoCutover", "boolean"),
    ("dryRun", "boolean"),
];
/// The members of the way back from a reshard.
const REVERT: &[(&str, &str)] = &[("*index", "string")];
/// The parameters of the list of operations.
const OPERATIONS: &[(&str, &str)] =
    &[("status", "string"), ("kind", "string"), ("limit", "integer"), ("from", "integer")];
/// The members of a request for a pass.
const PASS: &[(&str, &str)] =
    &[("index", "string"), ("node", "string"), ("shards", "string"), ("dryRun", "boolean")];
/// The members of a backup's or a restore's body.
const INDEXES: &[(&str, &str)] = &[("indexes", "strings")];
/// The members of a canary.
const CANARY: &[(&str, &str)] = &[
    ("*name", "string"),
    ("*index", "string"),
    ("intervalSeconds", "integer"),
    ("*query", "object"),
    ("*assertions", "array"),
];
/// The members of a rollover policy.
const POLICY: &[(&str, &str)] = &[
    ("*name", "string"),
    ("*writeAlias", "string"),
    ("*readAlias", "string"),
    ("*pattern", "string"),
    ("*triggers", "object"),
    ("retention", "object"),
    ("template", "object"),
];
/// The members of a request for canaries.
const CAPTURE: &[(&str, &str)] = &[("*index", "string"), ("*count", "integer"), ("*namePrefix", "string")];
/// A body that is a file, as it is or in a form.
const FILE: &[(&str, &str)] = &[("...", "file")];
/// A body whose members its own documentation lists.
const ANY: &[(&str, &str)] = &[("...", "any")];
/// The members of a write's end.
const FAIL: &[(&str, &str)] =
    &[("taskUid", "integer"), ("documentId", "string"), ("index", "string"), ("*reason", "string")];

/// What needs no key.
const OPEN: [&str; 8] = [
    "/_miroir/ui/search/locale/{file}",
    "/_miroir/ui/search/{uid}/session",
    "/_miroir/ui/search/{uid}/beacon",
    "/_miroir/ready",
    "/_miroir/admin",
    "/_miroir/admin/assets/{file}",
    "/_miroir/admin/login",
    "/_miroir/admin/logout",
];

/// Every request, one a line.
pub(crate) const TABLE: &[Row] = &[
    get("/_miroir/topology", "Nodes with their states, indexes, and the pods"),
    change("PATCH", "/_miroir/topology", 202, "Makes more or fewer copies", TOPOLOGY).with(SHAPE),
    change("POST", "/_miroir/nodes", 202, "Adds a node and moves to it what is its own", NODE).with(SHAPE),
    change("DELETE", "/_miroir/nodes/{id}", 202, "Moves everything off a node and forgets it", PLAIN)
        .with(SHAPE),
    change("POST", "/_miroir/nodes/{id}/drain", 202, "Moves everything off a node", PLAIN).with(SHAPE),
    change("POST", "/_miroir/nodes/{id}/replace", 202, "Gives a node's shards to a new one", NODE)
        .with(SHAPE),
    change("DELETE", "/_miroir/groups/{n}", 202, "Removes a replica group", PLAIN).with(SHAPE),
    change("POST", "/_miroir/rebalance", 202, "Evens out what nodes hold", PLAIN).with(SHAPE),
    get("/_miroir/rebalance/status", "The change of shape that is under way, else the last one"),
    change("POST", "/_miroir/indexes/{uid}/reshard", 202, "Gives an index another number of shards", RESHARD),
    get("/_miroir/indexes/{uid}/reshard/status", "The index's shards, and its reshard if there was one"),
    change("POST", "/_miroir/routing/revert", 202, "Goes back to the copies of before a reshard", REVERT),
    get("/_miroir/operations", "Operations, newest first").with(OPERATIONS),
    get("/_miroir/operations/{n}", "One operation with its progress"),
    change("POST", "/_miroir/operations/{n}/pause", 200, "Pauses an operation", &[]),
    change("POST", "/_miroir/operations/{n}/resume", 200, "Resumes a paused operation", &[]),
    change("POST", "/_miroir/operations/{n}/abort", 200, "Gives an operation up", &[]),
    change("POST", "/_miroir/operations/{n}/cutover", 200, "Lets an operation go on to its cutover", &[]),
    get("/_miroir/shards", "Which nodes hold each shard"),
    get("/_miroir/ready", "Whether every shard has a healthy owner; 503 where not"),
    get("/_miroir/metrics", "The metrics as Prometheus text"),
    get("/_miroir/diagnosis", "What an operator asks of a cluster that is not well"),
    get("/_miroir/openapi.json", "This description"),
    get("/_miroir/audit", "What was changed through the management API, newest first")
        .with(&[("limit", "integer"), ("from", "integer")]),
    get("/_miroir/tasks/{uid}", "A task with every node's part of it"),
    get("/_miroir/writes", "Tasks that have not ended, oldest first").with(&[
        ("stuck", "boolean"),
        ("index", "string"),
        ("documentId", "string"),
    ]),
    change("POST", "/_miroir/writes/fail", 200, "Ends a write that does not end by itself", FAIL),
    get("/_miroir/backups", "All backups, newest first"),
    change("POST", "/_miroir/backups", 202, "Makes a backup of all indexes or of some", INDEXES),
    get("/_miroir/backups/{id}", "One backup with its manifest").with(&[("verify", "boolean")]),
    change(
        "POST",
        "/_miroir/backups/{id}/restore",
        202,
        "Restores a backup, or some of its indexes",
        INDEXES,
    ),
    get("/_miroir/anti-entropy", "The pass that runs, those that wait, and the last one"),
    change("POST", "/_miroir/anti-entropy", 202, "Requests a pass over all copies", PASS),
    get("/_miroir/anti-entropy/history", "The passes that are remembered, newest first"),
    get("/_miroir/aliases", "All aliases"),
    change("POST", "/_miroir/aliases", 201, "Makes an alias for one index or for several", ALIAS),
    get("/_miroir/aliases/{name}", "One alias with its history"),
    change("PUT", "/_miroir/aliases/{name}", 200, "Moves an alias to another index at once", FLIP),
    change("DELETE", "/_miroir/aliases/{name}", 204, "Deletes an alias; its indexes stay", &[]),
    get("/_miroir/canaries", "All canaries"),
    change("POST", "/_miroir/canaries", 201, "Makes a canary", CANARY),
    get("/_miroir/canaries/status", "The last runs of each canary"),
    change("POST", "/_miroir/canaries/capture", 202, "Makes canaries of the next searches", CAPTURE),
    change("DELETE", "/_miroir/canaries/{name}", 204, "Deletes a canary with its runs", &[]),
    get("/_miroir/shadow/diff", "Differences between answers of shadows and of this cluster, newest last")
        .with(&[("target", "string"), ("kind", "string"), ("limit", "integer"), ("sinceId", "integer")]),
    get("/_miroir/tenants", "Tenants with their groups, and keys with their tenants"),
    change("PUT", "/_miroir/tenants/{tenant}", 200, "Assigns a tenant to a group", &[("*group", "integer")]),
    change("DELETE", "/_miroir/tenants/{tenant}", 204, "Takes a tenant out of the table", &[]),
    change("PUT", "/_miroir/tenants/keys/{keyUid}", 200, "Gives a key to a tenant", &[("*tenant", "string")]),
    change("DELETE", "/_miroir/tenants/keys/{keyUid}", 204, "Takes a key out of the table", &[]),
    get("/_miroir/rollover-policies", "All rollover policies"),
    change("POST", "/_miroir/rollover-policies", 201, "Makes a policy by which an alias moves on", POLICY),
    get("/_miroir/rollover-policies/{name}", "One rollover policy with its phase and indexes"),
    change("DELETE", "/_miroir/rollover-policies/{name}", 204, "Forgets a policy; its indexes stay", &[]),
    change("POST", "/_miroir/rollover-policies/{name}/run", 202, "Checks a policy now", PLAIN),
    change("POST", "/_miroir/dumps/import", 202, "Imports a dump, which is sent as it is or in a form", FILE)
        .with(&[("mode", "string")]),
    get("/_miroir/changes", "The stream of changes of documents, oldest first").with(&[
        ("index", "string"),
        ("since", "integer"),
        ("limit", "integer"),
        ("wait", "integer"),
        ("body", "boolean"),
    ]),
    get("/_miroir/changes/sinks", "Where changes are delivered, and how far each has got"),
    get("/_miroir/ui/jwt-secret", "The secrets that sign tokens of search pages, by name"),
    change("POST", "/_miroir/ui/jwt-secret", 200, "Has a new secret sign tokens of search pages", &[]),
    get("/_miroir/ui/search/locale/{file}", "The texts of search pages in a language"),
    get("/_miroir/ui/search/{uid}/config", "The configuration of an index's search page"),
    change("POST", "/_miroir/ui/search/{uid}/config", 200, "Configures a search page", ANY),
    change("DELETE", "/_miroir/ui/search/{uid}/config", 204, "Takes a search page away", &[]),
    get("/_miroir/ui/search/{uid}/session", "A session of a search page: a token that ends soon"),
    change("POST", "/_miroir/ui/search/{uid}/beacon", 204, "What a search page tells of its use", ANY),
    get("/_miroir/admin", "The console's page"),
    get("/_miroir/admin/assets/{file}", "A file of the console"),
    change("POST", "/_miroir/admin/login", 200, "Opens a session of the console", &[("*adminKey", "string")]),
    change("POST", "/_miroir/admin/logout", 200, "Ends the own session of the console", &[]),
    get("/_miroir/admin/session", "The own session of the console"),
    get("/_miroir/admin/sessions", "The open sessions of the console"),
    change("DELETE", "/_miroir/admin/sessions/{id}", 204, "Ends a session of the console", &[]),
    get("/_miroir/admin/events", "The console's stream of events"),
    get("/_miroir/admin/configuration", "Every option with its value and where it comes from"),
    get("/_miroir/admin/tasks/{uid}", "A task with the nodes' parts, for the console"),
    get("/_miroir/indexes/{uid}/ttl-policy", "The policy by which documents of an index end"),
    change("POST", "/_miroir/indexes/{uid}/ttl-policy", 200, "Sets that policy", TTL),
    change("DELETE", "/_miroir/indexes/{uid}/ttl-policy", 204, "Removes that policy", &[]),
];

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for row in TABLE {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.to_ascii_lowercase()] = operation(row);
    }
    let mut schemas = answers::components();
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Miroir management API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"adminKey": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "adminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": schemas,
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["message", "code", "type", "link"],
        "properties": {
            "message": {"type": "string"},
            "code": {"type": "string"},
            "type": {"enum": ["invalid_request", "internal", "auth", "system"]},
            "link": {"type": "string"},
        },
    })
}

fn operation(row: &Row) -> Value {
    let mut operation = json!({
        "operationId": operation_id(row),
        "summary": row.summary,
        "tags": [row.path.trim_start_matches("/_miroir/").split('/').next().unwrap_or_default()],
        "parameters": parameters(row),
        "responses": {
            row.status.to_string(): success(row),
            "default": {
                "description": "A refusal, in Meilisearch's shape",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    });
    if row.body == FILE {
        let file = json!({"type": "string", "format": "binary"});
        operation["requestBody"] = json!({
            "required": true,
            "content": {
                "application/octet-stream": {"schema": file},
                "multipart/form-data": {"schema": {"type": "object", "properties": {"dump": file}}},
            },
        });
    } else if !row.body.is_empty() {
        let is_required = row.body.iter().any(|(name, _)| name.starts_with('*'));
        operation["requestBody"] = json!({
            "required": is_required,
            "content": {"application/json": {"schema": body_schema(row.body)}},
        });
    }
    for (status, description, schema) in others(row) {
        let content = match schema {
            Some(schema) => {
                json!({"description": description, "content": {"application/json": {"schema": schema}}})
            }
            None => json!({"description": description}),
        };
        operation["responses"][status] = content;
    }
    if OPEN.contains(&row.path) {
        operation["security"] = json!([]);
    }
    operation
}

/// Answers besides success and refusal: status, description, and schema where they have a body.
fn others(row: &Row) -> Vec<(&'static str, &'static str, Option<Value>)> {
    let mut others = Vec::new();
    if row.query == SHAPE {
        others.push(("200", "The plan, with `dryRun`", Some(answers::reference(answers::PLAN))));
    }
    if row.path.ends_with("/reshard") {
        others.push(("200", "The plan, with `dryRun`", Some(answers::reference("reshard simulate"))));
    }
    if row.path == "/_miroir/ready" {
        others.push(("503", "It is not ready", Some(answers::of(row.method, row.path))));
    }
    if row.path.ends_with("/{file}") {
        others.push(("404", "There is no such file", None));
    }
    others
}

/// A name for clients that are generated: the method and the words of the path.
fn operation_id(row: &Row) -> String {
    let mut id = row.method.to_ascii_lowercase();
    let path = row.path.trim_start_matches("/_miroir/");
    for word in path.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push_str(&word[..1].to_ascii_uppercase());
        id.push_str(&word[1..]);
    }
    id
}

fn parameters(row: &Row) -> Value {
    let placeholders = row.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let in_path = placeholders
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = row
        .query
        .iter()
        .map(|(name, kind)| json!({"name": name, "in": "query", "required": false, "schema": schema(kind)}));
    let is_change = row.method != "GET";
    let key = is_change.then(|| {
        json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "A change that is sent again with the same key within 24 hours is done once",
            "schema": {"type": "string", "minLength": 1, "maxLength": crate::config::limits::IDEMPOTENCY_KEY_BYTES_MAX},
        })
    });
    in_path.chain(in_query).chain(key).collect()
}

fn success(row: &Row) -> Value {
    let content = match (row.status, row.path) {
        (204, _) => return json!({"description": "Done"}),
        (_, "/_miroir/admin" | "/_miroir/admin/assets/{file}") => json!({"*/*": {}}),
        (_, "/_miroir/admin/events") => json!({"text/event-stream": {}}),
        (_, "/_miroir/metrics") => json!({"text/plain": {"schema": {"type": "string"}}}),
        _ => json!({"application/json": {"schema": answers::of(row.method, row.path)}}),
    };
    let description = match row.status {
        201 => "Made",
        202 => "Accepted: it is followed by its number",
        _ => "Done",
    };
    json!({"description": description, "content": content})
}

fn body_schema(members: &[(&str, &str)]) -> Value {
    if members == ANY {
        return json!({"type": "object"});
    }
    let required = members.iter().filter_map(|(name, _)| name.strip_prefix('*')).collect::<Vec<_>>();
    let properties =
        members.iter().map(|(name, kind)| (name.trim_start_matches('*').to_owned(), schema(kind)));
    let mut schema = json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn schema(kind: &str) -> Value {
    match kind {
        "strings" => json!({"type": "array", "items": {"type": "string"}}),
        "integer" => json!({"type": "integer", "minimum": 0}),
        kind => json!({"type": kind}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_request_has_a_name_of_its_own_and_whole_words() {
        let ids = TABLE.iter().map(operation_id).collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), TABLE.len());
        assert!(ids.contains("deleteAliasesName") && ids.contains("getIndexesUidTtlPolicy"), "{ids:?}");
        for row in TABLE {
            assert!(!row.summary.ends_with('.') && row.summary.len() < 80, "{}", row.summary);
            assert!(row.method != "GET" || row.body.is_empty(), "{}", row.path);
        }
        for (method, path, _) in answers::ANSWERS {
            assert!(TABLE.iter().any(|row| (row.method, row.path) == (*method, *path)), "{method} {path}");
        }
        let document = document();
        let flip = &document["paths"]["/_miroir/aliases/{name}"]["put"];
        assert_eq!(flip["parameters"][0]["name"], "name");
        assert_eq!(flip["parameters"][1]["name"], "Idempotency-Key");
        let body = &document["paths"]["/_miroir/aliases"]["post"]["requestBody"];
        assert_eq!(body["content"]["application/json"]["schema"]["required"], json!(["name"]));
    }
}
