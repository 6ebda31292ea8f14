//! Counts documents, those that have ended included.

use serde_json::json;

use crate::{
    api::error::ApiError,
    read::scatter::{Gathered, LegQuestion, Scatter},
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
    },
};

/// How many documents of an index fit a condition, or how many there are; each is counted once.
///
/// # Errors
/// Those of a question to all shards.
pub(crate) async fn documents(
    core: &Core,
    snapshot: &Snapshot,
    index: &Index,
    condition: Option<&str>,
) -> Result<u64, ApiError> {
    let of_leg = |leg: &LegQuestion<'_>, _| {
        let filter = match (leg.filter, condition) {
            (Some(shards), Some(condition)) => Some(format!("{shards} AND {condition}")),
            (Some(shards), None) => Some(shards.to_owned()),
            (None, condition) => condition.map(str::to_owned),
        };
        json!({"limit": 0, "filter": filter}).to_string().into()
    };
    let mut total = 0;
    let sum = |gathered: &Gathered<'_>, body: &mut Vec<u8>| {
        total = merge::documents(gathered.bodies, &[], None, 0, 0, body)?.total;
        Ok(())
    };
    let scatter = Scatter::new(core, snapshot, index, core.turn(), "documents/fetch", of_leg);
    scatter.with_ended().ask_and_merge(sum).await?;
    Ok(total)
}
