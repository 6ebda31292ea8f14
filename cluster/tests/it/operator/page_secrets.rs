//! The secret of search pages is replaced by command, on all pods, while visitors search.

use std::time::{Duration, Instant};

use cluster::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::operator::{ctl, operated};
use crate::pods::coordination::Pods;
use node::test_client::Client;

/// How long a secret may take to sign, and to be known everywhere.
const SIGNS_MAX: Duration = Duration::from_secs(60);
const SECRETS: &str = "/_miroir/ui/jwt-secret";
const SESSION: &str = "/_miroir/ui/search/films/session";
/// Secrets of which tokens are accepted at the same time.
const SECRETS_MAX: usize = 8;

fn with_secret(options: &mut ClusterOptions) {
    options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "the-gateways-own".to_owned())];
}

/// A token of a new session, and the name of the secret that signed it.
fn session(url: &str) -> (String, String) {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let (status, session) = Client::new(url.to_owned()).get(SESSION);
    assert_eq!(status, 200, "{session}");
    let token = session["token"].as_str().unwrap().to_owned();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    (token, header["kid"].as_str().unwrap().to_owned())
}

/// The status of a search with a token.
fn searched(url: &str, token: &str) -> u16 {
    Client::new(url.to_owned()).with_key(token).call("POST", "/indexes/films/search", &json!({"q": "a"})).0
}

/// A token that is signed by a secret, once it signs; it asks seldom, since an address may not ask often.
fn signed_by(url: &str, kid: &str) -> String {
    let deadline = Instant::now() + SIGNS_MAX;
    loop {
        let (token, by) = session(url);
        if by == kid {
            return token;
        }
        assert!(Instant::now() < deadline, "{kid} does not sign yet");
        std::thread::sleep(Duration::from_secs(2));
    }
}

#[test]
fn a_secret_is_replaced_by_command_and_tokens_stay_valid() {
    let (mut cluster, operator) = operated(with_secret);
    cluster.client.done("POST", "/indexes", &json!({"uid": "films", "primaryKey": "id"}));
    operator.post("/_miroir/ui/search/films/config", &json!({}));
    let url = cluster.cluster.url();
    let (first_token, first) = session(&url);
    let shown = operator.read(SECRETS);
    assert_eq!(shown, json!({"secrets": [{"kid": first, "signsFrom": null, "acceptedUntil": null}]}));
    let ended = ctl(&cluster, &["ui", "rotate-jwt-secret", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.error);
    let made: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(made, operator.read(SECRETS));
    let [new, old] = made["secrets"].as_array().unwrap().as_slice() else { panic!("{made}") };
    assert!(old["kid"] == first.as_str() && new["kid"] != first.as_str(), "{made}");
    assert!(new["signsFrom"].is_string() && old["acceptedUntil"].is_string(), "{made}");
    let second = new["kid"].as_str().unwrap();
    let second_token = signed_by(&url, second);
    for token in [&first_token, &second_token] {
        assert_eq!(searched(&url, token), 200);
    }
    // The store has no secret, and the audit log tells what was replaced by what.
    let audit = operator.read("/_miroir/audit?limit=1")["results"][0].clone();
    assert_eq!((&audit["before"], &audit["after"]), (&shown, &made));
    assert!(!json!(audit).to_string().contains("the-gateways-own"));

    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(operator.read(SECRETS), made);
    assert_eq!(session(&url).1, second);
    for token in [&first_token, &second_token] {
        assert_eq!(searched(&url, token), 200);
    }

    // No token loses its secret because others are made, so that they are refused at some point.
    for _ in 2..SECRETS_MAX {
        assert_eq!(operator.call("POST", SECRETS, &json!({})).0, 200);
    }
    let refused = ctl(&cluster, &["ui", "rotate-jwt-secret"]);
    assert!(refused.code == 1 && refused.error.contains("status 429"), "{}", refused.error);
    assert_eq!(refused.error.lines().count(), 1, "{}", refused.error);
    assert_eq!(searched(&url, &first_token), 200);
    let (status, error) = operator.call("POST", SECRETS, &json!({"secret": "my own"}));
    assert_eq!((status, &error["code"]), (400, &json!("bad_request")), "{error}");
}

#[test]
fn there_is_nothing_to_replace_without_a_secret_or_without_pages() {
    let (cluster, operator) = operated(|_| {});
    assert_eq!(operator.read(SECRETS), json!({"secrets": []}));
    let (status, error) = operator.call("POST", SECRETS, &json!({}));
    assert_eq!((status, &error["code"]), (503, &json!("miroir_ui_secret_missing")), "{error}");
    let ended = ctl(&cluster, &["ui", "rotate-jwt-secret"]);
    assert!(ended.code == 1 && ended.error.contains("set SEARCH_UI_JWT_SECRET"), "{}", ended.error);
    let (_cluster, operator) = operated(|options| {
        with_secret(options);
        options.gateway_arguments.extend(["--search-ui", "off"].map(str::to_owned));
    });
    let (status, error) = operator.call("POST", SECRETS, &json!({}));
    assert_eq!((status, &error["code"]), (400, &json!("feature_not_enabled")), "{error}");
    assert_eq!(Client::new(operator.base().to_owned()).call("POST", SECRETS, &json!({})).0, 401);
}

#[test]
fn all_pods_take_tokens_of_the_new_secret_and_of_the_former() {
    let pods = Pods::start_with(false, with_secret);
    let urls = pods.urls();
    let operator = |pod: usize| Client::new(urls[pod].clone()).with_key("admin");
    let created = json!({"uid": "films", "primaryKey": "id"});
    assert_eq!(Client::new(urls[0].clone()).with_key("master").call("POST", "/indexes", &created).0, 202);
    for pod in 0..3 {
        pods.until(pod, "/indexes/films", |index| index["uid"] == "films");
    }
    operator(0).post("/_miroir/ui/search/films/config", &json!({}));
    let (old_token, _) = session(&urls[1]);
    let made = operator(0).post(SECRETS, &json!({}));
    let new_token = signed_by(&urls[0], made["secrets"][0]["kid"].as_str().unwrap());
    for (pod, url) in urls.iter().enumerate() {
        let deadline = Instant::now() + SIGNS_MAX;
        while operator(pod).read(SECRETS) != made {
            assert!(Instant::now() < deadline, "pod {pod} does not know of the secret");
            std::thread::yield_now();
        }
        for token in [&old_token, &new_token] {
            assert_eq!(searched(url, token), 200, "pod {pod}");
        }
    }
}
