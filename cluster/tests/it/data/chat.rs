//! Conversations with a model, whose searches run over the whole cluster; and the log as a stream.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use super::receivers::model;
use crate::support::{Client, TestCluster, cities, load_cities};

fn with_features() -> TestCluster {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--allowed-ip-networks", "127.0.0.0/8"].map(str::to_owned));
    });
    let features = json!({"logsRoute": true, "chatCompletions": true});
    assert_eq!(cluster.client.call("PATCH", "/experimental-features", &features).0, 200);
    cluster
}

fn chunk(delta: &Value, finish: &Value) -> Value {
    json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

fn called(index: u64, name: Option<&str>, arguments: &str) -> Value {
    let id = name.map(|_| format!("call-{index}"));
    let function = json!({"name": name, "arguments": arguments});
    chunk(
        &json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}),
        &Value::Null,
    )
}

/// The events of an answer; the first line says how long to wait before asking again.
fn events(client: &Client, workspace: &str, body: &Value) -> Vec<String> {
    let headers = [("Content-Type", "application/json")];
    let path = format!("/chats/{workspace}/chat/completions");
    let (status, answer) = client.raw("POST", &path, &headers, body.to_string().as_bytes()).unwrap();
    let text = String::from_utf8(answer).unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("retry: 10000\n\n"), "{text}");
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "one conversation from its first word to its last")]
fn a_model_searches_the_cluster_and_the_client_hears_of_it() {
    let cluster = with_features();
    let client = &cluster.client;
    load_cities(client);
    let about = json!({"description": "cities of the world", "searchParameters": {"limit": 3, "sort": ["population:desc"]}, "documentTemplate": "{{ doc.name }} in {{ doc.country }}"});
    client.done("PATCH", "/indexes/cities/settings/chat", &about);
    let wanted = json!({"index_uid": "cities", "q": "", "filter": "countryCode = FR"}).to_string();
    let (before, after) = wanted.split_at(10);
    let search = Some("_meiliSearchInIndex");
    let (address, bodies) = model(vec![
        vec![
            called(0, search, before),
            called(0, None, after),
            called(1, search, "{\"index_uid\":\"none\",\"q\":\"\",\"filter\":\"\"}"),
            chunk(&json!({}), &json!("tool_calls")),
        ],
        vec![
            chunk(&json!({"role": "assistant", "content": "Paris, "}), &Value::Null),
            chunk(&json!({"content": "of course."}), &json!("stop")),
            json!({"id": "c1", "choices": [], "usage": {"total_tokens": 9}}),
        ],
    ]);
    let settings = json!({"source": "vLlm", "baseUrl": format!("http://{address}/v1"), "apiKey": "the-key-of-the-model"});
    assert_eq!(client.call("PATCH", "/chats/travel/settings", &settings).0, 200);
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let told = events(
        client,
        "travel",
        &json!({
            "model": "m", "stream": true, "messages": [{"role": "user", "content": "The largest city of France?"}],
            "tools": [tool("_meiliSearchProgress"), tool("_meiliSearchSources"), tool("_meiliAppendConversationMessage")],
        }),
    );
    let asked = bodies.recv().unwrap();
    let described = asked["tools"][0]["function"]["description"].as_str().unwrap();
    assert!(described.contains("cities: cities of the world"), "{described}");
    assert_eq!(asked["tools"].as_array().unwrap().len(), 1);
    assert!(asked["tools"].to_string().contains("countryCode: "), "the values that one may filter by");
    assert_eq!(asked["messages"][0]["role"], "system");
    assert!(
        asked["head"].as_str().unwrap().to_lowercase().contains("authorization: bearer the-key-of-the-model")
    );
    let again = bodies.recv().unwrap();
    let messages = again["messages"].as_array().unwrap();
    let roles = messages.iter().map(|message| message["role"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    let mut french = cities().into_iter().filter(|city| city["countryCode"] == "FR").collect::<Vec<_>>();
    french.sort_by_key(|city| std::cmp::Reverse(city["population"].as_u64()));
    let lines = french[..3]
        .iter()
        .map(|city| format!("{} in {}", city["name"].as_str().unwrap(), city["country"].as_str().unwrap()));
    assert_eq!(messages[3]["content"], lines.collect::<Vec<_>>().join("\n"));
    assert!(messages[4]["content"].as_str().unwrap().contains("failed"), "{}", messages[4]);

    let functions =
        told.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok()).filter_map(|event| {
            let call = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
            Some((call["name"].as_str()?.to_owned(), call["arguments"].as_str()?.to_owned()))
        });
    let functions = functions.collect::<Vec<_>>();
    let names = functions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let (progress, append) = ("_meiliSearchProgress", "_meiliAppendConversationMessage");
    assert_eq!(names, [progress, append, "_meiliSearchSources", append, progress, append, append]);
    let sources: Value = serde_json::from_str(&functions[2].1).unwrap();
    assert_eq!((&sources["call_id"], &sources["sources"][0]["name"]), (&json!("call-0"), &french[0]["name"]));
    assert_eq!(told.last().unwrap(), "[DONE]");
    let words = told.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let words = words.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned));
    assert_eq!(words.collect::<String>(), "Paris, of course.");
    assert!(
        told.iter().any(|event| event.contains("\"type\":\"error\"") && event.contains("index_not_found"))
    );
    assert!(!told.concat().contains("the-key-of-the-model") && !told.concat().contains("_miroir_"));
}

#[test]
fn what_is_wrong_with_a_conversation_is_said() {
    let cluster = with_features();
    let client = &cluster.client;
    let (address, _bodies) = model(vec![vec![]]);
    let settings = json!({"source": "vLlm", "baseUrl": format!("http://{address}/v1")});
    assert_eq!(client.call("PATCH", "/chats/w/settings", &settings).0, 200);
    let path = "/chats/w/chat/completions";
    let good = json!({"model": "m", "stream": true, "messages": []});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        client.call("POST", path, &body)
    };
    for (name, value, status, code) in [
        ("messages", json!("hello"), 400, "bad_request"),
        ("model", json!(null), 400, "bad_request"),
        ("n", json!(2), 501, "unimplemented_multi_choice_chat_completions"),
        ("stream", json!(false), 501, "unimplemented_non_streaming_chat_completions"),
        ("tools", json!([{"function": {"name": "weather"}}]), 501, "unimplemented_external_function_calling"),
        ("tools", json!([{"function": {"name": "_meiliSearchInIndex"}}]), 400, "bad_request"),
    ] {
        let (found, refused) = with(name, value.clone());
        assert_eq!((found, &refused["code"]), (status, &json!(code)), "{name} {value}: {refused}");
    }
    assert_eq!(client.call("POST", "/chats/none/chat/completions", &good).1["code"], "chat_not_found");
    let told = events(client, "w", &good);
    assert!(told[0].contains("model_not_found") && told.last().unwrap() == "[DONE]", "{told:?}");
    // A model at an address that is not allowed is not asked.
    let settings = json!({"source": "vLlm", "baseUrl": "http://10.255.255.1/v1"});
    assert_eq!(client.call("PATCH", "/chats/w/settings", &settings).0, 200);
    assert!(events(client, "w", &good)[0].contains("allowed-ip-networks"));
}

#[test]
fn the_log_is_read_by_one_client_at_a_time() {
    let cluster = with_features();
    let agent = cluster::cluster::agent();
    let url = format!("{}/logs/stream", cluster.client.base());
    let follow = || {
        agent
            .post(&url)
            .header("content-type", "application/json")
            .send(r#"{"target":"info","mode":"json"}"#)
            .unwrap()
    };
    let first = follow();
    assert_eq!(first.status(), 200);
    let (status, refused) = cluster.client.call("POST", "/logs/stream", &json!({}));
    assert_eq!((status, &refused["code"]), (400, &json!("bad_request")), "{refused}");
    for bad in [
        json!({"target": ""}),
        json!({"mode": "profile"}),
        json!({"mode": 1}),
        json!({"profileMemory": true}),
    ] {
        assert_eq!(cluster.client.call("POST", "/logs/stream", &bad).0, 400, "{bad}");
    }
    // A task that fails to be exported is an event of the log.
    cluster.client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    let export = json!({"url": "http://10.255.255.1", "indexes": {"films": {}}});
    let (_, summary) = cluster.client.call("POST", "/export", &export);
    let mut lines = BufReader::new(first.into_body().into_reader()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("export_failed")).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["task"], summary["taskUid"].to_string());
    assert_eq!(cluster.client.call("DELETE", "/logs/stream", &Value::Null).0, 204);
    assert!(lines.all(|line| line.is_ok()), "the stream has an end");
    assert_eq!(follow().status(), 200);
}
