//! The routes of Meilisearch 1.50, each served or refused on purpose.
//!
//! Invariants: every route of Meilisearch has a row, and every row is a route here with the same methods and no
//! others. What is refused has a reason.

use http::Method;

use crate::{
    api::settings::SETTINGS,
    server::{
        refused_routes::NoRoute,
        routes::{self, Route},
    },
};

/// Paths with the methods that are served and those that are refused. `{setting}` stands for every setting that
/// clients may set by itself.
const TABLE: &[(&str, &str, &str)] = &[
    ("/health", "GET", ""),
    ("/version", "GET", ""),
    ("/stats", "GET", ""),
    ("/metrics", "", "GET"),
    ("/indexes", "GET POST", ""),
    ("/indexes/{uid}", "GET PATCH DELETE", ""),
    ("/swap-indexes", "POST", ""),
    ("/indexes/{uid}/stats", "GET", ""),
    ("/indexes/{uid}/fields", "POST", ""),
    ("/indexes/{uid}/compact", "POST", ""),
    ("/indexes/{uid}/documents", "GET POST PUT DELETE", ""),
    ("/indexes/{uid}/documents/fetch", "POST", ""),
    ("/indexes/{uid}/documents/delete-batch", "POST", ""),
    ("/indexes/{uid}/documents/delete", "POST", ""),
    ("/indexes/{uid}/documents/edit", "POST", ""),
    ("/indexes/{uid}/documents/{id}", "GET DELETE", ""),
    ("/indexes/{uid}/search", "GET POST", ""),
    ("/indexes/{uid}/facet-search", "POST", ""),
    ("/indexes/{uid}/similar", "GET POST", ""),
    ("/indexes/{uid}/settings", "GET PATCH DELETE", ""),
    ("/indexes/{uid}/settings/{setting}", "", ""),
    ("/indexes/{uid}/settings/chat", "", "GET PATCH DELETE"),
    ("/multi-search", "POST", ""),
    ("/tasks", "GET DELETE", ""),
    ("/tasks/cancel", "POST", ""),
    ("/tasks/compact", "POST", ""),
    ("/tasks/{uid}", "GET", ""),
    ("/tasks/{uid}/documents", "GET", ""),
    ("/batches", "GET", ""),
    ("/batches/{uid}", "GET", ""),
    ("/keys", "GET POST", ""),
    ("/keys/{uid_or_key}", "GET PATCH DELETE", ""),
    ("/dumps", "POST", ""),
    ("/snapshots", "POST", ""),
    ("/export", "", "POST"),
    ("/experimental-features", "GET PATCH", ""),
    ("/network", "GET PATCH", ""),
    ("/network/control", "POST", ""),
    ("/logs/stream", "", "POST DELETE"),
    ("/logs/stderr", "", "POST"),
    ("/webhooks", "GET POST", ""),
    ("/webhooks/{uuid}", "GET PATCH DELETE", ""),
    ("/chats", "", "GET"),
    ("/chats/{workspace}", "", "GET DELETE"),
    ("/chats/{workspace}/settings", "", "GET PATCH DELETE"),
    ("/chats/{workspace}/chat/completions", "", "POST"),
    ("/dynamic-search-rules", "POST DELETE", ""),
    ("/dynamic-search-rules/{uid}", "GET PATCH DELETE", ""),
    ("/render-template", "POST", ""),
];

/// The gateway's own routes, with the methods that are served.
const OWN: &[(&str, &str)] = &[
    ("/indexes/{uid}/explain", "POST"),
    ("/_miroir/aliases", "GET POST"),
    ("/_miroir/aliases/{name}", "GET PUT DELETE"),
    ("/_miroir/canaries", "GET POST"),
    ("/_miroir/canaries/{name}", "DELETE"),
    ("/_miroir/shadow/diff", "GET"),
    ("/_miroir/tenants", "GET"),
    ("/_miroir/tenants/{tenant}", "PUT DELETE"),
    ("/_miroir/tenants/keys/{keyUid}", "PUT DELETE"),
    ("/_miroir/indexes/{uid}/ttl-policy", "GET POST DELETE"),
    ("/_miroir/admin", "GET"),
    ("/_miroir/admin/assets/{file}", "GET"),
    ("/_miroir/admin/login", "POST"),
    ("/_miroir/admin/logout", "POST"),
    ("/_miroir/admin/session", "GET"),
    ("/_miroir/admin/sessions", "GET"),
    ("/_miroir/admin/sessions/{id}", "DELETE"),
    ("/_miroir/admin/events", "GET"),
    ("/_miroir/admin/configuration", "GET"),
    ("/_miroir/admin/tasks/{uid}", "GET"),
    ("/ui/assets/{app}/{file}", "GET"),
    ("/ui/search/{uid}", "GET"),
    ("/ui/widget.js", "GET"),
    ("/_miroir/ui/search/locale/{file}", "GET"),
    ("/_miroir/ui/search/{uid}/config", "GET POST DELETE"),
    ("/_miroir/ui/search/{uid}/session", "GET"),
    ("/_miroir/ui/search/{uid}/beacon", "POST"),
];

#[test]
fn every_route_of_its_own_is_served_and_has_its_template() {
    for (template, served) in OWN {
        let path = template.replace(['{', '}'], "");
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            match (routes::find(&method, &path), has(served, name)) {
                (Ok(found), true) => assert_eq!(found.template(), *template, "{name} {path}"),
                (found, _) => assert_eq!(found, Err(NoRoute::UnknownMethod), "{name} {path}"),
            }
        }
    }
}

/// Paths that, with other methods, are the name of a document or a task.
const NAMES_TOO: &[&str] = &[
    "/indexes/{uid}/documents/fetch",
    "/indexes/{uid}/documents/delete-batch",
    "/indexes/{uid}/documents/delete",
    "/indexes/{uid}/documents/edit",
    "/tasks/cancel",
    "/tasks/compact",
];

/// Routes of Meilisearch 1.50, methods counted apart.
const ROUTES_OF_MEILISEARCH: usize = 140;

/// The table with a row for every setting: template, path, served and refused methods.
fn rows() -> Vec<(&'static str, String, String, &'static str)> {
    let mut rows = Vec::new();
    for (template, served, refused) in TABLE {
        match template.strip_suffix("{setting}") {
            Some(start) => rows.extend(SETTINGS.iter().map(|(name, change)| {
                (
                    "/indexes/{uid}/settings/{name}",
                    format!("{start}{name}"),
                    format!("GET {change} DELETE"),
                    "",
                )
            })),
            None => rows.push((*template, (*template).to_owned(), (*served).to_owned(), *refused)),
        }
    }
    rows
}

fn has(methods: &str, method: &str) -> bool {
    methods.split(' ').any(|known| known == method)
}

#[test]
fn every_route_is_served_or_refused_on_purpose() {
    for (template, path, served, refused) in rows() {
        // A placeholder is a name like any other.
        let path = path.replace(['{', '}'], "");
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let found = routes::find(&method, &path);
            if let Ok(Route::Refused { route, .. }) = &found {
                assert!(has(refused, name), "{name} {path} is refused");
                let answer = route.refusal(&method, &path).into_answer();
                let answer: serde_json::Value = serde_json::from_slice(&answer.body.unwrap()).unwrap();
                let message = answer["message"].as_str().unwrap();
                assert!(message.contains(&format!("`{name} {path}`: ")), "{message}");
                assert!(route.reason.len() > 20, "{message}");
            } else if has(&served, name) {
                let found = found.unwrap_or_else(|error| panic!("{name} {path}: {error:?}"));
                assert_eq!(found.template(), template, "{name} {path}");
            } else {
                assert!(!has(refused, name), "{name} {path} is served");
                let name_too = NAMES_TOO.contains(&template) && found.is_ok();
                assert!(name_too || found == Err(NoRoute::UnknownMethod), "{name} {path}: {found:?}");
            }
        }
    }
}

#[test]
fn the_table_is_whole() {
    let count = |methods: &str| methods.split_whitespace().count();
    let served: usize = rows().iter().map(|(_, _, served, _)| count(served)).sum();
    let refused: usize = rows().iter().map(|(_, _, _, refused)| count(refused)).sum();
    assert_eq!(served + refused, ROUTES_OF_MEILISEARCH);
    assert_eq!(
        refused,
        crate::server::refused_routes::count(),
        "what is refused and no route of Meilisearch's"
    );
}
