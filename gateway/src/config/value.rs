//! Reads an option's text as its typed value. The error of each function says only what is allowed; the caller adds
//! the option's name and the value.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use protocol::auth::SECRET_SHOWN;
use store::StoreLocation;

use super::limits::{
    CAPACITY_DEFAULT, CAPACITY_MAX, CAPACITY_MIN, GROUPS_MAX, INTERVAL_MAX, INTERVAL_MIN, NODE_ID_BYTES_MAX,
    TIMEOUT_MAX, TIMEOUT_MIN,
};
use super::{NodeConfig, NodeUrl, PeerService, Secret, StoreConfig};

/// What is allowed, as the end of a sentence.
pub(crate) type Allowed = String;

const HTTP_PORT_DEFAULT: u16 = 80;
const HTTPS_PORT_DEFAULT: u16 = 443;

/// The names of the two states of a capability.
pub(crate) const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

pub(crate) fn address(text: &str) -> Result<SocketAddr, Allowed> {
    text.parse().map_err(|_| "give IP:PORT, for example 127.0.0.1:7700".to_owned())
}

pub(crate) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Allowed> {
    if text == "off" {
        return Ok(None);
    }
    let address = text.parse().map_err(|_| "give IP:PORT, for example 127.0.0.1:9090, or off".to_owned())?;
    Ok(Some(address))
}

pub(crate) fn whole<T>(text: &str, range: RangeInclusive<T>) -> Result<T, Allowed>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("give a whole number from {} to {}", range.start(), range.end()))
}

pub(crate) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Allowed> {
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("give one of {}", names.join(", "))
    })
}

/// Reads a number of bytes, plain or with one of the units kB, MB, GB (powers of 1000) and KiB, MiB, GiB.
pub(crate) fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, Allowed> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let count = split_unit(text).and_then(|(number, unit)| {
        let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        number.checked_mul(*factor)
    });
    count
        .filter(|count| range.contains(count))
        .ok_or_else(|| format!("give {} to {} bytes, for example 100MB or 64MiB", range.start(), range.end()))
}

/// Reads a share of the whole, as a fraction.
pub(crate) fn share(text: &str, share_max: f64) -> Result<f64, Allowed> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=share_max).contains(&share) => Ok(share),
        _ => Err(format!("give a number from 0 to {share_max}")),
    }
}

/// Reads the time between two runs of a job, which may be days.
pub(crate) fn interval(text: &str) -> Result<Duration, Allowed> {
    let time = split_unit(text).and_then(|(number, unit)| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    });
    time.filter(|time| (INTERVAL_MIN..=INTERVAL_MAX).contains(time))
        .ok_or_else(|| "give a time from 100ms to 720h, for example 300s or 6h".to_owned())
}

/// Reads the time between two runs of a job, or `off` for none.
pub(crate) fn interval_or_off(text: &str) -> Result<Option<Duration>, Allowed> {
    match text {
        "off" => Ok(None),
        text => interval(text).map(Some).map_err(|allowed| format!("{allowed}, or off")),
    }
}

/// Reads a time, or `off` for none.
pub(crate) fn duration_or_off(text: &str) -> Result<Option<Duration>, Allowed> {
    match text {
        "off" => Ok(None),
        text => duration(text).map(Some).map_err(|allowed| format!("{allowed}, or off")),
    }
}

/// Reads the URL of a collector, or `off` for none; a slash at its end does not count.
pub(crate) fn collector(text: &str) -> Result<Option<String>, Allowed> {
    let is_url = |url: &str| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
            && url.parse::<Uri>().is_ok()
            && !url.contains('@')
    };
    match text {
        "off" => Ok(None),
        url if is_url(url) => Ok(Some(url.trim_end_matches('/').to_owned())),
        _ => {
            Err("give http[s]://HOST:PORT without a user, for example http://127.0.0.1:4318, or off"
                .to_owned())
        }
    }
}

/// Reads a time for which something is kept.
pub(crate) fn keep(text: &str) -> Result<Duration, Allowed> {
    match text {
        "0s" => Ok(Duration::ZERO),
        _ => interval(text).map_err(|_| "give 0s, or a time from 100ms to 720h, for example 48h".to_owned()),
    }
}

/// Reads a time with the unit ms, s or m.
pub(crate) fn duration(text: &str) -> Result<Duration, Allowed> {
    let time = split_unit(text).and_then(|(number, unit)| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    });
    time.filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
        .ok_or_else(|| "give a time from 10ms to 60m, for example 500ms or 30s".to_owned())
}

pub(crate) fn folder(text: &str) -> Result<PathBuf, Allowed> {
    match text.is_empty() {
        false => Ok(text.into()),
        true => Err("give a directory, for example ./dumps".to_owned()),
    }
}

/// Reads the path of a file that is there.
pub(crate) fn readable_file(text: &str) -> Result<Option<PathBuf>, Allowed> {
    match std::fs::metadata(text) {
        Ok(found) if found.is_file() => Ok(Some(text.into())),
        Ok(_) => Err("give a file".to_owned()),
        Err(error) => Err(format!("give a file that can be read ({error})")),
    }
}

/// Reads networks as `ADDRESS/BITS`, separated by commas; an empty text has none.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, Allowed> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let networks = parts.map(str::parse).collect::<Result<Vec<_>, _>>();
    networks.map_err(|_| "give networks such as 10.0.0.0/8,::1/128".to_owned())
}

/// Reads a key. It travels in a header, so it must be visible ASCII without spaces.
pub(crate) fn secret(text: &str) -> Result<Secret, Allowed> {
    // What `--print-config` shows in place of a key cannot be a key itself.
    if text == SECRET_SHOWN {
        return Err(format!("{SECRET_SHOWN} only stands for a key in printed configurations"));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("give at least one character, all of them visible ASCII without spaces".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

pub(crate) fn file(text: &str) -> Result<PathBuf, Allowed> {
    if text.is_empty() {
        return Err("give the path of a file".to_owned());
    }
    Ok(text.into())
}

pub(crate) fn store(text: &str) -> Result<StoreConfig, Allowed> {
    match StoreLocation::parse(text) {
        Some(StoreLocation::Sled { path }) => Ok(StoreConfig::Sled { path }),
        Some(StoreLocation::Redis { url }) => Ok(StoreConfig::Redis { url: Secret::new(url) }),
        None => Err(StoreLocation::ALLOWED.to_owned()),
    }
}

/// Reads a pod's name, which has the form of a node's id.
pub(crate) fn pod_id(text: &str) -> Result<String, Allowed> {
    node_id(text).map_err(|allowed| allowed.replace("a node's", "a pod's"))
}

/// Reads `NAME[@ADDRESS:PORT]`.
pub(crate) fn peer_service(text: &str) -> Result<PeerService, Allowed> {
    let allowed = || {
        "give the name of a DNS SRV record, for example _miroir._tcp.miroir.default.svc.cluster.local, and if need be @ADDRESS:PORT of the server to ask".to_owned()
    };
    let (name, server) = match text.split_once('@') {
        Some((name, server)) => (name, Some(server.parse().map_err(|_| allowed())?)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(is_label) {
        return Err(allowed());
    }
    Ok(PeerService { name: name.to_owned(), server })
}

/// Reads `ID=URL[,group=N][,capacity=W]`.
pub(crate) fn node(text: &str) -> Result<NodeConfig, Allowed> {
    let mut parts = text.split(',');
    let (id, url) = parts
        .next()
        .and_then(|first| first.split_once('='))
        .ok_or("give ID=URL[,group=N][,capacity=W], for example n1=http://10.0.0.1:7700")?;
    let mut node = NodeConfig { id: node_id(id)?, url: node_url(url)?, group: 0, capacity: CAPACITY_DEFAULT };
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if seen.contains(&name) {
            return Err(format!("give {name} once"));
        }
        seen.push(name);
        match name {
            "group" => {
                node.group =
                    whole(value, 0..=GROUPS_MAX - 1).map_err(|allowed| format!("for group {allowed}"))?
            }
            "capacity" => node.capacity = capacity(value)?,
            _ => return Err("after the URL only group=N and capacity=W may follow".to_owned()),
        }
    }
    Ok(node)
}

fn node_id(text: &str) -> Result<String, Allowed> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.is_empty() || text.len() > NODE_ID_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(format!("a node's ID has 1 to {NODE_ID_BYTES_MAX} of the characters A-Z a-z 0-9 _ . -"));
    }
    Ok(text.to_owned())
}

fn capacity(text: &str) -> Result<f64, Allowed> {
    let weight = text.parse().ok().filter(|weight| (CAPACITY_MIN..=CAPACITY_MAX).contains(weight));
    weight.ok_or_else(|| format!("for capacity give a number from {CAPACITY_MIN} to {CAPACITY_MAX}"))
}

fn node_url(text: &str) -> Result<NodeUrl, Allowed> {
    const FORM: &str = "a node's URL is http[s]://HOST[:PORT]";
    let uri: Uri = text.parse().map_err(|_| FORM.to_owned())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(FORM.to_owned()),
    };
    let authority = uri.authority().ok_or(FORM)?;
    if authority.as_str().contains('@') {
        return Err(format!("{FORM} without a user"));
    }
    if !matches!(uri.path(), "" | "/") || text.contains(['?', '#']) {
        return Err(format!("{FORM} without a path"));
    }
    let host = authority.host().to_owned();
    let port = match authority.as_str().strip_prefix(&host) {
        Some("") if tls => HTTPS_PORT_DEFAULT,
        Some("") => HTTP_PORT_DEFAULT,
        Some(rest) => rest
            .strip_prefix(':')
            .and_then(|port| whole(port, 1..=u16::MAX).ok())
            .ok_or_else(|| format!("{FORM}, the port from 1 to 65535"))?,
        None => return Err(FORM.to_owned()),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) if !matches!(bare.parse(), Ok(IpAddr::V6(_))) => Err(FORM.to_owned()),
        None if host.is_empty() || host.contains('[') => Err(FORM.to_owned()),
        _ => Ok(NodeUrl { host: bare.unwrap_or(&host).to_ascii_lowercase(), port, tls }),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}
