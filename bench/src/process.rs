//! Child processes: started pinned, ended by their own id, measured by the kernel's counters.
//!
//! Invariants: a child dies with its guard, and with this process even when that is killed. Counters sum over all
//! living threads; CPU time also includes ended ones.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use rustix::thread::CpuSet;

/// A child process that is killed when the guard is dropped.
pub struct Guard {
    child: Child,
    name: String,
}

/// The kernel's counters of a process so far.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// User and system time; the kernel counts in ticks of 10 ms.
    pub cpu: Duration,
    /// Voluntary and involuntary switches, summed over the living threads.
    pub context_switches: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

impl Guard {
    /// Starts `program` on `core` (on any if `None`), with standard output piped and errors written to `errors`. The
    /// command goes through this executable's `launch`, which pins itself and then becomes the program.
    pub fn start(
        name: &str,
        core: Option<usize>,
        program: &Path,
        arguments: &[String],
        errors: &Path,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding the running executable")?;
        let errors = fs::File::create(errors).with_context(|| format!("creating {}", errors.display()))?;
        let mut command = Command::new(own);
        command.arg("launch");
        if let Some(core) = core {
            command.args(["--core", &core.to_string()]);
        }
        command.arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// The addresses in the line that our own servers print once they accept connections.
    pub fn listening(&mut self) -> anyhow::Result<Vec<SocketAddr>> {
        let output = self.child.stdout.take().context("the child's output is already taken")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("reading where the child listens")?;
        let value: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))?;
        let addresses = value["listening"].as_array().context("no addresses")?;
        addresses.iter().map(|address| Ok(address.as_str().unwrap_or_default().parse()?)).collect()
    }

    /// Waits for the child to end and returns its output.
    pub fn output(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let output = self.child.stdout.take().context("the child's output is already taken")?;
        let text = std::io::read_to_string(output).context("reading a child's output")?;
        let status = self.child.wait().context("waiting for a child")?;
        Ok((status, text))
    }

    /// Fails when the child has ended.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("asking for a child")? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.name),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the kernel's counters. Fails when the process has ended.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        Counters::read(self.id()).with_context(|| format!("reading the counters of {}", self.name))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when the child has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Counters {
    /// Reads `/proc/PID`.
    pub fn read(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let mut context_switches = 0;
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread may end between the listing and the reading.
            let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
            context_switches += status_field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            context_switches += status_field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let resident_kib = status_field(&status, "VmRSS:").context("no VmRSS")?;
        Ok(Self { cpu: cpu_time(&stat)?, context_switches, resident_kib })
    }
}

/// Pins this process to `core`, ties its life to its parent's, and becomes `program`. Returns only on failure.
pub fn launch(core: Option<usize>, program: &[String]) -> anyhow::Result<()> {
    let (name, arguments) = program.split_first().context("launch needs a program")?;
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("pinning to core {core}"))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("tying to the parent")?;
    Err(Command::new(name).args(arguments).exec()).with_context(|| format!("running {name}"))
}

/// The executable called `name` on the search path.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    // Debian installs servers in /usr/sbin, which is not on ordinary users' search path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// User and system time from `/proc/PID/stat`: fields 14 and 15, counted after the name in parentheses.
fn cpu_time(stat: &str) -> anyhow::Result<Duration> {
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next().context("no utime")?.parse()?;
    let system: u64 = fields.next().context("no stime")?.parse()?;
    let ticks = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_micros((user + system) * 1_000_000 / ticks))
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_read_by_the_right_fields() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 100 1000 10";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(cpu_time(stat).expect("well formed"), Duration::from_micros(200 * 1_000_000 / ticks));
        let status =
            "Name:\tx\nVmRSS:\t  1234 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(status_field(status, "VmRSS:"), Some(1234));
        assert_eq!(status_field(status, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(status_field(status, "nonvoluntary_ctxt_switches:"), Some(9));
    }

    #[test]
    fn own_counters_grow() {
        let own = Counters::read(std::process::id()).expect("own process");
        assert!(own.resident_kib > 0);
    }
}
