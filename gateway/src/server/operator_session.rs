//! Requests of an open console: the session's cookie stands for the admin key.
//!
//! Invariants: a request that carries a key is judged by its key, whatever its cookies. A request that may change
//! something needs the session's token in `X-CSRF-Token`, which no other site can know. Where the console is
//! read-only, a session changes nothing. Without the cookie this costs one look for a header.

use http::Method;

use crate::{
    api::error::{ApiError, Code},
    auth, clock,
    config::AdminUi,
    console::sessions::{self, Ticket},
    pages::console::ConsoleRoute,
    server::routes::Route,
    state::core::Core,
    wire::h1::Request,
};

/// Whether there is a console, and so sessions.
pub(crate) fn is_on(core: &Core) -> bool {
    core.shared.config.admin_ui != AdminUi::Off
}

/// Whether the session of a request's ticket still counts.
///
/// # Errors
/// 403 `miroir_csrf_token_invalid`, 403 `miroir_admin_ui_read_only`; the store's.
pub(crate) async fn holds(
    core: &Core,
    request: &Request,
    route: &Route<'_>,
    sealed: &str,
) -> Result<bool, ApiError> {
    let shared = &core.shared;
    let ticket = sessions::find(&shared.store, &shared.console.seal, sealed, clock::utc()).await?;
    let Some(ticket) = ticket else { return Ok(false) };
    if request.method != Method::GET {
        check_token(request, &ticket)?;
        if shared.config.admin_ui == AdminUi::ReadOnly && is_changing(route) {
            let message = "The console of this gateway changes nothing (`--admin-ui read-only`): use the API with a key.";
            return Err(ApiError::new(Code::MiroirAdminUiReadOnly, message));
        }
    }
    Ok(true)
}

fn check_token(request: &Request, ticket: &Ticket) -> Result<(), ApiError> {
    let given = request.header("x-csrf-token").unwrap_or_default();
    match auth::equal(given.as_bytes(), ticket.csrf_token().as_bytes()) {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::MiroirCsrfTokenInvalid,
            "A request with the cookie of a session needs the session's token in `X-CSRF-Token`: sign in again.",
        )),
    }
}

/// Whether a request that is no GET may change something.
fn is_changing(route: &Route<'_>) -> bool {
    !matches!(
        route,
        Route::Search { .. }
            | Route::FacetSearch(_)
            | Route::MultiSearch
            | Route::Explain(_)
            | Route::Similar(_)
            | Route::FetchDocuments(_)
            | Route::Fields(_)
            | Route::RenderTemplate
            // Signing out ends the own session alone.
            | Route::Console(ConsoleRoute::Logout)
    )
}
