//! Reserved fields: no query matches them, no answer shows them.

use serde_json::{Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

#[test]
fn reserved_fields_match_nothing_and_show_nowhere() {
    // Replicas require shard filters, so every leg names the reserved field.
    let cluster = TestCluster::start(|options| options.replication_factor = 2);
    let client = &cluster.client;
    let documents = (0..200).map(|id| json!({"id": id, "title": format!("thing {}", word(id))}));
    client.done("POST", "/indexes/things/documents", &documents.collect());
    let settings = json!({"filterableAttributes": ["title"], "sortableAttributes": ["id"]});
    client.done("PATCH", "/indexes/things/settings", &settings);
    assert_eq!(client.read("/indexes/things/settings")["searchableAttributes"], json!(["*"]));
    match_nothing(client);
    show_nowhere(client);
}

/// Documents contain only letters, so a digit, a separator or a reserved name can match nothing else.
fn match_nothing(client: &Client) {
    for q in ["_miroir_shard", "miroir", "shard", ",,,,", ":.:.", "0", ";;", "\",,,,,,,,\""] {
        let query = json!({"q": q, "matchingStrategy": "all", "attributesToSearchOn": ["title"]});
        let found = client.search("things", &query);
        let expected = if q.chars().any(char::is_alphanumeric) { 0 } else { 200 };
        assert_eq!(found["estimatedTotalHits"], expected, "{q}: only separators are no query at all");
    }
    for shard in 0..64 {
        let found = client.search("things", &json!({"q": format!("{shard}"), "limit": 1000}));
        let ids =
            found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].to_string()).collect::<Vec<_>>();
        let own = (0..200)
            .map(|id: i32| id.to_string())
            .filter(|id| id.starts_with(&shard.to_string()))
            .collect::<Vec<_>>();
        assert!(ids.iter().all(|id| own.contains(id)), "q {shard} found {ids:?}");
    }
}

fn show_nowhere(client: &Client) {
    let everything = json!({
        "q": "thing", "facets": ["*"], "attributesToRetrieve": ["*"], "attributesToHighlight": ["*"],
        "attributesToCrop": ["*"], "showMatchesPosition": true, "showRankingScore": true,
        "showRankingScoreDetails": true, "sort": ["id:asc"], "limit": 50,
    });
    let bad_filter = json!({"filter": "nope = 1"});
    let bad_facet = json!({"facets": ["nope"]});
    let bad_sort = json!({"sort": ["nope:asc"]});
    let requests: [(&str, &str, &Value); 20] = [
        ("POST", "/indexes/things/search", &everything),
        ("GET", "/indexes/things/search?q=thing&facets=*&attributesToHighlight=*", &Value::Null),
        ("POST", "/indexes/things/search", &bad_filter),
        ("POST", "/indexes/things/search", &bad_facet),
        ("POST", "/indexes/things/search", &bad_sort),
        ("POST", "/indexes/things/facet-search", &json!({"facetName": "nope"})),
        ("POST", "/indexes/things/facet-search", &json!({"facetName": "title", "facetQuery": "t"})),
        ("GET", "/indexes/things/documents?limit=200", &Value::Null),
        ("GET", "/indexes/things/documents/7", &Value::Null),
        ("POST", "/indexes/things/documents/fetch", &json!({"limit": 200, "retrieveVectors": false})),
        ("POST", "/indexes/things/documents/fetch", &bad_filter),
        ("GET", "/indexes/things/settings", &Value::Null),
        ("GET", "/indexes/things/settings/filterable-attributes", &Value::Null),
        ("GET", "/indexes/things/stats", &Value::Null),
        ("GET", "/stats", &Value::Null),
        ("GET", "/indexes", &Value::Null),
        ("GET", "/indexes/things", &Value::Null),
        ("GET", "/tasks", &Value::Null),
        ("GET", "/tasks/0", &Value::Null),
        ("POST", "/indexes/things/documents/delete", &bad_filter),
    ];
    for (method, path, body) in requests {
        let (_, answer) = client.call(method, path, body);
        assert!(!answer.to_string().contains("_miroir_"), "{method} {path} shows {answer}");
    }
    let found = client.search("things", &everything);
    assert_eq!(found["hits"].as_array().unwrap().len(), 50);
    // The failed deletion above is a task with an error, which must not show them either.
    let tasks = client.read("/tasks?limit=1000");
    assert!(!tasks.to_string().contains("_miroir_"), "{tasks}");
}

/// The digits of a number as letters.
fn word(number: i32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}
