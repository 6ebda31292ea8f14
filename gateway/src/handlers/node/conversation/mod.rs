//! `POST /chats/{workspace}/chat/completions`: the gateway holds the conversation with the model, and searches for it
//! over the whole cluster.
//!
//! Invariants: every search passes the client's own rights. The rounds of a conversation are bounded, and a client
//! that leaves ends it. The model's key is never shown. Source: the events that Meilisearch 1.50 streams.

mod events;
mod model;
mod tool;

use std::{collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    api::{
        chat::WORKSPACES,
        error::{ApiError, Code},
    },
    auth::{Action, Permission},
    clock,
    config::limits,
    handlers::{
        keys,
        node::{CHATS, check_feature},
    },
    state::core::Core,
    wire::{
        h1::{Pieces, Request, Response},
        runtime,
    },
};

use events::{Sink, Wanted};
use model::Said;
use tool::Searches;

const SEARCH: &str = "_meiliSearchInIndex";

/// Checks a request and begins its conversation.
pub(super) async fn complete(
    core: &Rc<Core>,
    request: &Request,
    permission: &Permission,
    workspace: &str,
) -> Result<Response, ApiError> {
    let mut asked = keys::json_value(core, request)?;
    check_feature(core, &CHATS, "using the /chats chat completions route").await?;
    if !asked["messages"].is_array() || !asked["model"].is_string() {
        let message = "Invalid body: a `model` and an array of `messages` are needed.";
        return Err(ApiError::new(Code::BadRequest, message));
    }
    if let Some(count) = asked["n"].as_u64().filter(|count| *count != 1) {
        let message =
            format!("You tried to specify n = {count} but only single choices are supported (n = 1).");
        return Err(ApiError::new(Code::UnimplementedMultiChoiceChatCompletions, message));
    }
    if asked["stream"] != true {
        let message = "Non-streamed chat completions is not implemented";
        return Err(ApiError::new(Code::UnimplementedNonStreamingChatCompletions, message));
    }
    let Some(record) = core.shared.store.record(WORKSPACES, workspace).await? else {
        return Err(ApiError::new(Code::ChatNotFound, format!("Chat `{workspace}` not found")));
    };
    let settings = record.value;
    let wanted = Wanted::take(&mut asked)?;
    let searches = Searches { permission: search_permission(core, request, permission) };
    tool::describe(core, permission, &settings, &mut asked).await?;
    let (sender, pieces) = mpsc::channel::<Bytes>(limits::CHAT_PIECES_MAX);
    let sink = Sink::new(sender, wanted);
    let core = Rc::clone(core);
    runtime::spawn(async move {
        // An end before the last event means that the client is gone.
        let _ = hold(&core, &settings, asked, &searches, &sink).await;
    });
    Ok(Response {
        content_type: Some("text/event-stream"),
        pieces: Some(Pieces::new(pieces)),
        ..Response::empty(StatusCode::OK)
    }
    .with_header("x-accel-buffering", "no"))
}

/// What the client may search with its key, as on the search routes; `None` where its key may not search.
fn search_permission(core: &Core, request: &Request, permission: &Permission) -> Option<Permission> {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match core.shared.config.master_key {
        None => Some(permission.clone()),
        Some(_) => core.shared.keys.load().authorize(token, Action::Search, None, clock::utc()).ok(),
    }
}

/// The client is gone.
struct Gone;

/// Asks the model in rounds, until it wants no more searches.
async fn hold(
    core: &Rc<Core>,
    settings: &Value,
    mut asked: Value,
    searches: &Searches,
    sink: &Sink,
) -> Result<(), Gone> {
    sink.begin().await?;
    for _ in 0..limits::CHAT_ROUNDS_MAX {
        if !round(core, settings, &mut asked, searches, sink).await? {
            break;
        }
    }
    sink.end().await
}

/// One answer of the model; gives whether it asks for more.
async fn round(
    core: &Rc<Core>,
    settings: &Value,
    asked: &mut Value,
    searches: &Searches,
    sink: &Sink,
) -> Result<bool, Gone> {
    let mut said = model::ask(core, settings, asked);
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    let mut finish = Value::Null;
    while let Some(said) = said.recv().await {
        let chunk = match said {
            Said::Chunk(chunk) => chunk,
            Said::Failed(error) => {
                sink.error(&error).await?;
                return Ok(false);
            }
        };
        let choice = &chunk["choices"][0];
        if choice.is_null() {
            // The last chunk tells what was used, and nothing else.
            break;
        }
        finish = choice["finish_reason"].clone();
        match choice["delta"]["tool_calls"].as_array().filter(|calls| !calls.is_empty()) {
            Some(parts) => parts.iter().for_each(|part| note(&mut calls, part)),
            None if calls.is_empty() => sink.forward(&chunk).await?,
            None => {
                let calls = std::mem::take(&mut calls).into_values().collect::<Vec<_>>();
                answer(core, asked, &chunk, calls, searches, sink).await?;
            }
        }
    }
    if finish == "tool_calls" && !calls.is_empty() {
        // The last part of a call was the last of the stream.
        let calls = calls.into_values().collect::<Vec<_>>();
        answer(core, asked, &json!({"choices": [{}]}), calls, searches, sink).await?;
    }
    Ok(finish == "tool_calls")
}

/// A search that the model asks for.
struct Call {
    id: String,
    arguments: String,
}

/// Adds a part of a call; calls of other functions are left out.
fn note(calls: &mut BTreeMap<u64, Call>, part: &Value) {
    let index = part["index"].as_u64().unwrap_or(0);
    let arguments = part["function"]["arguments"].as_str().unwrap_or_default();
    let has_room = calls.len() < limits::CHAT_CALLS_MAX;
    match calls.get_mut(&index) {
        Some(call) if call.arguments.len() + arguments.len() <= limits::CHAT_ARGUMENTS_BYTES_MAX => {
            call.arguments.push_str(arguments);
        }
        Some(_) => {}
        None if part["function"]["name"] == SEARCH && has_room => {
            let id = part["id"].as_str().unwrap_or_default().to_owned();
            calls.insert(index, Call { id, arguments: arguments.to_owned() });
        }
        None => {}
    }
}

/// Performs the searches of one answer and adds what they found to the conversation.
async fn answer(
    core: &Rc<Core>,
    asked: &mut Value,
    chunk: &Value,
    calls: Vec<Call>,
    searches: &Searches,
    sink: &Sink,
) -> Result<(), Gone> {
    let named = |call: &Call| json!({"id": call.id, "type": "function", "function": {"name": SEARCH, "arguments": call.arguments}});
    let list = calls.iter().map(named).collect::<Vec<_>>();
    push(asked, json!({"role": "assistant", "tool_calls": list}));
    for call in &calls {
        sink.progress(chunk, &call.id, SEARCH, &call.arguments).await?;
        sink.append(chunk, &json!({"role": "assistant", "tool_calls": [named(call)]})).await?;
        let found = searches.run(core, &call.arguments).await;
        if let Some(documents) = &found.documents {
            sink.sources(chunk, &call.id, documents).await?;
        }
        let message = json!({"role": "tool", "content": found.text, "tool_call_id": call.id});
        sink.append(chunk, &message).await?;
        push(asked, message);
        if let Some(error) = found.error {
            sink.error(&events::of_search(error)).await?;
        }
    }
    Ok(())
}

fn push(asked: &mut Value, message: Value) {
    if let Some(messages) = asked["messages"].as_array_mut() {
        messages.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_calls_are_put_together_by_their_number() {
        let mut calls = BTreeMap::new();
        let part = |index: u64, name: Option<&str>, arguments: &str| json!({"index": index, "id": name.map(|_| "c"), "function": {"name": name, "arguments": arguments}});
        note(&mut calls, &part(0, Some(SEARCH), "{\"q\""));
        note(&mut calls, &part(1, Some(SEARCH), "{}"));
        note(&mut calls, &part(2, Some("other"), "{}"));
        note(&mut calls, &part(0, None, ":1}"));
        note(&mut calls, &part(2, None, "x"));
        let all = calls.values().map(|call| call.arguments.as_str()).collect::<Vec<_>>();
        assert_eq!(all, ["{\"q\":1}", "{}"]);
        let long = "x".repeat(limits::CHAT_ARGUMENTS_BYTES_MAX);
        note(&mut calls, &part(1, None, &long));
        assert_eq!(calls[&1].arguments, "{}", "what is too long is not taken");
    }
}
