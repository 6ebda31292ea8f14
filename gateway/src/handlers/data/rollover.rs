//! `/_miroir/rollover-policies`: makes, shows, runs and deletes policies of rolling indexes.
//!
//! Invariants: a policy and the aliases that it takes over are stored in one commit. No alias has two policies. A
//! policy in the middle of a rollover is not deleted.

use http::StatusCode;
use serde_json::{Value, json};
use store::{Change, StoreError};

use crate::{
    api::{
        alias::{ALIASES, Alias, OPERATOR},
        error::{ApiError, Code},
        http::json_body,
        rollover::policy::{OWNERS, POLICIES, Phase, Policy},
    },
    clock,
    config::limits,
    handlers::extract,
    lifecycle::rollover::run as rollover,
    operations,
    state::{core::Core, snapshot::publish},
    wire::h1::{Request, Response},
    write::lane,
};

pub(super) async fn list(core: &Core) -> Result<Response, ApiError> {
    let policies = all(core).await?;
    let views = policies.iter().map(|(policy, _)| shown(core, policy)).collect::<Vec<_>>();
    Ok(Response::json(StatusCode::OK, json!({"results": views}).to_string()))
}

pub(super) async fn get(core: &Core, name: &str) -> Result<Response, ApiError> {
    let (policy, _) = stored(core, name).await?;
    Ok(Response::json(StatusCode::OK, shown(core, &policy).to_string()))
}

/// A policy as it is shown: it is flipping for as long as this pod does not know the new target of its alias.
fn shown(core: &Core, policy: &Policy) -> Value {
    let mut view = policy.view();
    let snapshot = core.shared.snapshot();
    let newest = policy.generations.last().map(|one| one.index.as_str());
    let is_known = newest.is_none_or(|newest| snapshot.targets(&policy.write_alias) == [newest]);
    if policy.phase == Phase::Resting && !is_known {
        view["phase"] = json!("flipping");
    }
    view
}

pub(super) async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let body = json_body::json(&extract::json_body(core, request)?)?;
    let policy = Policy::parse(body, clock::utc())?;
    check_others(core, &policy).await?;
    let (write, read) = (policy.write_alias.as_str(), policy.read_alias.as_str());
    // No index is made under the name of an alias meanwhile.
    let _hold = lane::lock(core, vec![write, read]).await?;
    for name in [write, read] {
        if core.shared.snapshot().indexes.contains_key(name) || core.shared.store.index(name).await?.is_some()
        {
            let message = format!("There is an index `{name}`: an alias cannot have its name.");
            return Err(ApiError::new(Code::MiroirAliasConflict, message));
        }
    }
    let (policy, aliases) = rollover::adopt(core, &policy).await?;
    let put = |table, key: &str, value, expected_revision| Change::PutRecord {
        table,
        key: key.to_owned(),
        value,
        expected_revision,
    };
    let mut changes = vec![
        put(POLICIES, &policy.name, json!(policy), None),
        put(OWNERS, &policy.write_alias, json!(policy.name), None),
        put(OWNERS, &policy.read_alias, json!(policy.name), None),
    ];
    let before = changes.len();
    for alias in &aliases {
        let revision = core.shared.store.record(ALIASES, &alias.name).await?.map(|record| record.revision);
        changes.push(put(ALIASES, &alias.name, json!(alias), revision));
    }
    match core.shared.store.commit(changes).await {
        Ok(revisions) => show_aliases(core, &aliases, &revisions[before..]),
        Err(StoreError::Conflict) => {
            let name = &policy.name;
            return Err(conflict(format!(
                "The policy `{name}` exists already, or one of its aliases was changed."
            )));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Response::json(StatusCode::CREATED, policy.view().to_string()))
}

/// Checks that a new policy does not overlap with another.
async fn check_others(core: &Core, policy: &Policy) -> Result<(), ApiError> {
    let others = all(core).await?;
    if others.len() >= limits::ROLLOVER_POLICIES_MAX {
        let most = limits::ROLLOVER_POLICIES_MAX;
        return Err(conflict(format!("There are {most} policies, as many as there may be.")));
    }
    for (other, _) in &others {
        let name = &other.name;
        if *name == policy.name {
            return Err(conflict(format!("The policy `{name}` exists already.")));
        }
        let aliases = [&other.write_alias, &other.read_alias];
        for alias in [&policy.write_alias, &policy.read_alias] {
            if aliases.contains(&alias) {
                return Err(conflict(format!("The policy `{name}` has the alias `{alias}` already.")));
            }
        }
        if other.pattern == policy.pattern {
            let pattern = &policy.pattern;
            return Err(conflict(format!("The policy `{name}` has the pattern `{pattern}` already.")));
        }
    }
    Ok(())
}

/// Forgets a policy; its aliases and indexes stay as they are, and belong to the operator.
pub(super) async fn delete(core: &Core, name: &str) -> Result<Response, ApiError> {
    let (policy, revision) = stored(core, name).await?;
    match &policy.phase {
        Phase::Resting | Phase::Deleting { .. } | Phase::Leaving => {}
        Phase::Creating { .. }
        | Phase::Configuring { .. }
        | Phase::Flipping { .. }
        | Phase::Abandoning { .. } => {
            let phase = policy.phase.name();
            let message =
                format!("The policy `{name}` is making an index (phase `{phase}`): try again once it rests.");
            return Err(conflict(message));
        }
    }
    let mut aliases = Vec::new();
    let leaving = Policy { phase: Phase::Leaving, ..policy.clone() };
    let mut changes = vec![Change::PutRecord {
        table: POLICIES,
        key: name.to_owned(),
        value: json!(leaving),
        expected_revision: Some(revision),
    }];
    for alias in [&policy.write_alias, &policy.read_alias] {
        changes.push(Change::ForgetRecord { table: OWNERS, key: alias.clone() });
    }
    let before = changes.len();
    for alias in [&policy.write_alias, &policy.read_alias] {
        let Some(record) = core.shared.store.record(ALIASES, alias).await? else { continue };
        let Ok(mut alias) = serde_json::from_value::<Alias>(record.value) else { continue };
        if alias.policy() == Some(name) {
            alias.owner = OPERATOR.to_owned();
            let (key, value) = (alias.name.clone(), json!(alias));
            let expected_revision = Some(record.revision);
            changes.push(Change::PutRecord { table: ALIASES, key, value, expected_revision });
            aliases.push(alias);
        }
    }
    let gone = match core.shared.store.commit(changes).await {
        Ok(revisions) => {
            show_aliases(core, &aliases, &revisions[before..]);
            core.shared.store.delete_record(POLICIES, name, revisions[0]).await
        }
        Err(error) => Err(error),
    };
    match gone {
        Ok(()) => Ok(Response::empty(StatusCode::NO_CONTENT)),
        Err(StoreError::Conflict) => {
            Err(conflict(format!("The policy `{name}` was changed meanwhile: try again shortly.")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Checks a policy now, or says what a check would do.
pub(super) async fn run(core: &Core, request: &Request, name: &str) -> Result<Response, ApiError> {
    let is_dry = match request.body.is_empty() {
        true => false,
        false => {
            let body = json_body::object(json_body::json(&extract::json_body(core, request)?)?, &["dryRun"])?;
            match &body["dryRun"] {
                Value::Null => false,
                Value::Bool(is_dry) => *is_dry,
                other @ (Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                    return Err(json_body::wrong_type(".dryRun", "a boolean", Code::BadRequest, other));
                }
            }
        }
    };
    let (policy, _) = stored(core, name).await?;
    if is_dry {
        return Ok(Response::json(StatusCode::OK, rollover::forecast(core, &policy).await?.to_string()));
    }
    let operation = operations::begin(&core.shared, rollover::KIND, json!({"policy": name})).await?;
    let body = json!({"operation": operation.operation});
    Ok(Response::json(StatusCode::ACCEPTED, body.to_string()))
}

fn show_aliases(core: &Core, aliases: &[Alias], revisions: &[u64]) {
    publish(&core.shared.snapshot, |snapshot| {
        let pairs = aliases.iter().zip(revisions);
        pairs.fold(snapshot.clone(), |snapshot, (alias, revision)| snapshot.with_alias(alias, *revision))
    });
}

async fn all(core: &Core) -> Result<Vec<(Policy, u64)>, ApiError> {
    let records = core.shared.store.records(POLICIES, None, limits::ROLLOVER_POLICIES_MAX).await?;
    records.into_iter().map(|record| Ok((read(record.value)?, record.revision))).collect()
}

async fn stored(core: &Core, name: &str) -> Result<(Policy, u64), ApiError> {
    match core.shared.store.record(POLICIES, name).await? {
        Some(record) => Ok((read(record.value)?, record.revision)),
        None => {
            let message = format!("Rollover policy `{name}` not found.");
            Err(ApiError::new(Code::MiroirRolloverPolicyNotFound, message))
        }
    }
}

fn read(value: Value) -> Result<Policy, ApiError> {
    serde_json::from_value(value)
        .map_err(|_| ApiError::new(Code::Internal, "A stored rollover policy cannot be read."))
}

fn conflict(message: String) -> ApiError {
    ApiError::new(Code::MiroirRolloverPolicyConflict, message)
}
