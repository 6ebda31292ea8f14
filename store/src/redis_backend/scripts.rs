//! The three Lua scripts, how they are called, and how their answers are read.
//! - The answer to every read begins with Redis's time and the epoch of its data.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::scripts::Script;
use fred::types::{CustomCommand, Value};
use fred::util::redis_keyslot;

use super::since_epoch;
use crate::StoreError;
use crate::limits::REDIS_REPLICAS_TIMEOUT;

pub(super) struct Scripts {
    pub(super) client: Client,
    prefix: String,
    open: Script,
    read: Script,
    commit: Script,
    /// How many replicas must have a write before it is acknowledged.
    replicas: u32,
}

/// The answer to a read.
pub(super) struct Answered {
    pub(super) now: Duration,
    pub(super) epoch: String,
    pub(super) values: Vec<Value>,
}

impl Scripts {
    pub(super) fn new(client: Client, prefix: String, replicas: u32) -> Scripts {
        Scripts {
            client,
            prefix,
            open: Script::from_lua(include_str!("open.lua")),
            read: Script::from_lua(include_str!("read.lua")),
            commit: Script::from_lua(include_str!("commit.lua")),
            replicas,
        }
    }

    pub(super) async fn open(&self, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        self.call(&self.open, arguments).await
    }

    pub(super) async fn commit(&self, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        match self.replicas {
            0 => self.call(&self.commit, arguments).await,
            _ => self.commit_on_replicas(arguments).await,
        }
    }

    /// Sends `WAIT` with the script over one connection, because `WAIT` counts only that connection's writes.
    async fn commit_on_replicas(&self, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        let slot = redis_keyslot(self.prefix.as_bytes());
        for is_loaded in [false, true] {
            let pipeline = self.client.pipeline();
            let mut call: Vec<Value> =
                vec![Value::from(self.commit.sha1().to_string()), "1".into(), self.prefix.as_str().into()];
            call.extend_from_slice(&arguments);
            let script = CustomCommand::new_static("EVALSHA", slot, false);
            let _: () = pipeline.custom(script, call).await.map_err(|error| failure(&error))?;
            let wait = CustomCommand::new_static("WAIT", slot, false);
            let patience = i64::try_from(REDIS_REPLICAS_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
            let asked = vec![Value::from(i64::from(self.replicas)), Value::from(patience)];
            let _: () = pipeline.custom(wait, asked).await.map_err(|error| failure(&error))?;
            let mut answers = pipeline.try_all::<Value>().await.into_iter();
            let unknown =
                || StoreError::Unreachable("it is not known how many replicas have the write".to_owned());
            let values = match answers.next() {
                Some(Ok(Value::Array(values))) => values,
                Some(Err(error)) if !is_loaded && error.details().starts_with("NOSCRIPT") => {
                    self.commit.load(&self.client).await.map_err(|error| failure(&error))?;
                    continue;
                }
                Some(Err(error)) => return Err(failure(&error)),
                // The connection ended between the two commands.
                Some(Ok(_)) | None => return Err(unknown()),
            };
            let copies = answers.next().and_then(|copies| copies.ok()?.as_i64()).ok_or_else(unknown)?;
            return if copies >= i64::from(self.replicas) { Ok(values) } else { Err(unknown()) };
        }
        Err(strange())
    }

    pub(super) async fn read(&self, arguments: Vec<Value>) -> Result<Answered, StoreError> {
        let mut values = self.call(&self.read, arguments).await?.into_iter();
        let mut head = || values.next().map(text).transpose();
        let (seconds, micros, epoch) = (head()?, head()?, head()?);
        let number = |part: Option<String>| part.and_then(|part| part.parse().ok()).ok_or_else(strange);
        let now = since_epoch(number(seconds)?, number(micros)?);
        Ok(Answered { now, epoch: epoch.ok_or_else(strange)?, values: values.collect() })
    }

    async fn call(&self, script: &Script, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        let prefix = self.prefix.clone();
        match script.evalsha_with_reload(&self.client, prefix, arguments).await {
            Ok(Value::Array(values)) => Ok(values),
            Ok(_) => Err(strange()),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// Most failures of Redis pass (`Unreachable`); a wrong use of it does not (`Io`).
pub(super) fn failure(error: &Error) -> StoreError {
    let details = error.details().lines().next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Parse => StoreError::Io(details),
        ErrorKind::Unknown if details.starts_with("ERR") => StoreError::Io(details),
        ErrorKind::Unknown if details.starts_with("OOM") => StoreError::Full,
        ErrorKind::Config
        | ErrorKind::Auth
        | ErrorKind::Routing
        | ErrorKind::IO
        | ErrorKind::Url
        | ErrorKind::Protocol
        | ErrorKind::Tls
        | ErrorKind::Canceled
        | ErrorKind::Unknown
        | ErrorKind::Timeout
        | ErrorKind::Cluster
        | ErrorKind::Sentinel
        | ErrorKind::NotFound
        | ErrorKind::Backpressure => StoreError::Unreachable(details),
    }
}

pub(super) fn strange() -> StoreError {
    StoreError::Io("Redis answered in a form that is not known".to_owned())
}

/// A string, or a number as a string.
pub(super) fn text(value: Value) -> Result<String, StoreError> {
    value.into_string().ok_or_else(strange)
}

pub(super) fn bytes(value: Value) -> Result<Bytes, StoreError> {
    value.into_bytes().ok_or_else(strange)
}

pub(super) fn number<T: std::str::FromStr>(value: Value) -> Result<T, StoreError> {
    text(value)?.parse().map_err(|_| strange())
}

/// A sequence with leading zeros, so that the order of keys is the order of the numbers.
pub(super) fn padded(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// Splits a stored record into its revision and its JSON.
pub(super) fn stored(value: Value) -> Result<Option<(u64, Bytes)>, StoreError> {
    if matches!(value, Value::Null) {
        return Ok(None);
    }
    let bytes = bytes(value)?;
    let bar = bytes.iter().take(24).position(|byte| *byte == b'|').ok_or_else(strange)?;
    let revision = std::str::from_utf8(&bytes[..bar]).ok().and_then(|text| text.parse().ok());
    Ok(Some((revision.ok_or_else(strange)?, bytes.slice(bar + 1..))))
}
