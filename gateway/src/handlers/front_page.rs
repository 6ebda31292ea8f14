//! `GET /`: what a person sees who opens the gateway's address in a browser.
//!
//! Invariant: it tells nobody more than that a Miroir of this version runs here, so it needs no key.

use http::StatusCode;
use serde_json::json;

use crate::{config::AdminUi, state::shared::Shared, wire::h1::Response};

/// Where to read on: what is said here of the API is what its documents say, and the rest is in the repository.
const DOCUMENTS: &str =
    "README.md and docs/ of Miroir's sources; clients: https://www.meilisearch.com/docs/reference";

/// What is running here, and where to read on.
pub(crate) fn front_page(shared: &Shared) -> Response {
    let mut page = json!({
        "status": "Miroir is running",
        "version": env!("CARGO_PKG_VERSION"),
        "docs": DOCUMENTS,
        "health": "/health",
        "ready": "/_miroir/ready",
    });
    if shared.config.admin_ui != AdminUi::Off {
        page["console"] = json!("/_miroir/admin");
    }
    Response::json(StatusCode::OK, page.to_string())
}
