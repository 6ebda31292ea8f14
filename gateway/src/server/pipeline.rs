//! The pipeline of one request: read (by `connection`), admit, plan, scatter, merge, respond, emit.
//!
//! Every route takes these steps in this order; what differs between routes is in the route's handler.

use std::{rc::Rc, sync::Arc};

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::{
    api::error::{ApiError, Code},
    auth::Permission,
    console::sessions,
    handlers::{
        admin, anti_entropy, data, document_writes, documents, experimental_features, explain, fields,
        front_page, indexes, keys,
        management::{
            aliases, canaries, operations, operator, reshards, shadow, tenants, topology_changes, ttl,
        },
        multi_search, network, node,
        refusal::refusal_at,
        render_template, search, search_rules, settings, similar, snapshots, stats, tasks, webhooks,
    },
    pages::{console, search as search_page},
    read::foreign_keys,
    server::{
        admission, compression, cors,
        emit::{self, Listened},
        management, operator_session, placement_age, read_your_writes, request_log,
        routes::{self, NoRoute, Route},
        settings_version, tenant_affinity, tracing,
    },
    state::{core::Core, snapshot::Index},
    wire::{
        h1::{Request, Response},
        runtime,
    },
    write::idempotency,
};

/// The response to a request, and the search to tell others of once the client has it.
pub(crate) struct Served {
    pub(crate) response: Response,
    pub(crate) listened: Option<Listened>,
}

impl From<Response> for Served {
    fn from(response: Response) -> Self {
        Self { response, listened: None }
    }
}

/// Serves one request; every error becomes a response.
pub(crate) async fn serve(core: &Rc<Core>, request: Request) -> Served {
    let started = runtime::now();
    if let Some(response) = cors::preflight(&request) {
        core.metrics.request(
            &request.method,
            "preflight",
            response.status.as_u16(),
            runtime::now().saturating_duration_since(started),
        );
        return response.into();
    }
    let path = percent_decode_str(request.uri.path()).decode_utf8_lossy();
    let (mut seen, mut listened) = (None, None);
    let trace = tracing::begin(core, &request);
    let (template, answered) = match routes::find(&request.method, &path) {
        Ok(route) => {
            seen = settings_version::seen(core, &route);
            let serving = respond(core, &request, &route, &mut listened);
            let answered = match &trace {
                None => serving.await,
                Some(trace) => core.within(trace, serving).await,
            };
            (route.template(), answered)
        }
        Err(NoRoute::UnknownPath) => ("unknown", Err(ApiError::bare(StatusCode::NOT_FOUND))),
        Err(NoRoute::UnknownMethod) => ("unknown", Ok(wrong_method(&path))),
    };
    let answered = answered.map(|response| settings_version::tell(response, seen));
    let response = answered.unwrap_or_else(|error| {
        core.metrics.refusal(error.reason());
        in_clients_words(core, error, &path).into()
    });
    let took = runtime::now().saturating_duration_since(started);
    core.metrics.request(&request.method, template, response.status.as_u16(), took);
    request_log::record(core, &request, template, response.status.as_u16(), took);
    if let Some(trace) = &trace {
        tracing::end(core, trace, &request, template, response.status.as_u16());
    }
    let listened = listened.and_then(|listened| listened.answered(&response, took));
    Served { response: compression::encoded(&request, cors::readable(&request, response)), listened }
}

/// Load shedding: the refusal of a question for which there is no room, made with as little work as possible, since
/// under overload that work is missing elsewhere. No key is checked, and nothing is compressed.
pub(crate) fn shed_early(core: &Core, request: &Request) -> Option<Response> {
    if core.concurrency_limit.has_room() {
        return None;
    }
    // A path that has to be decoded takes the normal way.
    let route = routes::find(&request.method, request.uri.path()).ok()?;
    if !admission::is_question(&route) {
        return None;
    }
    let started = runtime::now();
    let refusal = cors::readable(request, core.overloaded_response.clone());
    core.metrics.refusal("overloaded");
    let (status, took) = (refusal.status.as_u16(), runtime::now().saturating_duration_since(started));
    core.metrics.request(&request.method, route.template(), status, took);
    request_log::record(core, request, route.template(), status, took);
    Some(refusal)
}

/// A 405 with the methods that the path has.
fn wrong_method(path: &str) -> Response {
    let mut methods = vec![Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    methods.retain(|method| routes::find(method, path).is_ok());
    let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    Response::from(ApiError::bare(StatusCode::METHOD_NOT_ALLOWED)).with_header("allow", methods)
}

/// Rewrites a node's refusal: it names the index as nodes do, and attributes that the index hides. An index that was
/// deleted meanwhile is taken to be that of the path.
fn in_clients_words(core: &Core, error: ApiError, path: &str) -> ApiError {
    let of_path = path.strip_prefix("/indexes/").and_then(|rest| rest.split('/').next());
    let snapshot = core.shared.snapshot();
    let index = of_path.and_then(|uid| snapshot.find(uid));
    let error = match index.and_then(|index| index.rules.displayed.as_deref()) {
        Some(displayed) => error.hide_attributes(displayed),
        None => error,
    };
    let error = match index {
        Some(index) => foreign_keys::refused(error, &index.rules.foreign_keys),
        None => error,
    };
    error.rename_indexes(|name| {
        // A client gets the index name that it gave.
        let of_alias =
            |index: &&Arc<Index>| (0..index.parts()).any(|part| index.part(part).record.node_uid == name);
        if index.filter(of_alias).is_some() {
            return of_path.map(str::to_owned);
        }
        let mut indexes = snapshot.indexes.values().map(|index| &index.record);
        let known = indexes.find(|record| record.node_uid == name).map(|record| record.uid.clone());
        known.or_else(|| of_path.map(str::to_owned))
    })
}

async fn respond(
    core: &Rc<Core>,
    request: &Request,
    route: &Route<'_>,
    listened: &mut Option<Listened>,
) -> Result<Response, ApiError> {
    let is_signed_in = match sessions::sealed_ticket(request).filter(|_| operator_session::is_on(core)) {
        None => false,
        Some(sealed) => Box::pin(operator_session::holds(core, request, route, sealed)).await?,
    };
    let (_permit, permission) = admission::admit(core, request, route, is_signed_in)?;
    placement_age::check(core, route)?;
    *listened = emit::listen(core, request, route, &permission);
    settings_version::check(core, request, route)?;
    if core.shared.config.test_faults && request.header("x-miroir-test-panic").is_some() {
        panic!("a panic was asked for by the test switch");
    }
    if management::is_change(request, route) {
        let serving = async |request: &Request, route: &Route<'_>| {
            Box::pin(dispatch(core, request, route, &permission)).await
        };
        return Box::pin(management::perform(core, request, route, serving)).await;
    }
    let has_key = has_idempotency_key(request, route);
    let has_tenant = tenant_affinity::applies(core, route);
    let answered = match (request.header(read_your_writes::HEADER), has_key || has_tenant) {
        (None, false) => dispatch(core, request, route, &permission).await,
        (session, _) => {
            let serving = dispatch_in_context(core, request, route, &permission, session);
            match has_tenant {
                true => Box::pin(tenant_affinity::within(core, request, &permission, serving)).await,
                false => Box::pin(serving).await,
            }
        }
    };
    // What was planned while this pod knew where documents are may have been asked for when it did no more.
    placement_age::check(core, route)?;
    match answered {
        Err(error) => Err(Box::pin(judged_by_body(core, request, error)).await),
        answered => answered,
    }
}

fn has_idempotency_key(request: &Request, route: &Route<'_>) -> bool {
    request.headers.contains_key(idempotency::HEADER) && route.makes_task()
}

/// Serves a request of a session, or one with an idempotency key.
async fn dispatch_in_context(
    core: &Rc<Core>,
    request: &Request,
    route: &Route<'_>,
    permission: &Permission,
    session: Option<&str>,
) -> Result<Response, ApiError> {
    let has_key = has_idempotency_key(request, route);
    let serving = Box::pin(dispatch(core, request, route, permission));
    let serving = async {
        match has_key {
            true => idempotency::serve_once(core, request, serving).await,
            false => serving.await,
        }
    };
    match session {
        None => serving.await,
        Some(session) => read_your_writes::within(core, session, route, serving).await,
    }
}

/// When an index's name is at fault, a node first says what is wrong with the rest of the request, as one node does.
/// It refuses the name as well, so that the request has no effect.
async fn judged_by_body(core: &Core, request: &Request, error: ApiError) -> ApiError {
    let path = request.uri.path();
    let Some((uid, suffix)) = path.strip_prefix("/indexes/").and_then(|rest| rest.split_once('/')) else {
        return error;
    };
    if suffix == "explain" {
        return error;
    }
    let mut target = match error.code() {
        // For documents the name is checked first.
        Some(Code::InvalidIndexUid) if suffix != "documents" => path.to_owned(),
        Some(Code::IndexNotFound) => format!("/indexes/{uid}-none/{suffix}"),
        _ => return error,
    };
    if let Some(query) = request.uri.query() {
        target = format!("{target}?{query}");
    }
    match refusal_at(core, request, &target).await {
        Some(refusal) if refusal.status().is_client_error() => refusal,
        _ => error,
    }
}

/// Dispatches a request to its route's handler. Handlers that run less often than searches and need more memory are
/// boxed.
#[expect(clippy::too_many_lines, reason = "one line a route")]
async fn dispatch(
    core: &Rc<Core>,
    request: &Request,
    route: &Route<'_>,
    permission: &Permission,
) -> Result<Response, ApiError> {
    match *route {
        Route::Search { index } => search::search(core, request, permission, index).await,
        Route::FacetSearch(index) => Box::pin(search::facet_search(core, request, permission, index)).await,
        Route::MultiSearch => Box::pin(multi_search::multi_search(core, request, permission)).await,
        Route::Explain(index) => Box::pin(explain::explain(core, request, permission, index)).await,
        Route::Fields(index) => fields::fields(core, request, index).await,
        Route::Similar(index) => Box::pin(similar::similar(core, request, permission, index)).await,
        Route::Document { index, id } => documents::get(core, request, index, id).await,
        Route::Documents(index) | Route::FetchDocuments(index) => {
            documents::fetch(core, request, index).await
        }
        Route::AddDocuments { index, replace } => {
            document_writes::add(core, request, permission, index, replace).await
        }
        Route::DeleteDocument { index, id } => document_writes::delete_one(core, request, index, id).await,
        Route::DeleteDocumentsBatch(index) => document_writes::delete_batch(core, request, index).await,
        Route::DeleteDocumentsByFilter(index) => document_writes::delete_matching(core, request, index).await,
        Route::DeleteDocuments(index) => document_writes::delete_all(core, request, index).await,
        Route::EditDocuments(index) => document_writes::edit(core, request, index).await,
        Route::Indexes => indexes::list(core, request, permission).await,
        Route::Index(index) => indexes::get(core, index).await,
        Route::CreateIndex => indexes::create(core, request, permission).await,
        Route::UpdateIndex(index) => Box::pin(indexes::update(core, request, permission, index)).await,
        Route::CompactIndex(index) => indexes::compact(core, request, index).await,
        Route::SwapIndexes => Box::pin(indexes::swap(core, request, permission)).await,
        Route::DeleteIndex(index) => indexes::delete(core, request, index).await,
        Route::Settings(index) => settings::get(core, index).await,
        Route::Setting { index, name } => settings::get_one(core, index, name).await,
        Route::ChangeSettings(index) => settings::change(core, request, permission, index).await,
        Route::ChangeSetting { index, name } => {
            settings::change_one(core, request, permission, index, name).await
        }
        Route::Tasks => tasks::list(core, request, permission).await,
        Route::DeleteTasks => tasks::delete(core, request, permission).await,
        Route::CancelTasks => tasks::cancel(core, request, permission).await,
        Route::CompactTasks => Err(tasks::compact(core).await),
        Route::Task(uid) => Box::pin(tasks::get(core, permission, uid)).await,
        Route::TaskDocuments(uid) => Err(tasks::documents(core, permission, uid).await),
        Route::Batches => tasks::batches(core, request, permission).await,
        Route::Batch(uid) => Box::pin(tasks::batch(core, permission, uid)).await,
        Route::Keys => keys::list(core, request),
        Route::CreateKey => keys::create(core, request).await,
        Route::Key(key) => keys::get(core, key),
        Route::UpdateKey(key) => keys::update(core, request, key).await,
        Route::DeleteKey(key) => keys::delete(core, key).await,
        Route::Stats => stats::all(core, request, permission).await,
        Route::IndexStats(index) => stats::one(core, request, index).await,
        Route::FrontPage => Ok(front_page::front_page(&core.shared)),
        Route::Health => Ok(Response::json(StatusCode::OK, r#"{"status":"available"}"#)),
        Route::Version => indexes::version(core).await,
        Route::Topology => Ok(admin::topology(&core.shared)),
        Route::ChangeShape(asked) => Box::pin(topology_changes::serve(core, request, asked)).await,
        Route::Reshard(asked) => Box::pin(reshards::serve(core, request, asked)).await,
        Route::Operations(asked) => operations::serve(&core.shared, request, asked).await,
        Route::Shards => Ok(admin::shards(&core.shared)),
        Route::Ready => Ok(admin::ready(&core.shared)),
        Route::Metrics => Ok(admin::metrics(&core.shared)),
        Route::RunAntiEntropy => anti_entropy::start(&core.shared, request).await,
        Route::AntiEntropy => anti_entropy::status(core).await,
        Route::AntiEntropyHistory => anti_entropy::history(core).await,
        Route::Features => experimental_features::get(core).await,
        Route::ChangeFeatures => Box::pin(experimental_features::change(core, request)).await,
        Route::CreateDump => crate::handlers::dumps::create(core, request).await,
        Route::CreateSnapshot => Box::pin(snapshots::snapshot(core, request)).await,
        Route::Network => network::get(core).await,
        Route::ChangeNetwork => Box::pin(network::change(core, request)).await,
        Route::ControlNetwork => Err(network::control(core).await),
        Route::Rules(rules_route) => Box::pin(search_rules::serve(core, request, rules_route)).await,
        Route::RenderTemplate => Box::pin(render_template::render(core, request, permission)).await,
        Route::Webhooks(webhooks_route) => webhooks::serve(core, request, webhooks_route).await,
        Route::Aliases(aliases_route) => Box::pin(aliases::serve(core, request, aliases_route)).await,
        Route::SearchPage(page_route) => Box::pin(search_page::serve(core, request, page_route)).await,
        Route::Canaries(canaries_route) => Box::pin(canaries::serve(core, request, canaries_route)).await,
        Route::ShadowDiff => shadow::diff(core, request),
        Route::Tenants(tenants_route) => Box::pin(tenants::serve(core, request, tenants_route)).await,
        Route::Data(asked) => Box::pin(data::serve(core, request, asked)).await,
        Route::Node(asked) => Box::pin(node::serve(core, request, permission, asked)).await,
        Route::TtlPolicy(index) => Box::pin(ttl::policy(core, request, index)).await,
        Route::Console(console_route) => Box::pin(console::serve(core, request, console_route)).await,
        Route::Operator(asked) => Box::pin(operator::serve(core, request, asked)).await,
    }
}
