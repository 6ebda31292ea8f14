//! Routes for the operator's tools: what the cluster suffers from, tasks with every node's part, the audit log, the
//! description of the API.

use std::rc::Rc;

use http::StatusCode;

use crate::{
    api::error::ApiError,
    handlers::management::{
        audit,
        backups::{self, BackupsRoute},
        diagnosis, openapi, page_secrets, writes,
    },
    state::core::Core,
    wire::h1::{Request, Response},
};

/// A route for the operator's tools; a text is a task's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperatorRoute<'a> {
    OpenApi,
    Audit,
    Diagnosis,
    Task(&'a str),
    Writes,
    FailWrite,
    PageSecrets,
    Backups(BackupsRoute<'a>),
}

impl OperatorRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::OpenApi => "/_miroir/openapi.json",
            Self::Audit => "/_miroir/audit",
            Self::Diagnosis => "/_miroir/diagnosis",
            Self::Task(_) => "/_miroir/tasks/{uid}",
            Self::Writes => "/_miroir/writes",
            Self::FailWrite => "/_miroir/writes/fail",
            Self::PageSecrets => "/_miroir/ui/jwt-secret",
            Self::Backups(asked) => asked.template(),
        }
    }
}

/// Serves a route for the operator's tools.
pub(crate) async fn serve(
    core: &Rc<Core>,
    request: &Request,
    asked: OperatorRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        OperatorRoute::OpenApi => Ok(Response::json(StatusCode::OK, openapi::document().to_string())),
        OperatorRoute::Audit => audit::list(core, request).await,
        OperatorRoute::Diagnosis => diagnosis::diagnosis(core).await,
        OperatorRoute::Task(uid) => writes::task(core, uid).await,
        OperatorRoute::Writes => writes::list(core, request).await,
        OperatorRoute::FailWrite => writes::fail(core, request).await,
        OperatorRoute::PageSecrets => page_secrets::serve(core, request).await,
        OperatorRoute::Backups(asked) => backups::serve(core, request, asked).await,
    }
}
