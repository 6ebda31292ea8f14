//! The routes of Meilisearch 1.50, each of which is served.
//!
//! Invariants: every route of Meilisearch has a row, and every row is a route here with the same methods and no
//! others. What is refused has a reason.

use http::Method;

use crate::{
    api::settings::SETTINGS,
    handlers::management::openapi,
    server::routes::{self, NoRoute},
};

/// Paths with the methods that are served. `{setting}` stands for every setting that
/// clients may set by itself.
const TABLE: &[(&str, &str)] = &[
    ("/health", "GET"),
    ("/version", "GET"),
    ("/stats", "GET"),
    ("/metrics", "GET"),
    ("/indexes", "GET POST"),
    ("/indexes/{uid}", "GET PATCH DELETE"),
    ("/swap-indexes", "POST"),
    ("/indexes/{uid}/stats", "GET"),
    ("/indexes/{uid}/fields", "POST"),
    ("/indexes/{uid}/compact", "POST"),
    ("/indexes/{uid}/documents", "GET POST PUT DELETE"),
    ("/indexes/{uid}/documents/fetch", "POST"),
    ("/indexes/{uid}/documents/delete-batch", "POST"),
    ("/indexes/{uid}/documents/delete", "POST"),
    ("/indexes/{uid}/documents/edit", "POST"),
    ("/indexes/{uid}/documents/{id}", "GET DELETE"),
    ("/indexes/{uid}/search", "GET POST"),
    ("/indexes/{uid}/facet-search", "POST"),
    ("/indexes/{uid}/similar", "GET POST"),
    ("/indexes/{uid}/settings", "GET PATCH DELETE"),
    ("/indexes/{uid}/settings/{setting}", ""),
    ("/multi-search", "POST"),
    ("/tasks", "GET DELETE"),
    ("/tasks/cancel", "POST"),
    ("/tasks/compact", "POST"),
    ("/tasks/{uid}", "GET"),
    ("/tasks/{uid}/documents", "GET"),
    ("/batches", "GET"),
    ("/batches/{uid}", "GET"),
    ("/keys", "GET POST"),
    ("/keys/{uid_or_key}", "GET PATCH DELETE"),
    ("/dumps", "POST"),
    ("/snapshots", "POST"),
    ("/export", "POST"),
    ("/experimental-features", "GET PATCH"),
    ("/network", "GET PATCH"),
    ("/network/control", "POST"),
    ("/logs/stream", "POST DELETE"),
    ("/logs/stderr", "POST"),
    ("/webhooks", "GET POST"),
    ("/webhooks/{uuid}", "GET PATCH DELETE"),
    ("/chats", "GET"),
    ("/chats/{workspace}", "GET DELETE"),
    ("/chats/{workspace}/settings", "GET PATCH DELETE"),
    ("/chats/{workspace}/chat/completions", "POST"),
    ("/dynamic-search-rules", "POST DELETE"),
    ("/dynamic-search-rules/{uid}", "GET PATCH DELETE"),
    ("/render-template", "POST"),
];

/// The gateway's own routes outside the management API, with the methods that are served.
const OWN: &[(&str, &str)] = &[
    ("/indexes/{uid}/explain", "POST"),
    ("/ui/assets/{app}/{file}", "GET"),
    ("/ui/search/{uid}", "GET"),
    ("/ui/widget.js", "GET"),
];

/// All routes of the gateway's own: those, and the management API as its description lists them.
fn own_routes() -> Vec<(&'static str, String)> {
    let mut own = OWN.iter().map(|(path, methods)| (*path, (*methods).to_owned())).collect::<Vec<_>>();
    for row in openapi::TABLE {
        match own.iter_mut().find(|(path, _)| *path == row.path) {
            Some((_, methods)) => *methods = format!("{methods} {}", row.method),
            None => own.push((row.path, row.method.to_owned())),
        }
    }
    own
}

/// Words that the tables of routes match in paths of the management API, and a name that they do not know.
fn words_of_management_paths() -> Vec<&'static str> {
    let sources = [include_str!("routes.rs"), include_str!("../handlers/data/mod.rs")];
    let patterns = sources.iter().flat_map(|source| source.lines()).filter(|line| {
        line.contains("\"_miroir\"")
            || line.contains("\", [")
            || line.contains("=> (Method::")
            || line.contains("        [index, \"config\"]")
    });
    let words = patterns.flat_map(|line| line.split('"').skip(1).step_by(2));
    let mut words = words.filter(|word| word.starts_with(char::is_lowercase)).collect::<Vec<_>>();
    words.push("x");
    words.sort_unstable();
    words.dedup();
    words
}

/// Whatever `routes::find` matches under `/_miroir/` is in the table of the description.
#[test]
fn every_management_route_is_described() {
    let words = words_of_management_paths();
    assert!(words.len() > 10, "the patterns of routes.rs are not found: {words:?}");
    let mut paths = words.iter().map(|word| format!("/_miroir/{word}")).collect::<Vec<_>>();
    let mut last = paths.clone();
    for depth in 2..=4 {
        // A fourth part stands behind a name in all that is served.
        let longer = last.iter().filter(|path| depth < 4 || path.contains("/x"));
        last = longer.flat_map(|path| words.iter().map(move |word| format!("{path}/{word}"))).collect();
        paths.extend(last.iter().cloned());
    }
    let mut described = std::collections::BTreeSet::new();
    for path in &paths {
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            if let Ok(route) = routes::find(&method, path) {
                described.insert((name, route.template()));
            }
        }
    }
    for (name, template) in described {
        let is_there = openapi::TABLE.iter().any(|row| row.method == name && row.path == template);
        assert!(is_there, "handlers/management/openapi.rs has no row for {name} {template}");
    }
}

#[test]
fn every_route_of_its_own_is_served_and_has_its_template() {
    for (template, served) in own_routes() {
        let path = template.replace(['{', '}'], "");
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            match (routes::find(&method, &path), has(&served, name)) {
                (Ok(found), true) => assert_eq!(found.template(), template, "{name} {path}"),
                // With another method a word may be a name.
                (Ok(found), false) => assert_ne!(found.template(), template, "{name} {path}"),
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

/// The table with a row for every setting: template, path and methods.
fn rows() -> Vec<(&'static str, String, String)> {
    let mut rows = Vec::new();
    for (template, served) in TABLE {
        match template.strip_suffix("{setting}") {
            Some(start) => rows.extend(SETTINGS.iter().map(|(name, change)| {
                let template = "/indexes/{uid}/settings/{name}";
                (template, format!("{start}{name}"), format!("GET {change} DELETE"))
            })),
            None => rows.push((*template, (*template).to_owned(), (*served).to_owned())),
        }
    }
    rows
}

fn has(methods: &str, method: &str) -> bool {
    methods.split(' ').any(|known| known == method)
}

#[test]
fn every_route_is_served_with_its_methods_and_no_others() {
    for (template, path, served) in rows() {
        // A placeholder is a name like any other.
        let path = path.replace(['{', '}'], "");
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let found = routes::find(&method, &path);
            if has(&served, name) {
                let found = found.unwrap_or_else(|error| panic!("{name} {path}: {error:?}"));
                assert_eq!(found.template(), template, "{name} {path}");
            } else {
                let name_too = NAMES_TOO.contains(&template) && found.is_ok();
                assert!(name_too || found == Err(NoRoute::UnknownMethod), "{name} {path}: {found:?}");
            }
        }
    }
}

#[test]
fn the_table_is_whole() {
    let served: usize = rows().iter().map(|(_, _, served)| served.split_whitespace().count()).sum();
    assert_eq!(served, ROUTES_OF_MEILISEARCH);
}
