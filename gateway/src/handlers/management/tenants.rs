//! `/_miroir/tenants`: which replica group each tenant reads, and which tenant each API key belongs to.
//!
//! Invariants: one record holds the whole table, so that each change builds on the one before. A change is durable
//! before any core knows of it. A refused request changes nothing.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use store::{StoreError, Versioned};
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body,
        tenant::{TENANTS, TENANTS_KEY, Tenants, check_name, parse_group, parse_tenant},
    },
    handlers::extract,
    state::{core::Core, refresh},
    wire::h1::{Request, Response},
};

/// A route about tenants; a text is a tenant's name or a key's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TenantsRoute<'a> {
    List,
    Assign(&'a str),
    Remove(&'a str),
    GiveKey(&'a str),
    RemoveKey(&'a str),
}

/// Serves a route about tenants.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: TenantsRoute<'_>,
) -> Result<Response, ApiError> {
    let body = || extract::json_body(core, request).and_then(|body| json_body::json(&body));
    match asked {
        TenantsRoute::List => {
            let view = core.shared.tenants.load().value.view();
            Ok(Response::json(StatusCode::OK, view.to_string()))
        }
        TenantsRoute::Assign(tenant) => {
            check_name(tenant, "in the path")?;
            let known = core.shared.snapshot().topology.group_numbers().collect::<Vec<_>>();
            let group = parse_group(body()?, &known)?;
            change(core, |tenants| tenants.assign(tenant, group)).await?;
            Ok(shown(&json!({"tenant": tenant, "group": group})))
        }
        TenantsRoute::Remove(tenant) => {
            change(core, |tenants| tenants.remove(tenant)).await?;
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        TenantsRoute::GiveKey(key) => {
            let uid = key_uid(key)?;
            let tenant = parse_tenant(body()?)?;
            if core.shared.keys.load().by_uid(uid).is_none() {
                return Err(ApiError::new(Code::ApiKeyNotFound, format!("API key `{uid}` not found.")));
            }
            change(core, |tenants| tenants.give_key(uid, &tenant)).await?;
            Ok(shown(&json!({"keyUid": uid, "tenant": tenant})))
        }
        TenantsRoute::RemoveKey(key) => {
            let uid = key_uid(key)?;
            change(core, |tenants| tenants.remove_key(uid)).await?;
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
    }
}

fn key_uid(text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|_| {
        let message = format!("`{text}` is not a valid key uid: give a UUID, as `GET /keys` shows it.");
        ApiError::new(Code::BadRequest, message)
    })
}

fn shown(view: &Value) -> Response {
    Response::json(StatusCode::OK, view.to_string())
}

/// Changes the stored table, again on top of what another pod or core has changed meanwhile.
async fn change(core: &Core, apply: impl Fn(&mut Tenants) -> Result<(), ApiError>) -> Result<(), ApiError> {
    loop {
        let known = core.shared.tenants.load_full();
        let mut tenants = known.value.clone();
        apply(&mut tenants)?;
        let expected = (known.version > 0).then_some(known.version);
        match core.shared.store.put_record(TENANTS, TENANTS_KEY, json!(tenants), expected).await {
            Ok(version) => {
                refresh::take_tenants(&core.shared, Arc::new(Versioned { version, value: tenants }));
                return Ok(());
            }
            Err(StoreError::Conflict) => refresh::tenants(&core.shared).await?,
            Err(error) => return Err(error.into()),
        }
    }
}
