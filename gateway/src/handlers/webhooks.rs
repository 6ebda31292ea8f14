//! Webhooks: list, create, change, delete. The gateway owns them, since they tell of its tasks.
//!
//! Invariants: one record holds all of them, so that each change builds on the one before. A change is durable before
//! any core knows of it. `events::webhook_delivery` tells webhooks of tasks.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use store::{Change, StoreError, TaskQuery, Versioned};
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        webhook::{self, Webhook, WebhookChange, Webhooks},
    },
    auth::Action,
    config::limits,
    handlers::keys,
    state::{
        core::Core,
        shared::{WEBHOOKS, WEBHOOKS_KEY, WEBHOOKS_TOLD_KEY},
    },
    wire::h1::{Request, Response},
};

/// A route about webhooks; a text is a webhook's uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhooksRoute<'a> {
    List,
    Create,
    One(&'a str),
    Update(&'a str),
    Delete(&'a str),
}

impl WebhooksRoute<'_> {
    /// The right that it needs.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::List | Self::One(_) => Action::WebhooksGet,
            Self::Create => Action::WebhooksCreate,
            Self::Update(_) => Action::WebhooksUpdate,
            Self::Delete(_) => Action::WebhooksDelete,
        }
    }
}

/// Serves a route about webhooks.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    route: WebhooksRoute<'_>,
) -> Result<Response, ApiError> {
    match route {
        WebhooksRoute::List => Ok(list(core)),
        WebhooksRoute::Create => create(core, request).await,
        WebhooksRoute::One(uuid) => get(core, uuid),
        WebhooksRoute::Update(uuid) => update(core, request, uuid).await,
        WebhooksRoute::Delete(uuid) => delete(core, uuid).await,
    }
}

/// `GET /webhooks`.
fn list(core: &Core) -> Response {
    let webhooks = core.shared.webhooks.load();
    let views =
        webhooks.value.iter().map(|(uuid, webhook)| webhook::view(*uuid, webhook)).collect::<Vec<_>>();
    Response::json(StatusCode::OK, json!({"results": views}).to_string())
}

/// `GET /webhooks/{uuid}`.
fn get(core: &Core, uuid: &str) -> Result<Response, ApiError> {
    let uuid = parse_uuid(uuid)?;
    let webhooks = core.shared.webhooks.load();
    let found = webhooks.value.get(&uuid).ok_or_else(|| not_found(uuid))?;
    Ok(shown(StatusCode::OK, uuid, found))
}

/// `POST /webhooks`.
async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let wanted = WebhookChange::parse(keys::json_value(core, request)?)?;
    let uuid = Uuid::new_v4();
    let made = wanted.into_new(uuid)?;
    change(core, |webhooks| {
        if webhooks.len() >= limits::WEBHOOKS_MAX {
            let message = format!(
                "Defining too many webhooks would crush the server. Please limit the number of webhooks to {}. You may use a third-party proxy server to dispatch events to more than {} endpoints.",
                limits::WEBHOOKS_MAX,
                limits::WEBHOOKS_MAX
            );
            return Err(ApiError::new(Code::InvalidWebhooks, message));
        }
        webhooks.insert(uuid, made.clone());
        Ok(())
    })
    .await?;
    Ok(shown(StatusCode::CREATED, uuid, &made))
}

/// `PATCH /webhooks/{uuid}`.
async fn update(core: &Core, request: &Request, uuid: &str) -> Result<Response, ApiError> {
    let wanted = WebhookChange::parse(keys::json_value(core, request)?)?;
    let uuid = editable(uuid)?;
    let after = change(core, |webhooks| {
        let after = wanted.apply(uuid, webhooks.get(&uuid).ok_or_else(|| not_found(uuid))?)?;
        webhooks.insert(uuid, after.clone());
        Ok(after)
    })
    .await?;
    Ok(shown(StatusCode::OK, uuid, &after))
}

/// `DELETE /webhooks/{uuid}`.
async fn delete(core: &Core, uuid: &str) -> Result<Response, ApiError> {
    let uuid = editable(uuid)?;
    change(core, |webhooks| webhooks.remove(&uuid).map(drop).ok_or_else(|| not_found(uuid))).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// Makes a change durable, then visible; repeats it when another client's change came first.
async fn change<T>(core: &Core, apply: impl Fn(&mut Webhooks) -> Result<T, ApiError>) -> Result<T, ApiError> {
    loop {
        let before = core.shared.store.record(WEBHOOKS, WEBHOOKS_KEY).await?;
        let (mut webhooks, revision) = match before {
            Some(record) => (read(record.value)?, Some(record.revision)),
            None => (Webhooks::new(), None),
        };
        let had = !webhooks.is_empty();
        let outcome = apply(&mut webhooks)?;
        let mut changes = vec![Change::PutRecord {
            table: WEBHOOKS,
            key: WEBHOOKS_KEY.to_owned(),
            value: json!(webhooks),
            expected_revision: revision,
        }];
        if had && webhooks.is_empty() {
            changes.push(Change::ForgetRecord { table: WEBHOOKS, key: WEBHOOKS_TOLD_KEY.to_owned() });
        }
        if !had && !webhooks.is_empty() {
            changes.push(begin(core).await?);
        }
        match core.shared.store.commit(changes).await.map(|revisions| revisions[0]) {
            Ok(version) => {
                let changed = Arc::new(Versioned { version, value: webhooks });
                // A later change by another client may be visible already.
                core.shared.webhooks.rcu(|known| match known.version < version {
                    true => Arc::clone(&changed),
                    false => Arc::clone(known),
                });
                return Ok(outcome);
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Begins to tell webhooks of tasks, those included that have not ended yet.
async fn begin(core: &Core) -> Result<Change, ApiError> {
    let newest = core.shared.store.tasks(TaskQuery { limit: 1, ..TaskQuery::default() }).await?.from;
    let unfinished = core.shared.store.unfinished_tasks(1).await?;
    let oldest = unfinished.first().map(|record| record.uid);
    let progress = oldest.or(newest.map(|uid| uid + 1)).unwrap_or(0);
    Ok(Change::PutRecord {
        table: WEBHOOKS,
        key: WEBHOOKS_TOLD_KEY.to_owned(),
        value: json!(progress),
        expected_revision: None,
    })
}

fn read(value: Value) -> Result<Webhooks, ApiError> {
    serde_json::from_value(value)
        .map_err(|_| ApiError::new(Code::Internal, "The stored webhooks cannot be read."))
}

fn shown(status: StatusCode, uuid: Uuid, webhook: &Webhook) -> Response {
    Response::json(status, webhook::view(uuid, webhook).to_string())
}

fn parse_uuid(text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text)
        .map_err(|error| ApiError::new(Code::InvalidWebhookUuid, format!("Invalid UUID: {error}")))
}

/// The nil uuid stands for the webhook of a node's command line, which no client can change.
fn editable(text: &str) -> Result<Uuid, ApiError> {
    match parse_uuid(text)? {
        nil if nil.is_nil() => Err(ApiError::new(
            Code::ImmutableWebhook,
            format!(
                "Webhook `{nil}` is immutable. The webhook defined from the command line cannot be modified using the API."
            ),
        )),
        uuid => Ok(uuid),
    }
}

fn not_found(uuid: Uuid) -> ApiError {
    ApiError::new(Code::WebhookNotFound, format!("Webhook `{uuid}` not found."))
}
