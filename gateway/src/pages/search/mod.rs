//! The search page of an index: the page itself, its configuration, the sessions of its visitors, and what they tell.
//!
//! Invariants: an index has no page until an operator has given it one. A browser holds a token for a quarter of an
//! hour and nothing else. What an address may ask for is counted in the store, by all pods together.

pub(crate) mod attributes;
pub(crate) mod beacon;
pub(crate) mod config;
pub(crate) mod identity;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod rate;
pub(crate) mod refusal;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod template;

use crate::{
    api::error::ApiError,
    pages::assets,
    state::core::Core,
    wire::h1::{Request, Response},
};

/// A route of search pages; a text is an index's name, or a file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchPageRoute<'a> {
    Page(&'a str),
    Asset { app: &'a str, file: &'a str },
    Widget,
    Locale(&'a str),
    Settings(&'a str),
    Session(&'a str),
    Beacon(&'a str),
}

impl SearchPageRoute<'_> {
    /// Whether the route asks for no key: pages are for visitors, and sessions and beacons see to themselves.
    pub(crate) fn is_open(self) -> bool {
        !matches!(self, Self::Settings(_))
    }

    /// The route's path with placeholders, for metrics.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Page(_) => "/ui/search/{uid}",
            Self::Asset { .. } => "/ui/assets/{app}/{file}",
            Self::Widget => "/ui/widget.js",
            Self::Locale(_) => "/_miroir/ui/search/locale/{file}",
            Self::Settings(_) => "/_miroir/ui/search/{uid}/config",
            Self::Session(_) => "/_miroir/ui/search/{uid}/session",
            Self::Beacon(_) => "/_miroir/ui/search/{uid}/beacon",
        }
    }
}

/// Serves a route of search pages.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: SearchPageRoute<'_>,
) -> Result<Response, ApiError> {
    if let SearchPageRoute::Asset { app, file } = asked {
        return assets::serve(request, app, file);
    }
    if !core.shared.config.search_ui {
        return Err(ApiError::bare(http::StatusCode::NOT_FOUND));
    }
    match asked {
        SearchPageRoute::Asset { app, file } => assets::serve(request, app, file),
        SearchPageRoute::Page(uid) => page::serve(core, request, uid).await,
        SearchPageRoute::Widget => assets::serve(request, "search", "widget.js"),
        SearchPageRoute::Locale(file) => assets::serve(request, "search", &format!("locale-{file}")),
        SearchPageRoute::Settings(uid) => settings::serve(core, request, uid).await,
        SearchPageRoute::Session(uid) => session::serve(core, request, uid).await,
        SearchPageRoute::Beacon(uid) => beacon::serve(core, request, uid).await,
    }
}
