//! What operators set on one pod holds on all: aliases under load, tenants, canaries that pods divide among them.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::pods::coordination::{Pods, ask};
use node::test_client::Client;

/// Indexes that the alias stands for one after the other.
const TARGETS: usize = 6;

/// Sends a change to a pod and waits until its task is done.
fn change(pods: &Pods, pod: usize, method: &str, path: &str, body: &Value) {
    let (status, task) = ask(method, &format!("{}{path}", pods.urls()[pod]), Some(body)).unwrap();
    assert_eq!(status, 202, "{task}");
    let path = format!("/tasks/{}", task["taskUid"]);
    pods.until(pod, &path, |task| task["status"] == "succeeded");
}

fn manage(pods: &Pods, pod: usize, method: &str, path: &str, body: &Value) -> (u16, Value) {
    ask(method, &format!("{}{path}", pods.urls()[pod]), Some(body)).unwrap()
}

/// The number of the index whose documents an answer shows; all of them are of one.
fn number_of(answer: &Value) -> usize {
    let of = answer["hits"].as_array().unwrap().iter().map(|hit| hit["of"].as_u64().unwrap());
    let of = of.collect::<BTreeSet<_>>();
    assert_eq!(of.len(), 1, "an answer of several indexes: {answer}");
    usize::try_from(*of.first().unwrap()).unwrap()
}

#[test]
fn an_alias_is_flipped_under_load_through_three_pods() {
    let pods = Pods::start();
    for number in 0..TARGETS {
        change(&pods, 0, "POST", "/indexes", &json!({"uid": format!("v{number}"), "primaryKey": "id"}));
        let documents = (0..10).map(|id| json!({"id": id, "of": number, "kind": "original"})).collect();
        change(&pods, 0, "POST", &format!("/indexes/v{number}/documents"), &documents);
    }
    let alias = json!({"name": "things", "target": "v0"});
    assert_eq!(manage(&pods, 0, "POST", "/_miroir/aliases", &alias).0, 201);
    for pod in 0..3 {
        pods.until(pod, "/indexes/things", |index| index["uid"] == "things");
    }
    let (over, searches, writes) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let written = std::thread::scope(|scope| {
        for url in pods.urls() {
            let (over, searches) = (&over, &searches);
            scope.spawn(move || {
                let (client, mut seen) = (Client::new(url).with_key("master"), 0);
                while !over.load(Ordering::Relaxed) {
                    let number = number_of(&client.search("things", &json!({"q": "original", "limit": 30})));
                    assert!(number >= seen, "v{number} after v{seen} on one pod");
                    seen = number;
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writer = scope.spawn(|| {
            let clients =
                pods.urls().into_iter().map(|url| Client::new(url).with_key("master")).collect::<Vec<_>>();
            let mut summaries = Vec::new();
            for id in 1_000_u64.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let client = &clients[usize::try_from(id).unwrap() % clients.len()];
                // The index of the document is whichever the alias stands for when it is written.
                let (status, summary) =
                    client.call("PUT", "/indexes/things/documents", &json!([{"id": id, "late": true}]));
                assert_eq!(status, 202, "{summary}");
                summaries.push((id, summary));
                writes.fetch_add(1, Ordering::Relaxed);
            }
            summaries
        });
        for number in 1..TARGETS {
            let (searched, wrote) = (searches.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
            while searches.load(Ordering::Relaxed) < searched + 6 || writes.load(Ordering::Relaxed) <= wrote {
                assert!(!writer.is_finished(), "the writer has failed");
                std::thread::yield_now();
            }
            let flip = json!({"target": format!("v{number}"), "version": number});
            let (status, flipped) = manage(&pods, number % 3, "PUT", "/_miroir/aliases/things", &flip);
            assert_eq!(status, 200, "{flipped}");
        }
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    // An old version is refused on every pod, and everybody has the last target.
    for pod in 0..3 {
        let stale = json!({"target": "v0", "version": 1});
        let (status, refused) = manage(&pods, pod, "PUT", "/_miroir/aliases/things", &stale);
        assert_eq!((status, &refused["code"]), (409, &json!("miroir_alias_conflict")));
        pods.until(pod, "/_miroir/aliases", |list| list["results"][0]["version"] == TARGETS);
    }
    let client = Client::new(pods.urls()[0].clone()).with_key("master");
    for (id, summary) in &written {
        assert_eq!(client.finished(summary)["status"], "succeeded");
        let there = |number| client.get(&format!("/indexes/v{number}/documents/{id}")).0 == 200;
        assert_eq!((0..TARGETS).filter(|number| there(*number)).count(), 1, "document {id} is in one index");
    }
}

#[test]
fn tenants_and_canaries_hold_on_all_pods() {
    let mut pods = Pods::start();
    change(&pods, 0, "POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    change(&pods, 0, "POST", "/indexes/films/documents", &json!([{"id": 1}]));
    for pod in 0..3 {
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    assert_eq!(manage(&pods, 0, "PUT", "/_miroir/tenants/acme", &json!({"group": 0})).0, 200);
    for pod in 0..3 {
        pods.until(pod, "/_miroir/tenants", |table| table["results"][0]["tenant"] == "acme");
    }
    // Two pods add to the same table; neither undoes the other's.
    assert_eq!(manage(&pods, 1, "PUT", "/_miroir/tenants/other", &json!({"group": 0})).0, 200);
    assert_eq!(manage(&pods, 2, "DELETE", "/_miroir/tenants/acme", &Value::Null).0, 204);
    for pod in 0..3 {
        let table = json!([{"tenant": "other", "group": 0}]);
        pods.until(pod, "/_miroir/tenants", |found| found["results"] == table);
    }
    const CANARIES: usize = 8;
    for number in 0..CANARIES {
        let canary = json!({
            "name": format!("canary-{number}"), "index": "films", "intervalSeconds": 1, "query": {},
            "assertions": [{"type": "top_hit_id", "value": 1}],
        });
        assert_eq!(manage(&pods, number % 3, "POST", "/_miroir/canaries", &canary).0, 201);
    }
    let ran = |status: &Value, more: usize| {
        let canaries = status["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        let runs = |canary: &Value| canary["runs"].as_array().map_or(0, Vec::len);
        canaries.len() == CANARIES && canaries.iter().all(|canary| runs(canary) >= more)
    };
    for pod in 0..3 {
        pods.until(pod, "/_miroir/canaries/status", |status| ran(status, 2));
    }
    // Whichever pod goes, the others run its canaries.
    pods.signal(0, "-TERM");
    assert!(pods.pods[0].wait().unwrap().success());
    let status = manage(&pods, 1, "GET", "/_miroir/canaries/status", &Value::Null).1;
    let longest = status["results"].as_array().unwrap().iter();
    let longest = longest.map(|canary| canary["runs"].as_array().unwrap().len()).max().unwrap();
    pods.until(2, "/_miroir/canaries/status", |status| ran(status, (longest + 2).min(100)));
    assert_eq!(manage(&pods, 2, "DELETE", "/_miroir/canaries/canary-0", &Value::Null).0, 204);
    pods.until(1, "/_miroir/canaries", |list| list["results"].as_array().unwrap().len() == CANARIES - 1);
}
