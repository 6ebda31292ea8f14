//! `GET /_miroir/ui/search/{uid}/session`: gives a visitor a token, and what the page needs to know.
//!
//! Invariants: every request is counted before anything of it is judged. Keys are compared in constant time. What the
//! page's mode asks for is checked before a token exists, and a page's filter is part of each of its tokens.

use http::{StatusCode, header::AUTHORIZATION};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::error::{ApiError, Code},
    auth::{self, PageClaims},
    clock,
    pages::search::{
        config::{Auth, AuthMode, PageConfig},
        identity::{Identity, is_trusted},
        origin, rate, settings,
    },
    state::{
        core::Core,
        snapshot::{Index, check_index_uid, find_index},
    },
    wire::h1::{Request, Response},
};

/// The header of the shared key.
const SHARED_KEY_HEADER: &str = "x-search-ui-key";
/// The headers in which proxies name the user and the groups, where a page names no others.
const USER_HEADER: &str = "x-forwarded-user";
const GROUPS_HEADER: &str = "x-forwarded-groups";

pub(crate) async fn serve(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    check_index_uid(uid)?;
    if let Some(refusal) = rate::refusal(core, request, "session").await? {
        return Ok(refusal);
    }
    let page = settings::stored(core, uid).await?.ok_or_else(|| settings::no_page(uid))?;
    if !origin::is_allowed(request, &page.allowed_origins) {
        return Err(denied("pages of this origin may not use it: name it in the page's `allowedOrigins`"));
    }
    let snapshot = core.shared.snapshot();
    let index = find_index(&snapshot, uid)?;
    // A site's server may have fetched the token with the key: its page is told about, and gets no other token.
    let bearer = bearer(request).filter(|token| auth::looks_like_page_token(token));
    if let Some(token) = bearer.filter(|_| page.auth.mode == AuthMode::SharedKey) {
        let claims = core.shared.page_tokens.load().value.read(token, clock::utc())?;
        claims.check_index(uid)?;
        return Ok(answer(token, &claims, &page, uid, index));
    }
    let identity = admit(core, request, &page.auth)?;
    let filter = match (&identity, &page.auth.filter_template) {
        (Some(identity), Some(template)) => {
            Some(identity.filter(template).map_err(|reason| denied(&reason))?)
        }
        _ => None,
    };
    let user = identity.map(|identity| identity.user);
    let tokens = core.shared.page_tokens.load_full();
    let (token, claims) = tokens.value.mint(uid, user, filter.map(Into::into), clock::utc())?;
    Ok(answer(&token, &claims, &page, uid, index))
}

fn answer(token: &str, claims: &PageClaims, page: &PageConfig, uid: &str, index: &Index) -> Response {
    let answer = json!({
        "token": token,
        "expiresAt": date_of(claims.exp),
        "expiresIn": claims.exp - clock::utc().unix_timestamp(),
        "index": uid,
        "page": page.public(uid, &settings::attributes_of_settings(index)),
    });
    Response::json(StatusCode::OK, answer.to_string()).with_header("cache-control", "no-store")
}

fn bearer(request: &Request) -> Option<&str> {
    request.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// A second since 1970 as a date.
fn date_of(second: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(second).ok()?.format(&Rfc3339).ok()
}

/// Lets a visitor in by the page's mode; the identity is that of the mode `oauth_proxy`.
fn admit(core: &Core, request: &Request, page: &Auth) -> Result<Option<Identity>, ApiError> {
    let config = &core.shared.config;
    match page.mode {
        AuthMode::Public => Ok(None),
        AuthMode::SharedKey => {
            let expected = config.search_ui_shared_key.as_ref();
            let expected =
                expected.ok_or_else(|| denied("the gateway has no shared key: set SEARCH_UI_SHARED_KEY"))?;
            let given = request.header(SHARED_KEY_HEADER).or_else(|| bearer(request)).unwrap_or_default();
            match auth::equal(given.as_bytes(), expected.expose().as_bytes()) {
                true => Ok(None),
                false => Err(ApiError::new(
                    Code::MiroirInvalidAuth,
                    "This search page needs its shared key, in `X-Search-UI-Key` or as a bearer token.",
                )),
            }
        }
        AuthMode::OauthProxy => {
            if !is_trusted(request.peer, &config.trusted_proxies) {
                return Err(denied(
                    "it is reached through a proxy alone, and the other end of this connection is none of --trusted-proxies",
                ));
            }
            let named =
                |name: &Option<String>, default| name.as_deref().unwrap_or(default).to_ascii_lowercase();
            let user = single(request, &named(&page.user_header, USER_HEADER))?;
            let groups = single(request, &named(&page.groups_header, GROUPS_HEADER))?;
            Identity::read(user.as_deref(), groups.as_deref()).map(Some).map_err(|reason| denied(&reason))
        }
    }
}

/// The value of a header that must not be there twice: of two values one may be the visitor's own.
fn single(request: &Request, name: &str) -> Result<Option<String>, ApiError> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(value) => Ok(Some(value.to_owned())),
            Err(_) => Err(denied(&format!("the header `{name}` is no UTF-8"))),
        },
        (Some(_), Some(_)) => Err(denied(&format!("the header `{name}` is there twice"))),
    }
}

fn denied(reason: &str) -> ApiError {
    ApiError::new(Code::MiroirSearchPageDenied, format!("This search page is not for you: {reason}."))
}
