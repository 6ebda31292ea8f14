//! Makes and deletes stored canaries.
//!
//! Invariants: a canary and its record of runs are made and deleted together. A change is durable before any core
//! knows of it.

use serde_json::json;
use store::{Change, StoreError, Versioned};

use crate::{
    api::{
        canary::{CANARIES, CANARY_RUNS, Canary, Runs},
        error::{ApiError, Code},
    },
    config::limits,
    state::{canaries, shared::Shared},
};

/// Stores a new canary.
///
/// # Errors
/// 409 when there is one of this name, 400 when there are too many; the store's error.
pub async fn create(shared: &Shared, canary: Canary) -> Result<(), ApiError> {
    if shared.canaries.load().len() >= limits::CANARIES_MAX {
        let message =
            format!("There are {} canaries, which is the most: delete one first.", limits::CANARIES_MAX);
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let put =
        |table, value| Change::PutRecord { table, key: canary.name.clone(), value, expected_revision: None };
    let changes = vec![put(CANARIES, json!(canary)), put(CANARY_RUNS, json!(Runs::default()))];
    match shared.store.commit(changes).await {
        Ok(revisions) => {
            let version = revisions.first().copied().unwrap_or_default();
            canaries::take(shared, Versioned { version, value: canary });
            Ok(())
        }
        Err(StoreError::Conflict) => {
            let message = format!("The canary `{}` already exists.", canary.name);
            Err(ApiError::new(Code::MiroirCanaryConflict, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes a canary with its runs.
///
/// # Errors
/// 404 when there is none of this name; the store's error.
pub async fn delete(shared: &Shared, name: &str) -> Result<(), ApiError> {
    if shared.store.record(CANARIES, name).await?.is_none() {
        return Err(ApiError::new(Code::MiroirCanaryNotFound, format!("Canary `{name}` not found.")));
    }
    let forget = |table| Change::ForgetRecord { table, key: name.to_owned() };
    shared.store.commit(vec![forget(CANARIES), forget(CANARY_RUNS)]).await?;
    canaries::refresh(shared, name).await?;
    Ok(())
}
