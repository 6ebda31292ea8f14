//! The route of a method and a path: one table, no state.
//!
//! Invariant: a path that exists with another method is told apart from one that does not exist, as Meilisearch
//! answers 405 and 404. A HEAD has become a GET before it comes here. Source: the route list of Meilisearch 1.15 to
//! 1.50.

use http::Method;

use crate::{
    api::settings::SETTINGS,
    handlers::{
        data::DataRoute,
        management::{
            aliases::AliasesRoute,
            backups::BackupsRoute,
            canaries::CanariesRoute,
            operations::{self, Wish},
            operator::OperatorRoute,
            reshards::ReshardRoute,
            tenants::TenantsRoute,
            topology_changes,
        },
        node::NodeRoute,
        search_rules::RulesRoute,
        webhooks::WebhooksRoute,
    },
    pages::{console::ConsoleRoute, search::SearchPageRoute},
};

/// Why no route was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    UnknownPath,
    UnknownMethod,
}

/// A route with the parts of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    FrontPage,
    Health,
    Version,
    Stats,
    IndexStats(&'a str),
    Indexes,
    CreateIndex,
    Index(&'a str),
    UpdateIndex(&'a str),
    DeleteIndex(&'a str),
    CompactIndex(&'a str),
    SwapIndexes,
    Document { index: &'a str, id: &'a str },
    DeleteDocument { index: &'a str, id: &'a str },
    Documents(&'a str),
    FetchDocuments(&'a str),
    AddDocuments { index: &'a str, replace: bool },
    DeleteDocuments(&'a str),
    DeleteDocumentsBatch(&'a str),
    DeleteDocumentsByFilter(&'a str),
    EditDocuments(&'a str),
    Search { index: &'a str },
    FacetSearch(&'a str),
    MultiSearch,
    Explain(&'a str),
    Similar(&'a str),
    Fields(&'a str),
    Settings(&'a str),
    ChangeSettings(&'a str),
    Setting { index: &'a str, name: &'a str },
    ChangeSetting { index: &'a str, name: &'a str },
    Tasks,
    DeleteTasks,
    CancelTasks,
    CompactTasks,
    Task(&'a str),
    Keys,
    CreateKey,
    Key(&'a str),
    UpdateKey(&'a str),
    DeleteKey(&'a str),
    TaskDocuments(&'a str),
    Batches,
    Batch(&'a str),
    Topology,
    ChangeShape(topology_changes::ChangeRoute<'a>),
    Operations(operations::OperationsRoute<'a>),
    Shards,
    Ready,
    Metrics,
    RunAntiEntropy,
    AntiEntropy,
    AntiEntropyHistory,
    Features,
    ChangeFeatures,
    CreateSnapshot,
    CreateDump,
    Network,
    ChangeNetwork,
    ControlNetwork,
    RenderTemplate,
    Rules(RulesRoute<'a>),
    Webhooks(WebhooksRoute<'a>),
    Aliases(AliasesRoute<'a>),
    Canaries(CanariesRoute<'a>),
    ShadowDiff,
    Tenants(TenantsRoute<'a>),
    TtlPolicy(&'a str),
    Console(ConsoleRoute<'a>),
    SearchPage(SearchPageRoute<'a>),
    Operator(OperatorRoute<'a>),
    Data(DataRoute<'a>),
    Node(NodeRoute<'a>),
    Reshard(ReshardRoute<'a>),
}

/// Finds the route of a request; `path` is the target without its query string.
///
/// # Errors
/// [`NoRoute`].
#[expect(clippy::too_many_lines, reason = "one line a route")]
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, NoRoute> {
    let mut parts = [""; 6];
    let mut count = 0;
    for part in path.strip_prefix('/').unwrap_or(path).split('/') {
        if count == parts.len() {
            return Err(NoRoute::UnknownPath);
        }
        parts[count] = part;
        count += 1;
    }
    // One trailing slash names the same route, as Meilisearch's server normalises it.
    if count > 1 && parts[count - 1].is_empty() {
        count -= 1;
    }
    if let ["_miroir", rest @ ..] = &parts[..count]
        && let Some(route) = find_change(method, rest)
    {
        return Ok(route);
    }
    match &parts[..count] {
        [""] => only(method, Method::GET, Route::FrontPage),
        ["health"] => only(method, Method::GET, Route::Health),
        ["version"] => only(method, Method::GET, Route::Version),
        ["multi-search"] => only(method, Method::POST, Route::MultiSearch),
        ["stats"] => only(method, Method::GET, Route::Stats),
        ["tasks"] if *method == Method::DELETE => Ok(Route::DeleteTasks),
        ["tasks"] => only(method, Method::GET, Route::Tasks),
        ["tasks", "cancel"] if *method == Method::POST => Ok(Route::CancelTasks),
        ["tasks", "compact"] if *method == Method::POST => Ok(Route::CompactTasks),
        ["tasks", uid] => only(method, Method::GET, Route::Task(uid)),
        ["tasks", uid, "documents"] => only(method, Method::GET, Route::TaskDocuments(uid)),
        ["batches"] => only(method, Method::GET, Route::Batches),
        ["batches", uid] => only(method, Method::GET, Route::Batch(uid)),
        ["keys"] if *method == Method::POST => Ok(Route::CreateKey),
        ["keys"] => only(method, Method::GET, Route::Keys),
        ["keys", key] if *method == Method::PATCH => Ok(Route::UpdateKey(key)),
        ["keys", key] if *method == Method::DELETE => Ok(Route::DeleteKey(key)),
        ["keys", key] => only(method, Method::GET, Route::Key(key)),
        ["_miroir", "topology"] => only(method, Method::GET, Route::Topology),
        ["_miroir", "nodes" | "operations" | "rebalance"]
        | ["_miroir", "rebalance", "status"]
        | ["_miroir", "nodes" | "groups" | "operations", _]
        | ["_miroir", "nodes", _, "drain" | "replace"]
        | ["_miroir", "operations", _, "pause" | "resume" | "abort" | "cutover"] => {
            Err(NoRoute::UnknownMethod)
        }
        ["_miroir", "shards"] => only(method, Method::GET, Route::Shards),
        ["_miroir", "ready"] => only(method, Method::GET, Route::Ready),
        ["_miroir", "anti-entropy"] if *method == Method::POST => Ok(Route::RunAntiEntropy),
        ["_miroir", "anti-entropy"] => only(method, Method::GET, Route::AntiEntropy),
        ["_miroir", "anti-entropy", "history"] => only(method, Method::GET, Route::AntiEntropyHistory),
        ["_miroir", "admin", rest @ ..] => find_in_console(method, rest),
        ["_miroir", "metrics"] => only(method, Method::GET, Route::Metrics),
        ["_miroir", "openapi.json"] => only(method, Method::GET, Route::Operator(OperatorRoute::OpenApi)),
        ["_miroir", "audit"] => only(method, Method::GET, Route::Operator(OperatorRoute::Audit)),
        ["_miroir", "diagnosis"] => only(method, Method::GET, Route::Operator(OperatorRoute::Diagnosis)),
        ["_miroir", "tasks", uid] => only(method, Method::GET, Route::Operator(OperatorRoute::Task(uid))),
        ["_miroir", "backups"] if *method == Method::POST => Ok(backups(BackupsRoute::Create)),
        ["_miroir", "backups"] => only(method, Method::GET, backups(BackupsRoute::List)),
        ["_miroir", "backups", id] => only(method, Method::GET, backups(BackupsRoute::One(id))),
        ["_miroir", "backups", id, "restore"] => {
            only(method, Method::POST, backups(BackupsRoute::Restore(id)))
        }
        ["_miroir", "writes"] => only(method, Method::GET, Route::Operator(OperatorRoute::Writes)),
        ["_miroir", "writes", "fail"] => {
            only(method, Method::POST, Route::Operator(OperatorRoute::FailWrite))
        }
        ["_miroir", "aliases"] if *method == Method::POST => Ok(Route::Aliases(AliasesRoute::Create)),
        ["_miroir", "aliases"] => only(method, Method::GET, Route::Aliases(AliasesRoute::List)),
        ["_miroir", "aliases", name] => match *method {
            Method::GET => Ok(Route::Aliases(AliasesRoute::One(name))),
            Method::PUT => Ok(Route::Aliases(AliasesRoute::Flip(name))),
            Method::DELETE => Ok(Route::Aliases(AliasesRoute::Delete(name))),
            _ => Err(NoRoute::UnknownMethod),
        },
        ["_miroir", "canaries"] if *method == Method::POST => Ok(Route::Canaries(CanariesRoute::Create)),
        ["_miroir", "canaries"] => only(method, Method::GET, Route::Canaries(CanariesRoute::List)),
        ["_miroir", "canaries", "status"] if *method == Method::GET => {
            Ok(Route::Canaries(CanariesRoute::Status))
        }
        ["_miroir", "canaries", "capture"] if *method == Method::POST => {
            Ok(Route::Canaries(CanariesRoute::Capture))
        }
        ["_miroir", "canaries", name] => {
            only(method, Method::DELETE, Route::Canaries(CanariesRoute::Delete(name)))
        }
        ["_miroir", "shadow", "diff"] => only(method, Method::GET, Route::ShadowDiff),
        ["_miroir", "tenants"] => only(method, Method::GET, Route::Tenants(TenantsRoute::List)),
        ["_miroir", "tenants", tenant] => match *method {
            Method::PUT => Ok(Route::Tenants(TenantsRoute::Assign(tenant))),
            Method::DELETE => Ok(Route::Tenants(TenantsRoute::Remove(tenant))),
            _ => Err(NoRoute::UnknownMethod),
        },
        ["_miroir", "tenants", "keys", key] => match *method {
            Method::PUT => Ok(Route::Tenants(TenantsRoute::GiveKey(key))),
            Method::DELETE => Ok(Route::Tenants(TenantsRoute::RemoveKey(key))),
            _ => Err(NoRoute::UnknownMethod),
        },
        ["_miroir", "indexes", index, "reshard"] => {
            only(method, Method::POST, Route::Reshard(ReshardRoute::Start(index)))
        }
        ["_miroir", "indexes", index, "reshard", "status"] => {
            only(method, Method::GET, Route::Reshard(ReshardRoute::Status(index)))
        }
        ["_miroir", "routing", "revert"] => only(method, Method::POST, Route::Reshard(ReshardRoute::Revert)),
        ["_miroir", "indexes", index, "ttl-policy"] => match *method {
            Method::GET | Method::POST | Method::DELETE => Ok(Route::TtlPolicy(index)),
            _ => Err(NoRoute::UnknownMethod),
        },
        ["ui", rest @ ..] => find_in_pages(method, rest),
        ["_miroir", "ui", "jwt-secret"] => match *method {
            Method::GET | Method::POST => Ok(Route::Operator(OperatorRoute::PageSecrets)),
            _ => Err(NoRoute::UnknownMethod),
        },
        ["_miroir", "ui", "search", rest @ ..] => find_of_pages(method, rest),
        ["swap-indexes"] => only(method, Method::POST, Route::SwapIndexes),
        ["indexes", rest @ ..] => find_in_indexes(method, rest),
        ["experimental-features"] if *method == Method::PATCH => Ok(Route::ChangeFeatures),
        ["experimental-features"] => only(method, Method::GET, Route::Features),
        ["dumps"] => only(method, Method::POST, Route::CreateDump),
        ["snapshots"] => only(method, Method::POST, Route::CreateSnapshot),
        ["network"] if *method == Method::PATCH => Ok(Route::ChangeNetwork),
        ["network"] => only(method, Method::GET, Route::Network),
        ["network", "control"] => only(method, Method::POST, Route::ControlNetwork),
        ["dynamic-search-rules"] if *method == Method::DELETE => Ok(Route::Rules(RulesRoute::Clear)),
        ["dynamic-search-rules"] => only(method, Method::POST, Route::Rules(RulesRoute::List)),
        ["dynamic-search-rules", uid] if *method == Method::PATCH => {
            Ok(Route::Rules(RulesRoute::Update(uid)))
        }
        ["dynamic-search-rules", uid] if *method == Method::DELETE => {
            Ok(Route::Rules(RulesRoute::Delete(uid)))
        }
        ["dynamic-search-rules", uid] => only(method, Method::GET, Route::Rules(RulesRoute::One(uid))),
        ["render-template"] => only(method, Method::POST, Route::RenderTemplate),
        ["webhooks"] if *method == Method::POST => Ok(Route::Webhooks(WebhooksRoute::Create)),
        ["webhooks"] => only(method, Method::GET, Route::Webhooks(WebhooksRoute::List)),
        ["webhooks", uid] if *method == Method::PATCH => Ok(Route::Webhooks(WebhooksRoute::Update(uid))),
        ["webhooks", uid] if *method == Method::DELETE => Ok(Route::Webhooks(WebhooksRoute::Delete(uid))),
        ["webhooks", uid] => only(method, Method::GET, Route::Webhooks(WebhooksRoute::One(uid))),
        ["_miroir", rest @ ..] => of_family(DataRoute::find(method, rest), Route::Data),
        others => of_family(NodeRoute::find(method, others), Route::Node),
    }
}

/// The route that a family has found among its own: `None` for a path that is none of them, `Err` for a wrong method.
fn of_family<'a, T>(
    found: Option<Result<T, ()>>,
    route: impl FnOnce(T) -> Route<'a>,
) -> Result<Route<'a>, NoRoute> {
    match found {
        None => Err(NoRoute::UnknownPath),
        Some(found) => found.map(route).map_err(|()| NoRoute::UnknownMethod),
    }
}

/// What changes the cluster's shape, and the operations that do so.
fn find_change<'a>(method: &Method, parts: &[&'a str]) -> Option<Route<'a>> {
    use operations::OperationsRoute;
    use topology_changes::ChangeRoute;
    let asked = match (method.as_str(), parts) {
        ("POST", ["nodes"]) => ChangeRoute::AddNode,
        ("POST", ["nodes", id, "drain"]) => ChangeRoute::DrainNode(id),
        ("POST", ["nodes", id, "replace"]) => ChangeRoute::ReplaceNode(id),
        ("DELETE", ["nodes", id]) => ChangeRoute::RemoveNode(id),
        ("PATCH", ["topology"]) => ChangeRoute::ChangeTopology,
        ("DELETE", ["groups", group]) => ChangeRoute::RemoveGroup(group),
        ("POST", ["rebalance"]) => ChangeRoute::Rebalance,
        ("GET", ["rebalance", "status"]) => ChangeRoute::RebalanceStatus,
        ("GET", ["operations"]) => return Some(Route::Operations(OperationsRoute::List)),
        ("GET", ["operations", number]) => return Some(Route::Operations(OperationsRoute::One(number))),
        ("POST", ["operations", number, wish]) => {
            let wish = match *wish {
                "pause" => Wish::Pause,
                "resume" => Wish::Resume,
                "abort" => Wish::Abort,
                "cutover" => Wish::CutOver,
                _ => return None,
            };
            return Some(Route::Operations(OperationsRoute::Ask(number, wish)));
        }
        _ => return None,
    };
    Some(Route::ChangeShape(asked))
}

fn find_in_indexes<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    match *parts {
        [] => match *method {
            Method::GET => Ok(Route::Indexes),
            Method::POST => Ok(Route::CreateIndex),
            _ => Err(NoRoute::UnknownMethod),
        },
        [index] => match *method {
            Method::GET => Ok(Route::Index(index)),
            Method::PATCH => Ok(Route::UpdateIndex(index)),
            Method::DELETE => Ok(Route::DeleteIndex(index)),
            _ => Err(NoRoute::UnknownMethod),
        },
        [index, "stats"] => only(method, Method::GET, Route::IndexStats(index)),
        [index, "search"] if *method == Method::POST || *method == Method::GET => Ok(Route::Search { index }),
        [index, "facet-search"] => only(method, Method::POST, Route::FacetSearch(index)),
        [index, "similar"] if *method == Method::POST || *method == Method::GET => Ok(Route::Similar(index)),
        [index, "explain"] => only(method, Method::POST, Route::Explain(index)),
        [index, "compact"] => only(method, Method::POST, Route::CompactIndex(index)),
        [index, "fields"] => only(method, Method::POST, Route::Fields(index)),
        [_, "search" | "similar"] => Err(NoRoute::UnknownMethod),
        [index, "documents"] => match *method {
            Method::GET => Ok(Route::Documents(index)),
            Method::POST => Ok(Route::AddDocuments { index, replace: true }),
            Method::PUT => Ok(Route::AddDocuments { index, replace: false }),
            Method::DELETE => Ok(Route::DeleteDocuments(index)),
            _ => Err(NoRoute::UnknownMethod),
        },
        [index, "documents", "fetch"] if *method == Method::POST => Ok(Route::FetchDocuments(index)),
        [index, "documents", "delete-batch"] if *method == Method::POST => {
            Ok(Route::DeleteDocumentsBatch(index))
        }
        [index, "documents", "delete"] if *method == Method::POST => {
            Ok(Route::DeleteDocumentsByFilter(index))
        }
        [index, "documents", "edit"] if *method == Method::POST => Ok(Route::EditDocuments(index)),
        [index, "documents", id] => match *method {
            Method::GET => Ok(Route::Document { index, id }),
            Method::DELETE => Ok(Route::DeleteDocument { index, id }),
            _ => Err(NoRoute::UnknownMethod),
        },
        [index, "settings"] => match *method {
            Method::GET => Ok(Route::Settings(index)),
            Method::PATCH | Method::DELETE => Ok(Route::ChangeSettings(index)),
            _ => Err(NoRoute::UnknownMethod),
        },
        [index, "settings", name] => find_setting(method, index, name),
        _ => Err(NoRoute::UnknownPath),
    }
}

fn find_in_console<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    let (allowed, route) = match *parts {
        [] => (Method::GET, ConsoleRoute::Page),
        ["assets", name] => (Method::GET, ConsoleRoute::File(name)),
        ["login"] => (Method::POST, ConsoleRoute::Login),
        ["logout"] => (Method::POST, ConsoleRoute::Logout),
        ["session"] => (Method::GET, ConsoleRoute::Session),
        ["sessions"] => (Method::GET, ConsoleRoute::Sessions),
        ["sessions", id] => (Method::DELETE, ConsoleRoute::EndSession(id)),
        ["events"] => (Method::GET, ConsoleRoute::Events),
        ["configuration"] => (Method::GET, ConsoleRoute::Configuration),
        ["tasks", uid] => (Method::GET, ConsoleRoute::TaskParts(uid)),
        _ => return Err(NoRoute::UnknownPath),
    };
    only(method, allowed, Route::Console(route))
}

/// What visitors of search pages see.
fn find_in_pages<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    let route = match *parts {
        ["assets", app, file] => SearchPageRoute::Asset { app, file },
        ["search", index] => SearchPageRoute::Page(index),
        ["widget.js"] => SearchPageRoute::Widget,
        _ => return Err(NoRoute::UnknownPath),
    };
    only(method, Method::GET, Route::SearchPage(route))
}

/// What search pages ask for, and how they are configured.
fn find_of_pages<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    let (allowed, route) = match *parts {
        ["locale", file] => (Method::GET, SearchPageRoute::Locale(file)),
        [index, "session"] => (Method::GET, SearchPageRoute::Session(index)),
        [index, "beacon"] => (Method::POST, SearchPageRoute::Beacon(index)),
        [index, "config"] => match *method {
            Method::GET | Method::POST | Method::DELETE => {
                return Ok(Route::SearchPage(SearchPageRoute::Settings(index)));
            }
            _ => return Err(NoRoute::UnknownMethod),
        },
        _ => return Err(NoRoute::UnknownPath),
    };
    only(method, allowed, Route::SearchPage(route))
}

fn find_setting<'a>(method: &Method, index: &'a str, name: &'a str) -> Result<Route<'a>, NoRoute> {
    let Some((_, change)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
        return Err(NoRoute::UnknownPath);
    };
    match method.as_str() {
        "GET" => Ok(Route::Setting { index, name }),
        "DELETE" => Ok(Route::ChangeSetting { index, name }),
        other if other == *change => Ok(Route::ChangeSetting { index, name }),
        _ => Err(NoRoute::UnknownMethod),
    }
}

fn backups(asked: BackupsRoute<'_>) -> Route<'_> {
    Route::Operator(OperatorRoute::Backups(asked))
}

fn only<'a>(method: &Method, allowed: Method, route: Route<'a>) -> Result<Route<'a>, NoRoute> {
    if *method == allowed { Ok(route) } else { Err(NoRoute::UnknownMethod) }
}

impl Route<'_> {
    /// Whether a request makes a task, and so may carry an idempotency key.
    pub(crate) fn makes_task(&self) -> bool {
        matches!(
            self,
            Self::AddDocuments { .. }
                | Self::DeleteDocument { .. }
                | Self::DeleteDocuments(_)
                | Self::DeleteDocumentsBatch(_)
                | Self::DeleteDocumentsByFilter(_)
                | Self::EditDocuments(_)
                | Self::CreateIndex
                | Self::UpdateIndex(_)
                | Self::DeleteIndex(_)
                | Self::CompactIndex(_)
                | Self::SwapIndexes
                | Self::ChangeSettings(_)
                | Self::ChangeSetting { .. }
                | Self::DeleteTasks
                | Self::CancelTasks
                | Self::CreateDump
                | Self::CreateSnapshot
                | Self::Node(NodeRoute::Export)
                | Self::Rules(RulesRoute::Update(_) | RulesRoute::Delete(_) | RulesRoute::Clear)
        )
    }

    /// The route's path with placeholders, for metrics.
    #[must_use]
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::FrontPage => "/",
            Self::Health => "/health",
            Self::Version => "/version",
            Self::Stats => "/stats",
            Self::IndexStats(_) => "/indexes/{uid}/stats",
            Self::Indexes | Self::CreateIndex => "/indexes",
            Self::Index(_) | Self::UpdateIndex(_) | Self::DeleteIndex(_) => "/indexes/{uid}",
            Self::CompactIndex(_) => "/indexes/{uid}/compact",
            Self::SwapIndexes => "/swap-indexes",
            Self::Document { .. } | Self::DeleteDocument { .. } => "/indexes/{uid}/documents/{id}",
            Self::Documents(_) | Self::AddDocuments { .. } | Self::DeleteDocuments(_) => {
                "/indexes/{uid}/documents"
            }
            Self::FetchDocuments(_) => "/indexes/{uid}/documents/fetch",
            Self::DeleteDocumentsBatch(_) => "/indexes/{uid}/documents/delete-batch",
            Self::DeleteDocumentsByFilter(_) => "/indexes/{uid}/documents/delete",
            Self::EditDocuments(_) => "/indexes/{uid}/documents/edit",
            Self::Search { .. } => "/indexes/{uid}/search",
            Self::FacetSearch(_) => "/indexes/{uid}/facet-search",
            Self::MultiSearch => "/multi-search",
            Self::Explain(_) => "/indexes/{uid}/explain",
            Self::Similar(_) => "/indexes/{uid}/similar",
            Self::Fields(_) => "/indexes/{uid}/fields",
            Self::Settings(_) | Self::ChangeSettings(_) => "/indexes/{uid}/settings",
            Self::Setting { .. } | Self::ChangeSetting { .. } => "/indexes/{uid}/settings/{name}",
            Self::Tasks | Self::DeleteTasks => "/tasks",
            Self::CancelTasks => "/tasks/cancel",
            Self::CompactTasks => "/tasks/compact",
            Self::Task(_) => "/tasks/{uid}",
            Self::Keys | Self::CreateKey => "/keys",
            Self::Key(_) | Self::UpdateKey(_) | Self::DeleteKey(_) => "/keys/{uid_or_key}",
            Self::TaskDocuments(_) => "/tasks/{uid}/documents",
            Self::Batches => "/batches",
            Self::Batch(_) => "/batches/{uid}",
            Self::Topology => "/_miroir/topology",
            Self::ChangeShape(asked) => asked.template(),
            Self::Operations(asked) => asked.template(),
            Self::Reshard(asked) => asked.template(),
            Self::Shards => "/_miroir/shards",
            Self::Ready => "/_miroir/ready",
            Self::Metrics => "/_miroir/metrics",
            Self::RunAntiEntropy | Self::AntiEntropy => "/_miroir/anti-entropy",
            Self::AntiEntropyHistory => "/_miroir/anti-entropy/history",
            Self::Features | Self::ChangeFeatures => "/experimental-features",
            Self::CreateSnapshot => "/snapshots",
            Self::CreateDump => "/dumps",
            Self::Network | Self::ChangeNetwork => "/network",
            Self::ControlNetwork => "/network/control",
            Self::Rules(RulesRoute::List | RulesRoute::Clear) => "/dynamic-search-rules",
            Self::Rules(_) => "/dynamic-search-rules/{uid}",
            Self::RenderTemplate => "/render-template",
            Self::Webhooks(WebhooksRoute::List | WebhooksRoute::Create) => "/webhooks",
            Self::Webhooks(_) => "/webhooks/{uuid}",
            Self::Aliases(AliasesRoute::List | AliasesRoute::Create) => "/_miroir/aliases",
            Self::Aliases(_) => "/_miroir/aliases/{name}",
            Self::Canaries(asked) => asked.template(),
            Self::ShadowDiff => "/_miroir/shadow/diff",
            Self::Tenants(TenantsRoute::List) => "/_miroir/tenants",
            Self::Tenants(TenantsRoute::Assign(_) | TenantsRoute::Remove(_)) => "/_miroir/tenants/{tenant}",
            Self::Tenants(_) => "/_miroir/tenants/keys/{keyUid}",
            Self::TtlPolicy(_) => "/_miroir/indexes/{uid}/ttl-policy",
            Self::Console(console_route) => console_route.template(),
            Self::SearchPage(page_route) => page_route.template(),
            Self::Operator(operator_route) => operator_route.template(),
            Self::Data(asked) => asked.template(),
            Self::Node(asked) => asked.template(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found_by_method_and_path() {
        let check = |method: &str, path: &str, expected: Result<Route<'_>, NoRoute>| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(find(&method, path), expected, "{method} {path}");
        };
        check("GET", "/health", Ok(Route::Health));
        check("GET", "/health/", Ok(Route::Health));
        check("POST", "/health", Err(NoRoute::UnknownMethod));
        check("GET", "/", Ok(Route::FrontPage));
        check("POST", "/", Err(NoRoute::UnknownMethod));
        check("GET", "/nope", Err(NoRoute::UnknownPath));
        check("GET", "/indexes", Ok(Route::Indexes));
        check("POST", "/indexes/movies/search", Ok(Route::Search { index: "movies" }));
        check("PUT", "/indexes/movies/search", Err(NoRoute::UnknownMethod));
        check("PUT", "/indexes/m/documents", Ok(Route::AddDocuments { index: "m", replace: false }));
        check("GET", "/indexes/m/documents/fetch", Ok(Route::Document { index: "m", id: "fetch" }));
        check("POST", "/indexes/m/documents/fetch", Ok(Route::FetchDocuments("m")));
        check("POST", "/indexes/m/documents/7", Err(NoRoute::UnknownMethod));
        check("PUT", "/indexes/m/settings/typo-tolerance", Err(NoRoute::UnknownMethod));
        check(
            "PATCH",
            "/indexes/m/settings/typo-tolerance",
            Ok(Route::ChangeSetting { index: "m", name: "typo-tolerance" }),
        );
        check("GET", "/indexes/m/settings/nope", Err(NoRoute::UnknownPath));
        check("POST", "/multi-search", Ok(Route::MultiSearch));
        check("GET", "/indexes/m/similar", Ok(Route::Similar("m")));
        check("POST", "/indexes/m/fields", Ok(Route::Fields("m")));
        check("GET", "/indexes/m/fields", Err(NoRoute::UnknownMethod));
        check("GET", "/multi-search", Err(NoRoute::UnknownMethod));
        check("PUT", "/dumps", Err(NoRoute::UnknownMethod));
        check("POST", "/dumps/1", Err(NoRoute::UnknownPath));
        check("PATCH", "/experimental-features", Ok(Route::ChangeFeatures));
        check("GET", "/indexes/a/b/c/d/e/f", Err(NoRoute::UnknownPath));
        check("GET", "/tasks/12", Ok(Route::Task("12")));
        check("DELETE", "/tasks", Ok(Route::DeleteTasks));
        check("POST", "/tasks/cancel", Ok(Route::CancelTasks));
        check("GET", "/tasks/cancel", Ok(Route::Task("cancel")));
        check("GET", "/batches/3", Ok(Route::Batch("3")));
        check("POST", "/batches", Err(NoRoute::UnknownMethod));
        check("GET", "/_miroir/ready", Ok(Route::Ready));
        let change = |asked| Ok(Route::ChangeShape(asked));
        check("POST", "/_miroir/nodes", change(topology_changes::ChangeRoute::AddNode));
        check("DELETE", "/_miroir/nodes/n1", change(topology_changes::ChangeRoute::RemoveNode("n1")));
        check("GET", "/_miroir/nodes", Err(NoRoute::UnknownMethod));
        check("GET", "/_miroir/topology", Ok(Route::Topology));
        let pause = operations::OperationsRoute::Ask("7", Wish::Pause);
        check("POST", "/_miroir/operations/7/pause", Ok(Route::Operations(pause)));
        check("POST", "/_miroir/operations/7/stop", Err(NoRoute::UnknownPath));
        check("POST", "/keys", Ok(Route::CreateKey));
        check("PUT", "/keys", Err(NoRoute::UnknownMethod));
        check("DELETE", "/keys/k", Ok(Route::DeleteKey("k")));
        check("POST", "/keys/k", Err(NoRoute::UnknownMethod));
    }
}
