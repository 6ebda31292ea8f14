//! `POST /indexes/{uid}/explain`: the plan of a search, or of each query of a multi-search, and on demand the answer.
//!
//! Invariant: a client that may not search an index learns nothing of how it is searched.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
        search::{multi_search::MultiSearchRequest, request::SearchRequest},
    },
    auth::Permission,
    handlers::{extract, refusal::refusal_of_a_node},
    read::{context::ReadContext, explain::Explained, foreign_keys, search::search_index, trace::Trace},
    state::{core::Core, merged_answer::MergedAnswer, snapshot::Snapshot, tenants},
    wire::h1::{Request, Response},
};

/// `POST /indexes/{uid}/explain`.
pub(crate) async fn explain(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["execute"])?;
    let executes = query.flag("execute", Code::BadRequest)?.unwrap_or(false);
    let body = extract::question(core, request)?;
    let snapshot = core.shared.snapshot();
    let tenant = tenants::name(core, request, permission)?;
    let tenant = tenant.as_deref();
    let explaining = Explaining { core, snapshot: &snapshot, permission, tenant, executes };
    let answer = match MultiSearchRequest::parse(&body) {
        Ok(asked) => explaining.each(core, &asked).await?,
        Err(_) => {
            let index = crate::state::snapshot::find_index(&snapshot, uid)?;
            let Ok(written) = SearchRequest::parse(&body) else {
                return Err(refusal_of_a_node(core, request, index, "/search").await);
            };
            Value::Object(explaining.one(uid, &written).await?)
        }
    };
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

struct Explaining<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    permission: &'a Permission,
    tenant: Option<&'a str>,
    executes: bool,
}

impl Explaining<'_> {
    async fn each(&self, core: &Core, asked: &MultiSearchRequest) -> Result<Value, ApiError> {
        let most = core.edge().multi_search_queries_max;
        if asked.queries.len() > most {
            let reason = format!("A multi-search takes at most {most} queries on this gateway.");
            return Err(ApiError::new(Code::BadRequest, reason).because("too_many_queries"));
        }
        let mut results = Vec::with_capacity(asked.queries.len());
        for (position, query) in asked.queries.iter().enumerate() {
            let body = Bytes::from(query.search_body(&[]));
            let explained = match SearchRequest::parse(&body) {
                Ok(written) => self.one(&query.index_uid, &written).await,
                Err(_) => Err(ApiError::new(
                    Code::BadRequest,
                    "This query cannot be explained: a part of it cannot be spread over the nodes of a cluster.",
                )),
            };
            let mut explained = explained.map_err(|error| error.inside(&format!(".queries[{position}]")))?;
            explained.insert("indexUid".to_owned(), json!(query.index_uid));
            results.push(Value::Object(explained));
        }
        Ok(json!({"results": results}))
    }

    async fn one(&self, uid: &str, written: &SearchRequest<'_>) -> Result<Map<String, Value>, ApiError> {
        let Self { core, snapshot, permission, tenant, .. } = *self;
        let rules = permission.rules_for(uid)?;
        let index = crate::state::snapshot::find_index(snapshot, uid)?;
        let mut asked = written.clone();
        asked.restrict(rules);
        let to_operator = permission.is_operators();
        let explained =
            Explained { core, snapshot, index, name: uid, asked: &asked, written, tenant, to_operator };
        let mut plan = explained.answer()?;
        if self.executes {
            let trace = Trace::default();
            let merged =
                Box::pin(search_index(ReadContext { core, snapshot, index, search: &asked }, Some(&trace)))
                    .await?;
            let merged = foreign_keys::hydrated(core, snapshot, permission, &[uid], merged).await?;
            plan.insert("result".to_owned(), read(&merged)?);
            plan.insert("execution".to_owned(), explained.execution(trace, &merged));
        }
        Ok(plan)
    }
}

fn read(merged: &MergedAnswer) -> Result<Value, ApiError> {
    let unreadable = |_| ApiError::new(Code::Internal, "An answer cannot be read.");
    serde_json::from_slice(&merged.body).map_err(unreadable)
}
