//! The model's interface: one request, answered by a stream of chunks.
//!
//! Invariants: the blocking client runs on a thread of its own, which ends when nobody listens any more. The address
//! is guarded as that of a webhook. Lines and answers are bounded.

use std::{
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use ureq::Agent;

use super::events::failure;
use crate::{
    config::limits,
    state::{core::Core, shared::Shared},
    wire::outbound,
};

/// Models of OpenAI that know no messages of developers.
const OLD_MODELS: [&str; 6] = ["gpt-3.5", "gpt-4", "gpt-4.1", "gpt-4.5", "gpt-4o", "chatgpt-4o"];

/// What comes from the model.
pub(super) enum Said {
    Chunk(Value),
    /// An event about the failure; it is the last.
    Failed(Value),
}

/// Asks the model; what it says comes from the receiver, which closes at its end.
pub(super) fn ask(core: &Core, settings: &Value, asked: &Value) -> mpsc::Receiver<Said> {
    let (told, said) = mpsc::channel(limits::CHAT_PIECES_MAX);
    let shared = Arc::clone(&core.shared);
    let settings = settings.clone();
    let mut body = asked.clone();
    body["stream"] = json!(true);
    if settings["source"] == "openAi" || settings["source"] == "azureOpenAi" {
        body["stream_options"] = json!({"include_usage": true});
    }
    let failed = told.clone();
    let started = std::thread::Builder::new().name("chat".to_owned()).spawn(move || {
        if let Err(event) = stream(&shared, &settings, &body, &told) {
            // Nobody listens to a client that is gone.
            let _ = told.blocking_send(Said::Failed(event));
        }
    });
    if started.is_err() {
        let event = failure("internal", Value::Null, "no thread could be had for the model");
        let _ = failed.try_send(Said::Failed(event));
    }
    said
}

/// The role of the message that begins the conversation.
pub(super) fn first_role(settings: &Value, model: &str) -> &'static str {
    let is_old = || {
        OLD_MODELS
            .iter()
            .any(|old| model.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    match settings["source"].as_str() {
        Some("openAi" | "azureOpenAi") if !is_old() => "developer",
        _ => "system",
    }
}

/// The address of a workspace's model, and the headers that it needs.
fn target(settings: &Value) -> (String, Vec<(&'static str, String)>) {
    let text = |name: &str| settings[name].as_str().map(str::to_owned);
    let base = text("baseUrl").unwrap_or_else(|| match settings["source"].as_str() {
        Some("mistral") => "https://api.mistral.ai/v1".to_owned(),
        _ => "https://api.openai.com/v1".to_owned(),
    });
    let base = base.trim_end_matches('/');
    let key = text("apiKey").unwrap_or_default();
    if settings["source"] == "azureOpenAi" {
        let (deployment, version) =
            (text("deploymentId").unwrap_or_default(), text("apiVersion").unwrap_or_default());
        let url = format!("{base}/openai/deployments/{deployment}/chat/completions?api-version={version}");
        return (url, vec![("api-key", key)]);
    }
    let mut headers = vec![("authorization", format!("Bearer {key}"))];
    headers.extend(text("orgId").map(|id| ("openai-organization", id)));
    headers.extend(text("projectId").map(|id| ("openai-project", id)));
    (format!("{base}/chat/completions"), headers)
}

/// Reads the stream to its end, or until nobody listens.
fn stream(shared: &Shared, settings: &Value, body: &Value, told: &mpsc::Sender<Said>) -> Result<(), Value> {
    let agent: Agent = outbound::agent(&shared.config.allowed_ip_networks, limits::CHAT_MODEL_TIMEOUT);
    let (url, headers) = target(settings);
    let mut request = agent.post(&url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let unreachable = |error: &dyn std::fmt::Display| {
        failure(
            "internal",
            json!("remote_could_not_send_request"),
            &format!("The model cannot be reached: {error}"),
        )
    };
    let mut answer = request.send(body.to_string()).map_err(|error| unreachable(&error))?;
    let status = answer.status().as_u16();
    if !(200..300).contains(&status) {
        let text = answer.body_mut().with_config().limit(limits::CHAT_LINE_BYTES_MAX).read_to_string();
        let said = serde_json::from_str::<Value>(&text.unwrap_or_default()).unwrap_or_default();
        let error = if said["error"].is_object() { &said["error"] } else { &said };
        let message = error["message"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
        return Err(failure(error["type"].as_str().unwrap_or("error"), error["code"].clone(), &message));
    }
    let mut lines = BufReader::new(answer.body_mut().as_reader());
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(limits::CHAT_LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| unreachable(&error))? == 0 {
            return Ok(());
        }
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
        if data == b"[DONE]" {
            return Ok(());
        }
        let chunk = serde_json::from_slice(data).map_err(|error| {
            failure("internal", Value::Null, &format!("The model's answer is unreadable: {error}"))
        })?;
        if told.blocking_send(Said::Chunk(chunk)).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_address_and_its_headers() {
        let of = |settings: Value| target(&settings);
        let (url, headers) = of(json!({"source": "openAi", "apiKey": "k", "orgId": "o"}));
        assert_eq!(url, "https://api.openai.com/v1/chat/completions");
        assert_eq!(headers[0].1, "Bearer k");
        assert_eq!(headers[1], ("openai-organization", "o".to_owned()));
        assert_eq!(of(json!({"source": "mistral"})).0, "https://api.mistral.ai/v1/chat/completions");
        assert_eq!(
            of(json!({"source": "vLlm", "baseUrl": "http://h/v1/"})).0,
            "http://h/v1/chat/completions"
        );
        let azure = json!({"source": "azureOpenAi", "baseUrl": "https://a", "deploymentId": "d", "apiVersion": "v", "apiKey": "k"});
        let (url, headers) = of(azure);
        assert_eq!(url, "https://a/openai/deployments/d/chat/completions?api-version=v");
        assert_eq!(headers, [("api-key", "k".to_owned())]);
    }

    #[test]
    fn new_models_have_developers() {
        let role = |source: &str, model: &str| first_role(&json!({"source": source}), model);
        assert_eq!(role("openAi", "gpt-4o-mini"), "system");
        assert_eq!(role("openAi", "gpt-5"), "developer");
        assert_eq!(role("openAi", "o3-mini"), "developer");
        assert_eq!(role("mistral", "o3-mini"), "system");
    }
}
