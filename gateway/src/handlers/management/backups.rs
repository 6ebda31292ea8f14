//! `/_miroir/backups`: requested, listed, verified.

use std::rc::Rc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        http::{json_body, query_string::Query},
    },
    dump::{
        backup::{self, Backup},
        backup_files,
    },
    handlers::{extract, management::restore},
    state::{core::Core, snapshot::find_index},
    wire::h1::{Request, Response},
};
/// A route about backups; a text is a backup's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupsRoute<'a> {
    List,
    Create,
    One(&'a str),
    Restore(&'a str),
}

impl BackupsRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::List | Self::Create => "/_miroir/backups",
            Self::One(_) => "/_miroir/backups/{id}",
            Self::Restore(_) => "/_miroir/backups/{id}/restore",
        }
    }
}

/// Serves a route about backups.
pub(crate) async fn serve(
    core: &Rc<Core>,
    request: &Request,
    asked: BackupsRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        BackupsRoute::List => {
            let known = backup::known(&core.shared).await?;
            let views = known.into_iter().rev().map(|backup| json!(backup)).collect::<Vec<_>>();
            Ok(Response::json(StatusCode::OK, json!({"results": views}).to_string()))
        }
        BackupsRoute::Create => create(core, request).await,
        BackupsRoute::One(id) => one(core, request, id).await,
        BackupsRoute::Restore(id) => {
            let backup = find(core, id).await?;
            let only = indexes(core, request)?;
            restore::begin(core, backup, only).await
        }
    }
}

async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let indexes = indexes(core, request)?;
    for uid in indexes.iter().flatten() {
        find_index(&core.shared.snapshot(), uid)?;
    }
    let backup = backup::request(&core.shared, indexes, false).await?;
    let answer = json!({"operation": backup.operation, "backup": backup.id});
    Ok(Response::json(StatusCode::ACCEPTED, answer.to_string()))
}

/// The indexes that a body names; `None` for all.
fn indexes(core: &Core, request: &Request) -> Result<Option<Vec<String>>, ApiError> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let body = json_body::object(json_body::json(&extract::json_body(core, request)?)?, &["indexes"])?;
    let wrong = || {
        let found = &body["indexes"];
        let message = format!("Invalid value at `.indexes`: expected names of indexes, but found `{found}`.");
        ApiError::new(Code::BadRequest, message)
    };
    match &body["indexes"] {
        Value::Null => Ok(None),
        Value::Array(names) if !names.is_empty() => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>().ok_or_else(wrong).map(Some)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong())
        }
    }
}

/// `GET /_miroir/backups/{id}`; with `verify=true` its files are hashed and compared with its manifest.
async fn one(core: &Core, request: &Request, id: &str) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["verify"])?;
    let backup = find(core, id).await?;
    let mut view = json!(backup);
    if query.flag("verify", Code::BadRequest)?.unwrap_or(false) {
        let wrong = match backup_files::verify(restore::complete(core, &backup)?).await {
            Ok((_, wrong)) => wrong,
            Err(error) => vec![format!("its manifest cannot be read: {error}")],
        };
        view["verified"] = json!({"intact": wrong.is_empty(), "wrong": wrong});
    }
    Ok(Response::json(StatusCode::OK, view.to_string()))
}

async fn find(core: &Core, id: &str) -> Result<Backup, ApiError> {
    let found = backup::known(&core.shared).await?.into_iter().find(|backup| backup.id == id);
    found.ok_or_else(|| ApiError::new(Code::MiroirBackupNotFound, format!("Backup `{id}` not found.")))
}
