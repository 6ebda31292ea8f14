//! The permission that each route needs: one table, no state.
//!
//! Invariant: every route is named here, so that a new one cannot be served before its permission is given. Source:
//! the routes of Meilisearch 1.50.

use crate::{auth::Action, server::routes::Route};

/// What a request needs to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs<'a> {
    /// No key.
    Nothing,
    /// The key of the management API.
    AdminKey,
    /// The right to an action, on an index if the path names one.
    Right(Action, Option<&'a str>),
    /// The right to an action on an index, or the key of the management API.
    RightOrAdminKey(Action, &'a str),
    /// The rights to two actions, on no index in particular.
    Rights(Action, Action),
}

/// What a request to a route needs.
#[expect(clippy::too_many_lines, reason = "one line a route")]
pub(crate) fn needs<'a>(route: &Route<'a>) -> Needs<'a> {
    use Needs::Right;
    match *route {
        Route::FrontPage | Route::Health | Route::Ready => Needs::Nothing,
        Route::SearchPage(page_route) if page_route.is_open() => Needs::Nothing,
        Route::Console(console_route) if console_route.is_open() => Needs::Nothing,
        Route::Topology
        | Route::ChangeShape(_)
        | Route::Operations(_)
        | Route::Reshard(_)
        | Route::Shards
        | Route::Metrics
        | Route::RunAntiEntropy
        | Route::AntiEntropy
        | Route::AntiEntropyHistory
        | Route::Aliases(_)
        | Route::Canaries(_)
        | Route::ShadowDiff
        | Route::Tenants(_)
        | Route::TtlPolicy(_)
        | Route::SearchPage(_)
        | Route::Console(_)
        | Route::Operator(_)
        | Route::Data(_) => Needs::AdminKey,
        Route::Version => Right(Action::Version, None),
        Route::Stats => Right(Action::StatsGet, None),
        Route::IndexStats(index) => Right(Action::StatsGet, Some(index)),
        Route::Indexes => Right(Action::IndexesGet, None),
        Route::CreateIndex => Right(Action::IndexesCreate, None),
        Route::Index(index) => Right(Action::IndexesGet, Some(index)),
        Route::UpdateIndex(index) => Right(Action::IndexesUpdate, Some(index)),
        Route::DeleteIndex(index) => Right(Action::IndexesDelete, Some(index)),
        Route::CompactIndex(index) => Right(Action::IndexesCompact, Some(index)),
        // The indexes of each swap are checked where the body is read.
        Route::SwapIndexes => Right(Action::IndexesSwap, None),
        Route::Document { index, .. } | Route::Documents(index) | Route::FetchDocuments(index) => {
            Right(Action::DocumentsGet, Some(index))
        }
        Route::AddDocuments { index, .. } => Right(Action::DocumentsAdd, Some(index)),
        Route::DeleteDocument { index, .. }
        | Route::DeleteDocuments(index)
        | Route::DeleteDocumentsBatch(index)
        | Route::DeleteDocumentsByFilter(index) => Right(Action::DocumentsDelete, Some(index)),
        Route::EditDocuments(index) => Right(Action::DocumentsAll, Some(index)),
        Route::Search { index } | Route::FacetSearch(index) | Route::Similar(index) => {
            Right(Action::Search, Some(index))
        }
        Route::Explain(index) => Needs::RightOrAdminKey(Action::Search, index),
        // The index of each query is checked where the queries are read.
        Route::MultiSearch => Right(Action::Search, None),
        Route::Fields(index) => Right(Action::FieldsPost, Some(index)),
        Route::Settings(index) | Route::Setting { index, .. } => Right(Action::SettingsGet, Some(index)),
        Route::ChangeSettings(index) | Route::ChangeSetting { index, .. } => {
            Right(Action::SettingsUpdate, Some(index))
        }
        Route::Tasks | Route::Task(_) | Route::TaskDocuments(_) | Route::Batches | Route::Batch(_) => {
            Right(Action::TasksGet, None)
        }
        Route::DeleteTasks => Right(Action::TasksDelete, None),
        Route::CancelTasks => Right(Action::TasksCancel, None),
        Route::CompactTasks => Right(Action::TasksCompact, None),
        Route::Keys | Route::Key(_) => Right(Action::KeysGet, None),
        Route::CreateKey => Right(Action::KeysCreate, None),
        Route::UpdateKey(_) => Right(Action::KeysUpdate, None),
        Route::DeleteKey(_) => Right(Action::KeysDelete, None),
        Route::Features => Right(Action::ExperimentalGet, None),
        Route::ChangeFeatures => Right(Action::ExperimentalUpdate, None),
        Route::CreateDump => Right(Action::DumpsCreate, None),
        Route::CreateSnapshot => Right(Action::SnapshotsCreate, None),
        Route::Network => Right(Action::NetworkGet, None),
        Route::ChangeNetwork | Route::ControlNetwork => Right(Action::NetworkUpdate, None),
        Route::Rules(rules_route) => Right(rules_route.action(), None),
        // The indexes are checked where the body is read.
        Route::RenderTemplate => Needs::Rights(Action::SettingsGet, Action::DocumentsGet),
        Route::Node(node_route) => Right(node_route.action(), None),
        Route::Webhooks(webhooks_route) => Right(webhooks_route.action(), None),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::server::routes;

    fn check(method: &str, path: &str, expected: Needs<'_>) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let route = routes::find(&method, path).unwrap();
        assert_eq!(needs(&route), expected, "{method} {path}");
    }

    #[test]
    fn routes_of_the_gateway_need_the_admin_key_or_nothing() {
        check("GET", "/ui/widget.js", Needs::Nothing);
        check("GET", "/_miroir/ui/search/m/session", Needs::Nothing);
        check("POST", "/_miroir/ui/search/m/beacon", Needs::Nothing);
        check("GET", "/_miroir/ui/search/locale/de.json", Needs::Nothing);
        for method in ["GET", "POST", "DELETE"] {
            check(method, "/_miroir/ui/search/m/config", Needs::AdminKey);
        }
        check("GET", "/_miroir/shards", Needs::AdminKey);
        for open in ["/", "/health", "/_miroir/ready", "/_miroir/admin", "/_miroir/admin/assets/a.js"] {
            check("GET", open, Needs::Nothing);
        }
        for open in ["/ui/search/m", "/ui/assets/search/a.js"] {
            check("GET", open, Needs::Nothing);
        }
        check("POST", "/_miroir/admin/login", Needs::Nothing);
        check("POST", "/_miroir/admin/logout", Needs::Nothing);
        for closed in ["session", "sessions", "events", "configuration"] {
            check("GET", &format!("/_miroir/admin/{closed}"), Needs::AdminKey);
        }
        check("DELETE", "/_miroir/admin/sessions/0", Needs::AdminKey);
        check("PUT", "/_miroir/aliases/a", Needs::AdminKey);
        check("GET", "/_miroir/aliases", Needs::AdminKey);
        check("POST", "/_miroir/indexes/m/ttl-policy", Needs::AdminKey);
        check("PUT", "/_miroir/tenants/t", Needs::AdminKey);
        check("GET", "/_miroir/canaries/status", Needs::AdminKey);
        check("POST", "/_miroir/canaries/capture", Needs::AdminKey);
        check("GET", "/_miroir/shadow/diff", Needs::AdminKey);
        check("POST", "/_miroir/rollover-policies/p/run", Needs::AdminKey);
    }

    #[test]
    fn routes_need_what_they_need_on_a_node() {
        let on = |action| Needs::Right(action, Some("m"));
        let off = |action| Needs::Right(action, None);
        check("GET", "/version", off(Action::Version));
        check("GET", "/stats", off(Action::StatsGet));
        check("GET", "/indexes/m/stats", on(Action::StatsGet));
        check("GET", "/indexes", off(Action::IndexesGet));
        check("POST", "/indexes", off(Action::IndexesCreate));
        check("GET", "/indexes/m", on(Action::IndexesGet));
        check("PATCH", "/indexes/m", on(Action::IndexesUpdate));
        check("DELETE", "/indexes/m", on(Action::IndexesDelete));
        check("GET", "/indexes/m/documents", on(Action::DocumentsGet));
        check("GET", "/indexes/m/documents/1", on(Action::DocumentsGet));
        check("POST", "/indexes/m/documents/fetch", on(Action::DocumentsGet));
        check("POST", "/indexes/m/documents", on(Action::DocumentsAdd));
        check("PUT", "/indexes/m/documents", on(Action::DocumentsAdd));
        check("DELETE", "/indexes/m/documents", on(Action::DocumentsDelete));
        check("DELETE", "/indexes/m/documents/1", on(Action::DocumentsDelete));
        check("POST", "/indexes/m/documents/delete", on(Action::DocumentsDelete));
        check("POST", "/indexes/m/documents/delete-batch", on(Action::DocumentsDelete));
        check("POST", "/indexes/m/documents/edit", on(Action::DocumentsAll));
        check("POST", "/indexes/m/search", on(Action::Search));
        check("GET", "/indexes/m/search", on(Action::Search));
        check("POST", "/indexes/m/facet-search", on(Action::Search));
        check("GET", "/indexes/m/similar", on(Action::Search));
        check("POST", "/indexes/m/fields", on(Action::FieldsPost));
        check("POST", "/indexes/m/explain", Needs::RightOrAdminKey(Action::Search, "m"));
        check("POST", "/multi-search", off(Action::Search));
        check("GET", "/indexes/m/settings", on(Action::SettingsGet));
        check("DELETE", "/indexes/m/settings", on(Action::SettingsUpdate));
        check("GET", "/indexes/m/settings/synonyms", on(Action::SettingsGet));
        check("PUT", "/indexes/m/settings/synonyms", on(Action::SettingsUpdate));
        check("GET", "/indexes/m/settings/chat", on(Action::SettingsGet));
        check("PATCH", "/indexes/m/settings/chat", on(Action::SettingsUpdate));
        check("GET", "/tasks", off(Action::TasksGet));
        check("GET", "/tasks/1", off(Action::TasksGet));
        check("GET", "/keys", off(Action::KeysGet));
        check("POST", "/keys", off(Action::KeysCreate));
        check("GET", "/keys/k", off(Action::KeysGet));
        check("PATCH", "/keys/k", off(Action::KeysUpdate));
        check("DELETE", "/keys/k/", off(Action::KeysDelete));
        check("POST", "/dumps", off(Action::DumpsCreate));
        check("POST", "/snapshots", off(Action::SnapshotsCreate));
        check("GET", "/experimental-features", off(Action::ExperimentalGet));
        check("PATCH", "/experimental-features", off(Action::ExperimentalUpdate));
        check("GET", "/network", off(Action::NetworkGet));
        check("PATCH", "/network", off(Action::NetworkUpdate));
        check("DELETE", "/webhooks/w", off(Action::WebhooksDelete));
        check("POST", "/chats/w/chat/completions", off(Action::ChatCompletions));
        check("POST", "/render-template", Needs::Rights(Action::SettingsGet, Action::DocumentsGet));
    }
}
