//! Routes of Meilisearch that the gateway refuses on purpose: what they need, and why they are refused.
//!
//! Invariants: a refusal names the route and the reason. A key that may not use a route on a node is refused for that
//! first, before it learns that the route is refused. Source: the routes of Meilisearch 1.50.

use http::Method;

use crate::{
    api::error::{ApiError, Code},
    auth::Action,
};

/// Why no route was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    UnknownPath,
    UnknownMethod,
}

/// A refused route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefusedRoute {
    /// Methods, with spaces between them.
    pub(crate) methods: &'static str,
    /// Without the leading slash; `*` is any part.
    pub(crate) path: &'static str,
    /// The rights that it needs on a node: one or two.
    pub(crate) needs: &'static [Action],
    /// The reason, as the end of a sentence.
    pub(crate) reason: &'static str,
}

const CHATS: &str = "a chat is held by one node, which searches its own documents only";
const EXPORT: &str = "nodes would export their documents with stamps of the gateway's in them";
const LOGS: &str = "every node has a log of its own, and so has the gateway";
const METRICS: &str = "the cluster's metrics are those of `/_miroir/metrics`";

const TABLE: &[RefusedRoute] = &[
    refused("GET", "indexes/*/settings/chat", &[Action::SettingsGet], CHATS),
    refused("PATCH DELETE", "indexes/*/settings/chat", &[Action::SettingsUpdate], CHATS),
    refused("POST", "export", &[Action::Export], EXPORT),
    refused("GET", "metrics", &[Action::MetricsGet], METRICS),
    refused("POST DELETE", "logs/stream", &[Action::MetricsGet], LOGS),
    refused("POST", "logs/stderr", &[Action::MetricsGet], LOGS),
    refused("GET", "chats", &[Action::ChatsGet], CHATS),
    refused("GET", "chats/*", &[Action::ChatsGet], CHATS),
    refused("DELETE", "chats/*", &[Action::ChatsDelete], CHATS),
    refused("GET", "chats/*/settings", &[Action::ChatsSettingsGet], CHATS),
    refused("PATCH DELETE", "chats/*/settings", &[Action::ChatsSettingsUpdate], CHATS),
    refused("POST", "chats/*/chat/completions", &[Action::ChatCompletions], CHATS),
];

const fn refused(
    methods: &'static str,
    path: &'static str,
    needs: &'static [Action],
    reason: &'static str,
) -> RefusedRoute {
    RefusedRoute { methods, path, needs, reason }
}

/// Finds the refused route of a method and the parts of a path.
///
/// # Errors
/// [`NoRoute`].
pub(crate) fn find(method: &Method, parts: &[&str]) -> Result<&'static RefusedRoute, NoRoute> {
    let mut missing = NoRoute::UnknownPath;
    for route in TABLE.iter().filter(|route| fits(route.path, parts)) {
        if route.methods.split(' ').any(|known| known == method.as_str()) {
            return Ok(route);
        }
        missing = NoRoute::UnknownMethod;
    }
    Err(missing)
}

fn fits(path: &str, parts: &[&str]) -> bool {
    path.split('/').count() == parts.len()
        && path.split('/').zip(parts).all(|(known, part)| known == "*" || known == *part)
}

impl RefusedRoute {
    /// The response to a request for it.
    pub(crate) fn refusal(&self, method: &Method, path: &str) -> ApiError {
        let message = format!("This gateway does not serve `{method} {path}`: {}.", self.reason);
        ApiError::new(Code::FeatureNotEnabled, message)
    }
}

/// How many refused routes there are, methods counted apart.
#[cfg(test)]
pub(crate) fn count() -> usize {
    TABLE.iter().map(|route| route.methods.split(' ').count()).sum()
}
