//! The stream of events of an open console, as Server-Sent Events on a connection of its own.
//!
//! Invariants: a stream sends values as they are now, never a backlog. It ends when its time is over, its session has
//! ended, the gateway drains, or its client takes nothing for too long; a browser opens the next by itself.

use std::{rc::Rc, time::Duration};

use futures_util::future::{Either, select};
use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    clock,
    config::{AdminUi, limits},
    console::{live::Viewer, sessions},
    pages::console::EVENT_STREAM,
    state::core::Core,
    wire::{
        h1::{Response, ServerConnection},
        runtime,
    },
};

/// Whether a response is the head of a stream.
pub(crate) fn is_one(method: &Method, response: &Response) -> bool {
    *method == Method::GET && response.status == StatusCode::OK && response.content_type == Some(EVENT_STREAM)
}

/// Sends events until the stream ends, then closes the connection. `ticket` is the sealed ticket of its session, if
/// the client has come with one.
pub(crate) async fn run(
    core: &Rc<Core>,
    mut connection: ServerConnection,
    head: Response,
    ticket: Option<String>,
) {
    let Some(viewer) = core.shared.console.live.enter() else {
        // The bound was met when the head was made, so that another stream has come in between.
        return connection.close().await;
    };
    if connection.begin_stream(&head).await.is_ok() {
        // An error means that the client is gone.
        let _ = send_events(core, &mut connection, viewer, ticket.as_deref()).await;
    }
    connection.close().await;
}

async fn send_events(
    core: &Rc<Core>,
    connection: &mut ServerConnection,
    mut viewer: Viewer,
    ticket: Option<&str>,
) -> std::io::Result<()> {
    let end = runtime::now() + limits::CONSOLE_STREAM_TIME;
    connection.send_piece(&greeting(core)).await?;
    loop {
        let news = viewer.news();
        let events = news.iter().map(|(topic, text)| event(topic.name(), text));
        let events = events.collect::<String>();
        if !events.is_empty() {
            connection.send_piece(events.as_bytes()).await?;
        }
        runtime::sleep(limits::CONSOLE_STREAM_PAUSE).await;
        if !changed_within(&mut viewer, limits::CONSOLE_STREAM_SILENCE_MAX).await {
            connection.send_piece(b": still here\n\n").await?;
        }
        if runtime::now() >= end || core.shared.is_draining() || has_ended(core, ticket).await {
            return connection.send_piece(b"").await;
        }
    }
}

/// What a console needs to know first: who answers, and the metrics of the last hour.
fn greeting(core: &Core) -> Vec<u8> {
    let shared = &core.shared;
    let hello = json!({
        "pod": shared.coordinator.pod(),
        "version": env!("CARGO_PKG_VERSION"),
        "readOnly": shared.config.admin_ui == AdminUi::ReadOnly,
    });
    let history = shared.console.history.load().view().to_string();
    let text = format!("retry: 1000\n\n{}{}", event("hello", &hello.to_string()), event("history", &history));
    text.into_bytes()
}

/// One event; the text is JSON, which has no line break.
fn event(name: &str, text: &str) -> String {
    format!("event: {name}\ndata: {text}\n\n")
}

async fn changed_within(viewer: &mut Viewer, time: Duration) -> bool {
    let changed = std::pin::pin!(viewer.changed());
    let silence = std::pin::pin!(runtime::sleep(time));
    matches!(select(changed, silence).await, Either::Left(_))
}

/// Whether the session was ended, here or on another pod. A store that does not answer ends nothing.
async fn has_ended(core: &Core, ticket: Option<&str>) -> bool {
    let Some(ticket) = ticket else { return false };
    let shared = &core.shared;
    let found = sessions::find(&shared.store, &shared.console.seal, ticket, clock::utc()).await;
    matches!(found, Ok(None))
}
