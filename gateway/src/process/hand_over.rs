//! An upgrade without a lost request: the running gateway starts the new program, which takes port and store over.
//!
//! - SIGUSR2 starts the successor: the program at the path of this one, with the same options and `--take-over`.
//! - The successor listens on the same port. Then it asks this process with SIGQUIT to leave the port, to answer what
//!   is open, and to end. A client meanwhile waits in the successor's queue.
//! - A successor that cannot start changes nothing: this process serves on.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    config::{Config, StoreConfig, limits::HAND_OVER_IDLE_MAX},
    observe::log,
};

/// Whether the kernel gives clients that wait in a queue to another socket of the port, once theirs closes.
const MIGRATES: &str = "/proc/sys/net/ipv4/tcp_migrate_req";
const OPTION: &str = "--take-over";

/// Whether the successor serves while its predecessor still does. That takes a store that both may have open, and two
/// names: pods of one name would take each other's leases.
pub(super) fn serve_side_by_side(config: &Config) -> bool {
    matches!(config.store, StoreConfig::Redis { .. }) && config.pod_id.is_none()
}

/// How long the process that hands over waits for connections on which nobody asks.
pub(super) fn idle_max(config: &Config) -> Duration {
    if serve_side_by_side(config) { config.drain_timeout } else { HAND_OVER_IDLE_MAX }
}

/// The process whose port and store this one takes over.
pub(super) struct Predecessor {
    id: i32,
    /// Stands for this very process, also when its number is given out again.
    process: OwnedFd,
}

impl Predecessor {
    /// # Errors
    /// When there is no such process.
    pub(super) fn find(id: i32) -> anyhow::Result<Self> {
        let pid = Pid::from_raw(id).context("a process id is not 0")?;
        let found = pidfd_open(pid, PidfdFlags::empty());
        let process = found.with_context(|| {
            format!("{OPTION} {id}: allowed: the process id of a gateway that runs as this user")
        })?;
        Ok(Self { id, process })
    }

    /// Asks the process to leave the port and to end.
    ///
    /// # Errors
    /// When it is another user's.
    pub(super) fn ask_to_leave(&self) -> anyhow::Result<()> {
        log::info("taking_over", &[("from", &self.id.to_string())]);
        match pidfd_send_signal(&self.process, Signal::QUIT) {
            // It has ended by itself, which is as good.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => bail!("{OPTION} {}: {error}", self.id),
        }
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) fn wait_for_end(&self, max: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + max;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).context("the wait is too long")?;
            match poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => {
                    bail!("{OPTION} {}: it has not ended within {max:?}; end it, then start again", self.id)
                }
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => bail!("{OPTION} {}: {error}", self.id),
            }
        }
    }
}

/// The way to the program that SIGUSR2 starts.
pub(super) struct Upgrade {
    program: PathBuf,
    arguments: Vec<String>,
    /// Whether a successor is on its way.
    under_way: Arc<AtomicBool>,
}

impl Upgrade {
    /// `arguments` begin with the program's name. A name without a folder stands for the file that runs now.
    pub(super) fn new(arguments: &[String]) -> Self {
        let name = arguments.first().map_or("", String::as_str);
        let program = match name.contains('/') {
            true => Path::new(name).to_owned(),
            false => std::env::current_exe().unwrap_or_default(),
        };
        let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        Self { program, arguments: without_take_over(&rest), under_way: Arc::default() }
    }

    /// Starts the successor, unless one is on its way.
    pub(super) fn begin(&self) {
        if self.under_way.swap(true, Ordering::Relaxed) {
            return log::warn("upgrade_under_way", &[]);
        }
        match self.start() {
            Ok(successor) => {
                log::info("upgrade_begun", &[("successor", &successor.id().to_string())]);
                if std::fs::read_to_string(MIGRATES).is_ok_and(|set| set.trim() == "0") {
                    let consequence = "connections that wait to be accepted when the port changes hands are reset; set net.ipv4.tcp_migrate_req=1";
                    log::warn("connections_do_not_migrate", &[("consequence", consequence)]);
                }
                self.watch(successor);
            }
            Err(error) => {
                self.under_way.store(false, Ordering::Relaxed);
                let (program, reason) = (self.program.display().to_string(), error.to_string());
                log::error("upgrade_failed", &[("program", &program), ("reason", &reason)]);
            }
        }
    }

    /// A successor that takes over outlives this process. One that ends before has failed.
    fn watch(&self, mut successor: Child) {
        let under_way = Arc::clone(&self.under_way);
        std::thread::spawn(move || {
            let ended = successor.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            log::error("upgrade_failed", &[("reason", &ended), ("consequence", "this process serves on")]);
            under_way.store(false, Ordering::Relaxed);
        });
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .args([OPTION, &std::process::id().to_string()])
            .stdin(std::process::Stdio::null())
            .spawn()
    }
}

/// The arguments without those that a successor was started with.
fn without_take_over(arguments: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix(OPTION) {
            Some("") => drop(rest.next()),
            Some(value) if value.starts_with('=') => {}
            _ => kept.push((*argument).to_owned()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_of_a_successor_gets_the_option_once() {
        let check =
            |arguments: &[&str], expected: &[&str]| assert_eq!(without_take_over(arguments), expected);
        check(&["--config", "a.toml"], &["--config", "a.toml"]);
        check(&["--take-over", "7", "--config", "a.toml"], &["--config", "a.toml"]);
        check(&["--config", "a.toml", "--take-over=7"], &["--config", "a.toml"]);
        check(&["--take-over"], &[]);
    }

    #[test]
    fn a_process_is_asked_and_its_end_awaited() {
        // A shell that runs the tests in the background ignores the signal, which children inherit.
        let mut other = Command::new("env").args(["--default-signal=QUIT", "sleep", "600"]).spawn().unwrap();
        let name = format!("/proc/{}/comm", other.id());
        while std::fs::read_to_string(&name).unwrap().trim() != "sleep" {
            std::thread::yield_now();
        }
        let found = Predecessor::find(i32::try_from(other.id()).unwrap()).unwrap();
        assert!(
            found.wait_for_end(Duration::ZERO).unwrap_err().to_string().contains("it has not ended within")
        );
        found.ask_to_leave().unwrap();
        // A process that nobody has waited for yet has ended all the same.
        found.wait_for_end(Duration::from_secs(60)).unwrap();
        other.wait().unwrap();
        found.ask_to_leave().unwrap();
        let error = Predecessor::find(crate::config::limits::PROCESS_ID_MAX).err().unwrap();
        assert!(error.to_string().starts_with("--take-over 4194304: allowed: "), "{error}");
    }
}
