//! `/_miroir/operations`: what takes long, followed and steered.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    clock,
    config::limits,
    dump::backup,
    handlers::{data::operations as of_data, management::restore},
    membership::rebalance::{
        operation::{Event, Operation},
        queue::{self, QueueError},
    },
    operations,
    state::{leadership::Term, shared::Shared},
    wire::h1::{Request, Response},
};
// The routes name what an operator asks for.
pub(crate) use crate::membership::rebalance::operation::Wish;

/// What a path below `/_miroir/operations` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationsRoute<'a> {
    List,
    One(&'a str),
    Ask(&'a str, Wish),
}

impl OperationsRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::List => "/_miroir/operations",
            Self::One(_) => "/_miroir/operations/{n}",
            Self::Ask(_, Wish::Pause) => "/_miroir/operations/{n}/pause",
            Self::Ask(_, Wish::Resume) => "/_miroir/operations/{n}/resume",
            Self::Ask(_, Wish::Abort) => "/_miroir/operations/{n}/abort",
            Self::Ask(_, Wish::CutOver) => "/_miroir/operations/{n}/cutover",
        }
    }
}

const LISTED_DEFAULT: usize = 20;

pub(crate) async fn serve(
    shared: &Shared,
    request: &Request,
    asked: OperationsRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        OperationsRoute::List => list(shared, request).await,
        OperationsRoute::One(number) => {
            let number = parse(number)?;
            match queue::one(shared, number).await {
                Ok(operation) => Ok(answer(StatusCode::OK, &operation)),
                Err(QueueError::Unknown(number)) => {
                    let others = others(shared).await?;
                    let other = others.into_iter().find(|other| other["operation"] == number);
                    let other = other.ok_or_else(|| error_of(QueueError::Unknown(number)))?;
                    Ok(Response::json(StatusCode::OK, other.to_string()))
                }
                Err(error) => Err(error_of(error)),
            }
        }
        OperationsRoute::Ask(number, wish) => {
            if let Some(of_data) = of_data::ask(shared, parse(number)?, wish).await? {
                return Ok(Response::json(StatusCode::OK, of_data.view().to_string()));
            }
            // Operators ask whichever pod they reach.
            let event = Event::Asked(wish);
            let operation =
                queue::step(shared, &Term::own(), parse(number)?, event).await.map_err(error_of)?;
            Ok(answer(StatusCode::OK, &operation))
        }
    }
}

async fn list(shared: &Shared, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["status", "kind", "limit", "from"])?;
    let number = |name: &str| match query.get(name) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            ApiError::new(Code::BadRequest, format!("`{name}` is {text:?}; allowed: a whole number"))
        }),
    };
    let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(LISTED_DEFAULT).min(limits::OPERATIONS_MAX);
    let from = number("from")?;
    let now = clock::utc();
    let of_shape = queue::all(shared).await.map_err(error_of)?;
    let mut operations = of_shape.iter().map(|operation| operation.view(now)).collect::<Vec<_>>();
    operations.extend(others(shared).await?);
    operations.sort_by_key(|operation| std::cmp::Reverse(operation["operation"].as_u64()));
    operations.retain(|operation| {
        from.is_none_or(|from| operation["operation"].as_u64() <= Some(from))
            && query.get("kind").is_none_or(|kind| operation["kind"] == kind)
            && query.get("status").is_none_or(|status| operation["status"] == status)
    });
    let total = operations.len();
    let next = operations.get(limit).map(|operation| operation["operation"].clone());
    let results = operations.into_iter().take(limit).collect::<Vec<_>>();
    let body = json!({"results": results, "total": total, "limit": limit, "from": from, "next": next});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Operations that do not change the cluster's shape: backups, restores and those on data, as they are shown.
async fn others(shared: &Shared) -> Result<Vec<Value>, ApiError> {
    let backups = backup::all(shared).await?;
    let mut others = backups.iter().map(|(backup, _)| backup.operation()).collect::<Vec<_>>();
    let restores = restore::all(shared).await?;
    others.extend(restores.iter().map(|restore| restore.view(shared)));
    others.extend(operations::all(shared).await?.iter().map(operations::Operation::view));
    Ok(others)
}

fn parse(number: &str) -> Result<u64, ApiError> {
    number.parse().map_err(|_| {
        ApiError::new(
            Code::MiroirOperationNotFound,
            format!("There is no operation {number:?}: a number names one."),
        )
    })
}

fn answer(status: StatusCode, operation: &Operation) -> Response {
    Response::json(status, operation.view(clock::utc()).to_string())
}

pub(super) fn error_of(error: QueueError) -> ApiError {
    match error {
        QueueError::Store(error) => error.into(),
        QueueError::Unknown(number) => {
            ApiError::new(Code::MiroirOperationNotFound, format!("There is no operation {number}."))
        }
        QueueError::NotNow(reason) => ApiError::new(
            Code::MiroirOperationConflict,
            format!("The operation cannot be asked for that: {reason}."),
        ),
        QueueError::Unreadable(error) => {
            ApiError::new(Code::Internal, format!("A stored operation cannot be read: {error}."))
        }
    }
}
