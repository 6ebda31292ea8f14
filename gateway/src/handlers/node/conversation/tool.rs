//! The search that a model may use: described to it with the indexes and filters that the client may use, run over the
//! cluster, and put into words by each index's template.
//!
//! Invariants: a search has the client's rights and filters. A document is rendered by its index's template, up to its
//! bound in bytes.

use std::fmt::Write as _;

use liquid::model::{Object, Value as Liquid};
use serde_json::{Map, Value, json};

use super::{SEARCH, model::first_role};
use crate::{
    api::{
        chat::shown_index_chat,
        error::{ApiError, Code},
        search::request::SearchRequest,
    },
    auth::{self, Permission},
    config::limits,
    read::{context::ReadContext, search::search_index},
    state::{
        core::Core,
        snapshot::{Index, find_index},
    },
};

/// Adds the first message and the tool to a request.
pub(super) async fn describe(
    core: &Core,
    permission: &Permission,
    settings: &Value,
    asked: &mut Value,
) -> Result<(), ApiError> {
    let prompt = |name: &str| settings["prompts"][name].as_str().unwrap_or_default().to_owned();
    let (mut description, mut filters) = (prompt("searchDescription"), prompt("searchFilterParam"));
    let mut uids = Vec::new();
    let snapshot = core.shared.snapshot();
    for index in snapshot.in_order().into_iter().filter(|index| permission.allows_index(&index.record.uid)) {
        let uid = &index.record.uid;
        let chat = shown_index_chat(&index.record.settings["chat"]);
        let about = chat["description"].as_str().unwrap_or_default();
        // Nothing fails to be written to a text.
        let _ = writeln!(description, "\n\n - {uid}: {about}\n");
        let _ = writeln!(filters, "\n## Facet distributions of the {uid} index");
        let _ = writeln!(filters, "{}", facets(core, permission, index).await);
        uids.push(uid.clone());
    }
    let text = |about: String| json!({"type": "string", "description": about});
    let mut index_uid = text(prompt("searchIndexUidParam"));
    index_uid["enum"] = json!(uids);
    let tool = json!({
        "type": "function",
        "function": {
            "name": SEARCH,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {"index_uid": index_uid, "q": text(prompt("searchQParam")), "filter": text(filters)},
                "required": ["index_uid", "q", "filter"],
                "additionalProperties": false,
            },
            "strict": true,
        },
    });
    asked["tools"] = json!([tool]);
    let role = first_role(settings, asked["model"].as_str().unwrap_or_default());
    if let Some(messages) = asked["messages"].as_array_mut() {
        messages.insert(0, json!({"role": role, "content": prompt("system")}));
    }
    Ok(())
}

/// Some values of the attributes that an index filters by; empty where they cannot be had.
async fn facets(core: &Core, permission: &Permission, index: &Index) -> String {
    let body = json!({"limit": 0, "facets": ["*"]}).to_string();
    let Ok(found) = search(core, permission, &index.record.uid, body.as_bytes()).await else {
        return String::new();
    };
    let mut text = String::new();
    for (name, values) in found["facetDistribution"].as_object().into_iter().flatten() {
        let mut counted = values.as_object().into_iter().flatten().collect::<Vec<_>>();
        counted.sort_by_key(|(value, count)| (std::cmp::Reverse(count.as_u64()), (*value).clone()));
        let values = counted.iter().take(limits::CHAT_FACET_VALUES_MAX).map(|(value, _)| value.as_str());
        let _ = writeln!(text, "{name}: {}.", values.collect::<Vec<_>>().join(", "));
    }
    text
}

/// Searches an index with a client's rights.
async fn search(core: &Core, permission: &Permission, uid: &str, body: &[u8]) -> Result<Value, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = find_index(&snapshot, uid)?;
    let unreadable = || ApiError::new(Code::BadRequest, "The search cannot be read.");
    let mut search = SearchRequest::parse(body).map_err(|_| unreadable())?;
    search.restrict(permission.rules_for(uid)?);
    let context = ReadContext { core, snapshot: &snapshot, index, search: &search };
    let merged = Box::pin(search_index(context, None)).await?;
    serde_json::from_slice(&merged.body).map_err(|_| unreadable())
}

/// What a search gave.
pub(super) struct Found {
    /// What the model is told.
    pub(super) text: String,
    /// The documents, as far as the index shows them; `None` where the search failed.
    pub(super) documents: Option<Vec<Value>>,
    /// Why it failed.
    pub(super) error: Option<ApiError>,
}

/// The searches of a conversation.
pub(super) struct Searches {
    /// The client's rights to search; `None` where its key has none.
    pub(super) permission: Option<Permission>,
}

impl Searches {
    /// Runs a search with the arguments that the model gave.
    pub(super) async fn run(&self, core: &Core, arguments: &str) -> Found {
        let failed = |text: String, error| Found { text, documents: None, error };
        let arguments = match serde_json::from_str::<Value>(arguments) {
            Ok(arguments) if arguments["index_uid"].is_string() => arguments,
            Ok(_) => return failed("missing field `index_uid`".to_owned(), None),
            Err(error) => return failed(error.to_string(), None),
        };
        metrics::counter!("miroir_chat_searches_total").increment(1);
        match self.found(core, &arguments).await {
            Ok((documents, text)) => Found { text, documents: Some(documents), error: None },
            Err(error) => {
                let message = error.clone().into_task_error().message;
                failed(format!("the search tool call failed with {message}"), Some(error))
            }
        }
    }

    async fn found(&self, core: &Core, arguments: &Value) -> Result<(Vec<Value>, String), ApiError> {
        let uid = arguments["index_uid"].as_str().unwrap_or_default();
        let permission = self.permission.as_ref().ok_or_else(auth::invalid_key)?;
        let snapshot = core.shared.snapshot();
        let index = find_index(&snapshot, uid)?;
        let chat = shown_index_chat(&index.record.settings["chat"]);
        let mut body = chat["searchParameters"].as_object().cloned().unwrap_or_default();
        body.insert("q".to_owned(), arguments["q"].clone());
        // A model that wants no filter gives an empty one.
        let filter = Some(&arguments["filter"]).filter(|filter| filter.as_str() != Some(""));
        body.extend(filter.map(|filter| ("filter".to_owned(), filter.clone())));
        let found = search(core, permission, uid, Value::Object(body).to_string().as_bytes()).await?;
        let documents = found["hits"].as_array().cloned().unwrap_or_default();
        let rendered = render(index, &chat, &documents)?;
        Ok((documents, rendered))
    }
}

/// Documents in the words of their index's template, one behind the other.
fn render(index: &Index, chat: &Value, documents: &[Value]) -> Result<String, ApiError> {
    let wrong = |error: liquid::Error| {
        let message = error.to_string();
        ApiError::new(Code::InvalidChatSettingDocumentTemplate, message)
    };
    let parser = liquid::ParserBuilder::with_stdlib().build().map_err(wrong)?;
    let template = parser.parse(chat["documentTemplate"].as_str().unwrap_or_default()).map_err(wrong)?;
    let most = chat["documentTemplateMaxBytes"].as_u64().and_then(|most| usize::try_from(most).ok());
    let searchable = index.record.settings["searchableAttributes"].as_array().cloned();
    let mut texts = Vec::with_capacity(documents.len());
    for document in documents {
        let members = document.as_object().cloned().unwrap_or_default();
        let mut text = template.render(&globals(&members, searchable.as_deref())).map_err(wrong)?;
        if let Some(end) = most.filter(|most| text.len() > *most) {
            let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        texts.push(text);
    }
    Ok(texts.join("\n"))
}

/// What a template sees: the document, and its fields as a list.
fn globals(document: &Map<String, Value>, searchable: Option<&[Value]>) -> Object {
    let is_searchable = |name: &str| {
        searchable.is_none_or(|names| {
            names.iter().filter_map(Value::as_str).any(|known| {
                known == "*"
                    || known == name
                    || known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            })
        })
    };
    let fields = document.iter().map(|(name, value)| {
        let mut field = Object::new();
        field.insert("name".into(), Liquid::scalar(name.clone()));
        field.insert("value".into(), liquid::model::to_value(value).unwrap_or(Liquid::Nil));
        field.insert("is_searchable".into(), Liquid::scalar(is_searchable(name)));
        Liquid::Object(field)
    });
    let mut globals = Object::new();
    globals.insert("fields".into(), Liquid::Array(fields.collect()));
    globals.insert("doc".into(), liquid::model::to_value(document).unwrap_or(Liquid::Nil));
    globals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::chat::TEMPLATE_DEFAULT;

    #[test]
    fn templates_see_fields_and_documents() {
        let document = json!({"id": 1, "title": "Alien", "none": null, "hidden": "x"});
        let searchable = [json!("id"), json!("title"), json!("none")];
        let check = |template: &str, expected: &str| {
            let parser = liquid::ParserBuilder::with_stdlib().build().unwrap();
            let globals = globals(document.as_object().unwrap(), Some(&searchable));
            assert_eq!(parser.parse(template).unwrap().render(&globals).unwrap(), expected);
        };
        check(TEMPLATE_DEFAULT, "id: 1\ntitle: Alien\n");
        check("{{ doc.title }} is {{ doc.hidden }}", "Alien is x");
    }
}
