//! Commands that requests send to the store: a read planned from the snapshot sends none, a write does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::TestCluster;

/// The longest pause between two looks at a task that the gateway watches.
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The counters of commands that data cores have sent to the store, by kind.
fn commands(cluster: &TestCluster) -> Vec<String> {
    let (_, text) = cluster.client.raw("GET", "/_miroir/metrics", &[], &[]).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("miroir_store_commands_total"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The counters once the gateway no longer watches the tasks of the writes before: it asks the store about each until it
/// sees that the task has ended, with pauses of `WATCH_PAUSE_MAX` at most.
fn once_writes_are_forgotten(cluster: &TestCluster) -> Vec<String> {
    let mut known = commands(cluster);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < deadline, "data cores ask the store for ever: {known:?}");
        std::thread::sleep(2 * WATCH_PAUSE_MAX);
        let now = commands(cluster);
        if now == known {
            return known;
        }
        known = now;
    }
}

#[test]
fn reads_ask_nothing_of_the_store() {
    let cluster = TestCluster::start(|options| options.replication_factor = 2);
    let client = &cluster.client;
    let settings = json!({"filterableAttributes": ["id", "genre"], "sortableAttributes": ["year"]});
    client.done("PATCH", "/indexes/films/settings", &settings);
    let film = |id: usize| {
        json!({"id": id, "title": format!("film {id}"), "genre": (["a", "b"][id % 2]), "year": 1900 + id,
            "_vectors": {"own": [id, 1]}})
    };
    let embedders = json!({"own": {"source": "userProvided", "dimensions": 2}});
    client.done("PATCH", "/indexes/films/settings/embedders", &embedders);
    client.done("POST", "/indexes/films/documents", &(0..50).map(film).collect());
    let before = once_writes_are_forgotten(&cluster);
    assert!(before.iter().any(|line| line.contains("kind=\"create_task\"")), "{before:?}");
    let films = |rest: &str| format!("/indexes/films{rest}");
    let query = |query: Value| Some(query);
    let queries = json!([{"indexUid": "films", "q": "film"}, {"indexUid": "films", "filter": "genre = a"}]);
    let reads = [
        (films("/search?q=film"), None),
        (films("/search"), query(json!({"q": "film", "sort": ["year:asc"], "facets": ["genre"]}))),
        (films("/search"), query(json!({"filter": "id = 7"}))),
        (films("/search"), query(json!({"q": "film", "distinct": "genre", "page": 1}))),
        (films("/search"), query(json!({"q": "f", "vector": [1, 2], "hybrid": {"embedder": "own"}}))),
        ("/multi-search".to_owned(), query(json!({"queries": queries}))),
        ("/multi-search".to_owned(), query(json!({"federation": {}, "queries": queries}))),
        (films("/facet-search"), query(json!({"facetName": "genre"}))),
        (films("/similar"), query(json!({"id": 3, "embedder": "own"}))),
        (films("/documents/3"), None),
        (films("/documents?limit=5"), None),
        (films("/documents/fetch"), query(json!({"filter": "genre = b", "limit": 50}))),
        (films(""), None),
        (films("/stats"), None),
        (films("/settings"), None),
        (films("/settings/ranking-rules"), None),
        ("/indexes".to_owned(), None),
        ("/stats".to_owned(), None),
        ("/version".to_owned(), None),
        ("/health".to_owned(), None),
        ("/_miroir/ready".to_owned(), None),
        ("/_miroir/topology".to_owned(), None),
        ("/_miroir/shards".to_owned(), None),
    ];
    for (path, body) in &reads {
        for _ in 0..3 {
            let (status, answer) = match body {
                Some(body) => client.call("POST", path, body),
                None => client.call("GET", path, &Value::Null),
            };
            assert_eq!(status, 200, "{path}: {answer}");
        }
        assert_eq!(commands(&cluster), before, "{path}");
    }
    client.done("POST", &films("/documents"), &json!([{"id": 1}]));
    assert_ne!(commands(&cluster), before);
}
