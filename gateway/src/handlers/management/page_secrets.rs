//! `/_miroir/ui/jwt-secret`: replaces the secret that signs the tokens of search pages, on all pods and without a
//! restart.
//!
//! Invariants: no secret is shown or stored. Tokens that were signed before stay valid until they end.

use http::{Method, StatusCode};
use serde_json::json;
use store::{StoreError, Versioned};

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body,
    },
    auth::{PAGE_SECRETS, PAGE_SECRETS_KEY},
    clock,
    handlers::extract,
    state::{core::Core, refresh},
    wire::h1::{Request, Response},
};

/// `GET` shows the names of the secrets, `POST` makes a new one.
pub(crate) async fn serve(core: &Core, request: &Request) -> Result<Response, ApiError> {
    if !core.shared.config.search_ui {
        let message = "Search pages are switched off on this gateway (`--search-ui off`).";
        return Err(ApiError::new(Code::FeatureNotEnabled, message));
    }
    if request.method == Method::POST {
        if !request.body.is_empty() {
            json_body::object(json_body::json(&extract::json_body(core, request)?)?, &[])?;
        }
        rotate(core).await?;
    }
    let shown = json!({"secrets": core.shared.page_tokens.load().value.view()});
    Ok(Response::json(StatusCode::OK, shown.to_string()))
}

/// Has a new secret follow, on top of what another pod has changed meanwhile.
async fn rotate(core: &Core) -> Result<(), ApiError> {
    let shared = &core.shared;
    loop {
        let known = shared.page_tokens.load_full();
        known.value.check_secret()?;
        let rotation = known.value.rotation().followed_by(salt(), clock::utc())?;
        let expected = (known.version > 0).then_some(known.version);
        match shared.store.put_record(PAGE_SECRETS, PAGE_SECRETS_KEY, json!(rotation), expected).await {
            Ok(version) => {
                let value = refresh::page_tokens_of(&shared.config, rotation);
                refresh::take_page_tokens(shared, Versioned { version, value });
                return Ok(());
            }
            Err(StoreError::Conflict) => refresh::page_tokens(shared).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// 244 random bits as text.
fn salt() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    half() + &half()
}
