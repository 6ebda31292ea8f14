//! What a conversation streams to its client: the model's own chunks, and chunks about searches where the client asks
//! for them with functions of these names.
//!
//! Invariant: a piece is one event. Functions that are only for the client are never shown to the model.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Gone, SEARCH};
use crate::api::error::{ApiError, Code};

const PROGRESS: &str = "_meiliSearchProgress";
const SOURCES: &str = "_meiliSearchSources";
const APPEND: &str = "_meiliAppendConversationMessage";

/// What a client wants to hear beside the model's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    progress: bool,
    sources: bool,
    appended: bool,
}

impl Wanted {
    /// Takes the functions that are for the client out of a request.
    ///
    /// # Errors
    /// 400 for the gateway's own function, 501 for a function that it cannot call.
    pub(super) fn take(asked: &mut Value) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        let Some(tools) = asked["tools"].as_array() else { return Ok(wanted) };
        for tool in tools {
            match tool["function"]["name"].as_str().unwrap_or_default() {
                PROGRESS => wanted.progress = true,
                SOURCES => wanted.sources = true,
                APPEND => wanted.appended = true,
                SEARCH => {
                    let message = format!("{SEARCH} function is already defined.");
                    return Err(ApiError::new(Code::BadRequest, message));
                }
                other => {
                    let message = format!("{other}: External functions are not supported yet.");
                    return Err(ApiError::new(Code::UnimplementedExternalFunctionCalling, message));
                }
            }
        }
        asked["tools"] = json!([]);
        Ok(wanted)
    }
}

/// Sends events to a client.
pub(super) struct Sink {
    pieces: mpsc::Sender<Bytes>,
    wanted: Wanted,
}

impl Sink {
    pub(super) fn new(pieces: mpsc::Sender<Bytes>, wanted: Wanted) -> Self {
        Self { pieces, wanted }
    }

    /// How long a client waits before it asks again.
    pub(super) async fn begin(&self) -> Result<(), Gone> {
        self.send("retry: 10000\n\n".to_owned()).await
    }

    pub(super) async fn end(&self) -> Result<(), Gone> {
        self.send("data: [DONE]\n\n".to_owned()).await
    }

    pub(super) async fn forward(&self, chunk: &Value) -> Result<(), Gone> {
        self.send(format!("data: {chunk}\n\n")).await
    }

    pub(super) async fn error(&self, error: &Value) -> Result<(), Gone> {
        self.forward(error).await
    }

    /// A search begins.
    pub(super) async fn progress(
        &self,
        chunk: &Value,
        call: &str,
        name: &str,
        arguments: &str,
    ) -> Result<(), Gone> {
        let about = json!({"call_id": call, "function_name": name, "function_arguments": arguments});
        self.tell(self.wanted.progress, chunk, PROGRESS, &about).await
    }

    /// A search found these documents.
    pub(super) async fn sources(&self, chunk: &Value, call: &str, documents: &[Value]) -> Result<(), Gone> {
        let about = json!({"call_id": call, "sources": documents});
        self.tell(self.wanted.sources, chunk, SOURCES, &about).await
    }

    /// A message was added to the conversation, which the client has to send along the next time.
    pub(super) async fn append(&self, chunk: &Value, message: &Value) -> Result<(), Gone> {
        self.tell(self.wanted.appended, chunk, APPEND, message).await
    }

    /// A chunk like the model's last, in which a function of the client's is called.
    async fn tell(&self, is_wanted: bool, chunk: &Value, name: &str, arguments: &Value) -> Result<(), Gone> {
        if !is_wanted {
            return Ok(());
        }
        let call = json!({
            "index": 0,
            "id": Uuid::new_v4().to_string(),
            "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()},
        });
        let mut told = chunk.clone();
        told["choices"] = json!([{
            "index": 0,
            "delta": {
                "content": null, "function_call": null, "tool_calls": [call], "role": "assistant", "refusal": null,
            },
            "finish_reason": null,
            "logprobs": null,
        }]);
        self.forward(&told).await
    }

    async fn send(&self, event: String) -> Result<(), Gone> {
        self.pieces.send(event.into()).await.map_err(|_| Gone)
    }
}

/// An event about an error, in the form that clients of models know.
pub(super) fn failure(kind: &str, code: Value, message: &str) -> Value {
    json!({
        "event_id": Uuid::new_v4().to_string(),
        "type": "error",
        "error": {"type": kind, "code": code, "message": message, "param": null, "event_id": null},
    })
}

/// An event about a search that failed.
pub(super) fn of_search(error: ApiError) -> Value {
    let error = error.into_task_error();
    failure(&error.kind, json!(error.code), &error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_for_the_client_are_not_shown_to_the_model() {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let mut asked = json!({"tools": [tool(PROGRESS), tool(SOURCES)]});
        let wanted = Wanted::take(&mut asked).unwrap();
        assert_eq!(wanted, Wanted { progress: true, sources: true, appended: false });
        assert_eq!(asked["tools"], json!([]));
        assert_eq!(Wanted::take(&mut json!({})).unwrap(), Wanted::default());
        let refused = |name: &str| Wanted::take(&mut json!({"tools": [tool(name)]})).unwrap_err().code();
        assert_eq!(refused(SEARCH), Some(Code::BadRequest));
        assert_eq!(refused("weather"), Some(Code::UnimplementedExternalFunctionCalling));
    }
}
