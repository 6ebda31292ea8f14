//! Requests to the management API of one gateway, over HTTP or TLS.
//!
//! Invariants: no redirect and no proxy gets the admin key. An answer is bounded in time and in size.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use ureq::{
    Agent,
    http::{HeaderValue, Method, Request},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// The time for one answer, from connecting to its last byte.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Bytes of one answer: room for the shards of a large cluster.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// The management API of one gateway.
pub(crate) struct Client {
    agent: Agent,
    /// Scheme and authority.
    origin: String,
    key: Option<HeaderValue>,
}

impl Client {
    /// A client of the gateway at `address`, which is `HOST:PORT` or a URL; it does not connect yet.
    pub(crate) fn new(address: &str, key: Option<String>, ca: Option<&Path>) -> anyhow::Result<Self> {
        let origin = match address.split_once("://") {
            None => format!("http://{address}"),
            Some(("http" | "https", _)) => address.trim_end_matches('/').to_owned(),
            Some(_) => {
                bail!("option address: {address:?} is not allowed; give HOST:PORT or http[s]://HOST:PORT")
            }
        };
        let key = key.map(|key| HeaderValue::from_str(&key)).transpose();
        let mut tls = TlsConfig::builder();
        if let Some(file) = ca {
            tls = tls.root_certs(RootCerts::from(authorities(file)?));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls.build())
            .build();
        Ok(Self {
            agent: config.into(),
            origin,
            key: key.context("the admin key has a character that no header can carry")?,
        })
    }

    /// Sends a `GET` to a path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, String::new())
    }

    /// Sends a JSON body to a path.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body.to_string())
    }

    /// Puts a JSON body at a path.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, body.to_string())
    }

    /// Deletes what is at a path.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, String::new())
    }

    /// Sends one request. A 503 that tells whether the gateway is ready is an answer, not a failure.
    fn ask(&self, method: Method, path: &str, body: String) -> anyhow::Result<Value> {
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{}{path}", self.origin))
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("x-admin-key", key);
        }
        let request = request.body(body);
        let request = request.with_context(|| format!("{} is no address of a gateway", self.origin))?;
        let no_answer = || format!("no answer from the gateway at {}", self.origin);
        let mut response = self.agent.run(request).with_context(no_answer)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.with_context(no_answer)?;
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        match response.status().as_u16() {
            200..=299 => Ok(value),
            503 if value["ready"].is_boolean() => Ok(value),
            status => {
                bail!("{method} {path}: status {status}: {}", value["message"].as_str().unwrap_or(&body))
            }
        }
    }
}

/// The certificates of a PEM file; at least one.
fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("option ca: {shown} cannot be read"))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        let item = item.with_context(|| format!("option ca: {shown} is no PEM file"))?;
        if let PemItem::Certificate(certificate) = item {
            found.push(certificate);
        }
    }
    ensure!(!found.is_empty(), "option ca: {shown} has no certificate");
    Ok(found)
}
