//! Operations on data among those of `/_miroir/operations`: shown, and asked to pause, go on or end.

use store::StoreError;

use crate::{
    api::error::{ApiError, Code},
    membership::rebalance::operation::Wish,
    operations::{self, Operation, Status},
    state::shared::Shared,
};

/// How often a wish is tried again when somebody else changes the operation.
const ATTEMPTS_MAX: usize = 20;

/// Pauses, resumes or gives up an operation; `None` when no operation on data has this number.
pub(crate) async fn ask(shared: &Shared, number: u64, wish: Wish) -> Result<Option<Operation>, ApiError> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(mut operation) = operations::one(shared, number).await? else { return Ok(None) };
        let status = wished(&operation, wish)?;
        let reason = (status != Status::Queued).then(|| "it was asked to".to_owned());
        operation.become_(status, reason);
        match operations::put(shared, &mut operation).await {
            Ok(()) => return Ok(Some(operation)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::overloaded("The operation changes all the time; try again shortly."))
}

/// The status that a wish gives an operation.
fn wished(operation: &Operation, wish: Wish) -> Result<Status, ApiError> {
    let refused = |reason: &str| {
        let message = format!("The operation cannot be asked for that: {reason}.");
        Err(ApiError::new(Code::MiroirOperationConflict, message))
    };
    match (wish, operation.status) {
        (_, Status::Succeeded | Status::Failed | Status::Aborted) => refused("it has ended"),
        _ if !operations::is_steered(&operation.kind) => refused("it ends by itself"),
        (Wish::Pause, Status::Paused) => refused("it is paused already"),
        (Wish::Pause, Status::Queued | Status::Running) => Ok(Status::Paused),
        (Wish::Resume, Status::Paused) => Ok(Status::Queued),
        (Wish::Resume, Status::Queued | Status::Running) => refused("it is not paused"),
        (Wish::Abort, Status::Queued | Status::Running | Status::Paused) => Ok(Status::Aborted),
        (Wish::CutOver, _) => refused("it has no cutover"),
    }
}
