//! Settings of chats: those of a workspace, and those that tell how an index is searched in a conversation.
//!
//! Invariant: what was read has the members of Meilisearch's settings and no others, each of its type. The default
//! prompts are the gateway's own words. Source: Meilisearch's chat routes, 1.15 to 1.50.

#![allow(clippy::wildcard_enum_match_arm, reason = "every other type of JSON is wrong in the same way")]

use serde_json::{Map, Value, json};
use store::Table;

use crate::api::{
    error::{ApiError, Code},
    http::json_body::{object, wrong_type},
};

/// The table of workspaces, by uid; the value is the settings.
pub const WORKSPACES: Table = Table::named("chat_workspaces");

/// The companies and programs whose interface a workspace may use.
pub const SOURCES: [&str; 4] = ["openAi", "mistral", "azureOpenAi", "vLlm"];
/// Bytes of one text in a workspace's settings.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Members of a workspace that are texts or absent, with the code for another type.
const TEXTS: [(&str, Code); 6] = [
    ("orgId", Code::InvalidChatCompletionOrgId),
    ("projectId", Code::InvalidChatCompletionProjectId),
    ("apiVersion", Code::InvalidChatCompletionApiVersion),
    ("deploymentId", Code::InvalidChatCompletionDeploymentId),
    ("baseUrl", Code::InvalidChatCompletionBaseApi),
    ("apiKey", Code::InvalidChatCompletionApiKey),
];

/// The prompts, with the code for another type and the default.
const PROMPTS: [(&str, Code, &str); 5] = [
    (
        "system",
        Code::InvalidChatCompletionSystemPrompt,
        "You answer questions with the help of a search tool. Search before you answer, several times and with \
         different words where one search is not enough; say shortly what you are about to search for. Answer from \
         what the searches found, and say so when they found nothing.",
    ),
    (
        "searchDescription",
        Code::InvalidChatCompletionSearchDescriptionPrompt,
        "Searches one index for JSON documents by words and a filter. These are the indexes and what they hold:",
    ),
    (
        "searchQParam",
        Code::InvalidChatCompletionSearchQueryParamPrompt,
        "The words to search for: a few keywords, as one types them into a search box. Empty words find everything \
         that the filter lets pass.",
    ),
    (
        "searchFilterParam",
        Code::InvalidChatCompletionSearchFilterParamPrompt,
        "A filter on attributes, such as `kind = book AND year >= 2000`, with `=`, `!=`, `<`, `<=`, `>`, `>=`, `IN \
         [..]`, `EXISTS`, `AND`, `OR`, `NOT` and parentheses; an empty text is no filter. Only these attributes can \
         be filtered by, and these are some of their values:",
    ),
    (
        "searchIndexUidParam",
        Code::InvalidChatCompletionSearchIndexUidParamPrompt,
        "The name of the index to search in: the one whose description fits the question best.",
    ),
];

/// What the default template of documents renders, in Meilisearch's notation.
pub const TEMPLATE_DEFAULT: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";
/// Bytes of a rendered document.
pub const TEMPLATE_BYTES_DEFAULT: u64 = 400;

/// The settings of a new workspace.
#[must_use]
pub fn workspace_default() -> Value {
    let mut settings = json!({"source": SOURCES[0]});
    for (name, _) in TEXTS {
        settings[name] = Value::Null;
    }
    settings["prompts"] = prompts_default();
    settings
}

fn prompts_default() -> Value {
    PROMPTS.iter().map(|(name, _, text)| ((*name).to_owned(), json!(text))).collect()
}

/// The settings of a workspace after a change; a null resets a member.
///
/// # Errors
/// 400 that names the member that is wrong.
pub fn workspace_after(mut settings: Value, patch: Value) -> Result<Value, ApiError> {
    let known =
        ["source", "orgId", "projectId", "apiVersion", "deploymentId", "baseUrl", "apiKey", "prompts"];
    let patch = object(patch, &known)?;
    for (name, value) in patch.as_object().into_iter().flatten() {
        settings[name.as_str()] = match name.as_str() {
            "source" => source(value)?,
            "prompts" => prompts(settings["prompts"].take(), value)?,
            _ => {
                let code =
                    TEXTS.iter().find(|(known, _)| known == name).map_or(Code::BadRequest, |known| known.1);
                text(value, &format!(".{name}"), code)?
            }
        };
    }
    let lacks = |names: &[&str]| names.iter().any(|name| settings[*name].is_null());
    if settings["source"] == "azureOpenAi" && lacks(&["baseUrl", "deploymentId", "apiVersion"]) {
        let message = "azureOpenAi requires setting a valid `baseUrl`, `deploymentId`, and `apiVersion`";
        return Err(ApiError::new(Code::BadRequest, message));
    }
    if settings["source"] == "vLlm" && lacks(&["baseUrl"]) {
        return Err(ApiError::new(Code::BadRequest, "vLlm requires setting a valid `baseUrl`"));
    }
    Ok(settings)
}

fn source(value: &Value) -> Result<Value, ApiError> {
    match value {
        Value::Null => Ok(json!(SOURCES[0])),
        Value::String(name) if SOURCES.contains(&name.as_str()) => Ok(value.clone()),
        Value::String(name) => {
            let list = SOURCES.map(|name| format!("`{name}`")).join(", ");
            let message = format!("Unknown value `{name}` at `.source`: expected one of {list}");
            Err(ApiError::new(Code::BadRequest, message))
        }
        other => Err(wrong_type(".source", "a string", Code::BadRequest, other)),
    }
}

fn text(value: &Value, place: &str, code: Code) -> Result<Value, ApiError> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::String(text) if text.len() <= TEXT_BYTES_MAX => Ok(value.clone()),
        Value::String(_) => Err(ApiError::new(
            code,
            format!("Invalid value at `{place}`: it has over {TEXT_BYTES_MAX} bytes"),
        )),
        other => Err(wrong_type(place, "a string", code, other)),
    }
}

fn prompts(before: Value, patch: &Value) -> Result<Value, ApiError> {
    if patch.is_null() {
        return Ok(prompts_default());
    }
    if !patch.is_object() {
        return Err(wrong_type(".prompts", "an object", Code::BadRequest, patch));
    }
    let names = PROMPTS.map(|(name, _, _)| name);
    let patch = object(patch.clone(), &names).map_err(|error| error.inside(".prompts"))?;
    let mut prompts = before;
    for (name, code, default) in PROMPTS {
        let Some(value) = patch.get(name) else { continue };
        prompts[name] = match text(value, &format!(".prompts.{name}"), code)? {
            Value::Null => json!(default),
            given => given,
        };
    }
    Ok(prompts)
}

/// Checks the setting `chat` of an index.
///
/// # Errors
/// 400 `invalid_settings_index_chat` that names the member that is wrong.
pub fn check_index_chat(value: &Value) -> Result<(), ApiError> {
    const CODE: Code = Code::InvalidSettingsIndexChat;
    let known = ["description", "documentTemplate", "documentTemplateMaxBytes", "searchParameters"];
    let Some(members) = members(value, ".chat", &known)? else { return Ok(()) };
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let place = format!(".chat.{name}");
        match name.as_str() {
            "documentTemplateMaxBytes" if value.as_u64().is_some_and(|bytes| bytes > 0) => {}
            "documentTemplateMaxBytes" => return Err(wrong_type(&place, "a positive integer", CODE, value)),
            "searchParameters" => check_parameters(value)?,
            _ => drop(text(value, &place, CODE)?),
        }
    }
    Ok(())
}

fn check_parameters(value: &Value) -> Result<(), ApiError> {
    const CODE: Code = Code::InvalidSettingsIndexChat;
    let known = [
        "hybrid",
        "limit",
        "sort",
        "distinct",
        "matchingStrategy",
        "attributesToSearchOn",
        "rankingScoreThreshold",
    ];
    let Some(found) = members(value, ".chat.searchParameters", &known)? else { return Ok(()) };
    let is_share = |value: &Value| value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share));
    let are_texts = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    for (name, value) in found.iter().filter(|(_, value)| !value.is_null()) {
        let (is_right, wanted) = match name.as_str() {
            "limit" => (value.is_u64(), "a positive integer"),
            "sort" | "attributesToSearchOn" => (are_texts(value), "an array of strings"),
            "distinct" => (value.is_string(), "a string"),
            "matchingStrategy" => (
                ["last", "all", "frequency"].iter().any(|known| value == known),
                "one of `last`, `all`, `frequency`",
            ),
            "rankingScoreThreshold" => (is_share(value), "a number between `0.0` and `1.0`"),
            _ => {
                let hybrid = members(value, ".chat.searchParameters.hybrid", &["embedder", "semanticRatio"])?;
                let is_right = hybrid.is_some_and(|hybrid| {
                    let ratio = hybrid.get("semanticRatio").filter(|ratio| !ratio.is_null());
                    hybrid.get("embedder").is_some_and(Value::is_string) && ratio.is_none_or(is_share)
                });
                (is_right, "an object with an `embedder` and a `semanticRatio` between `0.0` and `1.0`")
            }
        };
        if !is_right {
            return Err(wrong_type(&format!(".chat.searchParameters.{name}"), wanted, CODE, value));
        }
    }
    Ok(())
}

/// The members of an object that has no others than those known; `None` for a null.
fn members<'v>(
    value: &'v Value,
    place: &str,
    known: &[&str],
) -> Result<Option<&'v Map<String, Value>>, ApiError> {
    const CODE: Code = Code::InvalidSettingsIndexChat;
    let members = match value {
        Value::Null => return Ok(None),
        Value::Object(members) => members,
        other => return Err(wrong_type(place, "an object", CODE, other)),
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(Some(members)),
        Some(name) => {
            let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let message = format!("Unknown field `{name}` inside `{place}`: expected one of {list}");
            Err(ApiError::new(CODE, message))
        }
    }
}

/// The setting `chat` of an index as it is shown: what the client set, and defaults for the rest.
#[must_use]
pub fn shown_index_chat(set: &Value) -> Value {
    let or = |name: &str, default: Value| match set.get(name) {
        Some(value) if !value.is_null() => value.clone(),
        _ => default,
    };
    json!({
        "description": or("description", json!("")),
        "documentTemplate": or("documentTemplate", json!(TEMPLATE_DEFAULT)),
        "documentTemplateMaxBytes": or("documentTemplateMaxBytes", json!(TEMPLATE_BYTES_DEFAULT)),
        "searchParameters": or("searchParameters", json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_changed_member_by_member() {
        let first = json!({"apiKey": "secret", "prompts": {"system": "Be short."}});
        let settings = workspace_after(workspace_default(), first).unwrap();
        assert_eq!((&settings["source"], &settings["apiKey"]), (&json!("openAi"), &json!("secret")));
        let second = json!({"source": "vLlm", "baseUrl": "http://x", "apiKey": null, "prompts": {"searchQParam": "q"}});
        let settings = workspace_after(settings, second).unwrap();
        assert_eq!(
            (&settings["apiKey"], &settings["prompts"]["system"]),
            (&Value::Null, &json!("Be short."))
        );
        assert_eq!(settings["prompts"]["searchQParam"], "q");
        let settings = workspace_after(settings, json!({"prompts": null, "source": null})).unwrap();
        assert_eq!(settings["prompts"], workspace_default()["prompts"]);
    }

    #[test]
    fn what_is_wrong_with_a_workspace_is_named() {
        for (patch, code, word) in [
            (json!([]), Code::BadRequest, "object"),
            (json!({"model": "x"}), Code::BadRequest, "`model`"),
            (json!({"source": "other"}), Code::BadRequest, "`other`"),
            (json!({"source": 1}), Code::BadRequest, ".source"),
            (json!({"apiKey": 1}), Code::InvalidChatCompletionApiKey, ".apiKey"),
            (json!({"baseUrl": []}), Code::InvalidChatCompletionBaseApi, ".baseUrl"),
            (json!({"prompts": {"system": 1}}), Code::InvalidChatCompletionSystemPrompt, ".prompts.system"),
            (json!({"prompts": {"pre": 1}}), Code::BadRequest, "`pre`"),
            (json!({"prompts": 1}), Code::BadRequest, ".prompts"),
            (json!({"source": "vLlm"}), Code::BadRequest, "baseUrl"),
            (json!({"source": "azureOpenAi", "baseUrl": "x"}), Code::BadRequest, "deploymentId"),
        ] {
            let error = workspace_after(workspace_default(), patch.clone()).unwrap_err();
            assert_eq!(error.code(), Some(code), "{patch}");
            let message = error.into_task_error().message;
            assert!(message.contains(word), "{patch}: {message}");
        }
    }

    #[test]
    fn the_setting_of_an_index_is_checked() {
        for good in [
            json!(null),
            json!({}),
            json!({"description": "films", "documentTemplateMaxBytes": 10, "searchParameters": null}),
            json!({"searchParameters": {"limit": 3, "sort": ["a:asc"], "matchingStrategy": "all", "distinct": "b"}}),
            json!({"searchParameters": {"hybrid": {"embedder": "e"}, "rankingScoreThreshold": 0.5}}),
        ] {
            assert!(check_index_chat(&good).is_ok(), "{good}");
        }
        for bad in [
            json!([]),
            json!({"other": 1}),
            json!({"description": 1}),
            json!({"documentTemplateMaxBytes": 0}),
            json!({"searchParameters": []}),
            json!({"searchParameters": {"q": "x"}}),
            json!({"searchParameters": {"limit": -1}}),
            json!({"searchParameters": {"sort": "a"}}),
            json!({"searchParameters": {"matchingStrategy": "some"}}),
            json!({"searchParameters": {"hybrid": {}}}),
            json!({"searchParameters": {"hybrid": {"embedder": "e", "semanticRatio": 2}}}),
        ] {
            let code = check_index_chat(&bad).unwrap_err().code();
            assert_eq!(code, Some(Code::InvalidSettingsIndexChat), "{bad}");
        }
        assert_eq!(shown_index_chat(&Value::Null)["documentTemplateMaxBytes"], 400);
        assert_eq!(shown_index_chat(&json!({"description": "x"}))["description"], "x");
    }
}
