//! A sink that is a NATS server: each event is one message, to a subject that ends in the index's name.
//!
//! Invariants: a batch counts as delivered when the server has all of it: with a stream named, when JetStream has
//! acknowledged each message, else when the server has answered what was sent behind the last. A client lives as long
//! as its connection, so nothing is sent behind messages that were lost. It runs on a thread of its own, with tokio's
//! timers. The address is guarded as that of a webhook.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use async_nats::{Auth, AuthError, Client, ConnectOptions, HeaderMap, ServerAddr, jetstream};
use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::StreamExt;
use ipnet::IpNet;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    config::{CdcSink, limits},
    wire::outbound,
};

/// The header by which JetStream knows a message that it has already.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Hands batches to the client's thread.
pub(super) struct Publisher {
    batches: Option<mpsc::Sender<Batch>>,
}

struct Batch {
    messages: Vec<Message>,
    outcome: oneshot::Sender<Result<(), String>>,
}

struct Message {
    subject: String,
    id: String,
    body: Bytes,
}

/// Where messages go.
#[derive(Clone)]
struct Target {
    /// Scheme, credentials, host and port.
    server: String,
    host: String,
    port: u16,
    subject: String,
    stream: Option<String>,
    allowed: Vec<IpNet>,
}

impl Publisher {
    /// Starts the client's thread; it connects with the first batch.
    pub(super) fn new(sink: &CdcSink, allowed: &[IpNet]) -> Self {
        let (batches, inbox) = mpsc::channel(1);
        let target = Target::of(sink, allowed);
        let started = std::thread::Builder::new().name("cdc-nats".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(work(target, inbox));
            }
        });
        Self { batches: started.is_ok().then_some(batches) }
    }

    /// Delivers a batch.
    ///
    /// # Errors
    /// Why it was not delivered, or perhaps not.
    pub(super) async fn send(&self, events: &[Value]) -> Result<(), String> {
        let gone = || "the client's thread has ended".to_owned();
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let messages = events.iter().map(|event| Message {
            subject: text(event, "index"),
            id: text(event, "eventId"),
            body: event.to_string().into(),
        });
        let (outcome, answer) = oneshot::channel();
        let batch = Batch { messages: messages.collect(), outcome };
        let batches = self.batches.as_ref().ok_or_else(gone)?;
        batches.try_send(batch).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Target {
    /// Reads `nats://[USER:PASSWORD@]HOST:PORT/SUBJECT[?stream=NAME]`, which the configuration has checked.
    fn of(sink: &CdcSink, allowed: &[IpNet]) -> Self {
        let (server, rest) = match sink.url.split_once("://") {
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (format!("{scheme}://{}", &rest[..end]), &rest[end..])
            }
            None => (sink.url.clone(), ""),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let address = server.rsplit(['/', '@']).next().unwrap_or_default();
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().unwrap_or(4222)),
            _ => (address, 4222),
        };
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            subject: if path.is_empty() { "miroir.changes" } else { path }.to_owned(),
            stream: query.split('&').find_map(|pair| pair.strip_prefix("stream=")).map(str::to_owned),
            allowed: allowed.to_vec(),
            server,
        }
    }

    /// The address to connect to, once every address of the name is allowed.
    async fn resolved(&self) -> Result<SocketAddr, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|error| error.to_string())?.collect::<Vec<_>>();
        match found.iter().find(|address| !outbound::is_allowed(&self.allowed, **address)) {
            Some(address) => {
                Err(format!("{address} is of no public network and not allowed by --allowed-ip-networks"))
            }
            None => found.first().copied().ok_or_else(|| "its name has no address".to_owned()),
        }
    }
}

async fn work(target: Target, mut inbox: mpsc::Receiver<Batch>) {
    let mut client: Option<Client> = None;
    while let Some(Batch { messages, outcome }) = inbox.recv().await {
        let sending = deliver(&target, &mut client, messages);
        let sent = match tokio::time::timeout(limits::CDC_SEND_TIMEOUT, sending).await {
            Ok(sent) => sent,
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        if sent.is_err() {
            // The next batch begins with a new connection.
            client = None;
        }
        let _ = outcome.send(sent);
    }
}

async fn deliver(target: &Target, client: &mut Option<Client>, messages: Vec<Message>) -> Result<(), String> {
    if client.is_none() {
        *client = Some(connect(target).await?);
    }
    let Some(connected) = client.as_ref() else { return Err("it is not connected".to_owned()) };
    match &target.stream {
        Some(stream) => to_stream(connected, target, stream, messages).await,
        None => to_subjects(connected, target, messages).await.map_err(|error| error.to_string()),
    }
}

/// Connects once. A client that came back by itself would send what waits in it without what the lost connection had
/// taken: messages would be missing, or stand in another order. So the client has credentials for one connection, and
/// ends with it.
async fn connect(target: &Target) -> Result<Client, String> {
    target.resolved().await?;
    let server = target.server.parse::<ServerAddr>().map_err(|error| error.to_string())?;
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (server.username().map(decoded), server.password().map(decoded));
    let has_connected = AtomicBool::new(false);
    let credentials = move |_| {
        let given = match has_connected.swap(true, Ordering::Relaxed) {
            true => Err(AuthError::new("a client connects once")),
            false => {
                let mut auth = Auth::new();
                (auth.username, auth.password) = (user.clone(), password.clone());
                Ok(auth)
            }
        };
        async move { given }
    };
    let options = ConnectOptions::with_auth_callback(credentials)
        .name("miroir")
        .connection_timeout(limits::CDC_CONNECT_TIMEOUT)
        .max_reconnects(1);
    options.connect(server).await.map_err(|error| error.to_string())
}

/// Publishes, and waits for a message of its own behind the last: a server serves a connection in order.
async fn to_subjects(
    client: &Client,
    target: &Target,
    messages: Vec<Message>,
) -> Result<(), async_nats::Error> {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    for message in messages {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, message.id.as_str());
        let subject = format!("{}.{}", target.subject, message.subject);
        client.publish_with_headers(subject, headers, message.body).await?;
    }
    client.publish(inbox, Bytes::new()).await?;
    client.flush().await?;
    match echo.next().await {
        Some(_) => Ok(()),
        None => Err("the connection was lost".into()),
    }
}

async fn to_stream(
    client: &Client,
    target: &Target,
    stream: &str,
    messages: Vec<Message>,
) -> Result<(), String> {
    let context = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: stream.to_owned(),
        subjects: vec![format!("{}.>", target.subject)],
        ..jetstream::stream::Config::default()
    };
    context.get_or_create_stream(config).await.map_err(|error| error.to_string())?;
    let mut acknowledgements = Vec::with_capacity(messages.len());
    for message in messages {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, message.id.as_str());
        let subject = format!("{}.{}", target.subject, message.subject);
        let sent = context.publish_with_headers(subject, headers, message.body).await;
        acknowledgements.push(sent.map_err(|error| error.to_string())?);
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

const _: () = assert!(limits::CDC_CONNECT_TIMEOUT.as_millis() < limits::CDC_SEND_TIMEOUT.as_millis());
