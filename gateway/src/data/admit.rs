//! The second step of a request: may this client ask this, and is there room?
//!
//! Invariants: keys are compared in constant time; management routes take the admin key only;
//! `/health` and `/_miroir/ready` need no key and are served under any load.

use std::{rc::Rc, sync::atomic::Ordering};

use subtle::ConstantTimeEq;

use super::{Core, routes::Route};
use crate::{
    api::error::{ApiError, Code},
    config::Config,
    h1::Request,
    runtime::Runtime,
};

/// A place among the requests in flight on this core; given back on drop.
pub(super) struct Permit<R: Runtime>(Rc<Core<R>>);

impl<R: Runtime> Drop for Permit<R> {
    fn drop(&mut self) {
        self.0.in_flight().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Checks the key and takes a place.
///
/// # Errors
/// 401 or 403 as Meilisearch's, 401 `miroir_invalid_auth` on management routes, 503
/// `miroir_overloaded` without room.
pub(super) fn admit<R: Runtime>(
    core: &Rc<Core<R>>,
    request: &Request,
    route: &Route<'_>,
) -> Result<Permit<R>, ApiError> {
    let config = &core.shared.config;
    check_key(config, request, route)?;
    let exempt =
        matches!(route, Route::Health | Route::Ready | Route::Topology | Route::Shards | Route::Metrics);
    if !exempt && core.in_flight().load(Ordering::Relaxed) >= config.in_flight_max {
        return Err(ApiError::overloaded("Too many requests are in flight; try again shortly."));
    }
    core.in_flight().fetch_add(1, Ordering::Relaxed);
    Ok(Permit(Rc::clone(core)))
}

fn check_key(config: &Config, request: &Request, route: &Route<'_>) -> Result<(), ApiError> {
    if matches!(route, Route::Health | Route::Ready) {
        return Ok(());
    }
    if matches!(route, Route::Topology | Route::Shards | Route::Metrics) {
        return check_admin_key(config, request);
    }
    match &config.master_key {
        None => Ok(()),
        Some(master_key) => check_master_key(master_key.expose(), request),
    }
}

fn check_master_key(master_key: &str, request: &Request) -> Result<(), ApiError> {
    let Some(given) = bearer(request) else {
        return Err(ApiError::new(
            Code::MissingAuthorizationHeader,
            "The Authorization header is missing. It must use the bearer authorization method.",
        ));
    };
    match equal(given, master_key) {
        true => Ok(()),
        false => Err(ApiError::new(Code::InvalidApiKey, "The provided API key is invalid.")),
    }
}

/// Without an admin key the management routes take the master key; without either they are open.
fn check_admin_key(config: &Config, request: &Request) -> Result<(), ApiError> {
    let Some(expected) = config.admin_key.as_ref().or(config.master_key.as_ref()) else { return Ok(()) };
    let given = request.header("x-admin-key").or_else(|| bearer(request));
    match given.is_some_and(|given| equal(given, expected.expose())) {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::MiroirInvalidAuth,
            "The management API needs the admin key, in `X-Admin-Key` or as a bearer token.",
        )),
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.header("authorization")?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn equal(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}
