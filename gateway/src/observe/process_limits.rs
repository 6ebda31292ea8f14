//! What the process may use of its machine, and what of it is left: descriptors, locked memory, disk, io_uring.
//!
//! Invariant: it is read on a thread of its own, since files are touched for it.

use std::{fs, path::PathBuf, time::Duration};

use futures_channel::oneshot;
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};
use serde_json::{Value, json};

/// Reads the limits; `directory` is where the store keeps its files.
pub(crate) async fn read(directory: Option<PathBuf>) -> Value {
    let (answer, reading) = oneshot::channel();
    let begun = std::thread::Builder::new().name("diagnosis".to_owned()).spawn(move || {
        // Nobody waits any more when the request was given up.
        let _ = answer.send(gather(directory));
    });
    match begun {
        Ok(_) => reading.await.unwrap_or_default(),
        Err(error) => json!({"error": error.to_string()}),
    }
}

/// Sets the metric of memory at an interval, on a thread of its own, for as long as the process lives.
///
/// # Errors
/// When the thread cannot start.
pub fn watch_memory(interval: Duration) -> std::io::Result<()> {
    let watch = move || {
        loop {
            if let Some(pressure) = memory_pressure() {
                metrics::gauge!("miroir_memory_pressure").set(pressure);
            }
            std::thread::sleep(interval);
        }
    };
    std::thread::Builder::new().name("memory".to_owned()).spawn(watch).map(drop)
}

/// The share of the memory allowed to the process that it uses: of its control group, else of the machine. `None`
/// where neither can be read.
fn memory_pressure() -> Option<f64> {
    let (used, allowed) = (resident_bytes()?, allowed_bytes()?);
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    Some(used as f64 / allowed.max(1) as f64)
}

/// The bytes that the control group allows, or those of the machine.
fn allowed_bytes() -> Option<u64> {
    let machine = || {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    group.and_then(|text| text.trim().parse::<u64>().ok()).or_else(machine)
}

fn gather(directory: Option<PathBuf>) -> Value {
    let limit = |resource| getrlimit(resource).current;
    let disk = directory.and_then(|path| {
        let space = statvfs(&path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Some(json!({
            "path": path.display().to_string(),
            "bytesFree": bytes(space.f_bavail),
            "bytes": bytes(space.f_blocks),
        }))
    });
    json!({
        "filesOpen": fs::read_dir("/proc/self/fd").map(Iterator::count).ok(),
        "filesMax": limit(Resource::Nofile),
        "memlockBytesMax": limit(Resource::Memlock),
        "residentBytes": resident_bytes(),
        "uring": uring(),
        "disk": disk,
    })
}

/// Whether the kernel lets this process use io_uring: `0` in the kernel's switch allows everybody.
fn uring() -> Value {
    match fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
        Ok(text) => json!(text.trim() == "0"),
        // Older kernels have no switch.
        Err(_) => Value::Null,
    }
}

fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = text.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_is_left() {
        let found = gather(Some(std::env::temp_dir()));
        assert!(found["filesOpen"].as_u64().unwrap() > 0, "{found}");
        assert!(found["residentBytes"].as_u64().unwrap() > 0, "{found}");
        assert!(found["disk"]["bytes"].as_u64().unwrap() >= found["disk"]["bytesFree"].as_u64().unwrap());
        assert_eq!(gather(None)["disk"], Value::Null);
    }

    #[test]
    fn the_memory_in_use_is_a_share_of_what_is_allowed() {
        let pressure = memory_pressure().unwrap();
        assert!(pressure > 0.0 && pressure < 1.0, "{pressure}");
    }
}
