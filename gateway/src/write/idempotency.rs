//! `Idempotency-Key`: a write that a client repeats is done once, through whichever pod it comes.
//!
//! Invariants: the store keeps a key in the step that creates its task, so that at most one request with it is under
//! way. A refused write releases its key, so that its repetition counts as the first. A request without a key costs
//! one look at its headers.

use http::{StatusCode, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use store::{Change, FirstTask, IDEMPOTENCY_KEYS, IdempotencyKey, TaskKind, TaskRecord};

use crate::{
    api::{
        error::{ApiError, Code, KEY_IN_USE_REASON, key_in_use},
        tasks::view,
    },
    config::limits,
    state::core::Core,
    wire::{
        h1::{Request, Response},
        runtime,
    },
};

pub(crate) const HEADER: &str = "idempotency-key";

/// The key and the digest of a request, to be stored with its task.
pub(crate) fn key_of(request: &Request) -> Option<IdempotencyKey> {
    request.headers.get(HEADER)?;
    let key = key(request).ok()?.to_owned();
    Some(IdempotencyKey { key, digest: digest(request) })
}

/// Releases the key of a task that was refused, or that no client was told of.
pub(crate) fn release_key(task: &TaskRecord) -> Option<Change> {
    task.idempotency_key.clone().map(|key| Change::ForgetRecord { table: IDEMPOTENCY_KEYS, key })
}

/// Serves a request with a key; `serving` serves it as if it had none.
pub(crate) async fn serve_once(
    core: &Core,
    request: &Request,
    serving: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let key = key(request)?;
    if let Some(answer) = first_answer(core, request, key).await? {
        return Ok(answer);
    }
    match serving.await {
        // Another request with this key has made its task meanwhile.
        Err(error) if error.reason() == KEY_IN_USE_REASON => {
            first_answer(core, request, key).await?.ok_or(error)
        }
        answered => answered,
    }
}

/// The answer of the first request with the key, once it has one; `None` when there is no such request, or it was
/// refused.
async fn first_answer(core: &Core, request: &Request, key: &str) -> Result<Option<Response>, ApiError> {
    let store = &core.shared.store;
    let deadline = runtime::now() + limits::FIRST_ANSWER_WAIT_MAX;
    let mut own = None;
    while let Some(first) = store.first_task(key).await? {
        if !first.is_of(own.get_or_insert_with(|| digest(request))) {
            let message = "This `Idempotency-Key` was used for another request within the last 24 hours.";
            return Err(ApiError::new(Code::MiroirIdempotencyKeyReused, message));
        }
        match store.task(first.task().uid).await? {
            Some(task) if task.accepted => return Ok(Some(response_of(&first))),
            Some(_) => {}
            // A refused task releases its key, a task that was deleted later does not.
            None if store.first_task(key).await?.as_ref() == Some(&first) => {
                return Ok(Some(response_of(&first)));
            }
            None => continue,
        }
        if runtime::now() >= deadline {
            return Err(key_in_use());
        }
        runtime::sleep(limits::FIRST_ANSWER_POLL_INTERVAL).await;
    }
    Ok(None)
}

fn response_of(first: &FirstTask) -> Response {
    let task = first.task();
    let is_about_tasks = matches!(task.kind, TaskKind::TaskCancelation | TaskKind::TaskDeletion);
    let status = if is_about_tasks { StatusCode::OK } else { StatusCode::ACCEPTED };
    Response::json(status, view::summary(&task).to_string())
}

/// The key of a request that has one.
///
/// # Errors
/// 400 for an invalid key.
pub(crate) fn key(request: &Request) -> Result<&str, ApiError> {
    let mut given = request.headers.get_all(HEADER).iter();
    let key = given.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let is_key = (1..=limits::IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(is_plain);
    if is_key && given.next().is_none() {
        return Ok(key);
    }
    Err(ApiError::new(
        Code::BadRequest,
        format!(
            "The header `Idempotency-Key` is invalid: it should be given once, with 1 to {} visible ASCII characters.",
            limits::IDEMPOTENCY_KEY_BYTES_MAX
        ),
    ))
}

/// The digest of what makes two requests the same: method, target, the client's API key, and the body as it was sent.
pub(crate) fn digest(request: &Request) -> String {
    let mut hash = Sha256::new();
    let owner = request.headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let target = request.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    for part in [request.method.as_str().as_bytes(), target.as_bytes(), owner, &request.body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    fn request(method: Method, target: &str, keys: &[&[u8]], owner: &str, body: &'static str) -> Request {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(HEADER, HeaderValue::from_bytes(key).unwrap());
        }
        headers.insert(AUTHORIZATION, HeaderValue::from_str(owner).unwrap());
        let uri = target.parse().unwrap();
        Request {
            method,
            uri,
            headers,
            body: Bytes::from_static(body.as_bytes()),
            upload: None,
            keep_alive: true,
            peer: Request::NO_PEER,
        }
    }

    #[test]
    fn a_key_is_short_and_plain_and_one() {
        let is_key = |keys: &[&[u8]]| key(&request(Method::POST, "/a", keys, "k", "")).is_ok();
        for good in [&b"a"[..], b"8e03978e-40d5-43e8-bc93-6894a57f9324", b"\"quoted key\"", &[b'x'; 255]] {
            assert!(is_key(&[good]), "{good:?}");
        }
        for bad in [&b""[..], &[b'x'; 256], b"a\tb", b"\xc3\xa9"] {
            assert!(!is_key(&[bad]), "{bad:?}");
        }
        assert!(!is_key(&[b"a", b"a"]));
        assert_eq!(key_of(&request(Method::POST, "/a", &[], "k", "")), None);
    }

    #[test]
    fn another_request_has_another_digest() {
        let of = |method, target, owner, body| digest(&request(method, target, &[b"k"], owner, body));
        let first = of(Method::POST, "/a?b=c", "k", "[1]");
        assert_eq!(first.len(), 64);
        assert_eq!(of(Method::POST, "/a?b=c", "k", "[1]"), first);
        let others = [
            of(Method::PUT, "/a?b=c", "k", "[1]"),
            of(Method::POST, "/a?b=d", "k", "[1]"),
            of(Method::POST, "/a", "k", "[1]"),
            of(Method::POST, "/a?b=c", "other", "[1]"),
            of(Method::POST, "/a?b=c", "k", "[2]"),
            of(Method::POST, "/a?b=c", "k[", "1]"),
        ];
        assert!(others.iter().all(|other| *other != first));
    }
}
