//! The management API of what brings data in, sends it out and rolls it over: one route type, one table.
//!
//! Invariant: all of it asks for the admin key; a refused request changes nothing.

mod changes;
pub(crate) mod imports;
pub(crate) mod load;
mod multipart;
pub(crate) mod operations;
mod rollover;

use std::rc::Rc;

use http::Method;

use crate::{
    api::error::ApiError,
    state::core::Core,
    wire::h1::{Request, Response},
};

/// A route; a text is the part of the path that names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataRoute<'a> {
    Policies,
    CreatePolicy,
    Policy(&'a str),
    DeletePolicy(&'a str),
    RunPolicy(&'a str),
    Changes,
    Sinks,
    ImportDump,
}

impl<'a> DataRoute<'a> {
    /// The route of a method and the parts of a path below `/_miroir`: `None` for a path that is not here, `Err` for
    /// a method that a path here does not have.
    pub(crate) fn find(method: &Method, parts: &[&'a str]) -> Option<Result<Self, ()>> {
        let found = match (method.as_str(), parts) {
            ("GET", ["rollover-policies"]) => Self::Policies,
            ("POST", ["rollover-policies"]) => Self::CreatePolicy,
            ("GET", ["rollover-policies", name]) => Self::Policy(name),
            ("DELETE", ["rollover-policies", name]) => Self::DeletePolicy(name),
            ("POST", ["rollover-policies", name, "run"]) => Self::RunPolicy(name),
            ("GET", ["changes"]) => Self::Changes,
            ("POST", ["dumps", "import"]) => Self::ImportDump,
            ("GET", ["changes", "sinks"]) => Self::Sinks,
            (_, ["changes"] | ["changes", "sinks"] | ["dumps", "import"]) => return Some(Err(())),
            (_, ["rollover-policies"] | ["rollover-policies", _] | ["rollover-policies", _, "run"]) => {
                return Some(Err(()));
            }
            _ => return None,
        };
        Some(Ok(found))
    }

    /// The path with placeholders, for metrics.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Policies | Self::CreatePolicy => "/_miroir/rollover-policies",
            Self::Policy(_) | Self::DeletePolicy(_) => "/_miroir/rollover-policies/{name}",
            Self::Changes => "/_miroir/changes",
            Self::Sinks => "/_miroir/changes/sinks",
            Self::ImportDump => "/_miroir/dumps/import",
            Self::RunPolicy(_) => "/_miroir/rollover-policies/{name}/run",
        }
    }
}

/// Serves a route.
pub(crate) async fn serve(
    core: &Rc<Core>,
    request: &Request,
    asked: DataRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        DataRoute::Policies => rollover::list(core).await,
        DataRoute::CreatePolicy => rollover::create(core, request).await,
        DataRoute::Policy(name) => rollover::get(core, name).await,
        DataRoute::DeletePolicy(name) => rollover::delete(core, name).await,
        DataRoute::Changes => changes::read(core, request).await,
        DataRoute::Sinks => changes::sinks(core).await,
        DataRoute::ImportDump => Box::pin(imports::begin(core, request)).await,
        DataRoute::RunPolicy(name) => rollover::run(core, request, name).await,
    }
}
