//! The fields of an index: the union over all legs, by name.
//!
//! Invariants: reserved fields are left out. Which fields are displayed follows from the client's settings, since
//! nodes display everything; the filter on that, and the page, are applied to the union. Source: Meilisearch's fields
//! route, 1.37 to 1.50.

use std::collections::BTreeMap;

use merge::MergeError;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        error::ApiError, http::json_depth::is_bounded, index_rules::IndexRules,
        search::request::NotUnderstood,
    },
    handlers::{
        extract,
        refusal::{refusal_at, refusal_of_a_node},
    },
    read::scatter::{Gathered, LegQuestion, Scatter},
    state::{core::Core, merged_answer::MergedAnswer},
    wire::h1::{Request, Response},
};

/// Fields per page when the client does not say.
const FIELDS_DEFAULT: usize = 20;

/// `POST /indexes/{uid}/fields`.
pub(crate) async fn fields(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = match crate::state::snapshot::find_index(&snapshot, uid) {
        Ok(index) => index,
        // Nodes of older versions do not know the route, whatever the index.
        Err(error) => return Err(refusal_at(core, request, request.uri.path()).await.unwrap_or(error)),
    };
    let Ok(fields_request) = FieldsRequest::parse(&extract::decoded_body(core, request)?) else {
        return Err(refusal_of_a_node(core, request, index, "/fields").await);
    };
    let body = fields_request.leg_body();
    let of_leg = |_: &LegQuestion<'_>, _| body.clone().into();
    let scatter = Scatter::new(core, &snapshot, index, core.turn(), "fields", of_leg);
    let merge = |gathered: &Gathered<'_>, out: &mut Vec<u8>| {
        out.extend_from_slice(merged(gathered.bodies, &fields_request, &index.rules)?.to_string().as_bytes());
        Ok(())
    };
    scatter.ask_and_merge(merge).await.map(MergedAnswer::into_response)
}

/// What the gateway reads of a request for fields.
struct FieldsRequest {
    offset: usize,
    limit: usize,
    displayed: Option<bool>,
    /// Whether fields are wanted that are ranking rules, or such that are not.
    ranking_rule: Option<bool>,
    /// The rest of the filter.
    filter: Map<String, Value>,
}

impl FieldsRequest {
    fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let body = is_bounded(body).then(|| serde_json::from_slice(body).ok()).flatten();
        let Some(Value::Object(members)) = body else { return Err(NotUnderstood) };
        let mut request = Self {
            offset: 0,
            limit: FIELDS_DEFAULT,
            displayed: None,
            ranking_rule: None,
            filter: Map::new(),
        };
        for (name, value) in members {
            let count = || value.as_u64().and_then(|count| usize::try_from(count).ok()).ok_or(NotUnderstood);
            match name.as_str() {
                _ if value.is_null() => {}
                "offset" => request.offset = count()?,
                "limit" => request.limit = count()?,
                "filter" => request.filter = value.as_object().ok_or(NotUnderstood)?.clone(),
                _ => return Err(NotUnderstood),
            }
        }
        let mut wanted = |name: &str| match request.filter.shift_remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(wanted) => wanted.as_bool().ok_or(NotUnderstood).map(Some),
        };
        let (displayed, ranking_rule) = (wanted("displayed")?, wanted("rankingRule")?);
        (request.displayed, request.ranking_rule) = (displayed, ranking_rule);
        Ok(request)
    }

    /// Asks for all fields that the rest of the filter lets through.
    fn leg_body(&self) -> String {
        json!({"offset": 0, "limit": u32::MAX, "filter": self.filter}).to_string()
    }
}

fn merged(bodies: &[&[u8]], fields_request: &FieldsRequest, rules: &IndexRules) -> Result<Value, MergeError> {
    let mut fields = BTreeMap::<String, Value>::new();
    for (leg, body) in bodies.iter().enumerate() {
        let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let unusable = || MergeError::Leg { leg, reason: "there is no list of fields".to_owned() };
        for field in answer["results"].as_array().ok_or_else(unusable)? {
            let name = field["name"].as_str().ok_or_else(unusable)?;
            if !router::reserved::is_reserved(name) && !fields.contains_key(name) {
                fields.insert(name.to_owned(), field.clone());
            }
        }
    }
    let mut fields = fields.into_values().collect::<Vec<_>>();
    for field in &mut fields {
        let displayed = field["name"].as_str().is_some_and(|name| rules.displays(name));
        field["displayed"] = json!({"enabled": displayed});
        // The ranking rule by which nodes break ties is not the client's.
        if rules.tie_break.as_ref().is_some_and(|tie_break| field["name"] == tie_break.field.as_str()) {
            field["rankingRule"] = json!({"enabled": false});
        }
    }
    let is = |field: &Value, property: &str, wanted: Option<bool>| {
        wanted.is_none_or(|wanted| field[property]["enabled"] == wanted)
    };
    fields.retain(|field| {
        is(field, "displayed", fields_request.displayed)
            && is(field, "rankingRule", fields_request.ranking_rule)
    });
    let total = fields.len();
    let page = fields.into_iter().skip(fields_request.offset).take(fields_request.limit).collect::<Vec<_>>();
    Ok(
        json!({"results": page, "offset": fields_request.offset, "limit": fields_request.limit, "total": total}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::index_rules::TieBreak;

    fn field(name: &str) -> Value {
        json!({"name": name, "displayed": {"enabled": true}, "searchable": {"enabled": name != "b"}})
    }

    #[test]
    fn fields_of_all_legs_are_named_once_as_the_client_displays_them() {
        let legs = [
            json!({"results": [field("b"), field("_miroir_shard")]}),
            json!({"results": [field("b.c"), field("b"), field("a")]}),
        ];
        let legs = legs.map(|leg| leg.to_string());
        let legs = legs.iter().map(String::as_bytes).collect::<Vec<_>>();
        let mut rules = IndexRules::from_settings(&json!({"displayedAttributes": ["b"]}));
        rules.tie_break = TieBreak::of(Some("b"), &Value::Null);
        let names = |body: &str| {
            let fields_request = FieldsRequest::parse(body.as_bytes()).unwrap();
            let answer = merged(&legs, &fields_request, &rules).unwrap();
            let names = answer["results"].as_array().unwrap().iter();
            let names = names.map(|field| format!("{} {}", field["name"], field["displayed"]["enabled"]));
            (names.collect::<Vec<_>>().join(", "), answer["total"].as_u64().unwrap())
        };
        assert_eq!(names("{}"), (r#""a" false, "b" true, "b.c" true"#.to_owned(), 3));
        assert_eq!(names(r#"{"filter":{"displayed":false}}"#), (r#""a" false"#.to_owned(), 1));
        // Nodes break ties by a rule of the gateway's.
        assert_eq!(names(r#"{"filter":{"rankingRule":true}}"#), (String::new(), 0));
        assert_eq!(names(r#"{"offset":1,"limit":1}"#), (r#""b" true"#.to_owned(), 3));
        let fields_request =
            FieldsRequest::parse(br#"{"filter":{"displayed":true,"sortable":true}}"#).unwrap();
        assert_eq!(
            fields_request.leg_body(),
            r#"{"offset":0,"limit":4294967295,"filter":{"sortable":true}}"#
        );
        assert!(merged(&[b"{}"], &fields_request, &rules).is_err());
        for body in [
            "",
            "[]",
            r#"{"limit":"a"}"#,
            r#"{"nope":1}"#,
            r#"{"filter":{"displayed":1}}"#,
            r#"{"filter":{"rankingRule":1}}"#,
        ] {
            assert!(FieldsRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
