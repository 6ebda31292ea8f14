//! The questions to one node and to a cluster, and the answers.
//! Invariant: a question names its index by a placeholder, so that it can be asked about a copy of the index.

use serde_json::{Value, json};

/// The placeholder for the index in the path of a question.
const INDEX: &str = "{index}";

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) method: &'static str,
    /// The path without its query string; may contain the placeholder.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    /// The index that replaces the placeholder.
    pub(super) index: &'static str,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null when the body is empty, a string when it is not JSON.
    pub(crate) body: Value,
}

impl Question {
    /// A `POST` of a body to a route of an index: `search`, `facet-search`, `documents/fetch`.
    pub(super) fn post(index: &'static str, route: &str, body: Value) -> Self {
        let path = format!("/indexes/{INDEX}/{route}");
        Self { method: "POST", path, query: Vec::new(), body: Some(body), index }
    }

    pub(super) fn search(index: &'static str, body: Value) -> Self {
        Self::post(index, "search", body)
    }

    /// A `GET` of a route of an index.
    pub(super) fn get(index: &'static str, route: &str, query: Vec<(String, String)>) -> Self {
        let path =
            if route.is_empty() { format!("/indexes/{INDEX}") } else { format!("/indexes/{INDEX}/{route}") };
        Self { method: "GET", path, query, body: None, index }
    }

    /// A request about no index or about several.
    pub(super) fn whole(method: &'static str, path: &str, body: Option<Value>) -> Self {
        Self { method, path: path.to_owned(), query: Vec::new(), body, index: "" }
    }

    /// Whether it can be asked about another index instead.
    pub(super) fn can_move(&self) -> bool {
        self.path.contains(INDEX) && !self.index.is_empty()
    }

    /// Path and query string, for an index of this name.
    pub(super) fn target(&self, uid: &str) -> String {
        let path = self.path.replace(INDEX, uid);
        if self.query.is_empty() {
            return path;
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{path}?{query}")
    }

    /// The same question with one member of its body set.
    pub(super) fn with(&self, member: &str, value: Value) -> Self {
        let mut other = self.clone();
        if let Some(Value::Object(body)) = &mut other.body {
            body.insert(member.to_owned(), value);
        }
        other
    }

    /// The same question without this member of its body.
    pub(super) fn without(&self, member: &str) -> Self {
        let mut other = self.clone();
        if let Some(Value::Object(body)) = &mut other.body {
            body.shift_remove(member);
        }
        other
    }

    /// A member of the body; null when there is none.
    pub(super) fn member(&self, name: &str) -> &Value {
        self.body.as_ref().map_or(&Value::Null, |body| &body[name])
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"method": self.method, "target": self.target(self.index), "body": self.body})
    }
}

impl Answer {
    /// Whether the gateway says that it does not serve this.
    pub(super) fn is_not_served(&self) -> bool {
        // Nothing is written through an alias of several indexes, whatever else is wrong with the request.
        let is_written = self.status == 409 && self.body["code"] == "miroir_multi_alias_not_writable";
        is_written || (self.status == 400 && self.body["code"] == "feature_not_enabled")
    }

    /// Whether the embedded node says that it lacks this.
    pub(super) fn is_absent(&self) -> bool {
        self.status == 501
    }

    /// The hits; empty if there are none.
    pub(super) fn hits(&self) -> &[Value] {
        self.body["hits"].as_array().map_or(&[], Vec::as_slice)
    }
}
