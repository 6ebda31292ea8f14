//! Requests to the management API of one gateway, and to servers that speak Meilisearch, over HTTP or TLS.
//!
//! Invariants: no redirect and no proxy gets the admin key. An answer is bounded in time and in size. Nothing is sent
//! twice.

use std::{fs::File, path::Path, time::Duration};

use anyhow::{Context, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::{
    Agent, AsSendBody,
    http::{HeaderName, HeaderValue, Method, Request, Uri, header::AUTHORIZATION, request, uri::Authority},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::failure::Failure;

/// The time for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The time for one answer, from connecting to its last byte.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The same for a file that is sent.
const UPLOAD_MAX: Duration = Duration::from_secs(86_400);
/// Bytes of one answer: room for the shards of a large cluster.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// The API of one gateway, or of another server.
pub(crate) struct Client {
    agent: Agent,
    /// Scheme and authority.
    origin: String,
    /// The key, and the header that carries it.
    key: Option<(HeaderName, HeaderValue)>,
}

impl Client {
    /// A client of the gateway at `address`, which is `HOST:PORT` or a URL, with the admin key; it does not connect yet.
    pub(crate) fn new(address: &str, key: Option<String>, ca: Option<&Path>) -> anyhow::Result<Self> {
        Self::with_key(address, HeaderName::from_static("x-admin-key"), key, ca)
    }

    /// A client of whatever speaks Meilisearch at `address`, with a key as such servers take it.
    pub(crate) fn with_bearer(address: &str, key: Option<String>, ca: Option<&Path>) -> anyhow::Result<Self> {
        Self::with_key(address, AUTHORIZATION, key.map(|key| format!("Bearer {key}")), ca)
    }

    fn with_key(
        address: &str,
        name: HeaderName,
        key: Option<String>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let what = if name == AUTHORIZATION { "key" } else { "admin key" };
        let origin = match address.split_once("://") {
            None => format!("http://{address}"),
            Some(("http" | "https", _)) => address.trim_end_matches('/').to_owned(),
            Some(_) => {
                return Err(Failure::usage(format!(
                    "option url: {address:?} is not allowed; give HOST:PORT or http[s]://HOST:PORT"
                )));
            }
        };
        // The library would take a port that is none for the default one.
        let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
        let is_whole =
            |authority: &Authority| authority.port_u16().is_some() || authority.as_str() == authority.host();
        if !authority.as_ref().is_some_and(is_whole) {
            let message = format!(
                "option url: {address:?} is no address of a gateway; give HOST:PORT or http[s]://HOST:PORT"
            );
            return Err(Failure::usage(message));
        }
        let key = key.map(|key| HeaderValue::from_str(&key)).transpose();
        let key =
            key.map_err(|_| Failure::usage(format!("the {what} has a character that no header can carry")))?;
        let mut tls = TlsConfig::builder();
        if let Some(file) = ca {
            let found = authorities(file).map_err(|error| Failure::usage(format!("option ca: {error:#}")))?;
            tls = tls.root_certs(RootCerts::from(found));
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ANSWER_MAX))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls.build())
            .build();
        Ok(Self { agent: config.into(), origin, key: key.map(|key| (name, key)) })
    }

    /// The scheme and the authority of the server.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends a `GET` to a path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None)
    }

    /// Sends a JSON body to a path.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body))
    }

    /// Changes what is at a path by a JSON body.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PATCH, path, Some(body))
    }

    /// Sends a file to a path.
    pub(crate) fn upload(&self, path: &str, file: File) -> anyhow::Result<Value> {
        let request = self.request(&Method::POST, path).header("content-type", "application/octet-stream");
        let request = request.body(file).map_err(|error| self.no_address(&error))?;
        let request = self.agent.configure_request(request).timeout_global(Some(UPLOAD_MAX)).build();
        self.answered(&Method::POST, path, request)
    }

    /// Puts a JSON body at a path.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Some(body))
    }

    /// Deletes what is at a path.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, None)
    }

    /// Sends one request. A 503 that tells whether the gateway is ready is an answer, not a failure.
    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self.request(&method, path);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default());
        self.answered(&method, path, request.map_err(|error| self.no_address(&error))?)
    }

    fn request(&self, method: &Method, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        match &self.key {
            Some((name, key)) => request.header(name, key),
            None => request,
        }
    }

    fn no_address(&self, error: &ureq::http::Error) -> anyhow::Error {
        Failure::usage(format!("{} is no address of a gateway: {error}", self.origin))
    }

    fn answered(
        &self,
        method: &Method,
        path: &str,
        request: Request<impl AsSendBody>,
    ) -> anyhow::Result<Value> {
        let unreachable = |error: ureq::Error| Failure::Unreachable {
            origin: self.origin.clone(),
            reason: error.to_string(),
        };
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(unreachable)?;
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        match response.status().as_u16() {
            200..=299 => Ok(value),
            503 if value["ready"].is_boolean() => Ok(value),
            status => Err(refused(format!("{method} {path}"), status, &value, &body).into()),
        }
    }
}

/// A name as a part of a path.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// A path of the management API: `parts` are names, each of which may hold any character.
pub(crate) fn path(parts: &[&str]) -> String {
    let parts = parts.iter().map(|part| encoded(part));
    format!("/_miroir/{}", parts.collect::<Vec<_>>().join("/").replace("%2D", "-"))
}

/// The refusal of a request, with what to do about it.
fn refused(request: String, status: u16, answer: &Value, body: &str) -> Failure {
    let hint = match status {
        401 | 403 => {
            "; give the gateway's --admin-key as MIROIR_ADMIN_API_KEY, in the credentials or by --admin-key"
        }
        // A path that a gateway does not know is refused without a body.
        404 | 405 if body.is_empty() => {
            concat!(
                "; the gateway does not know this request, so it is older than miroir-ctl ",
                env!("CARGO_PKG_VERSION")
            )
        }
        300..=399 => "; --url must name the gateway itself",
        _ => "",
    };
    let message = answer["message"].as_str().unwrap_or(body).to_owned();
    let code = answer["code"].as_str().unwrap_or_default().to_owned();
    Failure::Refused { request, status, code, message, hint: hint.to_owned() }
}

/// The certificates of a PEM file; at least one.
fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        let item = item.with_context(|| format!("{shown} is no PEM file"))?;
        if let PemItem::Certificate(certificate) = item {
            found.push(certificate);
        }
    }
    ensure!(!found.is_empty(), "{shown} has no certificate");
    Ok(found)
}
