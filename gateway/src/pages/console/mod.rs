//! The admin console: its page and files, signing in and out, and what only the console asks for.
//!
//! Invariants: nobody learns by signing in more than whether the key is right, and an address that tries too often
//! learns not even that. The page itself shows nothing of the cluster, and needs no key.

mod configuration;
mod sign_in;

use http::StatusCode;
use serde_json::json;

use crate::{
    api::error::{ApiError, Code},
    clock,
    config::AdminUi,
    console::sessions::{self, Ticket},
    pages::{
        assets,
        html::{self, Policy},
    },
    state::core::Core,
    wire::h1::{Request, Response},
};

/// The media type of a stream of events; a response of this type has no body yet.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// A route of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsoleRoute<'a> {
    Page,
    File(&'a str),
    Login,
    Logout,
    /// The session that asks.
    Session,
    /// All sessions.
    Sessions,
    EndSession(&'a str),
    Events,
    Configuration,
    /// Each node's part of a task.
    TaskParts(&'a str),
}

impl ConsoleRoute<'_> {
    /// The route's path with placeholders, for metrics.
    #[must_use]
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Page => "/_miroir/admin",
            Self::File(_) => "/_miroir/admin/assets/{file}",
            Self::Login => "/_miroir/admin/login",
            Self::Logout => "/_miroir/admin/logout",
            Self::Session => "/_miroir/admin/session",
            Self::Sessions => "/_miroir/admin/sessions",
            Self::EndSession(_) => "/_miroir/admin/sessions/{id}",
            Self::Events => "/_miroir/admin/events",
            Self::Configuration => "/_miroir/admin/configuration",
            Self::TaskParts(_) => "/_miroir/admin/tasks/{uid}",
        }
    }

    /// Whether anybody may ask.
    #[must_use]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Page | Self::File(_) | Self::Login | Self::Logout)
    }
}

/// Serves a route of the console.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: ConsoleRoute<'_>,
) -> Result<Response, ApiError> {
    if core.shared.config.admin_ui == AdminUi::Off {
        return Err(ApiError::bare(StatusCode::NOT_FOUND));
    }
    let ticket = ticket(core, request).await?;
    let ticket = ticket.as_ref();
    match asked {
        ConsoleRoute::Page => page(request),
        ConsoleRoute::File(name) => {
            let file = assets::find("console", name).ok_or_else(|| ApiError::bare(StatusCode::NOT_FOUND))?;
            Ok(file.response(request))
        }
        ConsoleRoute::Login => sign_in::login(core, request).await,
        ConsoleRoute::Logout => sign_in::logout(core, request, ticket).await,
        ConsoleRoute::Session => Ok(session(core, ticket)),
        ConsoleRoute::Sessions => sessions_of_all(core, ticket).await,
        ConsoleRoute::EndSession(id) => end_session(core, id).await,
        ConsoleRoute::Events => events(core),
        ConsoleRoute::Configuration => Ok(configuration::shown(core)),
        ConsoleRoute::TaskParts(uid) => task_parts(core, uid).await,
    }
}

/// The ticket of the request's session, if it has one that counts.
async fn ticket(core: &Core, request: &Request) -> Result<Option<Ticket>, ApiError> {
    let Some(sealed) = sessions::sealed_ticket(request) else { return Ok(None) };
    Ok(sessions::find(&core.shared.store, &core.shared.console.seal, sealed, clock::utc()).await?)
}

/// The page, with the addresses of its files as seen from `/_miroir/admin`.
fn page(request: &Request) -> Result<Response, ApiError> {
    if request.uri.path().ends_with('/') {
        // From here the page's own addresses would lead astray.
        return Ok(Response::empty(StatusCode::PERMANENT_REDIRECT).with_header("location", "../admin"));
    }
    let page = assets::find("console", "index.html").ok_or_else(|| ApiError::bare(StatusCode::NOT_FOUND))?;
    let text = String::from_utf8(page.contents()).unwrap_or_default().replace("\"./", "\"./admin/assets/");
    // Images of documents are shown when the operator asks for them; they may be anywhere.
    let images = ["https:".to_owned(), "http:".to_owned()];
    Ok(html::page(StatusCode::OK, text, &Policy { images: &images, framed_by: None }))
}

fn session(core: &Core, ticket: Option<&Ticket>) -> Response {
    let config = &core.shared.config;
    private(Response::json(
        StatusCode::OK,
        json!({
            "csrfToken": ticket.map(Ticket::csrf_token),
            "session": ticket.map(Ticket::id),
            "readOnly": config.admin_ui == AdminUi::ReadOnly,
            "needsKey": config.admin_key.is_some() || config.master_key.is_some(),
            "pod": core.shared.coordinator.pod(),
            "version": env!("CARGO_PKG_VERSION"),
        })
        .to_string(),
    ))
}

async fn sessions_of_all(core: &Core, ticket: Option<&Ticket>) -> Result<Response, ApiError> {
    let own = ticket.map(Ticket::id);
    let live = sessions::list(&core.shared.store, clock::utc()).await?;
    let views = live.into_iter().map(|(id, session)| {
        let mut view = json!(session);
        view["own"] = json!(own.as_deref() == Some(id.as_str()));
        view["id"] = json!(id);
        view
    });
    let views = views.collect::<Vec<_>>();
    Ok(private(Response::json(StatusCode::OK, json!({"results": views}).to_string())))
}

async fn end_session(core: &Core, id: &str) -> Result<Response, ApiError> {
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_id {
        let message = format!("`{id}` is no session: an id has 32 hexadecimal digits.");
        return Err(ApiError::new(Code::BadRequest, message));
    }
    sessions::end(&core.shared.store, id).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// What each node was asked to do for a task, and how that went.
async fn task_parts(core: &Core, uid: &str) -> Result<Response, ApiError> {
    let Ok(number) = uid.parse::<u32>() else {
        return Err(ApiError::new(Code::BadRequest, format!("`{uid}` is no task: a number names one.")));
    };
    let task = core.shared.store.task(number).await?;
    let task = task
        .filter(|task| task.accepted)
        .ok_or_else(|| ApiError::new(Code::TaskNotFound, format!("Task `{number}` not found.")))?;
    let parts = task.node_tasks.iter().map(|part| {
        json!({
            "node": part.node,
            "uid": part.uid,
            "documents": part.documents,
            "shared": part.shared,
            "status": part.status,
            "error": part.error,
        })
    });
    let parts = parts.collect::<Vec<_>>();
    Ok(private(Response::json(StatusCode::OK, json!({"results": parts}).to_string())))
}

/// The head of a stream; the connection sends the rest.
fn events(core: &Core) -> Result<Response, ApiError> {
    // Whether there is room is asked again when the stream begins.
    if core.shared.console.live.enter().is_none() {
        return Err(ApiError::overloaded("Too many consoles are open on this gateway."));
    }
    let mut head = Response::empty(StatusCode::OK).with_header("cache-control", "no-store");
    head.content_type = Some(EVENT_STREAM);
    // A proxy that collects answers would hold back the events.
    Ok(head.with_header("x-accel-buffering", "no").with_header("x-content-type-options", "nosniff"))
}

/// What belongs to one session is kept by no cache.
fn private(response: Response) -> Response {
    response.with_header("cache-control", "no-store").with_header("x-content-type-options", "nosniff")
}
