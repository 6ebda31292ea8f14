//! Sends requests to addresses that clients and operators name: webhooks and shadows.
//!
//! Invariants: nothing is sent to an address of a private, local or otherwise special network unless the operator
//! allows that network, whatever name resolves to it. Redirects are not followed. Blocking work runs on a thread of
//! its own.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use futures_channel::oneshot;
use ipnet::IpNet;
use ureq::{
    Agent,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// An agent that reaches public addresses and the `allowed` networks; each request takes at most `limit`.
#[must_use]
pub fn agent(allowed: &[IpNet], limit: Duration) -> Agent {
    let config = Config::builder()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build();
    let resolver = Guarded { allowed: allowed.to_vec(), resolver: DefaultResolver::default() };
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// Runs blocking work on a thread of its own; `None` when it panicked or no thread could be started.
pub async fn blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = done.send(work());
    });
    started.ok()?;
    outcome.await.ok()
}

/// Resolves names and drops the addresses that are not allowed.
#[derive(Debug)]
struct Guarded {
    allowed: Vec<IpNet>,
    resolver: DefaultResolver,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found.iter().filter(|address| is_allowed(&self.allowed, **address)) {
            kept.push(*address);
        }
        match kept.is_empty() {
            false => Ok(kept),
            true => Err(ureq::Error::Io(std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                "the address is of no public network and not allowed by --allowed-ip-networks",
            ))),
        }
    }
}

/// Whether the host of a URL has an address that may be reached, or none that is known now.
#[must_use]
pub fn may_reach(allowed: &[IpNet], url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(host) = uri.host() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let Ok(addresses) = (bare, port).to_socket_addrs() else { return true };
    let addresses = addresses.collect::<Vec<_>>();
    addresses.is_empty() || addresses.iter().any(|address| is_allowed(allowed, *address))
}

/// Whether an address is public or in an allowed network.
#[must_use]
pub fn is_allowed(allowed: &[IpNet], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_public = match ip {
        IpAddr::V4(ip) => is_public_4(ip),
        IpAddr::V6(ip) => is_public_6(ip),
    };
    is_public || allowed.iter().any(|network| network.contains(&ip))
}

/// Source of the networks: the IANA registries of special-purpose addresses.
fn is_public_4(ip: Ipv4Addr) -> bool {
    let [first, second, third, _] = ip.octets();
    let is_special = match first {
        0 | 10 | 127 => true,
        100 => (64..128).contains(&second),
        169 => second == 254,
        172 => (16..32).contains(&second),
        192 => second == 168 || (second == 0 && (third == 0 || third == 2)) || (second == 88 && third == 99),
        198 => second == 18 || second == 19 || (second == 51 && third == 100),
        203 => second == 0 && third == 113,
        // Multicast, reserved, broadcast.
        224.. => true,
        _ => false,
    };
    !is_special
}

fn is_public_6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // Translated IPv4 addresses: the address that they lead to counts.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        [0x2002, high, low, ..] => is_public_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        // Protocol assignments and documentation, inside the range of public addresses.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_on_this_machine_is_not_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let error = agent(&[], Duration::from_secs(5)).post(&url).send(&b"x"[..]).unwrap_err();
        assert!(error.to_string().contains("--allowed-ip-networks"), "{error}");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_public_addresses_and_allowed_networks_are_reached() {
        let check = |ip: &str, expected: bool| {
            let address = SocketAddr::new(ip.parse().unwrap(), 80);
            assert_eq!(is_allowed(&["10.1.0.0/16".parse().unwrap()], address), expected, "{ip}");
        };
        for public in
            ["8.8.8.8", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8", "10.1.2.3"]
        {
            check(public, true);
        }
        for special in [
            "127.0.0.1",
            "0.0.0.0",
            "10.2.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "2002:7f00:1::",
            "64:ff9b::127.0.0.1",
            "2001:db8::1",
            "ff02::1",
        ] {
            check(special, false);
        }
    }
}
