//! The answers to wrong requests: status, code and text are Meilisearch's.

use serde_json::{Value, json};

use crate::client::{Client, TestNode, film_node};

fn check(client: &Client, method: &str, path: &str, body: &Value, status: u16, code: &str, text: &str) {
    let (got, error) = client.call(method, path, body);
    assert_eq!((got, error["code"].as_str().unwrap()), (status, code), "{method} {path}: {error}");
    assert_eq!(error["message"], text, "{method} {path}");
    assert_eq!(error["link"], format!("https://docs.meilisearch.com/errors#{code}"));
}

#[test]
fn searches_are_checked() {
    let node = film_node();
    let search = |body: Value, code: &str, text: &str| {
        check(&node.client, "POST", "/indexes/films/search", &body, 400, code, text);
    };
    check(
        &node.client,
        "POST",
        "/indexes/nope/search",
        &json!({}),
        404,
        "index_not_found",
        "Index `nope` not found.",
    );
    search(
        json!({ "filter": "rating > 3" }),
        "invalid_search_filter",
        "Index `films`: Attribute `rating` is not filterable. Available filterable attribute patterns are: \
         `_geo`, `director`, `genres`, `year`.\n1:7 rating > 3",
    );
    search(
        json!({ "filter": true }),
        "invalid_search_filter",
        "Invalid syntax for the filter parameter: `expected String, Array, found: true`.",
    );
    search(
        json!({ "limit": "ten" }),
        "invalid_search_limit",
        "Invalid value type at `.limit`: expected a positive integer, but found a string: `\"ten\"`",
    );
    search(
        json!({ "sort": ["rating:asc"] }),
        "invalid_search_sort",
        "Index `films`: Attribute `rating` is not sortable. Available sortable attributes are: `_geo, title, \
         year`.",
    );
    search(
        json!({ "vector": [1.0] }),
        "missing_search_hybrid",
        "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.",
    );
    search(
        json!({ "rankingScoreThreshold": 2 }),
        "invalid_search_ranking_score_threshold",
        "Invalid value at `.rankingScoreThreshold`: the value of `rankingScoreThreshold` is invalid, expected \
         a float between `0.0` and `1.0`.",
    );
    search(
        json!({ "hybrid": { "semanticRatio": 0.5 } }),
        "invalid_search_hybrid_query",
        "Missing field `embedder` inside `.hybrid`",
    );
    let (status, error) = node.client.call("POST", "/indexes/films/search", &json!({ "lmit": 3 }));
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")));
    let text = error["message"].as_str().unwrap();
    assert!(text.starts_with("Unknown field `lmit`: did you mean `limit`? expected one of `q`, `vector`"));
}

#[test]
fn bodies_are_checked() {
    let node = TestNode::start();
    let client = &node.client;
    for (path, media, body, status, code, text) in [
        (
            "/indexes/a/documents",
            Some("application/json"),
            "[{\"id\":",
            400,
            "malformed_payload",
            "The `json` payload provided is malformed. `Couldn't serialize document value: EOF while parsing a \
             value at line 1 column 7`.",
        ),
        (
            "/indexes/a/documents",
            None,
            "[]",
            415,
            "missing_content_type",
            "A Content-Type header is missing. Accepted values for the Content-Type header are: \
             `application/json`, `application/x-ndjson`, `text/csv`",
        ),
        (
            "/indexes/a/search",
            Some("text/plain"),
            "{}",
            415,
            "invalid_content_type",
            "The Content-Type `text/plain` is invalid. Accepted values for the Content-Type header are: \
             `application/json`",
        ),
        (
            "/indexes/a/documents",
            Some("application/json"),
            "",
            400,
            "missing_payload",
            "A json payload is missing.",
        ),
        (
            "/indexes/a/search",
            Some("application/json"),
            "{",
            400,
            "malformed_payload",
            "The json payload provided is malformed. `EOF while parsing an object at line 1 column 1`.",
        ),
    ] {
        let headers: Vec<(&str, &str)> = media.iter().map(|media| ("Content-Type", *media)).collect();
        let (got, error) = client.raw("POST", path, &headers, body.as_bytes()).unwrap();
        let error: Value = serde_json::from_slice(&error).unwrap();
        assert_eq!((got, &error["code"], &error["message"]), (status, &json!(code), &json!(text)));
    }
}

#[test]
fn names_and_routes_are_checked() {
    let node = TestNode::start();
    let client = &node.client;
    check(
        client,
        "POST",
        "/indexes",
        &json!({ "uid": "a b" }),
        400,
        "invalid_index_uid",
        "Invalid value at `.uid`: `a b` is not a valid index uid. Index uid can be an integer or a string \
         containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than \
         512 bytes.",
    );
    check(client, "POST", "/indexes", &json!({}), 400, "missing_index_uid", "Missing field `uid`");
    check(
        client,
        "POST",
        "/dumps",
        &json!({}),
        501,
        "not_implemented",
        "`POST /dumps` is not implemented by the embedded node.",
    );
    check(
        client,
        "POST",
        "/indexes/a/documents/delete",
        &json!({}),
        400,
        "missing_document_filter",
        "Missing field `filter`",
    );
    check(
        client,
        "GET",
        "/indexes/a/search?limit=x",
        &json!(null),
        400,
        "invalid_search_limit",
        "Invalid value in parameter `limit`: could not parse `x` as a positive integer",
    );
    assert_eq!(client.call("POST", "/nowhere", &json!({})), (404, Value::Null));
    assert_eq!(client.call("PUT", "/indexes", &json!({})), (405, Value::Null));
}

#[test]
fn the_master_key_guards_everything_but_health() {
    let node = TestNode::start_with(|options| options.master_key = Some("secret-master-key".to_owned()));
    assert_eq!(node.client.get("/health").0, 200);
    check(
        &node.client,
        "GET",
        "/indexes",
        &json!(null),
        401,
        "missing_authorization_header",
        "The Authorization header is missing. It must use the bearer authorization method.",
    );
    let wrong = Client::new(node.url()).with_key("wrong");
    check(
        &wrong,
        "GET",
        "/indexes",
        &json!(null),
        403,
        "invalid_api_key",
        "The provided API key is invalid.",
    );
    assert_eq!(Client::new(node.url()).with_key("secret-master-key").get("/indexes").0, 200);
}
