//! `GET /ui/search/{uid}`: the page of an index, or a page that says that there is none.
//!
//! Invariant: what stands in the page of a request or a configuration is escaped; everything else the page asks for.

use http::StatusCode;

use crate::{
    api::error::ApiError,
    pages::{
        assets,
        html::{Policy, escaped, page},
        search::{
            config::{PageConfig, ThemeMode},
            settings,
        },
    },
    state::{core::Core, snapshot::check_index_uid},
    wire::h1::{Request, Response},
};

/// Where a built page names its assets, relative to itself.
const BUILT_BASE: &str = "\"./";
/// Where an index's name, a title, a language and a theme go on a built page.
const INDEX: &str = "%INDEX%";
const TITLE: &str = "%TITLE%";
const LANGUAGE: &str = "%LANGUAGE%";
const THEME: &str = "%THEME%";
/// The language of a page's own words before they are chosen.
const LANGUAGE_DEFAULT: &str = "en";

/// # Errors
/// The store's.
pub(crate) async fn serve(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let config = match check_index_uid(uid) {
        Ok(()) => settings::stored(core, uid).await?,
        // What is no name of an index has no page either.
        Err(_) => None,
    };
    let path = request.uri.path();
    Ok(match config {
        Some(config) => configured(path, uid, &config),
        None => missing(path, uid),
    })
}

fn configured(path: &str, uid: &str, config: &PageConfig) -> Response {
    let theme = match config.theme.mode {
        ThemeMode::Auto => "auto",
        ThemeMode::Light => "light",
        ThemeMode::Dark => "dark",
    };
    let language = config.language.as_deref().unwrap_or(LANGUAGE_DEFAULT);
    // The title comes last, so that nothing in it is taken for a place of the page.
    let html = built("index.html", path)
        .replace(THEME, theme)
        .replace(LANGUAGE, &escaped(language))
        .replace(TITLE, &escaped(config.title.as_deref().unwrap_or(uid)));
    let policy = Policy { images: &config.image_origins, framed_by: Some(&config.allowed_origins) };
    page(StatusCode::OK, html, &policy)
}

/// The page that an index has before it is given one.
fn missing(path: &str, uid: &str) -> Response {
    let html = built("missing.html", path).replace(INDEX, &escaped(uid));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> &str {
        std::str::from_utf8(&response.body).unwrap()
    }

    #[test]
    fn pages_escape_what_they_are_given() {
        let attack = "</title><script>alert(1)</script>%THEME%";
        let config = PageConfig {
            title: Some(attack.to_owned()),
            language: Some("\"><script>".to_owned()),
            ..PageConfig::default()
        };
        let shown = configured("/ui/search/a", "a", &config);
        let none = missing("/ui/search/a", attack);
        for response in [&shown, &none] {
            let html = text(response);
            assert!(!html.contains("<script>"), "{html}");
            assert!(html.contains("&lt;/title&gt;&lt;script&gt;alert(1)"), "{html}");
        }
        assert!(text(&shown).contains("data-theme=\"auto\"") && text(&shown).contains("%THEME%</title>"));
        assert_eq!((shown.status, none.status), (StatusCode::OK, StatusCode::NOT_FOUND));
    }

    #[test]
    fn assets_are_named_from_where_the_page_lies() {
        let page = |path| configured(path, "a", &PageConfig::default());
        assert!(text(&page("/ui/search/a")).contains("src=\"../assets/search/"));
        assert!(text(&page("/ui/search/a/")).contains("src=\"../../assets/search/"));
        for path in ["/ui/search/a", "/ui/search/a/"] {
            assert!(!text(&page(path)).contains("\"./") && !text(&page(path)).contains('%'), "{path}");
        }
    }
}
