//! Settings routes: read from any node and shown as the client set them, changed on every node.

use http::{Method, StatusCode};
use serde_json::Value;
use store::TaskKind;

use crate::{
    api::{
        chat,
        error::{ApiError, Code},
        settings::{self, CHAT, SETTINGS, SettingsChange},
    },
    auth::Permission,
    handlers::{
        extract, indexes,
        node::{self, CHATS},
        tasks,
    },
    read::ask,
    state::{change::Action, core::Core, snapshot::Index},
    wire::h1::{Request, Response},
    write::lane,
};

/// `GET /indexes/{uid}/settings`.
pub(crate) async fn get(core: &Core, uid: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    // Like a node, shows the setting for conversations while that feature is on.
    let is_chat_shown = node::is_switched(core, &CHATS);
    let mut of_parts = Vec::with_capacity(index.parts());
    for part in (0..index.parts()).map(|part| index.part(part)) {
        let mut value = ask::any_node(core, &format!("/indexes/{}/settings", part.record.node_uid)).await?;
        if let Value::Object(members) = &mut value {
            members.remove(CHAT);
            settings::from_node(members, &part.record.settings, part.rules.tie_break.as_ref());
            if is_chat_shown {
                members.insert(CHAT.to_owned(), chat::shown_index_chat(&part.record.settings[CHAT]));
            }
        }
        of_parts.push(value);
    }
    shown(index, of_parts)
}

/// `GET /indexes/{uid}/settings/{name}`.
pub(crate) async fn get_one(core: &Core, uid: &str, name: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = crate::state::snapshot::find_index(&snapshot, uid)?;
    let member = settings::camel_case(name);
    let mut of_parts = Vec::with_capacity(index.parts());
    for part in (0..index.parts()).map(|part| index.part(part)) {
        if name == CHAT {
            of_parts.push(chat::shown_index_chat(&part.record.settings[CHAT]));
            continue;
        }
        let target = format!("/indexes/{}/settings/{name}", part.record.node_uid);
        let value = ask::any_node(core, &target).await?;
        let tie_break = part.rules.tie_break.as_ref();
        of_parts.push(settings::setting_from_node(&member, value, &part.record.settings, tie_break));
    }
    if let Some(other) = of_parts.iter().position(|value| *value != of_parts[0]) {
        return Err(index.settings_differ(other, &member));
    }
    shown(index, of_parts)
}

/// The settings that all targets of an alias have, or those of a single index.
fn shown(index: &Index, of_parts: Vec<Value>) -> Result<Response, ApiError> {
    if let Some(number) = of_parts.iter().position(|other| *other != of_parts[0]) {
        let mut members = of_parts[number].as_object().into_iter().flatten();
        let differing = members.find(|(name, value)| of_parts[0][name.as_str()] != **value);
        let name = differing.map_or("their settings", |(name, _)| name.as_str());
        return Err(index.settings_differ(number, name));
    }
    let value = of_parts.into_iter().next().unwrap_or_default();
    Ok(Response::json(StatusCode::OK, value.to_string()))
}

/// `PATCH` and `DELETE /indexes/{uid}/settings`.
pub(crate) async fn change(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
) -> Result<Response, ApiError> {
    let change = match request.method == Method::DELETE {
        true => SettingsChange::ResetAll,
        false => {
            let value = parse(&extract::json_body(core, request)?)?;
            let Some(members) = value.as_object() else {
                let message = format!("Invalid value type: expected an object, but found: `{value}`");
                return Err(ApiError::new(Code::BadRequest, message));
            };
            SettingsChange::Whole(members.clone())
        }
    };
    submit(core, request, permission, uid, change).await
}

/// `PUT`, `PATCH` and `DELETE /indexes/{uid}/settings/{name}`.
pub(crate) async fn change_one(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
    name: &str,
) -> Result<Response, ApiError> {
    let value = match request.method == Method::DELETE {
        true => None,
        false => Some(parse(&extract::json_body(core, request)?)?),
    };
    let (name, _) =
        SETTINGS.iter().find(|(known, _)| *known == name).expect("the route names a known setting");
    let change = SettingsChange::One { name, method: request.method.clone(), value };
    submit(core, request, permission, uid, change).await
}

async fn submit(
    core: &Core,
    request: &Request,
    permission: &Permission,
    uid: &str,
    change: SettingsChange,
) -> Result<Response, ApiError> {
    crate::state::snapshot::check_index_uid(uid)?;
    change.check()?;
    if change.chat().is_some_and(|chat| !chat.is_null()) {
        node::check_feature(core, &CHATS, "setting `chat` in the index settings").await?;
    }
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let task = indexes::new_task_as(request, uid, target, TaskKind::SettingsUpdate, change.details());
    let action = Action::ChangeSettings(change);
    let action = match target != uid && snapshot.indexes.contains_key(target) {
        true => action.on_existing(),
        false => action.within(permission, uid),
    };
    let accepted = lane::submit(core, target, task, action).await?;
    Ok(tasks::accepted(accepted))
}

fn parse(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The json payload provided is malformed. `{error}`.");
        ApiError::new(Code::MalformedPayload, message)
    })
}
