//! `/_miroir/operations`: what takes long, followed and steered.

use http::StatusCode;
use serde_json::json;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    clock,
    config::limits,
    membership::rebalance::{
        operation::{Event, Operation},
        queue::{self, QueueError},
    },
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

const LISTED_DEFAULT: usize = 20;

pub(crate) async fn serve(
    shared: &Shared,
    request: &Request,
    asked: OperationsRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        OperationsRoute::List => list(shared, request).await,
        OperationsRoute::One(number) => {
            let operation = queue::one(shared, parse(number)?).await.map_err(error_of)?;
            Ok(answer(StatusCode::OK, &operation))
        }
        OperationsRoute::Ask(number, wish) => {
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
    let mut operations = queue::all(shared).await.map_err(error_of)?;
    operations.reverse();
    let status_of = |operation: &Operation| json!(operation.status);
    operations.retain(|operation| {
        from.is_none_or(|from| operation.operation <= from)
            && query.get("kind").is_none_or(|kind| kind == operation.kind())
            && query.get("status").is_none_or(|status| status_of(operation) == status)
    });
    let total = operations.len();
    let now = clock::utc();
    let next = operations.get(limit).map(|operation| operation.operation);
    let results = operations.iter().take(limit).map(|operation| operation.view(now)).collect::<Vec<_>>();
    let body = json!({"results": results, "total": total, "limit": limit, "from": from, "next": next});
    Ok(Response::json(StatusCode::OK, body.to_string()))
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
