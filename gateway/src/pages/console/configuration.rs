//! `GET /_miroir/admin/configuration`: every option in force, where it comes from, and whether changing it takes a
//! restart.
//!
//! Invariant: keys are shown as `(set)`, as `--print-config` shows them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    config::{client_limits::RELOADED, print},
    state::core::Core,
    wire::h1::Response,
};

pub(crate) fn shown(core: &Core) -> Response {
    let config = &core.shared.config;
    let mut in_force = config.clone();
    in_force.edge = core.edge().as_ref().clone();
    let options = print::values(&in_force).into_iter().map(|(name, value)| {
        let source = config.sources.of(&name).map_or("default", |source| source.as_str());
        json!({
            "source": source,
            "restart": !RELOADED.contains(&name.as_str()),
            "name": name,
            "value": value,
        })
    });
    let options = options.collect::<Vec<Value>>();
    super::private(Response::json(StatusCode::OK, json!({"results": options}).to_string()))
}
