//! The admin console's server side, as a browser uses it and as an attacker would: signing in, sessions, forged
//! requests, floods, and the stream of events.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::TestCluster;
use node::test_client::Client;

/// How long an event may take to come on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(60);
const ADMIN: &str = "the-key-of-operators";
const MASTER: &str = "the-key-of-everything";

/// A cluster with both keys, and a client that carries none.
fn guarded(more: &[&str]) -> (TestCluster, Client) {
    let cluster = TestCluster::start(|options| {
        let keys = ["--admin-key", ADMIN, "--master-key", MASTER];
        options.gateway_arguments.extend(keys.iter().chain(more).map(|argument| (*argument).to_owned()));
    });
    let client = Client::new(cluster.cluster.url());
    (cluster, client)
}

/// What a browser holds after signing in.
pub(crate) struct SignedIn {
    pub(crate) cookie: String,
    pub(crate) token: String,
}

/// Signs in; the answer must be 200.
pub(crate) fn sign_in(client: &Client, key: &str) -> SignedIn {
    let body = json!({"adminKey": key}).to_string();
    let headers = [("Content-Type", "application/json")];
    let (status, headers, answer) =
        client.with_headers("POST", "/_miroir/admin/login", &headers, body.as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 200, "{answer}");
    let cookie = headers.get("set-cookie").unwrap().to_str().unwrap().to_owned();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert_eq!(headers.get("cache-control").unwrap(), "no-store");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    SignedIn { cookie, token: answer["csrfToken"].as_str().unwrap().to_owned() }
}

/// Sends a request with a session's cookie, and the token if there is one; gives status and body.
pub(crate) fn ask(
    client: &Client,
    session: &SignedIn,
    token: Option<&str>,
    (method, path): (&str, &str),
    body: &Value,
) -> (u16, Value) {
    let mut headers = vec![("Cookie", session.cookie.as_str()), ("Content-Type", "application/json")];
    headers.extend(token.map(|token| ("X-CSRF-Token", token)));
    let (status, answer) = client.raw(method, path, &headers, body.to_string().as_bytes()).unwrap();
    (status, if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() })
}

#[test]
fn a_session_stands_for_the_key_until_it_ends() {
    let (_cluster, client) = guarded(&[]);
    let session = sign_in(&client, ADMIN);
    let token = Some(session.token.as_str());
    let get = |path: &str| ask(&client, &session, None, ("GET", path), &Value::Null);
    for path in ["/_miroir/topology", "/_miroir/shards", "/indexes", "/keys", "/tasks", "/stats"] {
        assert_eq!(get(path).0, 200, "{path}");
    }
    let (status, own) = get("/_miroir/admin/session");
    assert_eq!((status, &own["csrfToken"]), (200, &json!(session.token)));
    let index = json!({"uid": "m", "primaryKey": "id"});
    let (status, task) = ask(&client, &session, token, ("POST", "/indexes"), &index);
    assert_eq!(status, 202, "{task}");
    // Another session is seen, and can be ended.
    let other = sign_in(&client, ADMIN);
    let (_, sessions) = get("/_miroir/admin/sessions");
    let sessions = sessions["results"].as_array().unwrap().clone();
    assert_eq!(sessions.iter().map(|one| one["own"] == true).collect::<Vec<_>>().len(), 2);
    let id = sessions.iter().find(|one| one["own"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/_miroir/admin/sessions/{id}");
    assert_eq!(ask(&client, &session, token, ("DELETE", &path), &Value::Null).0, 204);
    assert_eq!(ask(&client, &other, None, ("GET", "/_miroir/topology"), &Value::Null).0, 401);
    // A cookie that was kept is worth nothing after the logout.
    assert_eq!(ask(&client, &session, token, ("POST", "/_miroir/admin/logout"), &Value::Null).0, 204);
    assert_eq!(get("/_miroir/topology").0, 401);
    assert_eq!(get("/indexes").0, 401);
    assert_eq!(get("/_miroir/admin/session").0, 401);
}

#[test]
fn behind_tls_a_cookie_is_secure() {
    let (_cluster, client) = guarded(&[]);
    let body = json!({"adminKey": ADMIN}).to_string();
    let cookie = |scheme: Option<(&str, &str)>| {
        let headers = scheme.into_iter().chain([("Content-Type", "application/json")]).collect::<Vec<_>>();
        let answer = client.with_headers("POST", "/_miroir/admin/login", &headers, body.as_bytes()).unwrap();
        answer.1.get("set-cookie").unwrap().to_str().unwrap().to_owned()
    };
    assert!(!cookie(None).contains("; Secure"));
    assert!(cookie(Some(("X-Forwarded-Proto", "https"))).ends_with("; Secure"));
}

#[test]
fn forged_requests_change_nothing() {
    let (_cluster, client) = guarded(&[]);
    let (session, other) = (sign_in(&client, ADMIN), sign_in(&client, ADMIN));
    let index = json!({"uid": "m", "primaryKey": "id"});
    let refused = |token: Option<&str>, request: (&str, &str)| {
        let (status, answer) = ask(&client, &session, token, request, &index);
        assert_eq!((status, &answer["code"]), (403, &json!("miroir_csrf_token_invalid")), "{request:?}");
    };
    // No token, one of another session, and a changed one.
    let changed = session.token.replace(|digit: char| digit.is_ascii_digit(), "f");
    for token in [None, Some(""), Some(other.token.as_str()), Some(&changed[..])] {
        for request in [
            ("POST", "/indexes"),
            ("DELETE", "/indexes/m"),
            ("PATCH", "/indexes/m/settings"),
            ("POST", "/_miroir/aliases"),
            ("POST", "/_miroir/admin/logout"),
            ("DELETE", "/_miroir/admin/sessions/0"),
            ("POST", "/indexes/m/search"),
        ] {
            refused(token, request);
        }
    }
    let seen = ask(&client, &session, None, ("GET", "/indexes"), &Value::Null).1;
    assert_eq!(seen["total"], 0, "{seen}");
    // A request with a key is judged by it: neither does the cookie help it, nor does the token hinder it.
    let headers = [("Cookie", session.cookie.as_str()), ("Authorization", "Bearer wrong")];
    assert_eq!(client.raw("GET", "/indexes", &headers, b"").unwrap().0, 403);
    let master = Client::new(client.base()).with_key(MASTER);
    let headers = [("Cookie", session.cookie.as_str()), ("Content-Type", "application/json")];
    assert_eq!(master.raw("POST", "/indexes", &headers, index.to_string().as_bytes()).unwrap().0, 202);
}

#[test]
fn cookies_that_were_made_up_are_no_sessions() {
    let (cluster, client) = guarded(&[]);
    let session = sign_in(&client, ADMIN);
    let sealed = session.cookie.strip_prefix("miroir_admin=").unwrap();
    let halved = &sealed[..sealed.len() / 2];
    let mut swapped = sealed.as_bytes().to_vec();
    swapped.swap(20, 21);
    let swapped = String::from_utf8(swapped).unwrap();
    let long = "A".repeat(5000);
    for made_up in ["", "x", ADMIN, halved, &format!("{sealed}A"), &long, "é"] {
        let session = SignedIn { cookie: format!("miroir_admin={made_up}"), token: session.token.clone() };
        assert_eq!(
            ask(&client, &session, None, ("GET", "/_miroir/topology"), &Value::Null).0,
            401,
            "{made_up}"
        );
    }
    if swapped != sealed {
        let session = SignedIn { cookie: format!("miroir_admin={swapped}"), token: session.token.clone() };
        assert_eq!(ask(&client, &session, None, ("GET", "/_miroir/topology"), &Value::Null).0, 401);
    }
    // The cookie of another gateway, whose seal has another key.
    let (_other, strange) = guarded(&[]);
    let stranger = sign_in(&strange, ADMIN);
    assert_eq!(ask(&client, &stranger, None, ("GET", "/_miroir/topology"), &Value::Null).0, 401);
    // A restart makes a new seal where none is given.
    let mut cluster = cluster;
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    assert_eq!(ask(&client, &session, None, ("GET", "/_miroir/topology"), &Value::Null).0, 401);
}

#[test]
fn bad_sign_ins_are_refused_in_words() {
    let (_cluster, client) = guarded(&[]);
    let json_body = ("Content-Type", "application/json");
    let check = |content_type: Option<(&str, &str)>, body: &str, status: u16, named: &str| {
        let headers = content_type.into_iter().collect::<Vec<_>>();
        let (seen, answer) = client.raw("POST", "/_miroir/admin/login", &headers, body.as_bytes()).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(seen, status, "{body}: {answer}");
        assert!(answer.contains(named), "{body}: {answer}");
    };
    check(Some(json_body), "{}", 400, "adminKey");
    check(Some(json_body), "{\"adminKey\": 5}", 400, "adminKey");
    check(Some(json_body), "{\"adminKey\": \"x\", \"more\": 1}", 400, "more");
    check(Some(json_body), "{", 400, "malformed_payload");
    check(None, "{\"adminKey\": \"x\"}", 415, "missing_content_type");
    check(Some(("Content-Type", "text/plain")), "{\"adminKey\": \"x\"}", 415, "invalid_content_type");
    let long = format!("{{\"adminKey\": \"{}\"}}", "x".repeat(5000));
    check(Some(json_body), &long, 413, "4096 bytes");
    check(Some(json_body), "{\"adminKey\": \"wrong\"}", 401, "miroir_invalid_auth");
    assert_eq!(client.get("/_miroir/admin/login").0, 405);
    assert_eq!(client.get("/_miroir/admin/nope").0, 404);
}

#[test]
fn a_flood_of_sign_ins_locks_its_address_out() {
    // Requests come through a proxy that is trusted, so that this test can be several clients.
    let (_cluster, client) = guarded(&["--trusted-proxies", "127.0.0.0/8"]);
    let attempt = |address: &str, key: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", address)];
        let body = json!({"adminKey": key}).to_string();
        client.with_headers("POST", "/_miroir/admin/login", &headers, body.as_bytes()).unwrap()
    };
    for _ in 0..10 {
        assert_eq!(attempt("10.1.1.1", "guess").0, 401);
    }
    // From here on not even the right key is looked at.
    for key in ["guess", ADMIN] {
        let (status, headers, answer) = attempt("10.1.1.1", key);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["code"]), (429, &json!("miroir_too_many_logins")), "{answer}");
        let seconds: u64 = headers.get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
        assert!((1..=600).contains(&seconds), "{seconds}");
    }
    // A client that makes up addresses in front of its own is still itself.
    assert_eq!(attempt("6.6.6.6, 10.1.1.1", ADMIN).0, 429);
    assert_eq!(attempt("10.1.1.2", ADMIN).0, 200);
}

#[test]
fn a_console_may_be_read_only_or_absent() {
    let (_cluster, client) = guarded(&["--admin-ui", "read-only"]);
    let session = sign_in(&client, ADMIN);
    let token = Some(session.token.as_str());
    let index = json!({"uid": "m", "primaryKey": "id"});
    let (status, answer) = ask(&client, &session, token, ("POST", "/indexes"), &index);
    assert_eq!((status, &answer["code"]), (403, &json!("miroir_admin_ui_read_only")), "{answer}");
    let (status, _) = ask(&client, &session, token, ("POST", "/multi-search"), &json!({"queries": []}));
    assert_eq!(status, 200, "questions change nothing");
    let master = Client::new(client.base()).with_key(MASTER);
    master.done("POST", "/indexes", &index);
    assert_eq!(ask(&client, &session, token, ("POST", "/_miroir/admin/logout"), &Value::Null).0, 204);

    let (_cluster, client) = guarded(&["--admin-ui", "off"]);
    for path in ["/_miroir/admin", "/_miroir/admin/session", "/_miroir/admin/events"] {
        let status = Client::new(client.base()).with_key(ADMIN).raw("GET", path, &[], b"").unwrap().0;
        assert_eq!(status, 404, "{path}");
    }
    let body = json!({"adminKey": ADMIN});
    let headers = [("Content-Type", "application/json")];
    let login = client.raw("POST", "/_miroir/admin/login", &headers, body.to_string().as_bytes()).unwrap();
    assert_eq!(login.0, 404);
}

#[test]
fn the_configuration_tells_what_is_set_and_hides_keys() {
    let (_cluster, client) = guarded(&[]);
    let operator = Client::new(client.base()).with_key(ADMIN);
    let configuration = operator.read("/_miroir/admin/configuration");
    let find = |name: &str| {
        let options = configuration["results"].as_array().unwrap();
        options.iter().find(|option| option["name"] == name).unwrap().clone()
    };
    assert_eq!(
        find("admin-key"),
        json!({"name": "admin-key", "value": "(set)", "source": "flag", "restart": true})
    );
    assert_eq!(find("body-limit")["restart"], false);
    assert_eq!(find("hedging")["source"], "default");
    assert!(!configuration.to_string().contains(ADMIN));
    assert_eq!(client.get("/_miroir/admin/configuration").0, 401);
}

/// Reads a stream of events until one that is wanted has come.
fn until_event(lines: &mut impl BufRead, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut event = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the stream ended before {name}");
        if let Some(of_event) = line.strip_prefix("event: ") {
            event = of_event.trim_end().to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data.trim_end()).unwrap();
            if event == name && wanted(&data) {
                return data;
            }
        }
    }
}

#[test]
fn an_open_console_is_told_what_changes() {
    let (cluster, client) = guarded(&[]);
    let session = sign_in(&client, ADMIN);
    let address = cluster.cluster.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(EVENT_MAX)).unwrap();
    let cookie = &session.cookie;
    write!(stream, "GET /_miroir/admin/events HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        lines.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    until_event(&mut lines, "hello", |hello| hello["readOnly"] == false);
    until_event(&mut lines, "history", |history| history["series"][0] == "searches");
    until_event(&mut lines, "health", |health| health["nodes"].as_array().unwrap().len() == 3);
    let master = Client::new(client.base()).with_key(MASTER);
    master.done("POST", "/indexes", &json!({"uid": "m", "primaryKey": "id"}));
    until_event(&mut lines, "changes", |counts| counts["indexes"].as_u64() >= Some(1));
    until_event(&mut lines, "tasks", |tasks| tasks["newest"] == 0 && tasks["unfinished"] == 0);
    // The stream of a session that has ended ends.
    let token = Some(session.token.as_str());
    assert_eq!(ask(&client, &session, token, ("POST", "/_miroir/admin/logout"), &Value::Null).0, 204);
    let mut rest = String::new();
    while lines.read_line(&mut rest).unwrap() > 0 {}
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    // Nobody is told anything without a key.
    assert_eq!(client.get("/_miroir/admin/events").0, 401);
}
