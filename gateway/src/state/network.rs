//! The stored network: kept and shown, never searched.

use serde_json::{Value, json};
use store::{Record, Table};

use crate::{
    api::{
        error::{ApiError, Code},
        network::Network,
    },
    state::core::Core,
};

/// The network as a dump has it.
pub(crate) async fn dumped(core: &Core) -> Result<Value, ApiError> {
    let members = json!({"self": null, "remotes": {}, "shards": {}, "leader": null, "version": null});
    Ok(stored(core).await?.0.view(members))
}

pub(crate) async fn stored(core: &Core) -> Result<(Network, Option<u64>), ApiError> {
    let Some(Record { value, revision, .. }) = core.shared.store.record(NETWORK, NETWORK_KEY).await? else {
        return Ok((Network::default(), None));
    };
    let network = serde_json::from_value(value)
        .map_err(|_| ApiError::new(Code::Internal, "The stored network cannot be read."))?;
    Ok((network, Some(revision)))
}

/// The table with the network, in one record.
pub(crate) const NETWORK: Table = Table::named("network");

pub(crate) const NETWORK_KEY: &str = "all";
