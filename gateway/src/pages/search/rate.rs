//! How often one address may ask: counted in the store, so that all pods count together.

use std::net::IpAddr;

use http::StatusCode;

use crate::{
    api::error::{ApiError, Code},
    config::limits::{SEARCH_PAGE_REFUSED_MAX, SEARCH_PAGE_REQUESTS_MAX, SEARCH_PAGE_WINDOW},
    state::core::Core,
    wire::{
        client_address::client_address,
        h1::{Request, Response},
        runtime,
    },
};

/// Counts a request of a family; the response where its address has asked too often.
///
/// # Errors
/// The store's.
pub(crate) async fn refusal(
    core: &Core,
    request: &Request,
    family: &str,
) -> Result<Option<Response>, ApiError> {
    let address = client_address(request, &core.shared.config.trusted_proxies);
    let now = runtime::now();
    if let Some(left) = core.refused_addresses.left(address, now) {
        return Ok(Some(too_many(core, address, left.as_secs())));
    }
    let counter = format!("search_page_{family}:{address}");
    let count = core.shared.store.count(&counter, 1, SEARCH_PAGE_WINDOW).await?;
    if count <= SEARCH_PAGE_REQUESTS_MAX {
        return Ok(None);
    }
    // The store does not tell when its window ends, so the address is counted again after a second.
    let until = now + std::time::Duration::from_secs(1);
    core.refused_addresses.refuse(address, until, now, SEARCH_PAGE_REFUSED_MAX);
    Ok(Some(too_many(core, address, SEARCH_PAGE_WINDOW.as_secs())))
}

fn too_many(core: &Core, address: IpAddr, seconds: u64) -> Response {
    core.metrics.refusal("search_page_rate");
    let message = format!(
        "Search pages answer {SEARCH_PAGE_REQUESTS_MAX} such requests a minute to one address, and {address} has asked more often: wait a little."
    );
    let mut response = Response::from(ApiError::new(Code::MiroirTooManyRequests, message));
    response.status = StatusCode::TOO_MANY_REQUESTS;
    response.with_header("retry-after", seconds.max(1).to_string())
}
