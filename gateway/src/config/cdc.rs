//! The options of the stream of changes: whether there is one, and where it is delivered.
//!
//! Invariants: a sink is checked once, here; its name is stable and has no credentials in it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::Uri;

use super::{ConfigError, limits, options::RawOptions, value, value::Allowed};

/// What becomes of changes when the stream is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CdcOverflow {
    /// The oldest go, loudly.
    Drop,
    /// Writes are refused until sinks have caught up.
    Block,
}

impl CdcOverflow {
    pub(crate) const NAMES: [(&'static str, Self); 2] = [("drop", Self::Drop), ("block", Self::Block)];
}

/// The kinds of sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    Webhook,
    Nats,
}

impl SinkKind {
    const ALL: [Self; 2] = [Self::Webhook, Self::Nats];

    /// Its name in the option.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Nats => "nats",
        }
    }

    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Webhook => &["http", "https"],
            Self::Nats => &["nats", "tls"],
        }
    }
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdcSink {
    pub kind: SinkKind,
    pub url: String,
    /// Whether events have their documents.
    pub body: bool,
    /// Events in one delivery.
    pub batch: usize,
    /// How long a batch that is not full waits for more.
    pub flush: Duration,
}

impl CdcSink {
    /// As the option has it, without credentials.
    pub(crate) fn shown(&self) -> String {
        let body = if self.body { "on" } else { "off" };
        let flush = super::print::duration(self.flush);
        format!("{},body={body},batch={},flush={flush}", self.name(), self.batch)
    }

    /// The URL without credentials.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return self.url.clone() };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let start = rest[..end].rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{}", &rest[start..])
    }

    /// The name under which its cursor is kept.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}={}", self.kind.name(), self.shown_url())
    }
}

/// The stream of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdcConfig {
    /// It is there with `--cdc on`, or when there is a sink.
    pub on: bool,
    pub sinks: Vec<CdcSink>,
    pub overflow: CdcOverflow,
    /// Whether deletions of expired documents are told.
    pub ttl_deletes: bool,
}

impl CdcConfig {
    /// Whether any sink wants documents.
    #[must_use]
    pub fn has_bodies(&self) -> bool {
        self.sinks.iter().any(|sink| sink.body)
    }
}

/// Reads all options about the stream.
pub(super) fn read(raw: &RawOptions) -> Result<CdcConfig, ConfigError> {
    let mut sinks = Vec::<CdcSink>::new();
    for text in raw.cdc_sink.as_deref().unwrap_or_default() {
        let shown = super::without_user(text);
        let sink = sink(text).map_err(|allowed| super::refused("cdc-sink", &shown, allowed))?;
        if sinks.iter().any(|known| known.name() == sink.name()) {
            return Err(super::refused("cdc-sink", &shown, "give each sink once".to_owned()));
        }
        sinks.push(sink);
    }
    let off = |name, text: &Option<String>| {
        super::option(name, text, false, |text| value::one_of(text, &value::SWITCH))
    };
    Ok(CdcConfig {
        on: off("cdc", &raw.cdc)? || !sinks.is_empty(),
        sinks,
        overflow: super::option("cdc-overflow", &raw.cdc_overflow, CdcOverflow::Drop, |text| {
            value::one_of(text, &CdcOverflow::NAMES)
        })?,
        ttl_deletes: off("cdc-ttl-deletes", &raw.cdc_ttl_deletes)?,
    })
}

/// Reads `KIND=URL[,body=on][,batch=N][,flush=TIME]`.
pub(crate) fn sink(text: &str) -> Result<CdcSink, Allowed> {
    const FORM: &str = "give KIND=URL[,body=on][,batch=N][,flush=TIME] with webhook or nats as the kind, for example webhook=https://host/changes";
    let mut parts = text.split(',');
    let (kind, url) = parts.next().and_then(|first| first.split_once('=')).ok_or(FORM)?;
    let kind = SinkKind::ALL.into_iter().find(|known| known.name() == kind).ok_or(FORM)?;
    let mut sink = CdcSink {
        kind,
        url: checked_url(kind, url)?,
        body: false,
        batch: limits::CDC_BATCH_DEFAULT,
        flush: limits::CDC_FLUSH_DEFAULT,
    };
    for part in parts {
        let (name, given) = part.split_once('=').ok_or(FORM)?;
        match name {
            "body" => sink.body = value::one_of(given, &value::SWITCH)?,
            "batch" => sink.batch = value::whole(given, 1..=limits::CDC_BATCH_MAX)?,
            "flush" => sink.flush = value::duration(given)?,
            _ => return Err(FORM.to_owned()),
        }
    }
    Ok(sink)
}

fn checked_url(kind: SinkKind, url: &str) -> Result<String, Allowed> {
    let schemes = kind.schemes();
    let allowed =
        || format!("give a {} URL with a host, such as {}://host/path", schemes.join(" or "), schemes[0]);
    let uri = url.parse::<Uri>().map_err(|_| allowed())?;
    let is_right = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    match is_right && uri.host().is_some_and(|host| !host.is_empty()) {
        true => Ok(url.to_owned()),
        false => Err(allowed()),
    }
}

/// The literal address in a sink's URL, if it has one: whether it may be reached is known before the start.
pub(crate) fn literal_address(sink: &CdcSink) -> Option<SocketAddr> {
    let uri = sink.url.parse::<Uri>().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let ip = host.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, uri.port_u16().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_read_with_their_parts() {
        let sink_of = |text: &str| sink(text).unwrap();
        let plain = sink_of("webhook=https://h/changes");
        assert_eq!((plain.body, plain.batch, plain.flush), (false, 100, Duration::from_secs(1)));
        let full = sink_of("nats=nats://me:pw@h:4222/films?stream=S,body=on,batch=5,flush=100ms");
        assert_eq!((full.kind, full.body, full.batch), (SinkKind::Nats, true, 5));
        assert_eq!(full.name(), "nats=nats://h:4222/films?stream=S");
        assert_eq!(literal_address(&sink_of("webhook=http://127.0.0.1:9/x")).unwrap().port(), 9);
        assert_eq!(literal_address(&plain), None);
        for bad in [
            "",
            "webhook",
            "kafka=kafka://h/t",
            "webhook=ftp://h",
            "webhook=https://",
            "nats=https://h",
            "webhook=https://h,body=yes",
            "webhook=https://h,batch=0",
            "webhook=https://h,flush=soon",
            "webhook=https://h,retry=1",
            "webhook=https://h,body",
        ] {
            assert!(sink(bad).is_err(), "{bad}");
        }
    }
}
