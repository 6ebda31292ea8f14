//! Routes that are about a server itself: metrics, logs, chats and their settings, export.

use serde_json::{Value, json};

use crate::support::{SingleNode, TestCluster, cities, city_settings, load_cities};

fn with_features() -> TestCluster {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--allowed-ip-networks", "127.0.0.0/8"].map(str::to_owned));
    });
    let features = json!({"metrics": true, "logsRoute": true, "chatCompletions": true});
    assert_eq!(cluster.client.call("PATCH", "/experimental-features", &features).0, 200);
    cluster
}

#[test]
fn each_route_is_refused_until_its_feature_is_on() {
    let cluster = TestCluster::start(|_| {});
    let client = &cluster.client;
    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    for (method, path, body, feature) in [
        ("GET", "/metrics", json!(null), "`metrics`"),
        ("POST", "/logs/stderr", json!({}), "`logs route`"),
        ("GET", "/chats", json!(null), "`chat completions`"),
        ("GET", "/chats/w", json!(null), "`chat completions`"),
        ("DELETE", "/chats/w", json!(null), "`chat completions`"),
        ("GET", "/chats/w/settings", json!(null), "`chat completions`"),
        ("PATCH", "/chats/w/settings", json!({}), "`chat completions`"),
        ("DELETE", "/chats/w/settings", json!(null), "`chat completions`"),
        ("PATCH", "/indexes/films/settings/chat", json!({"description": "x"}), "`chat completions`"),
        ("PATCH", "/indexes/films/settings", json!({"chat": {"description": "x"}}), "`chat completions`"),
    ] {
        let (status, refused) = client.call(method, path, &body);
        assert_eq!(
            (status, &refused["code"]),
            (400, &json!("feature_not_enabled")),
            "{method} {path}: {refused}"
        );
        assert!(refused["message"].as_str().unwrap().contains(feature), "{refused}");
    }
    assert!(client.read("/indexes/films/settings").get("chat").is_none());
}

#[test]
fn metrics_have_the_names_of_a_node_and_the_numbers_of_the_cluster() {
    let cluster = with_features();
    load_cities(&cluster.client);
    let (status, text) = cluster.client.raw("GET", "/metrics", &[], b"").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200, "{text}");
    let count = cities().len();
    for line in [
        format!("meilisearch_index_docs_count{{index=\"cities\"}} {count}"),
        "meilisearch_index_count 1".to_owned(),
        "meilisearch_nb_tasks{kind=\"types\",value=\"documentAdditionOrUpdate\"} 1".to_owned(),
        "meilisearch_nb_tasks{kind=\"statuses\",value=\"failed\"} 0".to_owned(),
        "meilisearch_is_indexing 0".to_owned(),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in {text}");
    }
    for name in [
        "db_size_bytes",
        "http_requests_total",
        "http_response_time_seconds",
        "last_update",
        "searches_running",
    ] {
        assert!(text.contains(&format!("# TYPE meilisearch_{name} ")), "{name} is missing in {text}");
    }
    assert!(!text.contains("_miroir"), "{text}");
    // A key for some indexes alone is refused, as there is one answer for all.
    assert_eq!(cluster.client.call("POST", "/logs/stderr", &json!({"target": "warn"})).0, 204);
    assert_eq!(cluster.client.call("POST", "/logs/stderr", &json!({"target": ""})).0, 400);
    assert_eq!(cluster.client.call("POST", "/logs/stderr", &json!({"level": "warn"})).0, 400);
}

#[test]
fn chats_have_workspaces_and_indexes_have_settings_for_them() {
    let cluster = with_features();
    let client = &cluster.client;
    assert_eq!(client.get("/chats/films").1["code"], "chat_not_found");
    assert_eq!(client.get("/chats/films/settings").1["code"], "chat_not_found");
    assert_eq!(client.call("DELETE", "/chats/films/settings", &Value::Null).1["code"], "chat_not_found");
    let (status, made) = client.call(
        "PATCH",
        "/chats/films/settings",
        &json!({"source": "vLlm", "baseUrl": "http://127.0.0.1:9", "apiKey": "a-rather-long-secret", "prompts": {"system": "Be short."}}),
    );
    assert_eq!((status, &made["apiKey"]), (200, &json!("a-rXXXXX...")), "{made}");
    assert_eq!(client.read("/chats/films/settings"), made);
    assert_eq!(client.call("PATCH", "/chats/books/settings", &json!({})).0, 200);
    let list = client.read("/chats?limit=1&offset=1");
    assert_eq!(list, json!({"results": [{"uid": "films"}], "offset": 1, "limit": 1, "total": 2}));
    assert_eq!(client.read("/chats/films"), json!({"uid": "films"}));
    let (_, reset) = client.call("DELETE", "/chats/films/settings", &Value::Null);
    assert_eq!((&reset["source"], &reset["apiKey"]), (&json!("openAi"), &Value::Null));
    assert_eq!(client.call("DELETE", "/chats/films", &Value::Null).0, 204);
    assert_eq!(client.call("DELETE", "/chats/films", &Value::Null).0, 404);
    for (body, code) in [
        (json!({"apiKey": 1}), "invalid_chat_completion_api_key"),
        (json!({"source": "mine"}), "bad_request"),
        (json!({"source": "azureOpenAi"}), "bad_request"),
        (json!({"prompts": {"system": []}}), "invalid_chat_completion_system_prompt"),
        (json!({"temperature": 1}), "bad_request"),
    ] {
        let (status, refused) = client.call("PATCH", "/chats/books/settings", &body);
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{body}");
    }

    client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let path = "/indexes/films/settings/chat";
    assert_eq!(client.read(path)["documentTemplateMaxBytes"], 400);
    client.done(
        "PATCH",
        path,
        &json!({"description": "films", "searchParameters": {"limit": 15, "sort": []}}),
    );
    client.done("PATCH", path, &json!({"searchParameters": {"limit": 16}}));
    let shown = client.read(path);
    assert_eq!(shown["searchParameters"], json!({"limit": 16, "sort": []}));
    assert_eq!(client.read("/indexes/films/settings")["chat"], shown);
    assert_eq!(client.call("PATCH", path, &json!({"limit": 1})).1["code"], "invalid_settings_index_chat");
    client.done("DELETE", path, &Value::Null);
    assert_eq!(client.read(path)["description"], "");
}

#[test]
fn an_export_fills_another_server_without_the_gateways_stamps() {
    let cluster = with_features();
    let client = &cluster.client;
    load_cities(client);
    let other = SingleNode::start_with_key(Some("the-key-of-the-other"));
    let url = other.client.base().to_owned();
    let there = node::test_client::Client::new(url.clone()).with_key("the-key-of-the-other");
    let task = client.done("POST", "/export", &json!({
        "url": url, "apiKey": "the-key-of-the-other", "payloadSize": "20 kB", "indexes": {"cit*": {"filter": "countryCode = FR"}},
    }));
    let of_pattern = &task["details"]["indexes"]["cit*"];
    let french = cities().iter().filter(|city| city["countryCode"] == "FR").count();
    assert_eq!(
        (&task["type"], &of_pattern["matchedDocuments"]),
        (&json!("export"), &json!(french)),
        "{task}"
    );
    assert!(!task.to_string().contains("the-key-of-the-other"), "{task}");
    let count = || there.read("/indexes/cities/stats");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while count()["numberOfDocuments"] != french || count()["isIndexing"] == true {
        assert!(std::time::Instant::now() < deadline, "{}", count());
        std::thread::yield_now();
    }
    let settings = there.read("/indexes/cities/settings");
    assert_eq!(settings["searchableAttributes"], city_settings()["searchableAttributes"]);
    let documents = there.read("/indexes/cities/documents?limit=1000");
    assert!(!documents.to_string().contains("_miroir_") && !settings.to_string().contains("_miroir_"));

    let refused = client.write("POST", "/export", &json!({"url": url, "apiKey": "wrong"}));
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!("failed"), &json!("remote_invalid_api_key"))
    );
    for (body, code) in [
        (json!({}), "invalid_export_url"),
        (json!({"url": "ftp://x"}), "invalid_export_url"),
        (json!({"url": url, "payloadSize": "0"}), "invalid_export_payload_size"),
        (json!({"url": url, "indexes": {"a b": {}}}), "invalid_index_uid"),
        (json!({"url": url, "other": 1}), "bad_request"),
    ] {
        let (status, refused) = client.call("POST", "/export", &body);
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{body}");
    }
}
