//! Search pages: who is given a session, what its token allows, and what is refused to whom.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{TestCluster, load_cities};
use node::test_client::Client;

const MASTER_KEY: &str = "the-master-key-of-the-clients";
const CONFIG: &str = "/_miroir/ui/search/cities/config";
const SESSION: &str = "/_miroir/ui/search/cities/session";
const BEACON: &str = "/_miroir/ui/search/cities/beacon";
/// What one address may ask for in a minute.
const REQUESTS_MAX: usize = 60;

fn start(environment: &[(&'static str, &str)]) -> (TestCluster, Client) {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--master-key", MASTER_KEY].map(str::to_owned));
        options.gateway_environment =
            environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    });
    let master = Client::new(cluster.cluster.url()).with_key(MASTER_KEY);
    (cluster, master)
}

fn with_secret() -> (TestCluster, Client) {
    start(&[("SEARCH_UI_JWT_SECRET", "first-secret"), ("SEARCH_UI_SHARED_KEY", "shared")])
}

fn asked(client: &Client, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let (status, body) = client.raw("GET", path, headers, &[]).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A session that has to be given.
fn token(client: &Client, headers: &[(&str, &str)]) -> String {
    let (status, session) = asked(client, SESSION, headers);
    assert_eq!(status, 200, "{session}");
    session["token"].as_str().unwrap().to_owned()
}

fn many(index: &str) -> Value {
    json!({"queries": [{"indexUid": index, "q": "tokyo", "facets": ["country"]}]})
}

#[track_caller]
fn refused(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{answer:?}");
}

#[test]
fn an_index_has_a_page_once_it_is_given_one() {
    let (cluster, master) = with_secret();
    let visitor = &cluster.client;
    load_cities(&master);
    let page = |path: &str| visitor.with_headers("GET", path, &[], &[]).unwrap();

    let (status, headers, body) = page("/ui/search/cities");
    assert_eq!(status, 404);
    assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert!(String::from_utf8(body).unwrap().contains("/_miroir/ui/search/cities/config"));
    refused(&asked(visitor, SESSION, &[]), 404, "miroir_search_page_not_found");
    refused(&master.get(CONFIG), 404, "miroir_search_page_not_found");
    refused(&visitor.call("POST", CONFIG, &json!({})), 401, "miroir_invalid_auth");

    // What is refused changes nothing.
    let (status, answer) = master.call("POST", CONFIG, &json!({"facets": ["country", "colour"]}));
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().unwrap().contains("`facets[1]` names `colour`"), "{answer}");
    assert_eq!(page("/ui/search/cities").0, 404);

    let title = "Cities <script>alert(1)</script>";
    let wanted = json!({"title": title, "facets": ["country"], "allowedOrigins": ["https://shop.example"]});
    let (status, answer) = master.call("POST", CONFIG, &wanted);
    assert_eq!((status, &answer["url"], &answer["warnings"]), (200, &json!("/ui/search/cities"), &json!([])));
    assert_eq!(master.read(CONFIG)["title"], title);

    for path in ["/ui/search/cities", "/ui/search/cities/", "/ui/search/cities?embed=true"] {
        let (status, headers, body) = page(path);
        let html = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'self' https://shop.example"), "{policy}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
        // Every asset that the page names is there, and may be kept.
        for asset in html.split("assets/search/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let (status, headers, _) = page(&format!("/ui/assets/search/{asset}"));
            assert_eq!(status, 200, "{asset}");
            assert!(headers.contains_key("etag"), "{asset}");
        }
    }
    for (path, media_type) in [
        ("/ui/widget.js", "text/javascript; charset=utf-8"),
        ("/_miroir/ui/search/locale/de.json", "application/json"),
    ] {
        let (status, headers, _) = page(path);
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, media_type), "{path}");
    }
    assert_eq!(page("/_miroir/ui/search/locale/xx.json").0, 404);
    assert_eq!(page("/ui/assets/search/..%2f..%2fCargo.toml").0, 404);

    assert_eq!(master.call("DELETE", CONFIG, &Value::Null).0, 204);
    assert_eq!(page("/ui/search/cities").0, 404);
    refused(&asked(visitor, SESSION, &[]), 404, "miroir_search_page_not_found");
}

#[test]
fn a_token_searches_its_index_and_does_nothing_else() {
    let (cluster, master) = with_secret();
    load_cities(&master);
    master.done("POST", "/indexes", &json!({"uid": "other", "primaryKey": "id"}));
    master.post(CONFIG, &json!({}));
    let visitor = &cluster.client;
    let (_, session) = asked(visitor, SESSION, &[]);
    assert_eq!(session["expiresIn"], 900);
    assert_eq!(session["page"]["facets"][0]["attribute"], "country");
    assert!(session["page"].get("auth").is_none());
    let token = session["token"].as_str().unwrap();
    let holder = Client::new(cluster.cluster.url()).with_key(token);

    let found = holder.post("/multi-search", &many("cities"));
    assert_eq!(found["results"][0]["hits"][0]["name"], "Tokyo");
    assert_eq!(holder.search("cities", &json!({"q": "tokyo"}))["hits"][0]["country"], "Japan");

    let denied = [
        ("POST", "/indexes/other/search", json!({})),
        ("POST", "/multi-search", many("other")),
        ("POST", "/multi-search", json!({"queries": [{"indexUid": "cities"}, {"indexUid": "other"}]})),
        ("POST", "/multi-search", json!({"federation": {}, "queries": [{"indexUid": "other"}]})),
        ("POST", "/indexes/cities/facet-search", json!({"facetName": "country"})),
        ("POST", "/indexes/cities/similar", json!({"id": 1, "embedder": "x"})),
        ("POST", "/indexes/cities/explain", json!({})),
        ("POST", "/indexes/cities/documents", json!([{"id": 1}])),
        ("GET", "/indexes/cities/documents", Value::Null),
        ("GET", "/indexes/cities/settings", Value::Null),
        ("DELETE", "/indexes/cities", Value::Null),
        ("GET", "/indexes", Value::Null),
        ("GET", "/tasks", Value::Null),
        ("GET", "/keys", Value::Null),
        ("GET", "/stats", Value::Null),
    ];
    for (method, path, body) in denied {
        refused(&holder.call(method, path, &body), 403, "miroir_jwt_scope_denied");
    }
    refused(&holder.get("/_miroir/topology"), 401, "miroir_invalid_auth");
    refused(&holder.call("POST", CONFIG, &json!({})), 401, "miroir_invalid_auth");
}

#[test]
fn forged_tokens_are_refused_also_where_requests_need_no_key() {
    let guarded = with_secret();
    let open = TestCluster::start(|options| {
        options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "first-secret".to_owned())];
    });
    for (url, operator) in [(guarded.0.cluster.url(), &guarded.1), (open.cluster.url(), &open.client)] {
        load_cities(operator);
        operator.post(CONFIG, &json!({}));
        let genuine = token(&Client::new(url.clone()), &[]);
        let parts = genuine.split('.').collect::<Vec<_>>();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let read =
            |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let header = |algorithm: &str| {
            let mut header = read(parts[0]);
            header["alg"] = json!(algorithm);
            part(&header)
        };
        let claims = |name: &str, value: Value| {
            let mut claims = read(parts[1]);
            claims[name] = value;
            part(&claims)
        };
        let forged = [
            format!("{}.{}.", header("none"), parts[1]),
            format!("{}.{}.{}", header("none"), parts[1], parts[2]),
            format!("{}.{}.{}", header("HS512"), parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], claims("idx", json!("other")), parts[2]),
            format!("{}.{}.{}", parts[0], claims("exp", json!(9_999_999_999_u64)), parts[2]),
            format!("{}.{}.{}", parts[0], claims("filter", Value::Null), parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], "AAAA"),
            format!("{}.{}.{}", part(&json!({"alg": "HS256", "kid": "page-0"})), parts[1], parts[2]),
        ];
        for forged in &forged {
            let holder = Client::new(url.clone()).with_key(forged);
            refused(&holder.call("POST", "/multi-search", &many("cities")), 401, "miroir_jwt_invalid");
            refused(&holder.call("POST", "/indexes/cities/search", &json!({})), 401, "miroir_jwt_invalid");
            refused(&holder.get("/indexes/cities/documents"), 401, "miroir_jwt_invalid");
            refused(&holder.call("POST", BEACON, &json!({"events": []})), 401, "miroir_jwt_invalid");
        }
        let holder = Client::new(url).with_key(&genuine);
        assert_eq!(holder.call("POST", "/multi-search", &many("cities")).0, 200);
    }
}

#[test]
fn a_secret_is_replaced_while_visitors_search() {
    let (mut cluster, master) = start(&[("SEARCH_UI_JWT_SECRET", "first-secret")]);
    load_cities(&master);
    master.post(CONFIG, &json!({}));
    let first = token(&cluster.client, &[]);
    let holder = |cluster: &TestCluster, token: &str| {
        Client::new(cluster.cluster.url()).with_key(token).call("POST", "/multi-search", &many("cities"))
    };
    restart(
        &mut cluster,
        &[("SEARCH_UI_JWT_SECRET", "second-secret"), ("SEARCH_UI_JWT_SECRET_PREVIOUS", "first-secret")],
    );
    assert_eq!(holder(&cluster, &first).0, 200);
    let second = token(&cluster.client, &[]);
    assert_ne!(first.split('.').next(), second.split('.').next());
    restart(&mut cluster, &[("SEARCH_UI_JWT_SECRET", "second-secret")]);
    refused(&holder(&cluster, &first), 401, "miroir_jwt_invalid");
    assert_eq!(holder(&cluster, &second).0, 200);
    restart(&mut cluster, &[]);
    refused(&asked(&cluster.client, SESSION, &[]), 503, "miroir_ui_secret_missing");
    let warnings = master.read(CONFIG)["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().starts_with("SEARCH_UI_JWT_SECRET is not set"), "{warnings}");
}

/// Restarts the gateway with other secrets.
fn restart(cluster: &mut TestCluster, environment: &[(&'static str, &str)]) {
    cluster.cluster.kill_gateway().unwrap();
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
    cluster.cluster.set_gateway_environment(environment.collect());
    cluster.cluster.start_gateway().unwrap();
}

/// Documents of two owners, and of a group.
fn owned(master: &Client) {
    master.done("POST", "/indexes", &json!({"uid": "cities", "primaryKey": "id"}));
    master.done(
        "PATCH",
        "/indexes/cities/settings",
        &json!({"filterableAttributes": ["owner", "group", "kind"]}),
    );
    let documents = json!([
        {"id": 1, "owner": "ada", "group": "none", "kind": "a"},
        {"id": 2, "owner": "bob", "group": "none", "kind": "a"},
        {"id": 3, "owner": "root", "group": "staff", "kind": "b"},
        {"id": 4, "owner": "x\" OR owner != \"", "group": "none", "kind": "b"},
    ]);
    master.done("POST", "/indexes/cities/documents", &documents);
}

#[test]
fn the_filter_of_a_user_is_a_part_of_the_token() {
    let (cluster, master) = with_secret();
    owned(&master);
    let template = "owner = {user} OR group IN {groups}";
    let auth = json!({"mode": "oauth_proxy", "filterTemplate": template, "userHeader": "X-User"});
    master.post(CONFIG, &json!({"auth": auth}));
    let visitor = &cluster.client;
    let seen = |user: &str, groups: &str, query: Value| {
        let holder = Client::new(cluster.cluster.url())
            .with_key(&token(visitor, &[("x-user", user), ("x-forwarded-groups", groups)]));
        let mut query = query;
        query["indexUid"] = json!("cities");
        let many = holder.post("/multi-search", &json!({"queries": [query]}));
        let mut ids = node::test_client::ids(&many["results"][0]);
        ids.sort_unstable();
        let one = holder.call("POST", "/indexes/cities/search", &json!({"filter": query["filter"]}));
        assert_eq!(one.1["hits"].as_array().unwrap().len(), ids.len(), "{one:?}");
        ids
    };
    assert_eq!(seen("ada", "", json!({})), [1]);
    assert_eq!(seen("ada", "staff, other", json!({})), [1, 3]);
    assert_eq!(seen("nobody", "", json!({})), [0_i64; 0]);
    // What a visitor asks for narrows, and never widens.
    assert_eq!(seen("ada", "", json!({"filter": "owner = bob"})), [0_i64; 0]);
    assert_eq!(seen("ada", "", json!({"filter": "owner = ada OR owner = bob"})), [1]);
    assert_eq!(seen("ada", "", json!({"filter": [["owner = ada", "owner = bob"]]})), [1]);
    let broken = json!({"filter": "owner EXISTS) OR (owner EXISTS"});
    let holder = Client::new(cluster.cluster.url()).with_key(&token(visitor, &[("x-user", "ada")]));
    refused(&holder.call("POST", "/indexes/cities/search", &broken), 400, "invalid_search_filter");
    // Names that look like filters are names.
    assert_eq!(seen("x\" OR owner != \"", "", json!({})), [4]);
    assert_eq!(seen("{groups}", "staff", json!({})), [3]);
    assert_eq!(seen("ada", "x\"] OR owner EXISTS OR group IN [\"x", json!({})), [1]);
    for user in ["ada\\", "a\\\" OR owner EXISTS OR owner = \\\"", "\\\\"] {
        refused(&asked(visitor, SESSION, &[("x-user", user)]), 403, "miroir_search_page_denied");
    }
    refused(&asked(visitor, SESSION, &[]), 403, "miroir_search_page_denied");
    refused(
        &asked(visitor, SESSION, &[("x-user", "ada"), ("x-user", "bob")]),
        403,
        "miroir_search_page_denied",
    );
    // The header of another page's configuration says nothing here.
    refused(&asked(visitor, SESSION, &[("x-forwarded-user", "ada")]), 403, "miroir_search_page_denied");
}

#[test]
fn proxies_are_believed_where_they_are_trusted() {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--trusted-proxies", "10.0.0.0/8"].map(str::to_owned));
        options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "secret".to_owned())];
    });
    owned(&cluster.client);
    cluster
        .client
        .post(CONFIG, &json!({"auth": {"mode": "oauth_proxy", "filterTemplate": "owner = {user}"}}));
    let answer = asked(&cluster.client, SESSION, &[("x-forwarded-user", "ada")]);
    refused(&answer, 403, "miroir_search_page_denied");
    assert!(answer.1["message"].as_str().unwrap().contains("--trusted-proxies"), "{answer:?}");
}

#[test]
fn a_shared_key_opens_a_page_and_its_token_goes_to_the_browser() {
    let (cluster, master) = with_secret();
    load_cities(&master);
    master.post(CONFIG, &json!({"auth": {"mode": "shared_key"}}));
    let visitor = &cluster.client;
    for headers in [
        &[][..],
        &[("x-search-ui-key", "wrong")],
        &[("x-search-ui-key", "")],
        &[("authorization", "Bearer x")],
    ] {
        refused(&asked(visitor, SESSION, headers), 401, "miroir_invalid_auth");
    }
    let token = token(visitor, &[("x-search-ui-key", "shared")]);
    assert_eq!(asked(visitor, SESSION, &[("authorization", "Bearer shared")]).0, 200);
    // With the token the page learns what it shows; it gets the same token, which lasts no longer for it.
    let bearer = format!("Bearer {token}");
    let (status, session) = asked(visitor, SESSION, &[("authorization", bearer.as_str())]);
    assert_eq!((status, session["token"].as_str()), (200, Some(token.as_str())));
    assert!(session["page"]["facets"].is_array());
}

#[test]
fn pages_of_other_origins_need_to_be_allowed() {
    let (cluster, master) = with_secret();
    load_cities(&master);
    master.post(CONFIG, &json!({"allowedOrigins": ["https://shop.example"]}));
    let own = cluster.cluster.url();
    let check = |headers: &[(&str, &str)], status: u16| {
        let answer = asked(&cluster.client, SESSION, headers);
        assert_eq!(answer.0, status, "{headers:?}: {answer:?}");
    };
    check(&[], 200);
    check(&[("origin", own.as_str())], 200);
    check(&[("origin", "https://shop.example")], 200);
    check(&[("origin", "https://evil.example")], 403);
    check(&[("origin", "https://shop.example.evil.example")], 403);
    check(&[("origin", "null")], 403);
    check(&[("sec-fetch-site", "cross-site")], 403);
}

#[test]
fn an_address_asks_sixty_times_a_minute() {
    let (cluster, master) = with_secret();
    load_cities(&master);
    master.post(CONFIG, &json!({}));
    // Nobody trusts this client to name another address.
    let statuses = (0..REQUESTS_MAX).map(|number| {
        let named = format!("10.0.0.{number}");
        asked(&cluster.client, SESSION, &[("x-forwarded-for", named.as_str())]).0
    });
    assert!(statuses.into_iter().all(|status| status == 200));
    // A window may end in the middle, and then a new one has begun.
    let last = (0..=2 * REQUESTS_MAX).map(|_| asked(&cluster.client, SESSION, &[]));
    let last = last.into_iter().find(|answer| answer.0 != 200).unwrap();
    refused(&last, 429, "miroir_too_many_requests");
    let answers =
        (0..=2 * REQUESTS_MAX).map(|_| cluster.client.with_headers("GET", SESSION, &[], &[]).unwrap());
    let refusal = answers.into_iter().find(|answer| answer.0 == 429).unwrap();
    assert!(refusal.1["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    // Searches are not counted.
    assert_eq!(master.call("POST", "/multi-search", &many("cities")).0, 200);
}

#[test]
fn an_event_counts_once() {
    let (cluster, master) = with_secret();
    load_cities(&master);
    master.post(CONFIG, &json!({}));
    let holder = Client::new(cluster.cluster.url()).with_key(&token(&cluster.client, &[]));
    let events = json!({"events": [
        {"id": "a1", "type": "click", "documentId": "7", "position": 1, "query": "x"},
        {"id": "a2", "type": "latency", "milliseconds": 12.5},
    ]});
    assert_eq!(holder.post(BEACON, &events), json!({"recorded": 2, "repeated": 0}));
    assert_eq!(holder.post(BEACON, &events), json!({"recorded": 0, "repeated": 2}));
    let refusals = [
        (json!({"events": [{"id": "a b", "type": "click"}]}), "`events[0].id`"),
        (json!({"events": [{"id": "a", "type": "buy"}]}), "unknown variant `buy`"),
        (json!({"clicks": []}), "unknown field `clicks`"),
    ];
    for (body, expected) in refusals {
        let (status, answer) = holder.call("POST", BEACON, &body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(expected), "{answer}");
    }
    refused(&cluster.client.call("POST", BEACON, &events), 401, "missing_authorization_header");
    let other = "/_miroir/ui/search/other/beacon";
    refused(&holder.call("POST", other, &events), 403, "miroir_jwt_scope_denied");
    let (_, text) = master.raw("GET", "/_miroir/metrics", &[], &[]).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("miroir_search_page_clicks_total 1"));
}

#[test]
fn what_is_wrong_with_a_page_is_said_where_it_is_given() {
    let (_cluster, master) = with_secret();
    refused(&master.call("POST", CONFIG, &json!({})), 404, "index_not_found");
    refused(&master.call("POST", "/_miroir/ui/search/a%20b/config", &json!({})), 400, "invalid_index_uid");
    load_cities(&master);
    for (config, expected) in [
        (json!({"colour": 1}), "unknown field `colour`"),
        (
            json!({"display": {"title": "nam"}}),
            "`display.title` names `nam`, which no document of `cities` has",
        ),
        (json!({"sorts": ["country:asc"]}), "which `cities` has not among its `sortableAttributes`"),
        (json!({"template": "<h3>{{name}}"}), "`template`, line 1: `<h3>` is not closed"),
        (json!({"template": "<script>x</script>"}), "`<script>` is not allowed"),
        (json!({"template": "{{colour}}"}), "`template` names `colour`"),
        (
            json!({"auth": {"mode": "oauth_proxy", "filterTemplate": "owner = {user}"}}),
            "`auth.filterTemplate`: ",
        ),
        (
            json!({"auth": {"mode": "oauth_proxy", "filterTemplate": "country = {user} AND"}}),
            "`auth.filterTemplate`",
        ),
    ] {
        let (status, answer) = master.call("POST", CONFIG, &config);
        assert_eq!(status, 400, "{config}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(expected), "{config}: {answer}");
    }
    refused(&master.get(CONFIG), 404, "miroir_search_page_not_found");
    // An alias has a page as an index has.
    assert_eq!(master.call("POST", "/_miroir/aliases", &json!({"name": "towns", "target": "cities"})).0, 201);
    assert_eq!(
        master.call("POST", "/_miroir/ui/search/towns/config", &json!({"facets": ["country"]})).0,
        200
    );
    assert_eq!(master.get("/_miroir/ui/search/towns/session").0, 200);
}

#[test]
fn search_pages_can_be_switched_off() {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--search-ui", "off"].map(str::to_owned));
        options.gateway_environment = vec![("SEARCH_UI_JWT_SECRET", "secret".to_owned())];
    });
    for path in ["/ui/search/cities", "/ui/widget.js", SESSION, CONFIG] {
        let (status, body) = cluster.client.raw("GET", path, &[], &[]).unwrap();
        assert_eq!((status, body.len()), (404, 0), "{path}");
    }
}
