//! `GET /ui/search/{uid}`: the page of an index, or a page that says that there is none.

use http::StatusCode;

use crate::{
    pages::{
        assets,
        html::{Policy, escaped, page},
    },
    wire::h1::{Request, Response},
};

/// Where a built page names its assets, relative to itself.
const BUILT_BASE: &str = "\"./";
/// Where an index's name goes on a built page.
const NAME: &str = "%INDEX%";

/// `GET /ui/search/{uid}`.
#[must_use]
pub(crate) fn serve(request: &Request, uid: &str) -> Response {
    missing(request, uid)
}

/// The page that an index has before it is given one.
fn missing(request: &Request, uid: &str) -> Response {
    let html = built("missing.html", request.uri.path()).replace(NAME, &escaped(uid));
    page(StatusCode::NOT_FOUND, html, &Policy::default())
}

/// A built page whose assets are named relative to the path it is asked by.
fn built(file: &str, path: &str) -> String {
    let contents = assets::find("search", file).map(assets::Asset::contents).unwrap_or_default();
    let html = String::from_utf8(contents).unwrap_or_default();
    // `/ui/search/x` and `/ui/search/x/` are one page, and lie at different depths.
    let base = if path.ends_with('/') { "\"../../assets/search/" } else { "\"../assets/search/" };
    html.replace(BUILT_BASE, base)
}
