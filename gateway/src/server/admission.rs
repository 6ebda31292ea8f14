//! Admission of a request: is the client allowed to make it, and is there room? What the client may see goes along
//! with the request as its permission.
//!
//! Invariants: keys are compared in constant time. Management routes take the admin key only. `/health` and
//! `/_miroir/ready` need no key and are served under any load.

use std::{rc::Rc, sync::atomic::Ordering, time::Instant};

use http::header::AUTHORIZATION;

use crate::{
    api::error::{ApiError, Code},
    auth::{self, Action, Permission},
    clock,
    config::Config,
    server::{
        access::{self, Needs},
        routes::Route,
    },
    state::{concurrency_limit, core::Core},
    wire::{h1::Request, runtime},
};

/// A place among the requests in flight on this core; given back on drop.
pub(crate) struct Permit {
    core: Rc<Core>,
    /// Whether it counts towards the concurrency limit.
    question: bool,
    /// When the request was admitted, if its time shows how busy core and nodes are.
    measured: Option<Instant>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.core.in_flight().fetch_sub(1, Ordering::Relaxed);
        if self.question {
            self.core.concurrency_limit.left();
        }
        if let Some(began) = self.measured {
            self.core.concurrency_limit.answered(runtime::now().saturating_duration_since(began));
        }
    }
}

/// Measures the core's lag for ever, and updates its concurrency limit.
pub(crate) async fn watch(core: Rc<Core>) {
    let mut turned = runtime::now();
    loop {
        let due = runtime::now() + concurrency_limit::PROBE_INTERVAL;
        runtime::sleep(concurrency_limit::PROBE_INTERVAL).await;
        let now = runtime::now();
        core.concurrency_limit.was_late(now.saturating_duration_since(due));
        if now.saturating_duration_since(turned) >= concurrency_limit::INTERVAL {
            turned = now;
            let edge = core.edge();
            core.concurrency_limit.end_interval(edge.in_flight_max, edge.queue_delay_max);
        }
    }
}

/// Checks the key, unless the request is one of a session, and takes a place.
///
/// # Errors
/// 401 or 403 as Meilisearch's, 401 `miroir_invalid_auth` on management routes, 503 `miroir_overloaded` without room.
pub(crate) fn admit(
    core: &Rc<Core>,
    request: &Request,
    route: &Route<'_>,
    is_signed_in: bool,
) -> Result<(Permit, Permission), ApiError> {
    let needs = access::needs(route);
    let permission = match (is_signed_in, page_permission(core, request, route, needs)?) {
        (true, _) => Permission::of_operator(),
        (false, Some(permission)) => permission,
        (false, None) => check_key(core, request, needs)?,
    };
    let exempt = matches!(needs, Needs::Nothing | Needs::AdminKey);
    let question = is_question(route);
    let full = core.in_flight().load(Ordering::Relaxed) >= core.edge().in_flight_max;
    if (full && !exempt) || (question && !core.concurrency_limit.has_room()) {
        return Err(concurrency_limit::refusal().because("overloaded"));
    }
    core.in_flight().fetch_add(1, Ordering::Relaxed);
    if question {
        core.concurrency_limit.entered();
    }
    // A list of queries takes its own time; a single query shows how long the queues are.
    let measured = matches!(route, Route::Search { .. } | Route::Document { .. }).then(runtime::now);
    Ok((Permit { core: Rc::clone(core), question, measured }, permission))
}

/// Whether a request counts towards the concurrency limit.
pub(crate) fn is_question(route: &Route<'_>) -> bool {
    matches!(access::needs(route), Needs::Right(Action::Search | Action::DocumentsGet, _))
}

/// What the token of a search page allows; `None` when the request has none, or asks for what no such token is about.
/// A text that is meant as one is judged as one, also where requests need no key.
fn page_permission(
    core: &Core,
    request: &Request,
    route: &Route<'_>,
    needs: Needs<'_>,
) -> Result<Option<Permission>, ApiError> {
    if matches!(needs, Needs::Nothing | Needs::AdminKey) || !core.shared.config.search_ui {
        return Ok(None);
    }
    let Some(token) = bearer(request).ok().flatten().filter(|token| auth::looks_like_page_token(token))
    else {
        return Ok(None);
    };
    let claims = core.shared.page_tokens.load().value.read(token, clock::utc())?;
    if let Route::Search { index } = *route {
        claims.check_scope(auth::SCOPE_SEARCH)?;
        claims.check_index(index)?;
    } else if matches!(route, Route::MultiSearch) {
        // The index of each query is checked where the queries are read.
        claims.check_scope(auth::SCOPE_MULTI_SEARCH)?;
    } else {
        return Err(auth::scope_denied(&claims.idx, "this route"));
    }
    Ok(Some(Permission::of_page(claims)))
}

fn check_key(core: &Core, request: &Request, needs: Needs<'_>) -> Result<Permission, ApiError> {
    let authorize = |action, index| {
        let token = bearer(request)?;
        core.shared.keys.load().authorize(token, action, index, clock::utc())
    };
    let as_operator = || check_admin_key(&core.shared.config, request).map(|()| Permission::of_operator());
    match needs {
        Needs::Nothing => Ok(Permission::everything()),
        Needs::AdminKey => as_operator(),
        Needs::RightOrAdminKey(action, index) => as_operator().or_else(|_| authorize(action, Some(index))),
        Needs::Right(action, index) => authorize(action, index),
        Needs::Rights(one, other) => authorize(one, None).and_then(|_| authorize(other, None)),
    }
}

/// The token after `Bearer`, spelt exactly so; a request without the header is left to the key ring.
fn bearer(request: &Request) -> Result<Option<&str>, ApiError> {
    let Some(value) = request.headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default();
    match value.split_once(' ') {
        Some(("Bearer", token)) => Ok(Some(token)),
        None if value == "Bearer" => Err(auth::invalid_key()),
        _ => Err(auth::missing_header()),
    }
}

/// Without an admin key the management routes take the master key; without either they are open.
fn check_admin_key(config: &Config, request: &Request) -> Result<(), ApiError> {
    let Some(expected) = config.admin_key.as_ref().or(config.master_key.as_ref()) else { return Ok(()) };
    let given = request.header("x-admin-key").or_else(|| bearer(request).ok().flatten());
    match given.is_some_and(|given| auth::equal(given.as_bytes(), expected.expose().as_bytes())) {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::MiroirInvalidAuth,
            "The management API needs the admin key, in `X-Admin-Key` or as a bearer token.",
        )),
    }
}
