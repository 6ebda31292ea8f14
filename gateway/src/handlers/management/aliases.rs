//! `/_miroir/aliases`: creates, flips and drops names for indexes.
//!
//! Invariants: a change is durable before any core knows of it, and builds on the one before. While an alias is made,
//! no index of its name is made. A refused request changes nothing.

use http::StatusCode;
use serde_json::{Value, json};
use store::StoreError;

use crate::{
    api::{
        alias::{ALIASES, Alias, Wanted, parse_flip, parse_new},
        error::{ApiError, Code},
        http::json_body,
    },
    clock,
    handlers::extract,
    state::{
        core::Core,
        refresh,
        snapshot::{check_index_uid, publish},
    },
    wire::h1::{Request, Response},
    write::lane,
};

/// A route about aliases; a text is an alias's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AliasesRoute<'a> {
    List,
    Create,
    One(&'a str),
    Flip(&'a str),
    Delete(&'a str),
}

/// Serves a route about aliases.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: AliasesRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        AliasesRoute::List => Ok(list(core)),
        AliasesRoute::Create => create(core, request).await,
        AliasesRoute::One(name) => {
            let (alias, _) = stored(core, name).await?;
            Ok(shown(StatusCode::OK, &alias))
        }
        AliasesRoute::Flip(name) => flip(core, request, name).await,
        AliasesRoute::Delete(name) => delete(core, name).await,
    }
}

fn list(core: &Core) -> Response {
    let snapshot = core.shared.snapshot();
    let mut aliases = snapshot.aliases.values().map(|alias| &alias.record).collect::<Vec<_>>();
    aliases.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let views = aliases.into_iter().map(Alias::view).collect::<Vec<_>>();
    Response::json(StatusCode::OK, json!({"results": views}).to_string())
}

async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let (name, wanted) = parse_new(json_body::json(&extract::json_body(core, request)?)?)?;
    check_targets(core, &wanted).await?;
    // Indexes are made in the lane of their name, which is locked here.
    let _hold = lane::lock(core, vec![&name]).await?;
    if core.shared.snapshot().indexes.contains_key(&name) || core.shared.store.index(&name).await?.is_some() {
        let message = format!("There is an index `{name}`: an alias cannot have its name.");
        return Err(ApiError::new(Code::MiroirAliasConflict, message));
    }
    let used =
        |alias: &&std::sync::Arc<crate::state::aliases::KnownAlias>| alias.record.targets.contains(&name);
    if let Some(other) = core.shared.snapshot().aliases.values().find(used) {
        let other = &other.record.name;
        let message =
            format!("The alias `{other}` stands for `{name}`, which then would be an alias itself.");
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let alias = Alias::new(name.clone(), wanted, clock::utc());
    match core.shared.store.put_record(ALIASES, &name, json!(alias), None).await {
        Ok(revision) => {
            publish(&core.shared.snapshot, |snapshot| snapshot.with_alias(&alias, revision));
            Ok(shown(StatusCode::CREATED, &alias))
        }
        Err(StoreError::Conflict) => {
            let message = format!("The alias `{name}` already exists.");
            Err(ApiError::new(Code::MiroirAliasConflict, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives the alias other targets, for every request that begins after this one is answered.
async fn flip(core: &Core, request: &Request, name: &str) -> Result<Response, ApiError> {
    let wanted = parse_flip(name, json_body::json(&extract::json_body(core, request)?)?)?;
    let (alias, revision) = stored(core, name).await?;
    free(&alias)?;
    let flipped = alias.flipped(wanted.clone(), clock::utc())?;
    check_targets(core, &wanted).await?;
    match core.shared.store.put_record(ALIASES, name, json!(flipped), Some(revision)).await {
        Ok(revision) => {
            publish(&core.shared.snapshot, |snapshot| snapshot.with_alias(&flipped, revision));
            Ok(shown(StatusCode::OK, &flipped))
        }
        Err(StoreError::Conflict) => {
            let message = format!("The alias `{name}` was changed meanwhile: read it again.");
            Err(ApiError::new(Code::MiroirAliasConflict, message))
        }
        Err(error) => Err(error.into()),
    }
}

async fn delete(core: &Core, name: &str) -> Result<Response, ApiError> {
    let (alias, revision) = stored(core, name).await?;
    free(&alias)?;
    match core.shared.store.delete_record(ALIASES, name, revision).await {
        Ok(()) => {
            publish(&core.shared.snapshot, |snapshot| snapshot.without_alias(name, revision));
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
        Err(StoreError::Conflict) => {
            let message = format!("The alias `{name}` was changed meanwhile: read it again.");
            Err(ApiError::new(Code::MiroirAliasConflict, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// An alias as it is stored: another pod may have changed it.
async fn stored(core: &Core, name: &str) -> Result<(Alias, u64), ApiError> {
    check_index_uid(name)?;
    let unreadable = |_| ApiError::new(Code::Internal, "A stored alias cannot be read.");
    match core.shared.store.record(ALIASES, name).await? {
        Some(record) => Ok((serde_json::from_value(record.value).map_err(unreadable)?, record.revision)),
        None => Err(ApiError::new(Code::MiroirAliasNotFound, format!("Alias `{name}` not found."))),
    }
}

/// Checks that operators change the alias themselves.
fn free(alias: &Alias) -> Result<(), ApiError> {
    match alias.policy() {
        None => Ok(()),
        Some(policy) => {
            let name = &alias.name;
            let message = format!(
                "The alias `{name}` is changed by the rollover policy `{policy}`: delete that first."
            );
            Err(ApiError::new(Code::MiroirAliasConflict, message))
        }
    }
}

/// Checks that an alias may stand for these targets: indexes that exist, and no aliases.
async fn check_targets(core: &Core, wanted: &Wanted) -> Result<(), ApiError> {
    let store = &core.shared.store;
    for target in &wanted.targets {
        if core.shared.snapshot().aliases.contains_key(target)
            || store.record(ALIASES, target).await?.is_some()
        {
            let message = format!("`{target}` is an alias: an alias stands for indexes alone.");
            return Err(ApiError::new(Code::BadRequest, message));
        }
        if core.shared.snapshot().indexes.contains_key(target) {
            continue;
        }
        // Another pod may have just made it.
        refresh::index(&core.shared, target).await?;
        let is_there = core.shared.snapshot().indexes.contains_key(target);
        if !is_there && core.shared.config.alias_require_target {
            return Err(ApiError::new(Code::IndexNotFound, format!("Index `{target}` not found.")));
        }
    }
    Ok(())
}

fn shown(status: StatusCode, alias: &Alias) -> Response {
    let view: Value = alias.view();
    Response::json(status, view.to_string())
}
