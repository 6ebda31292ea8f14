//! One large payload of documents through the gateway: how fast the gateway splits it over the nodes, and how much
//! memory that takes.
//!
//! Invariant: nodes only count what they receive, so time and memory are the gateway's own. All nodes acknowledge a
//! payload before the clock stops.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use rustix::net::RecvFlags;

use super::Options;
use super::cases::crowd;
use super::report::Spread;
use crate::client::answer_frame;
use crate::compare::processes::{Fleet, Peer};
use crate::corpus;
use crate::wire::Wire;

/// Just below the gateway's default limit of a body.
const PAYLOAD_BYTES: usize = 100_000_000;
const DOCUMENTS_AT_ONCE: usize = 1000;
const RECEIVE_BYTES: usize = 16 << 10;

/// Measures and prints. Fails when something cannot be started, or a payload is refused.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let gateway: PathBuf = options.gateway.clone().context("ingest needs the gateway")?;
    let fleet = Fleet::of_gateway(&crowd(1), options, &gateway)?;
    let peer = fleet.peers.first().context("no gateway")?;
    let payload = lines(PAYLOAD_BYTES);
    let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let before = peer.process.counters()?.cpu;
        let started = Instant::now();
        send(peer, &payload)?;
        seconds.push(started.elapsed().as_secs_f64());
        cpu.push((peer.process.counters()?.cpu - before).as_secs_f64());
    }
    let megabytes = payload.len() as f64 / 1e6;
    let rate = |times: Vec<f64>| Spread::of(times.into_iter().map(|time| megabytes / time));
    let (wall, cpu) = (rate(seconds), rate(cpu));
    let idle = peer.idle_resident_kib as f64 * 1024.0;
    let most = peak_resident_kib(peer)? as f64 * 1024.0;
    writeln!(output, "{megabytes:.0} MB of NDJSON to 3 nodes, {} rounds", options.rounds)?;
    writeln!(output, "MB/s                {:7.0}  ({:.0} to {:.0})", wall.median, wall.min, wall.max)?;
    writeln!(output, "MB/s of a core      {:7.0}  ({:.0} to {:.0})", cpu.median, cpu.min, cpu.max)?;
    writeln!(output, "memory over payload {:7.2}", (most - idle) / payload.len() as f64)?;
    Ok(())
}

/// Documents one to a line, as many as fit in `bytes`.
fn lines(bytes: usize) -> String {
    let array = corpus::documents(DOCUMENTS_AT_ONCE);
    let documents = array[1..array.len() - 1].replace("},{", "}\n{") + "\n";
    documents.repeat(bytes / documents.len())
}

fn send(peer: &Peer, payload: &str) -> anyhow::Result<()> {
    let key = peer.key.unwrap_or_default();
    let head = format!(
        "POST /indexes/bench/documents HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        payload.len()
    );
    let mut wire = Wire::new(TcpStream::connect(peer.address)?, peer.address, None)?;
    wire.send(head.as_bytes())?;
    wire.send(payload.as_bytes())?;
    let (mut answer, mut scratch) = (Vec::new(), vec![0; RECEIVE_BYTES]);
    loop {
        if wire.receive(&mut scratch, &mut answer, RecvFlags::empty())? == 0 {
            bail!("the gateway closed the connection");
        }
        match answer_frame(&answer)? {
            Some(frame) if frame.status == 202 => return Ok(()),
            Some(frame) => bail!("status {}: {}", frame.status, String::from_utf8_lossy(&answer)),
            None => {}
        }
    }
}

/// The peak of resident memory so far, in KiB.
fn peak_resident_kib(peer: &Peer) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    line.trim().trim_end_matches(" kB").parse().context("VmHWM")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_whole_lines_of_about_the_size_asked_for() {
        let payload = lines(1 << 20);
        assert!(payload.len() <= 1 << 20 && payload.len() > 1 << 19);
        assert!(payload.ends_with("}\n"));
        assert!(payload.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
