//! Webhooks as clients create and see them.
//!
//! Invariants: the texts of errors are Meilisearch's, since the same library makes them from the same types. Of an
//! `Authorization` header's value only the first letters are shown. Source: Meilisearch's webhooks routes, 1.50.

use std::collections::BTreeMap;

use deserr::Deserr;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        http::patch::{BodyError, Places, Setting, immutable_or_unknown},
    },
    limits,
};

/// The URL that is told of tasks, and the headers to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    pub headers: BTreeMap<String, String>,
}

/// All webhooks, by uid.
pub type Webhooks = BTreeMap<Uuid, Webhook>;

/// The body of `POST /webhooks` and `PATCH /webhooks/{uuid}`.
#[derive(Debug, Deserr)]
#[deserr(error = BodyError<InWebhook>, rename_all = camelCase, deny_unknown_fields = immutable_or_unknown::<InWebhook>)]
pub struct WebhookChange {
    #[deserr(default)]
    url: Setting<String>,
    #[deserr(default)]
    headers: Setting<BTreeMap<String, Setting<String>>>,
}

/// The error codes of such a body.
#[derive(Debug)]
enum InWebhook {}

impl Places for InWebhook {
    fn code_at(path: &[&str]) -> Code {
        match path {
            ["url", ..] => Code::InvalidWebhookUrl,
            ["headers", ..] => Code::InvalidWebhookHeaders,
            _ => Code::BadRequest,
        }
    }

    fn immutable(field: &str) -> Option<Code> {
        match field {
            "uuid" => Some(Code::ImmutableWebhookUuid),
            "isEditable" => Some(Code::ImmutableWebhookIsEditable),
            _ => None,
        }
    }
}

impl WebhookChange {
    /// # Errors
    /// 400, as one node's.
    pub fn parse(body: Value) -> Result<Self, ApiError> {
        deserr::deserialize::<Self, _, BodyError<InWebhook>>(body).map_err(ApiError::from)
    }

    /// A new webhook.
    ///
    /// # Errors
    /// 400, as one node's.
    pub fn into_new(self, uuid: Uuid) -> Result<Webhook, ApiError> {
        let Setting::Set(url) = self.url else { return Err(missing_url(uuid)) };
        let headers = match self.headers {
            Setting::Set(headers) => headers.into_iter().map(|(name, value)| match value {
                Setting::Set(value) => (name, value),
                Setting::Keep | Setting::Reset => (name, String::new()),
            }),
            Setting::Keep | Setting::Reset => {
                return checked(uuid, Webhook { url, headers: BTreeMap::new() });
            }
        };
        checked(uuid, Webhook { url, headers: headers.collect() })
    }

    /// The webhook after this change.
    ///
    /// # Errors
    /// 400, as one node's.
    pub fn apply(&self, uuid: Uuid, before: &Webhook) -> Result<Webhook, ApiError> {
        let mut after = before.clone();
        match &self.url {
            Setting::Set(url) => after.url.clone_from(url),
            Setting::Keep => {}
            Setting::Reset => return Err(missing_url(uuid)),
        }
        match &self.headers {
            Setting::Keep => {}
            Setting::Reset => after.headers.clear(),
            Setting::Set(changes) => {
                for (name, change) in changes {
                    match change {
                        Setting::Set(value) => drop(after.headers.insert(name.clone(), value.clone())),
                        Setting::Reset => drop(after.headers.remove(name)),
                        Setting::Keep => {}
                    }
                }
            }
        }
        checked(uuid, after)
    }
}

fn checked(uuid: Uuid, webhook: Webhook) -> Result<Webhook, ApiError> {
    let of_headers = |message| Err(ApiError::new(Code::InvalidWebhookHeaders, message));
    if webhook.headers.len() > limits::WEBHOOK_HEADERS_MAX {
        return of_headers(format!(
            "Too many headers for the webhook `{uuid}`. Please limit the number of headers to {}. Hint: To remove an already defined header set its value to `null`",
            limits::WEBHOOK_HEADERS_MAX
        ));
    }
    if webhook.url.is_empty() {
        return Err(missing_url(uuid));
    }
    for (name, value) in &webhook.headers {
        if let Err(error) = HeaderName::from_bytes(name.as_bytes()) {
            return of_headers(format!("Invalid header name `{name}`: {error}"));
        }
        if let Err(error) = HeaderValue::from_str(value) {
            return of_headers(format!("Invalid header value `{name}`: {error}"));
        }
    }
    match Url::parse(&webhook.url) {
        Ok(_) => Ok(webhook),
        Err(error) => {
            let message = format!("Invalid URL `{}`: {error}", webhook.url);
            Err(ApiError::new(Code::InvalidWebhookUrl, message))
        }
    }
}

fn missing_url(uuid: Uuid) -> ApiError {
    ApiError::new(Code::InvalidWebhookUrl, format!("The URL for the webhook `{uuid}` is missing."))
}

/// A webhook as clients see it.
#[must_use]
pub fn view(uuid: Uuid, webhook: &Webhook) -> Value {
    let shown = webhook.headers.iter().map(|(name, value)| {
        let secret = name.eq_ignore_ascii_case("authorization");
        (name.clone(), if secret { hidden(value) } else { value.clone() })
    });
    json!({
        "uuid": uuid,
        "isEditable": true,
        "url": webhook.url,
        "headers": shown.collect::<BTreeMap<_, _>>(),
    })
}

/// The start of a secret; the longer the secret, the more of it is shown.
fn hidden(value: &str) -> String {
    let start = if value.starts_with("Bearer ") { "Bearer ".len() } else { 0 };
    let (kept, mark) = match value.len() - start {
        0..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    let end = (start + kept..=value.len()).find(|end| value.is_char_boundary(*end));
    format!("{}{mark}", &value[..end.unwrap_or(value.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let parse = |body: Value| WebhookChange::parse(body).unwrap();
        let made = parse(json!({"url": "http://a.example/", "headers": {"a": "1", "b": null}}));
        let made = made.into_new(Uuid::nil()).unwrap();
        assert_eq!(made.headers, BTreeMap::from([("a", "1"), ("b", "")].map(|(a, b)| (a.into(), b.into()))));
        let after = parse(json!({"headers": {"a": null, "c": "3"}})).apply(Uuid::nil(), &made).unwrap();
        assert_eq!(after.url, made.url);
        assert_eq!(after.headers.keys().collect::<Vec<_>>(), ["b", "c"]);
        let cleared = parse(json!({"headers": null})).apply(Uuid::nil(), &after).unwrap();
        assert!(cleared.headers.is_empty());
    }

    #[test]
    fn secrets_show_their_start_only() {
        let check = |value: &str, shown: &str| assert_eq!(hidden(value), shown);
        check("", "XXX...");
        check("Bearer short", "Bearer XXX...");
        check("Bearer a-secret-token", "Bearer a-XXXX...");
        check("Basic 0123456789012345", "BasXXXXX...");
        check("Bearer 0123456789012345678901234567890", "Bearer 01234XXXXXX...");
    }
}
