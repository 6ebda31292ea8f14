//! The table of routes, and the steps around every handler.
//! Invariants: one line per route. Meilisearch's routes that the node lacks are listed too and answer 501 with their
//! name; unknown paths answer 404 without a body. Faults apply first, then the key is checked, then the handler runs on
//! a thread that may block.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use futures_util::stream;
use time::macros::format_description;

use super::call::{Call, Handler, Reply};
use super::connection::Peer;
use super::{documents, indexes, misc, multi_search, search, settings, tasks};
use crate::engine::SETTING_NAMES;
use crate::errors::ApiError;
use crate::faults::Faults;
use crate::node::Node;

/// The most bytes of a body, compressed and decompressed.
const BODY_BYTES_MAX: usize = 200 << 20;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

const ROUTES: &[(MethodFilter, &str, Handler)] = &[
    (GET, "/health", misc::health),
    (GET, "/version", misc::version),
    (GET, "/stats", indexes::all_stats),
    (GET, "/indexes", indexes::list),
    (POST, "/indexes", indexes::create),
    (GET, "/indexes/{index}", indexes::get),
    (PATCH, "/indexes/{index}", indexes::update),
    (DELETE, "/indexes/{index}", indexes::delete),
    (GET, "/indexes/{index}/stats", indexes::stats),
    (POST, "/indexes/{index}/compact", indexes::compact),
    (POST, "/swap-indexes", indexes::swap),
    (GET, "/indexes/{index}/documents", documents::list),
    (POST, "/indexes/{index}/documents", documents::replace),
    (PUT, "/indexes/{index}/documents", documents::update),
    (DELETE, "/indexes/{index}/documents", documents::clear),
    (POST, "/indexes/{index}/documents/fetch", documents::fetch),
    (POST, "/indexes/{index}/documents/delete-batch", documents::delete_batch),
    (POST, "/indexes/{index}/documents/delete", documents::delete_by_filter),
    (GET, "/indexes/{index}/documents/{document}", documents::get),
    (DELETE, "/indexes/{index}/documents/{document}", documents::delete),
    (GET, "/indexes/{index}/search", search::get),
    (POST, "/indexes/{index}/search", search::post),
    (POST, "/indexes/{index}/facet-search", search::facets),
    (GET, "/indexes/{index}/similar", search::similar_get),
    (POST, "/indexes/{index}/similar", search::similar_post),
    (POST, "/multi-search", multi_search::post),
    (GET, "/indexes/{index}/settings", settings::all),
    (PATCH, "/indexes/{index}/settings", settings::change),
    (DELETE, "/indexes/{index}/settings", settings::reset),
    (GET, "/tasks", tasks::list),
    (DELETE, "/tasks", tasks::delete),
    (POST, "/tasks/cancel", tasks::cancel),
    (GET, "/tasks/{task}", tasks::get),
    (GET, "/batches", tasks::batches),
    (GET, "/batches/{batch}", tasks::batch),
    (GET, "/experimental-features", misc::features),
    (PATCH, "/experimental-features", misc::change_features),
    (GET, "/network", misc::network),
    (POST, "/snapshots", misc::create_snapshot),
];

/// Routes of Meilisearch that this node does not have.
const ABSENT: &[(MethodFilter, &str)] = &[
    (GET, "/metrics"),
    (POST, "/indexes/{index}/documents/edit"),
    (GET, "/keys"),
    (POST, "/keys"),
    (GET, "/keys/{key}"),
    (PATCH, "/keys/{key}"),
    (DELETE, "/keys/{key}"),
    (GET, "/tasks/{task}/documents"),
    (POST, "/tasks/compact"),
    (POST, "/dumps"),
    (POST, "/export"),
    (PATCH, "/network"),
    (POST, "/logs/stream"),
    (DELETE, "/logs/stream"),
    (POST, "/logs/stderr"),
    (GET, "/webhooks"),
    (POST, "/webhooks"),
    (GET, "/webhooks/{webhook}"),
    (PATCH, "/webhooks/{webhook}"),
    (DELETE, "/webhooks/{webhook}"),
    (GET, "/chats"),
    (GET, "/chats/{workspace}"),
    (DELETE, "/chats/{workspace}"),
    (GET, "/chats/{workspace}/settings"),
    (PATCH, "/chats/{workspace}/settings"),
    (DELETE, "/chats/{workspace}/settings"),
    (POST, "/chats/{workspace}/chat/completions"),
    (POST, "/dynamic-search-rules"),
    (DELETE, "/dynamic-search-rules"),
    (GET, "/dynamic-search-rules/{rule}"),
    (PATCH, "/dynamic-search-rules/{rule}"),
    (DELETE, "/dynamic-search-rules/{rule}"),
    (POST, "/render-template"),
];

/// The API of a node.
pub(super) fn router(node: Arc<Node>) -> Router {
    let mut router = Router::new();
    for (method, path, handler) in ROUTES {
        router = route(router, &node, *method, path, *handler);
    }
    for (position, (path, field, patch)) in SETTING_NAMES.iter().enumerate() {
        debug_assert_eq!(settings::field(position), *field, "views are taken by position");
        let path = format!("/indexes/{{index}}/settings/{path}");
        let (get, change, reset) = settings::VIEWS[position];
        router = route(router, &node, GET, &path, get);
        router = route(router, &node, if *patch { PATCH } else { PUT }, &path, change);
        router = route(router, &node, DELETE, &path, reset);
    }
    for (method, path) in ABSENT {
        let name: &'static str = path;
        router =
            router.route(name, on(*method, move |request: Request| async move { absent(&request, name) }));
    }
    router.fallback(|| async { StatusCode::NOT_FOUND })
}

fn route(router: Router, node: &Arc<Node>, method: MethodFilter, path: &str, handler: Handler) -> Router {
    let node = Arc::clone(node);
    let serve = move |params: RawPathParams, request: Request| {
        let path = params.iter().map(|(_, value)| value.to_owned()).collect();
        answer(Arc::clone(&node), path, handler, request)
    };
    router.route(path, on(method, serve))
}

fn absent(request: &Request, name: &'static str) -> Response {
    let text = format!("`{} {name}` is not implemented by the embedded node.", request.method());
    response(Err(ApiError::new("not_implemented", text)))
}

async fn answer(node: Arc<Node>, path: Vec<String>, handler: Handler, request: Request) -> Response {
    let faults = node.faults.armed().filter(|faults| request.uri().path().starts_with(&faults.path_prefix));
    let Some(faults) = faults else { return work(node, path, handler, request).await };
    if faults.delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(faults.delay_ms)).await;
    }
    node.faults.hang().await;
    if faults.reset {
        if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>() {
            peer.reset();
        }
        return Response::new(Body::empty());
    }
    if let Some(status) = faults.status.and_then(|status| StatusCode::from_u16(status).ok())
        && node.faults.takes_a_status()
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return response;
    }
    let date = (faults.clock_skew_ms != 0).then(|| http_date(&node));
    let mut response = work(node, path, handler, request).await;
    response.headers_mut().extend(date.flatten().map(|date| (header::DATE, date)));
    if faults.answer_delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(faults.answer_delay_ms)).await;
    }
    cut(distort(response, &faults).await, &faults).await
}

/// What the node takes the time to be, as answers are dated.
fn http_date(node: &Node) -> Option<HeaderValue> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    HeaderValue::from_str(&node.clock.now().format(form).ok()?).ok()
}

/// Replaces a good body by a distorted one.
async fn distort(response: Response, faults: &Faults) -> Response {
    let Some(distortion) = faults.distort.filter(|_| response.status() == StatusCode::OK) else {
        return response;
    };
    let (mut head, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else { return Response::new(Body::empty()) };
    let distorted = distortion.of(&whole);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(distorted.len()));
    Response::from_parts(head, Body::from(distorted))
}

/// Keeps the head with the full length, and ends the connection after some of the body.
async fn cut(response: Response, faults: &Faults) -> Response {
    let Some(bytes) = faults.cut_body_bytes else { return response };
    let (mut head, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else { return Response::new(Body::empty()) };
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let kept = whole.slice(..whole.len().min(usize::try_from(bytes).unwrap_or(usize::MAX)));
    let parts = stream::unfold(Some(kept), |next| async move {
        let Some(kept) = next else {
            // Yields so that the connection can send its bytes before it ends.
            tokio::task::yield_now().await;
            return Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)), None));
        };
        Some((Ok::<Bytes, std::io::Error>(kept), None))
    });
    Response::from_parts(head, Body::from_stream(parts))
}

async fn work(node: Arc<Node>, path: Vec<String>, handler: Handler, request: Request) -> Response {
    if request.uri().path() != "/health"
        && let Err(error) = authorize(&node, request.headers())
    {
        return response(Err(error));
    }
    let is_read = request.method() == Method::GET;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (head, body) = request.into_parts();
    let body = if is_read {
        Bytes::new()
    } else {
        match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
            Ok(body) => body,
            Err(_) => return response(Err(too_large())),
        }
    };
    let done = tokio::task::spawn_blocking(move || {
        let body = decompress(&head.headers, body)?;
        handler(&Call { node, path, query, headers: head.headers, body })
    });
    match done.await {
        Ok(reply) => response(reply),
        Err(_) => response(Err(ApiError::new("internal", "the request made the node panic"))),
    }
}

fn authorize(node: &Node, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(master_key) = &node.master_key else { return Ok(()) };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(ApiError::new(
            "missing_authorization_header",
            "The Authorization header is missing. It must use the bearer authorization method.",
        ));
    };
    if value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) == Some(master_key) {
        return Ok(());
    }
    Err(ApiError::new("invalid_api_key", "The provided API key is invalid."))
}

fn decompress(headers: &HeaderMap, body: Bytes) -> Result<Bytes, ApiError> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(body) };
    let reader: Box<dyn Read + '_> = match encoding.to_str().unwrap_or_default() {
        "identity" | "" => return Ok(body),
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(&body[..])),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(&body[..])),
        other => {
            let text = format!("Content-Encoding `{other}` is not implemented by the embedded node.");
            return Err(ApiError::new("not_implemented", text));
        }
    };
    let mut plain = Vec::new();
    reader
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| ApiError::new("bad_request", format!("Content-Encoding: {error}")))?;
    if plain.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok(plain.into())
}

fn too_large() -> ApiError {
    ApiError::new(
        "payload_too_large",
        "The provided payload reached the size limit. The maximum accepted payload size is 200 MiB.",
    )
}

fn response(reply: Result<Reply, ApiError>) -> Response {
    let (status, body) = match reply {
        Ok(Reply { status, body }) => (status, body),
        Err(error) => (error.status(), error.to_json().to_string().into_bytes()),
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if has_body {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
