//! Routes of a node that are about the server itself and not about indexes: metrics, logs, export, chats.
//!
//! Invariant: each is refused in a node's words while its experimental feature is off.

mod chats;
mod conversation;
mod export;
mod logs;
mod metrics;

use std::rc::Rc;

use http::Method;

use crate::{
    api::error::{ApiError, Code},
    auth::{Action, Permission},
    state::core::Core,
    wire::h1::{Request, Response},
};

/// A route; a text is the uid of a chat's workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeRoute<'a> {
    Metrics,
    Export,
    LogsToStderr,
    LogsStream,
    StopLogs,
    Chats,
    Chat(&'a str),
    DeleteChat(&'a str),
    ChatSettings(&'a str),
    ChangeChatSettings(&'a str),
    ResetChatSettings(&'a str),
    Complete(&'a str),
}

impl<'a> NodeRoute<'a> {
    /// The route of a method and the parts of a path: `None` for a path that is not here, `Err` for a method that a
    /// path here does not have.
    pub(crate) fn find(method: &Method, parts: &[&'a str]) -> Option<Result<Self, ()>> {
        let found = match (method.as_str(), parts) {
            ("GET", ["metrics"]) => Self::Metrics,
            ("POST", ["export"]) => Self::Export,
            ("POST", ["logs", "stderr"]) => Self::LogsToStderr,
            ("POST", ["logs", "stream"]) => Self::LogsStream,
            ("DELETE", ["logs", "stream"]) => Self::StopLogs,
            ("POST", ["chats", uid, "chat", "completions"]) => Self::Complete(uid),
            ("GET", ["chats"]) => Self::Chats,
            ("GET", ["chats", uid]) => Self::Chat(uid),
            ("DELETE", ["chats", uid]) => Self::DeleteChat(uid),
            ("GET", ["chats", uid, "settings"]) => Self::ChatSettings(uid),
            ("PATCH", ["chats", uid, "settings"]) => Self::ChangeChatSettings(uid),
            ("DELETE", ["chats", uid, "settings"]) => Self::ResetChatSettings(uid),
            (
                _,
                ["metrics" | "export" | "chats"]
                | ["logs", "stderr" | "stream"]
                | ["chats", _]
                | ["chats", _, "settings"]
                | ["chats", _, "chat", "completions"],
            ) => return Some(Err(())),
            _ => return None,
        };
        Some(Ok(found))
    }

    /// The path with placeholders, for metrics.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Export => "/export",
            Self::LogsToStderr => "/logs/stderr",
            Self::LogsStream | Self::StopLogs => "/logs/stream",
            Self::Complete(_) => "/chats/{workspace}/chat/completions",
            Self::Chats => "/chats",
            Self::Chat(_) | Self::DeleteChat(_) => "/chats/{workspace}",
            Self::ChatSettings(_) | Self::ChangeChatSettings(_) | Self::ResetChatSettings(_) => {
                "/chats/{workspace}/settings"
            }
        }
    }

    /// The right that it needs.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Metrics | Self::LogsToStderr | Self::LogsStream | Self::StopLogs => Action::MetricsGet,
            Self::Complete(_) => Action::ChatCompletions,
            Self::Export => Action::Export,
            Self::Chats | Self::Chat(_) => Action::ChatsGet,
            Self::DeleteChat(_) => Action::ChatsDelete,
            Self::ChatSettings(_) => Action::ChatsSettingsGet,
            Self::ChangeChatSettings(_) | Self::ResetChatSettings(_) => Action::ChatsSettingsUpdate,
        }
    }
}

/// Serves a route.
pub(crate) async fn serve(
    core: &Rc<Core>,
    request: &Request,
    permission: &Permission,
    route: NodeRoute<'_>,
) -> Result<Response, ApiError> {
    match route {
        NodeRoute::Metrics => metrics::all(core, permission).await,
        NodeRoute::Export => export::create(core, request).await,
        NodeRoute::LogsToStderr => logs::to_stderr(core, request).await,
        NodeRoute::LogsStream => logs::stream(core, request).await,
        NodeRoute::StopLogs => logs::stop(core).await,
        NodeRoute::Complete(uid) => conversation::complete(core, request, permission, uid).await,
        NodeRoute::Chats => chats::list(core, request).await,
        NodeRoute::Chat(uid) => chats::get(core, uid).await,
        NodeRoute::DeleteChat(uid) => chats::delete(core, uid).await,
        NodeRoute::ChatSettings(uid) => chats::settings(core, uid).await,
        NodeRoute::ChangeChatSettings(uid) => chats::change(core, request, uid).await,
        NodeRoute::ResetChatSettings(uid) => chats::reset(core, uid).await,
    }
}

/// An experimental feature, with what a node says while it is off.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    words: &'static str,
    discussion: &'static str,
}

pub(crate) const METRICS: Feature =
    Feature { name: "metrics", words: "metrics", discussion: "meilisearch/product/discussions/625" };
pub(crate) const LOGS: Feature =
    Feature { name: "logsRoute", words: "logs route", discussion: "orgs/meilisearch/discussions/721" };
pub(crate) const CHATS: Feature = Feature {
    name: "chatCompletions",
    words: "chat completions",
    discussion: "orgs/meilisearch/discussions/835",
};

/// Whether a client has switched a feature on.
pub(crate) fn is_switched(core: &Core, feature: &Feature) -> bool {
    core.shared.features.load().value.get(feature.name).is_some_and(|value| value == true)
}

/// Checks that a client has switched a feature on; `action` begins the refusal.
///
/// # Errors
/// 400 while it is off.
pub(crate) async fn check_feature(core: &Core, feature: &Feature, action: &str) -> Result<(), ApiError> {
    // A node may have been started with it.
    if is_switched(core, feature) || crate::read::node_features::is_on(core, feature.name).await {
        return Ok(());
    }
    let Feature { words, discussion, .. } = feature;
    let message = format!(
        "{action} requires enabling the `{words}` experimental feature. See https://github.com/{discussion}"
    );
    Err(ApiError::new(Code::FeatureNotEnabled, message))
}
