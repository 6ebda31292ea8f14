//! The size of an index: its documents, and their bytes as nodes hold them.

use crate::{
    api::error::ApiError,
    lifecycle::rollover::steps::Size,
    read::{ask, count},
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
    },
};

/// Measures an index; each document is counted once, whatever copies there are.
///
/// # Errors
/// Those of the questions to nodes.
pub(super) async fn size(core: &Core, snapshot: &Snapshot, index: &Index) -> Result<Size, ApiError> {
    let documents = count::documents(core, snapshot, index, None).await?;
    let target = format!("/indexes/{}/stats", index.record.node_uid);
    let of_nodes = ask::all_reachable(core, &target).await?;
    let sum = |name: &str| of_nodes.iter().filter_map(|stats| stats[name].as_u64()).sum::<u64>();
    let (copies, bytes) = (sum("numberOfDocuments").max(1), sum("rawDocumentDbSize"));
    // Nodes hold each document as often as it has copies.
    let of_one = u128::from(bytes) * u128::from(documents) / u128::from(copies);
    Ok(Size { documents, bytes: u64::try_from(of_one).unwrap_or(u64::MAX) })
}
