//! `POST /_miroir/ui/search/{uid}/beacon`: what visitors clicked, and how long they waited.
//!
//! Invariants: an event counts once, by its id, whichever pods it is sent to. No label of a metric comes from an event.

use std::time::Duration;

use http::{StatusCode, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::error::{ApiError, Code},
    auth::{SCOPE_BEACON, missing_header},
    clock,
    config::limits::{
        SEARCH_PAGE_EVENT_ID_BYTES_MAX, SEARCH_PAGE_EVENT_MEMORY, SEARCH_PAGE_EVENT_TIME_MAX,
        SEARCH_PAGE_EVENTS_MAX,
    },
    handlers::extract,
    pages::search::rate,
    state::{core::Core, snapshot::check_index_uid},
    wire::h1::{Request, Response},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beacon {
    events: Vec<Event>,
}

/// One event; the query and the document are accepted and not kept.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Event {
    /// Chosen by the browser, at random.
    id: String,
    #[serde(rename = "type")]
    kind: Kind,
    /// Milliseconds from the question to the answer on the screen.
    #[serde(default)]
    milliseconds: Option<f64>,
    #[serde(default, rename = "query")]
    _query: Option<String>,
    #[serde(default, rename = "documentId")]
    _document: Option<String>,
    /// Where the hit stood, from 1.
    #[serde(default)]
    position: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Click,
    Latency,
}

pub(crate) async fn serve(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    check_index_uid(uid)?;
    let token =
        request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let tokens = core.shared.page_tokens.load();
    let claims = tokens.value.read(token.ok_or_else(missing_header)?, clock::utc())?;
    claims.check_index(uid)?;
    claims.check_scope(SCOPE_BEACON)?;
    if let Some(refusal) = rate::refusal(core, request, "beacon").await? {
        return Ok(refusal);
    }
    let events = parse(&extract::json_body(core, request)?)?;
    let (mut recorded, mut repeated) = (0, 0);
    for event in events {
        let counter = format!("search_page_event:{uid}:{}", event.id);
        match core.shared.store.count(&counter, 1, SEARCH_PAGE_EVENT_MEMORY).await? {
            1 => {
                record(&event);
                recorded += 1;
            }
            _ => repeated += 1,
        }
    }
    Ok(Response::json(StatusCode::OK, json!({"recorded": recorded, "repeated": repeated}).to_string()))
}

fn parse(body: &[u8]) -> Result<Vec<Event>, ApiError> {
    let wrong = |reason: String| ApiError::new(Code::BadRequest, format!("Invalid beacon: {reason}."));
    let beacon = serde_json::from_slice::<Beacon>(body).map_err(|error| wrong(error.to_string()))?;
    if beacon.events.len() > SEARCH_PAGE_EVENTS_MAX {
        return Err(wrong(format!(
            "it has {} events, and at most {SEARCH_PAGE_EVENTS_MAX} are allowed",
            beacon.events.len()
        )));
    }
    let is_id = |id: &str| {
        (1..=SEARCH_PAGE_EVENT_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    for (position, event) in beacon.events.iter().enumerate() {
        if !is_id(&event.id) {
            return Err(wrong(format!(
                "`events[{position}].id` has to be 1 to {SEARCH_PAGE_EVENT_ID_BYTES_MAX} of `A-Z a-z 0-9 - _`"
            )));
        }
        let most = SEARCH_PAGE_EVENT_TIME_MAX.as_secs_f64() * 1000.0;
        if event.milliseconds.is_some_and(|time| !(0.0..=most).contains(&time)) {
            return Err(wrong(format!("`events[{position}].milliseconds` has to be 0 to {most}")));
        }
        if event.kind == Kind::Latency && event.milliseconds.is_none() {
            return Err(wrong(format!("`events[{position}]` is a latency without `milliseconds`")));
        }
    }
    Ok(beacon.events)
}

fn record(event: &Event) {
    match event.kind {
        Kind::Click => {
            metrics::counter!("miroir_search_page_clicks_total").increment(1);
            if let Some(position) = event.position {
                metrics::histogram!("miroir_search_page_click_position").record(f64::from(position));
            }
        }
        Kind::Latency => {
            let took = Duration::from_secs_f64(event.milliseconds.unwrap_or_default() / 1000.0);
            metrics::histogram!("miroir_search_page_latency_seconds").record(took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_or_refused_with_their_position() {
        let check = |events: &str, expected: Result<usize, &str>| {
            let parsed = parse(format!("{{\"events\":{events}}}").as_bytes());
            match (parsed, expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{events}"),
                (Err(error), Err(text)) => {
                    let message = String::from_utf8(error.into_answer().body.unwrap()).unwrap();
                    assert!(message.contains(text), "{events}: {message}");
                }
                (found, _) => panic!("{events}: {found:?}"),
            }
        };
        check("[]", Ok(0));
        check(r#"[{"id":"a-1","type":"click","position":3,"documentId":"7","query":"x"}]"#, Ok(1));
        check(r#"[{"id":"a","type":"latency","milliseconds":12.5}]"#, Ok(1));
        check(r#"[{"id":"a","type":"latency"}]"#, Err("a latency without `milliseconds`"));
        check(r#"[{"id":"a","type":"latency","milliseconds":-1}]"#, Err("`events[0].milliseconds`"));
        check(r#"[{"id":"a","type":"click"},{"id":"","type":"click"}]"#, Err("`events[1].id`"));
        check(r#"[{"id":"a b","type":"click"}]"#, Err("`events[0].id`"));
        check(r#"[{"id":"a","type":"buy"}]"#, Err("unknown variant `buy`"));
        check(r#"[{"id":"a","type":"click","x":1}]"#, Err("unknown field `x`"));
        check("7", Err("expected a sequence"));
        let many = vec![r#"{"id":"a","type":"click"}"#; 51].join(",");
        check(&format!("[{many}]"), Err("it has 51 events"));
    }
}
