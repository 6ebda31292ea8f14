//! The listener: one loop of a core accepts connections, up to the limits.
//!
//! Invariants: a connection over a limit is closed at once, so that its client sees a refusal, not a hang. Each one
//! is counted, in total and by address, until its task ends, however it ends.

use std::{
    cell::RefCell, future, net::IpAddr, panic::AssertUnwindSafe, rc::Rc, sync::atomic::Ordering,
    time::Duration,
};

use ahash::AHashMap;
use futures_util::FutureExt;

use crate::{
    config::EdgeConfig,
    observe::log,
    server::connection,
    state::core::Core,
    wire::{client_address::network, runtime},
};

/// The pause after an accept that failed, most likely for lack of descriptors: the next one would fail as fast.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Accepts connections until the process hands its port over, and then waits with those that are open for its end.
pub(crate) async fn run(core: Rc<Core>, listener: runtime::Listener) {
    let limiter = Rc::new(ConnectionLimiter::default());
    loop {
        match runtime::accept(&listener).await {
            Ok((stream, address)) => match ConnectionLimiter::enter(&limiter, address, &core.edge()) {
                Ok(permit) => {
                    let core = Rc::clone(&core);
                    core.open_connections().fetch_add(1, Ordering::Relaxed);
                    runtime::spawn(async move {
                        let served =
                            AssertUnwindSafe(connection::run(&core, stream, address)).catch_unwind().await;
                        if served.is_err() {
                            log::error("panic_in_connection", &[]);
                            core.metrics.panics.increment(1);
                        }
                        drop(permit);
                        core.open_connections().fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Err(reason) => {
                    core.metrics.refusal(reason);
                    drop(stream);
                }
            },
            // The socket no longer listens: another process has the port.
            Err(_) if core.shared.is_handing_over() => future::pending().await,
            Err(error) => {
                log::warn("accept_failed", &[("reason", &error.to_string())]);
                runtime::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts the connections to a core.
#[derive(Debug, Default)]
struct ConnectionLimiter {
    inside: RefCell<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    by_address: AHashMap<IpAddr, usize>,
}

/// The permit of one connection; given back on drop.
#[derive(Debug)]
struct ConnectionPermit {
    limiter: Rc<ConnectionLimiter>,
    address: IpAddr,
}

impl ConnectionLimiter {
    /// Gives a permit for one more connection, or the name of the limit that it exceeds.
    fn enter(
        limiter: &Rc<Self>,
        address: IpAddr,
        edge: &EdgeConfig,
    ) -> Result<ConnectionPermit, &'static str> {
        let address = network(address);
        let mut inside = limiter.inside.borrow_mut();
        if inside.connections >= edge.connections_max {
            return Err("too_many_connections");
        }
        let of_address = inside.by_address.entry(address).or_insert(0);
        if *of_address >= edge.connections_per_address_max {
            return Err("too_many_connections_of_address");
        }
        *of_address += 1;
        inside.connections += 1;
        Ok(ConnectionPermit { limiter: Rc::clone(limiter), address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut inside = self.limiter.inside.borrow_mut();
        inside.connections -= 1;
        if let Some(of_address) = inside.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Parsed, parse};

    #[test]
    fn places_are_counted_and_given_back() {
        let options = "--node a=http://a --connections-max 3 --connections-per-address-max 2";
        let Ok(Parsed::Run(config)) = parse(&options.split(' ').collect::<Vec<_>>(), |_| None) else {
            panic!("these options are sound")
        };
        let limiter = Rc::new(ConnectionLimiter::default());
        let enter =
            |address: &str| ConnectionLimiter::enter(&limiter, address.parse().unwrap(), &config.edge);
        let first = enter("10.0.0.1").unwrap();
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), "too_many_connections_of_address");
        let third = enter("fd00::1").unwrap();
        assert_eq!(enter("10.0.0.2").unwrap_err(), "too_many_connections");
        drop(first);
        let _fourth = enter("fd00::ffff:1").unwrap();
        drop(third);
        assert_eq!(limiter.inside.borrow().by_address.len(), 2);
        assert_eq!(network("fd00::1:2:3:4".parse().unwrap()), network("fd00::9".parse().unwrap()));
    }
}
