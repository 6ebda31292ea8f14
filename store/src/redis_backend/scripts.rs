//! The three scripts, how they are called, and what their answers are made of.
//! - Every read's answer begins with Redis's time and the epoch of its data.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::types::Value;
use fred::types::scripts::Script;

use super::since_epoch;
use crate::StoreError;

pub(super) struct Scripts {
    pub(super) client: Client,
    prefix: String,
    open: Script,
    read: Script,
    commit: Script,
}

/// The answer to a read.
pub(super) struct Answered {
    pub(super) now: Duration,
    pub(super) epoch: String,
    pub(super) values: Vec<Value>,
}

impl Scripts {
    pub(super) fn new(client: Client, prefix: String) -> Scripts {
        Scripts {
            client,
            prefix,
            open: Script::from_lua(include_str!("open.lua")),
            read: Script::from_lua(include_str!("read.lua")),
            commit: Script::from_lua(include_str!("commit.lua")),
        }
    }

    pub(super) async fn open(&self, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        self.call(&self.open, arguments).await
    }

    pub(super) async fn commit(&self, arguments: Vec<Value>) -> Result<Vec<Value>, StoreError> {
        self.call(&self.commit, arguments).await
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

/// Most of what can go wrong with Redis passes; a wrong use of it does not.
fn failure(error: &Error) -> StoreError {
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

/// A string, or a number as one.
pub(super) fn text(value: Value) -> Result<String, StoreError> {
    value.into_string().ok_or_else(strange)
}

pub(super) fn bytes(value: Value) -> Result<Bytes, StoreError> {
    value.into_bytes().ok_or_else(strange)
}

pub(super) fn number<T: std::str::FromStr>(value: Value) -> Result<T, StoreError> {
    text(value)?.parse().map_err(|_| strange())
}

/// A sequence as it stands in keys: all of one length, so that their order is that of the numbers.
pub(super) fn padded(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// A record's revision and its JSON.
pub(super) fn stored(value: Value) -> Result<Option<(u64, Bytes)>, StoreError> {
    if matches!(value, Value::Null) {
        return Ok(None);
    }
    let bytes = bytes(value)?;
    let bar = bytes.iter().take(24).position(|byte| *byte == b'|').ok_or_else(strange)?;
    let revision = std::str::from_utf8(&bytes[..bar]).ok().and_then(|text| text.parse().ok());
    Ok(Some((revision.ok_or_else(strange)?, bytes.slice(bar + 1..))))
}
