//! `POST /_miroir/admin/login` and `logout`.
//!
//! Invariants: every attempt counts against its address before the key is looked at. Keys are compared in constant
//! time. The cookie is `Secure` where the client came over TLS, to this gateway or to a proxy before it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body,
    },
    auth, clock,
    config::{AdminUi, limits},
    console::{
        login_limit,
        sessions::{self, Ticket},
    },
    handlers::extract,
    observe::log,
    state::core::Core,
    wire::{
        client_address::client_address,
        h1::{Request, Response},
    },
};

/// Signs an operator in.
pub(crate) async fn login(core: &Core, request: &Request) -> Result<Response, ApiError> {
    if request.body.len() > limits::CONSOLE_LOGIN_BYTES_MAX {
        let message = format!("Signing in takes at most {} bytes.", limits::CONSOLE_LOGIN_BYTES_MAX);
        return Err(ApiError::new(Code::PayloadTooLarge, message));
    }
    let given = parse(core, request)?;
    let shared = &core.shared;
    let address = client_address(request, &shared.config.trusted_proxies).to_string();
    if let Some(left) = login_limit::admit(&shared.store, &address, clock::utc()).await? {
        log::warn("console_login_locked_out", &[("address", &address)]);
        let seconds = left.as_secs().max(1);
        let message = format!("Too many attempts to sign in from {address}: try again in {seconds} seconds.");
        return Err(ApiError::new(Code::MiroirTooManyLogins, message)
            .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX)));
    }
    let expected = shared.config.admin_key.as_ref().or(shared.config.master_key.as_ref());
    if expected.is_some_and(|key| !auth::equal(given.as_bytes(), key.expose().as_bytes())) {
        log::warn("console_login_refused", &[("address", &address)]);
        return Err(ApiError::new(Code::MiroirInvalidAuth, "This is not the admin key of this gateway."));
    }
    let agent = request.header("user-agent").unwrap_or_default();
    let begun =
        sessions::begin(&shared.store, &shared.console.seal, address.clone(), agent, clock::utc()).await;
    let (ticket, sealed) = begun.map_err(|error| match error {
        sessions::BeginError::Store(error) => error.into(),
        sessions::BeginError::Seal(error) => ApiError::new(Code::Internal, error.to_string()),
    })?;
    log::info("console_login", &[("address", &address), ("session", &ticket.id())]);
    let view = json!({
        "csrfToken": ticket.csrf_token(),
        "readOnly": shared.config.admin_ui == AdminUi::ReadOnly,
    });
    let cookie = sessions::set_cookie(Some(&sealed), is_secure(core, request));
    Ok(super::private(Response::json(StatusCode::OK, view.to_string())).with_header("set-cookie", cookie))
}

/// Ends the session of the request, on every pod; without one nothing is ended, and the cookie goes all the same.
pub(crate) async fn logout(
    core: &Core,
    request: &Request,
    ticket: Option<&Ticket>,
) -> Result<Response, ApiError> {
    if let Some(ticket) = ticket {
        sessions::end(&core.shared.store, &ticket.id()).await?;
        log::info("console_logout", &[("session", &ticket.id())]);
    }
    let cookie = sessions::set_cookie(None, is_secure(core, request));
    Ok(super::private(Response::empty(StatusCode::NO_CONTENT)).with_header("set-cookie", cookie))
}

fn parse(core: &Core, request: &Request) -> Result<String, ApiError> {
    let body = json_body::object(json_body::json(&extract::json_body(core, request)?)?, &["adminKey"])?;
    match &body["adminKey"] {
        Value::String(key) => Ok(key.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let message = "Invalid value at `.adminKey`: expected the admin key.";
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}

fn is_secure(core: &Core, request: &Request) -> bool {
    core.shared.config.tls.server.is_some()
        || request.header("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}
