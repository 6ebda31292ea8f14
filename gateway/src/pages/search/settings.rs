//! `/_miroir/ui/search/{uid}/config`: gives an index a page, shows how it is configured, and takes it away.
//!
//! Invariant: a configuration is stored whole once it has been checked whole; a refused one changes nothing.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{StoreError, Table};

use crate::{
    api::{
        error::{ApiError, Code},
        search::request::SearchRequest,
    },
    config::limits::SEARCH_PAGE_BYTES_MAX,
    handlers::extract,
    pages::search::{
        attributes::Attributes,
        config::{AuthMode, PageConfig},
        identity::Identity,
        refusal::wrong,
    },
    read::{ask, context::ReadContext, search::search_index},
    state::{
        core::Core,
        snapshot::{Index, Snapshot, check_index_uid, find_index},
    },
    wire::h1::{Request, Response},
};

/// Configurations of search pages, by the name of the index or alias.
pub(crate) const SEARCH_PAGES: Table = Table::named("search_pages");

/// How often a change is tried again when another one comes between.
const TRIES_MAX: usize = 5;

pub(crate) async fn serve(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    check_index_uid(uid)?;
    match request.method {
        Method::POST => put(core, request, uid).await,
        Method::DELETE => delete(core, uid).await,
        _ => {
            let page = stored(core, uid).await?.ok_or_else(|| no_page(uid))?;
            Ok(Response::json(StatusCode::OK, view(core, uid, &page).to_string()))
        }
    }
}

async fn put(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    if body.len() > SEARCH_PAGE_BYTES_MAX {
        return Err(wrong(&format!(
            "it has {} bytes, and at most {SEARCH_PAGE_BYTES_MAX} are allowed",
            body.len()
        )));
    }
    let page = PageConfig::parse(&body)?;
    let snapshot = core.shared.snapshot();
    let index = find_index(&snapshot, uid)?;
    page.check(uid, &attributes(core, index).await?)?;
    check_filter(core, &snapshot, index, &page).await?;
    for _ in 0..TRIES_MAX {
        let known = core.shared.store.record(SEARCH_PAGES, uid).await?.map(|record| record.revision);
        match core.shared.store.put_record(SEARCH_PAGES, uid, json!(page), known).await {
            Ok(_) => return Ok(Response::json(StatusCode::OK, view(core, uid, &page).to_string())),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::overloaded(format!("The search page of `{uid}` is being changed by others: try again.")))
}

async fn delete(core: &Core, uid: &str) -> Result<Response, ApiError> {
    for _ in 0..TRIES_MAX {
        let record = core.shared.store.record(SEARCH_PAGES, uid).await?.ok_or_else(|| no_page(uid))?;
        match core.shared.store.delete_record(SEARCH_PAGES, uid, record.revision).await {
            Ok(()) => return Ok(Response::empty(StatusCode::NO_CONTENT)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::overloaded(format!("The search page of `{uid}` is being changed by others: try again.")))
}

/// The configuration with the page's address, and with what still keeps it from working.
fn view(core: &Core, uid: &str, page: &PageConfig) -> Value {
    let mut view = json!(page);
    view["index"] = json!(uid);
    view["url"] = json!(format!("/ui/search/{uid}"));
    let mut warnings = Vec::new();
    if core.shared.page_tokens.load().value.is_empty() {
        warnings
            .push("SEARCH_UI_JWT_SECRET is not set: visitors get no session until it is, on all gateways");
    }
    let config = &core.shared.config;
    if page.auth.mode == AuthMode::SharedKey && config.search_ui_shared_key.is_none() {
        warnings.push("SEARCH_UI_SHARED_KEY is not set: the mode `shared_key` lets nobody in until it is");
    }
    if page.auth.mode != AuthMode::Public && config.master_key.is_none() {
        warnings.push("MIROIR_MASTER_KEY is not set: everybody may search this index without its page");
    }
    view["warnings"] = json!(warnings);
    view
}

/// The page of an index, if it has one.
pub(crate) async fn stored(core: &Core, uid: &str) -> Result<Option<PageConfig>, ApiError> {
    let Some(record) = core.shared.store.record(SEARCH_PAGES, uid).await? else { return Ok(None) };
    let unreadable = |_| ApiError::new(Code::Internal, "A stored search page cannot be read.");
    serde_json::from_value(record.value).map(Some).map_err(unreadable)
}

pub(crate) fn no_page(uid: &str) -> ApiError {
    let message = format!(
        "The index `{uid}` has no search page: an operator gives it one with `POST /_miroir/ui/search/{uid}/config`."
    );
    ApiError::new(Code::MiroirSearchPageNotFound, message)
}

/// The attributes that the index, or the indexes of the alias, have by their settings and on the nodes that answer.
pub(crate) async fn attributes(core: &Core, index: &Index) -> Result<Attributes, ApiError> {
    let mut of_documents = BTreeSet::new();
    for part in 0..index.parts() {
        let target = format!("/indexes/{}/stats", index.part(part).record.node_uid);
        for stats in ask::all_reachable(core, &target).await? {
            let names = stats["fieldDistribution"].as_object().into_iter().flat_map(|names| names.keys());
            of_documents.extend(names.filter(|name| !router::reserved::is_reserved(name)).cloned());
        }
    }
    Ok(named(index, of_documents))
}

/// The attributes that the settings name.
pub(crate) fn attributes_of_settings(index: &Index) -> Attributes {
    named(index, BTreeSet::new())
}

fn named(index: &Index, of_documents: BTreeSet<String>) -> Attributes {
    let record = &index.part(0).record;
    let of_documents = of_documents.into_iter().filter(|name| index.rules.displays(name)).collect();
    Attributes::new(record.primary_key.as_deref(), &record.settings, of_documents)
}

/// Has a node judge the filter of a page by a user that nobody is.
async fn check_filter(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    page: &PageConfig,
) -> Result<(), ApiError> {
    let Some(template) = &page.auth.filter_template else { return Ok(()) };
    let nobody = Identity { user: "nobody".to_owned(), groups: vec!["none".to_owned()] };
    let filter = nobody.filter(template).map_err(|reason| wrong(&reason))?;
    let body = json!({"limit": 0, "filter": filter}).to_string();
    let search = SearchRequest::parse(body.as_bytes());
    let search = search.map_err(|_| wrong("`auth.filterTemplate` is no filter"))?;
    let judged = Box::pin(search_index(ReadContext { core, snapshot, index, search: &search }, None)).await;
    match judged {
        Ok(_) => Ok(()),
        Err(error) if error.status().is_client_error() => {
            Err(error.rewrite(|message| format!("Invalid search page: `auth.filterTemplate`: {message}")))
        }
        Err(error) => Err(error),
    }
}
