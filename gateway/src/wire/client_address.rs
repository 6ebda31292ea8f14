//! The address that a request comes from: the connection's, or the one that a trusted proxy names.
//!
//! Invariants: `X-Forwarded-For` counts only as far as trusted addresses wrote it, from the right, so that a client
//! cannot give itself another address. A network of 2^64 IPv6 addresses is one client.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::wire::h1::Request;

/// The address of the client, as limits count it.
#[must_use]
pub fn client_address(request: &Request, trusted: &[IpNet]) -> IpAddr {
    let forwarded = request.headers.get_all("x-forwarded-for").iter();
    let forwarded = forwarded.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    network(original(request.peer, &forwarded.map(str::trim).collect::<Vec<_>>(), trusted))
}

/// Walks from the connection's address back to the first that is not trusted.
fn original(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    for named in forwarded.iter().rev() {
        if !is_trusted(&address) {
            return address;
        }
        match named.parse::<IpAddr>() {
            Ok(named) => address = named.to_canonical(),
            // A proxy that writes no address says nothing about who is behind it.
            Err(_) => return address,
        }
    }
    address
}

/// The address as limits count it: an IPv6 client has a network of 2^64 addresses, so the network is counted as one.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_name_clients() {
        let check = |peer: &str, forwarded: &[&str], trusted: &[&str], expected: &str| {
            let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>();
            let found = network(original(peer.parse().unwrap(), forwarded, &trusted));
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        };
        check("10.0.0.1", &["1.1.1.1"], &[], "10.0.0.1");
        check("10.0.0.1", &["1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6", "1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["1.1.1.1", "10.0.0.2"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["nonsense"], &["10.0.0.0/8"], "10.0.0.1");
        check("::ffff:10.0.0.1", &[], &[], "10.0.0.1");
        check("fd00::1:2:3:4", &[], &[], "fd00::");
    }
}
