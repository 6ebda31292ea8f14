//! Attacks `gateway::api` and `gateway::auth`: requests of administrators, and nodes' words that clients read.
//!
//! - A body is accepted, or refused with a 4xx status; no body causes a server error.
//! - A node's words stay text, and lose only lines and numbers.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use gateway::api::{
    error::ApiError,
    http::{json_body, query_string::Query},
    network::{Network, NetworkChange},
    search::{federation_rules, similar::vectors_of},
    settings::{self, Derivation, SettingsChange},
    swap,
    tasks::filters,
    webhook::{Webhook, WebhookChange},
};
use gateway::auth::{ApiKey, CreateKey, UpdateKey};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::mutate::mutate;

/// Sound bodies to damage.
const BODIES: &[&str] = &[
    r#"{"rankingRules":["words","a:asc"],"filterableAttributes":["a",{"attributePatterns":["b*"]}],"faceting":{"maxValuesPerFacet":5}}"#,
    r#"{"displayedAttributes":["a"],"pagination":{"maxTotalHits":7},"distinctAttribute":null,"sortableAttributes":["a"]}"#,
    r#"{"name":"n","description":null,"actions":["search","documents.*"],"indexes":["a*"],"expiresAt":"2042-01-02T03:04:05Z"}"#,
    r#"{"url":"https://a.example/b","headers":{"authorization":"c","d":null}}"#,
    r#"{"self":"a","remotes":{"b":{"url":"http://c","searchApiKey":"d"}},"leader":null,"previousRemotes":{}}"#,
    r#"[{"indexes":["a","b"]},{"indexes":["c","d"],"rename":true}]"#,
];
const QUERIES: &[&str] = &[
    "limit=5&from=7&statuses=enqueued,failed&types=indexCreation&uids=1,2&indexUids=a,b&canceledBy=3&reverse=true",
    "beforeEnqueuedAt=2042-01-02&afterStartedAt=2042-01-02T03:04:05Z&batchUids=*",
];
const WORDS: &[&str] = &[
    "Inside `.queries[1]`: cannot merge `.queries[0]` and `.queries[2]`\n  - note: they differ\n   1. `queries[3]`\n",
    "  - note: in rules. Removed duplicate rule `id:asc` at position #3 in ranking rules\n  - note: x\n",
];

pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    check_query(&String::from_utf8_lossy(bytes));
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let mut body = choices.choose(BODIES)?.as_bytes().to_vec();
    mutate(&mut choices, &mut body)?;
    check(&body);
    let mut query = choices.choose(QUERIES)?.as_bytes().to_vec();
    mutate(&mut choices, &mut query)?;
    check_query(&String::from_utf8_lossy(&query));
    Ok(())
}

/// The accepted value, if any. A refusal must have a 4xx status.
fn read<T>(result: std::result::Result<T, ApiError>) -> Option<T> {
    let refused = |error: ApiError| {
        let status = error.into_answer().status.as_u16();
        assert!((400..500).contains(&status), "refused with {status}");
    };
    result.map_err(refused).ok()
}

fn check(bytes: &[u8]) {
    let Some(value) = read(json_body::json(bytes)) else { return };
    let now = OffsetDateTime::UNIX_EPOCH;
    read(swap::parse(&value));
    if let Some(create) = read(CreateKey::parse(value.clone(), now)) {
        let key: ApiKey = create.into_key(now);
        if let Some(update) = read(UpdateKey::parse(value.clone())) {
            assert_eq!(update.apply(&key, now).actions, key.actions, "a key's rights never change");
        }
    }
    if let Some(change) = read(WebhookChange::parse(value.clone())) {
        let before = Webhook { url: "https://a.example".to_owned(), headers: BTreeMap::new() };
        read(change.apply(uuid::Uuid::nil(), &before));
        read(change.into_new(uuid::Uuid::nil()));
    }
    if let Some(change) = read(NetworkChange::parse(value.clone())) {
        read(change.apply(Network::default()));
    }
    if let Value::Object(members) = value {
        check_settings(SettingsChange::Whole(members));
    }
}

fn check_settings(change: SettingsChange) {
    if read(change.check()).is_none() {
        return;
    }
    let owned = change.owned_after(&json!({}));
    let asked = change.for_nodes(&Derivation::new(&owned, Some("id"), None));
    let asked: Value = serde_json::from_str(&asked.body).expect("what nodes are asked is JSON");
    if let Value::Object(mut members) = asked {
        settings::from_node(&mut members, &owned, None);
    }
}

fn check_query(text: &str) {
    let query = Query::parse(Some(text));
    for empty_lists in [false, true] {
        read(filters::parse_list(&query, empty_lists));
        read(filters::parse_selection(&query, "cancel", empty_lists));
    }
}

pub(crate) fn run_words(bytes: &[u8]) {
    check_words(bytes);
    // Running out of bytes to choose by is no finding.
    let _ = attack_words(Unstructured::new(bytes));
}

fn attack_words(mut choices: Unstructured<'_>) -> Result<()> {
    let mut words = choices.choose(WORDS)?.as_bytes().to_vec();
    mutate(&mut choices, &mut words)?;
    check_words(&words);
    let mut document = br#"{"id":1,"_vectors":{"e":{"embeddings":[[0.5,1]],"regenerate":false}}}"#.to_vec();
    mutate(&mut choices, &mut document)?;
    check_words(&document);
    Ok(())
}

fn check_words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let kept = federation_rules::without_tie_breaks(&text, &["id"]);
    assert!(kept.len() <= text.len(), "words grow");
    assert_eq!(federation_rules::renumbered(&text, &[]), text, "numbers that are unknown change");
    let numbered = federation_rules::renumbered(&text, &[4, 5, 6]);
    assert_eq!(numbered.lines().count(), text.lines().count(), "numbers change lines");
    for vector in vectors_of(bytes, "e").into_iter().flatten() {
        assert!(serde_json::from_str::<Value>(&vector).is_ok(), "a vector is no JSON: {vector:?}");
    }
    if let Ok(Value::Object(mut members)) = serde_json::from_slice(bytes) {
        settings::from_node(&mut members, &json!({"displayedAttributes": ["a"]}), None);
    }
}
