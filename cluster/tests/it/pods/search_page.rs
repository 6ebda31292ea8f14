//! Search pages of several pods: one configuration, one secret, one count of what an address has asked for.

use serde_json::{Value, json};

use crate::pods::coordination::{Pods, ask};
use node::test_client::Client;

/// What one address may ask for in a minute, of all pods together.
const REQUESTS_MAX: usize = 60;
/// How often a window may end in the middle of a try.
const TRIES_MAX: usize = 5;
const SESSION: &str = "/_miroir/ui/search/cities/session";
const BEACON: &str = "/_miroir/ui/search/cities/beacon";

#[test]
fn pods_share_pages_tokens_events_and_counts() {
    let pods = Pods::start_with(false, |options| {
        options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "of-all-pods".to_owned())];
    });
    let urls = pods.urls();
    let send = |pod: usize, path: &str, body: &Value| {
        ask("POST", &format!("{}{path}", urls[pod]), Some(body)).unwrap()
    };
    assert_eq!(send(0, "/indexes", &json!({"uid": "cities", "primaryKey": "id"})).0, 202);
    for pod in 0..3 {
        pods.until(pod, "/indexes/cities", |index| index["uid"] == "cities");
    }
    assert_eq!(send(0, "/_miroir/ui/search/cities/config", &json!({"title": "Cities"})).0, 200);

    // A token of one pod is taken by another, which has the page at once.
    let visitor = |pod: usize| Client::new(urls[pod].clone());
    let (status, session) = visitor(1).get(SESSION);
    assert_eq!((status, &session["page"]["title"]), (200, &json!("Cities")), "{session}");
    let token = session["token"].as_str().unwrap();
    let holder = |pod: usize| visitor(pod).with_key(token);
    let many = json!({"queries": [{"indexUid": "cities"}]});
    for pod in 0..3 {
        assert_eq!(holder(pod).call("POST", "/multi-search", &many).0, 200);
    }

    // An event that is sent again, to another pod, counts once.
    let event = json!({"events": [{"id": "e1", "type": "click"}]});
    assert_eq!(holder(0).post(BEACON, &event), json!({"recorded": 1, "repeated": 0}));
    assert_eq!(holder(2).post(BEACON, &event), json!({"recorded": 0, "repeated": 1}));

    // Once one pod refuses, all of them do; a window that ends in between begins another try.
    let refuses = |pod: usize| visitor(pod).get(SESSION).0 == 429;
    let together = (0..TRIES_MAX).any(|_| {
        let asked = (0..=2 * REQUESTS_MAX).any(|_| refuses(0));
        assert!(asked, "no more than {REQUESTS_MAX} are given in a minute");
        refuses(1) && refuses(2)
    });
    assert!(together, "pods count together");
}
