//! Hundreds of bad requests: every member of every body and every parameter with values of all types.
//! Invariant: status, code, type and message are those of one node. Intended differences are in `OWN` with their
//! reason.

use serde_json::{Value, json};

use crate::support::{SingleNode, guarded_cluster, real_node};
use node::test_client::Client;

const MASTER_KEY: &str = "the-master-key-of-the-clients";
/// Fewer requests would not cover the routes.
const REQUESTS_MIN: usize = 1000;

/// Routes with the parameters of their query strings.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("GET", "/indexes", "offset limit nope"),
    ("GET", "/keys", "offset limit nope"),
    ("GET", "/indexes/things/documents", "offset limit fields filter retrieveVectors ids sort nope"),
    ("GET", "/tasks", "limit from reverse uids batchUids canceledBy types statuses indexUids nope"),
    ("GET", "/tasks", "afterEnqueuedAt beforeEnqueuedAt afterStartedAt beforeStartedAt afterFinishedAt"),
    ("GET", "/batches", "limit from reverse uids batchUids canceledBy types statuses indexUids nope"),
    ("POST", "/tasks/cancel", "uids canceledBy types statuses indexUids beforeFinishedAt limit nope"),
    ("DELETE", "/tasks", "uids canceledBy types statuses indexUids beforeFinishedAt limit nope"),
    (
        "GET",
        "/indexes/things/search",
        "offset limit page hitsPerPage cropLength showMatchesPosition filter sort",
    ),
    (
        "GET",
        "/indexes/things/search",
        "showRankingScore showRankingScoreDetails rankingScoreThreshold facets",
    ),
    (
        "GET",
        "/indexes/things/search",
        "matchingStrategy locales hybridEmbedder hybridSemanticRatio vector nope",
    ),
    ("GET", "/indexes/things/similar", "id embedder offset limit rankingScoreThreshold retrieveVectors nope"),
];
const TEXTS: &[&str] =
    &["a", "-1", "", "1.5", "99999999999999999999999", "true", "*", "a%20b", "a,1", "2026-13-01"];

/// Routes with an accepted body, and the members to replace in it.
const BODIES: &[(&str, &str, &str, &str)] = &[
    ("POST", "/indexes", r#"{"uid":"things"}"#, "uid primaryKey nope"),
    ("PATCH", "/indexes/none", "{}", "primaryKey uid nope createdAt"),
    ("POST", "/indexes/none/documents/fetch", "{}", "limit"),
    (
        "POST",
        "/indexes/things/documents/fetch",
        "{}",
        "offset limit fields filter retrieveVectors ids sort nope",
    ),
    ("POST", "/indexes/things/documents/delete", r#"{"filter":""}"#, "filter nope"),
    (
        "POST",
        "/indexes/things/facet-search",
        r#"{"facetName":"name"}"#,
        "facetName facetQuery q filter matchingStrategy",
    ),
    (
        "POST",
        "/indexes/things/facet-search",
        r#"{"facetName":"name"}"#,
        "attributesToSearchOn rankingScoreThreshold hybrid vector locales nope",
    ),
    (
        "POST",
        "/indexes/things/similar",
        r#"{"id":1,"embedder":"e"}"#,
        "id embedder offset limit filter attributesToRetrieve",
    ),
    (
        "POST",
        "/indexes/things/similar",
        r#"{"id":1,"embedder":"e"}"#,
        "rankingScoreThreshold retrieveVectors showRankingScore nope",
    ),
    (
        "POST",
        "/indexes/things/search",
        "{}",
        "q vector offset limit page hitsPerPage attributesToRetrieve retrieveVectors",
    ),
    (
        "POST",
        "/indexes/things/search",
        "{}",
        "attributesToCrop cropLength attributesToHighlight showMatchesPosition filter sort",
    ),
    (
        "POST",
        "/indexes/things/search",
        "{}",
        "distinct facets highlightPreTag highlightPostTag cropMarker matchingStrategy",
    ),
    (
        "POST",
        "/indexes/things/search",
        "{}",
        "attributesToSearchOn hybrid rankingScoreThreshold locales showRankingScore nope",
    ),
    ("POST", "/multi-search", r#"{"queries":[]}"#, "queries federation nope"),
    ("POST", "/swap-indexes", r#"[{"indexes":["a","b"]}]"#, ""),
    (
        "POST",
        "/keys",
        r#"{"actions":["*"],"indexes":["*"],"expiresAt":null}"#,
        "actions indexes expiresAt uid name description nope",
    ),
    ("PATCH", "/keys/none", "{}", "name description actions indexes expiresAt uid createdAt nope"),
    ("PATCH", "/experimental-features", "{}", "metrics network nope"),
    ("POST", "/webhooks", r#"{"url":"http://a.example"}"#, "url headers nope"),
];

/// The members of one query of a multi-search, alone and in a federation.
const QUERY_MEMBERS: &str =
    "indexUid q offset limit page hitsPerPage filter sort facets attributesToRetrieve federationOptions nope";
const FEDERATION_MEMBERS: &str = "offset limit page hitsPerPage facetsByIndex mergeFacets distinct nope";

const SETTINGS: &[(&str, &str, &str)] = &[
    ("filterable-attributes", "filterableAttributes", "PUT"),
    ("sortable-attributes", "sortableAttributes", "PUT"),
    ("displayed-attributes", "displayedAttributes", "PUT"),
    ("searchable-attributes", "searchableAttributes", "PUT"),
    ("typo-tolerance", "typoTolerance", "PATCH"),
    ("stop-words", "stopWords", "PUT"),
    ("separator-tokens", "separatorTokens", "PUT"),
    ("dictionary", "dictionary", "PUT"),
    ("synonyms", "synonyms", "PUT"),
    ("distinct-attribute", "distinctAttribute", "PUT"),
    ("proximity-precision", "proximityPrecision", "PUT"),
    ("localized-attributes", "localizedAttributes", "PUT"),
    ("ranking-rules", "rankingRules", "PUT"),
    ("faceting", "faceting", "PATCH"),
    ("pagination", "pagination", "PATCH"),
    ("embedders", "embedders", "PATCH"),
    ("search-cutoff-ms", "searchCutoffMs", "PUT"),
    ("facet-search", "facetSearch", "PUT"),
    ("prefix-search", "prefixSearch", "PUT"),
];

/// Paths with malformed names, and with names of nothing.
const PATHS: &[(&str, &str)] = &[
    ("GET", "/indexes/a%20b"),
    ("GET", "/indexes/none"),
    ("GET", "/indexes/none/stats"),
    ("GET", "/indexes/none/settings"),
    ("GET", "/indexes/a%20b/settings/stop-words"),
    ("GET", "/indexes/none/settings/nope"),
    ("GET", "/indexes/none/documents"),
    ("GET", "/indexes/a%20b/documents/1"),
    ("GET", "/indexes/things/documents/a%20b"),
    ("GET", "/indexes/things/documents/404"),
    ("GET", "/indexes/none/search"),
    ("DELETE", "/indexes/a%20b"),
    ("DELETE", "/indexes/things/documents/a%20b"),
    ("DELETE", "/indexes/a%20b/documents"),
    ("GET", "/tasks/x"),
    ("GET", "/tasks/-1"),
    ("GET", "/tasks/99999999999"),
    ("GET", "/tasks/4000"),
    ("GET", "/batches/x"),
    ("GET", "/batches/4000"),
    ("GET", "/keys/none"),
    ("GET", "/keys/00000000-0000-4000-8000-000000000000"),
    ("DELETE", "/keys/none"),
    ("GET", "/webhooks/none"),
    ("GET", "/webhooks/00000000-0000-4000-8000-000000000000"),
    ("DELETE", "/webhooks/none"),
    ("GET", "/dynamic-search-rules/none"),
    ("DELETE", "/dynamic-search-rules/a%20b"),
    ("GET", "/nope"),
    ("PUT", "/indexes"),
    ("PATCH", "/version"),
    ("POST", "/health"),
];

const TOKENS: &[&str] = &[
    "",
    "Bearer",
    "Bearer x",
    "Basic eDp4",
    "Bearer a.b.c",
    "bearer x",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "x",
];

struct Question {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn values() -> Vec<Value> {
    let long = "x".repeat(513);
    [
        json!(7),
        json!(-1),
        json!(1.5),
        json!("a"),
        json!("a b"),
        json!(""),
        json!(long),
        json!(true),
        json!(null),
        json!([]),
        json!([1]),
        json!(["a"]),
        json!({}),
        json!({"nope": 1}),
    ]
    .into()
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    of_parameters(&mut all);
    of_bodies(&mut all);
    of_multi_search_and_settings(&mut all);
    for (method, path) in PATHS {
        ask_json(&mut all, method, (*path).to_owned(), String::new());
    }
    for token in TOKENS {
        for path in ["/indexes", "/keys", "/indexes/things/search", "/tasks", "/nope"] {
            let headers = vec![("Authorization", (*token).to_owned())];
            all.push(Question { method: "GET", path: path.to_owned(), headers, body: String::new() });
        }
    }
    all
}

fn ask_json(all: &mut Vec<Question>, method: &'static str, path: String, body: String) {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    all.push(Question { method, path, headers, body });
}

fn of_parameters(all: &mut Vec<Question>) {
    for (method, path, names) in PARAMETERS {
        for name in names.split(' ') {
            for text in TEXTS {
                ask_json(all, method, format!("{path}?{name}={text}"), String::new());
            }
        }
    }
}

fn of_bodies(all: &mut Vec<Question>) {
    for (method, path, whole, names) in BODIES {
        for name in names.split_whitespace() {
            let mut body: Value = serde_json::from_str(whole).unwrap();
            body.as_object_mut().unwrap().remove(name);
            ask_json(all, method, (*path).to_owned(), body.to_string());
            for value in values() {
                body[name] = value;
                ask_json(all, method, (*path).to_owned(), body.to_string());
            }
        }
        for body in values().iter().map(Value::to_string).chain(["{", "", "[1"].map(str::to_owned)) {
            ask_json(all, method, (*path).to_owned(), body);
        }
    }
}

fn of_multi_search_and_settings(all: &mut Vec<Question>) {
    for value in values() {
        let mut ask =
            |method, path: &str, body: Value| ask_json(all, method, path.to_owned(), body.to_string());
        for name in QUERY_MEMBERS.split(' ') {
            let mut query = json!({"indexUid": "things"});
            query[name] = value.clone();
            ask("POST", "/multi-search", json!({"queries": [{"indexUid": "things"}, query]}));
            ask("POST", "/multi-search", json!({"federation": {}, "queries": [query]}));
        }
        for name in FEDERATION_MEMBERS.split(' ') {
            let body = json!({"federation": {name: value}, "queries": [{"indexUid": "things"}]});
            ask("POST", "/multi-search", body);
        }
        for (path, member, method) in SETTINGS {
            ask(method, &format!("/indexes/a%20b/settings/{path}"), value.clone());
            // Accepted values would create tasks; there are enough already.
            if value.is_number() || value == json!([1]) {
                ask(method, &format!("/indexes/other/settings/{path}"), value.clone());
                ask("PATCH", "/indexes/other/settings", json!({*member: value}));
            }
        }
        ask("POST", "/swap-indexes", json!([value]));
        ask("POST", "/swap-indexes", json!([{"indexes": value}]));
        ask("POST", "/swap-indexes", json!([{"indexes": ["a", value]}]));
    }
}

/// Intended differences: the beginning of a request, and the reason.
const OWN: &[(&str, &str)] = &[
    (
        "GET /indexes/things/search?facets= ",
        "new nodes take an empty text, old ones refuse it; so does the gateway",
    ),
    ("GET /indexes/things/search?locales= ", "the same"),
];

#[test]
fn hundreds_of_bad_requests_are_refused_as_one_node_refuses_them() {
    let (cluster, master) = guarded_cluster(MASTER_KEY);
    let single = SingleNode::start_with_key(Some(MASTER_KEY));
    let clients = [&master, &single.client];
    let clients = clients.map(|client| Client::new(client.base()).with_key(MASTER_KEY));
    for client in &clients {
        let settings = json!({"filterableAttributes": ["name"], "sortableAttributes": ["name"]});
        client.done("PATCH", "/indexes/things/settings", &settings);
        client.done("POST", "/indexes/things/documents", &json!([{"id": 1, "name": "one"}]));
        client.done("POST", "/indexes", &json!({"uid": "other"}));
    }
    let strangers = [cluster.cluster.url(), single.client.base().to_owned()].map(Client::new);
    let questions = questions();
    assert!(questions.len() >= REQUESTS_MIN, "{}", questions.len());
    let (mut refused, mut differences) = (0, Vec::new());
    for question in &questions {
        let asking = if question.headers[0].0 == "Authorization" { &strangers } else { &clients };
        let [found, expected] = [0, 1].map(|of| ask(&asking[of], question));
        // The embedded node says so when it lacks something.
        if real_node().is_none() && (expected.0 >= 500 || !embedded_knows(question)) {
            continue;
        }
        refused += usize::from(found.0 >= 400);
        let text = format!("{} {} {}", question.method, question.path, question.body);
        if found != expected && !OWN.iter().any(|(start, _)| text.starts_with(start)) {
            differences.push(format!(
                "{text} {:?}\n  one node {expected:?}\n  cluster  {found:?}",
                question.headers
            ));
        }
    }
    let (asked, count) = (questions.len(), differences.len());
    assert!(differences.is_empty(), "{count} of {asked} differ:\n{}", differences.join("\n"));
    assert!(refused >= REQUESTS_MIN / 2, "{refused} of {asked} are refused");
}

/// Whether the embedded node answers as Meilisearch does. Exceptions: authorization, newer parameters, and null for
/// some of them.
fn embedded_knows(question: &Question) -> bool {
    let is_null = question.body.contains("null");
    let newer = question.path.ends_with("ids=") || question.path == "/multi-search" && is_null;
    let sorted = question.path.ends_with("/documents/fetch") && question.body == r#"{"sort":null}"#;
    question.headers[0].0 != "Authorization" && !newer && !sorted
}

/// The status and, of a refusal, code, type and message.
fn ask(client: &Client, question: &Question) -> (u16, Value) {
    let headers = question.headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    let (status, body) =
        client.raw(question.method, &question.path, &headers, question.body.as_bytes()).unwrap();
    let answer = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
    if status < 400 {
        return (status, Value::Null);
    }
    // The text of a JSON parser's error may differ, and refused webhooks have fresh uids.
    let own = ["malformed_payload", "invalid_webhook_url"].iter().any(|code| answer["code"] == *code);
    let message = if own { &Value::Null } else { &answer["message"] };
    (status, json!([answer["code"], answer["type"], message]))
}
