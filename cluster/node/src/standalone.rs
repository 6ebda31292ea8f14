//! One embedded node as a process of its own, in any binary that calls it.
//! Invariants: stdout has one JSON line when the node is ready, and nothing else. SIGTERM and SIGINT end it cleanly,
//! and so does the end of stdin if it was started with `--exit-with-parent`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use argh::FromArgs;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::{NodeOptions, Server};

/// A Meilisearch-compatible node on the real engine, for development, tests and benchmarks.
#[derive(FromArgs)]
struct Arguments {
    /// address of the API, e.g. 127.0.0.1:7700; port 0 picks a free one
    #[argh(option)]
    listen: SocketAddr,
    /// directory of everything durable
    #[argh(option)]
    data: PathBuf,
    /// key that every request must carry
    #[argh(option)]
    master_key: Option<String>,
    /// address of the fault switches; none without it
    #[argh(option)]
    control: Option<SocketAddr>,
    /// do not wait for the disk: a crash of the machine may lose acknowledged writes
    #[argh(switch)]
    no_sync: bool,
    /// threads that index documents, 2 by default
    #[argh(option, default = "2")]
    indexing_threads: usize,
    /// exit when stdin ends, so that no node outlives its parent
    #[argh(switch)]
    exit_with_parent: bool,
}

/// Runs a node; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let ran = match Arguments::from_args(&["miroir-node"], &rest) {
        Ok(arguments) => run(arguments),
        Err(exit) => {
            let _ = writeln!(std::io::stderr(), "{}", exit.output);
            return if exit.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "miroir-node: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = NodeOptions::new(arguments.data);
    options.master_key = arguments.master_key;
    options.sync = !arguments.no_sync;
    options.indexing_threads = arguments.indexing_threads;
    let server = Server::start(&options, arguments.listen, arguments.control)?;
    announce(&server)?;
    wait(arguments.exit_with_parent)?;
    server.stop();
    Ok(())
}

fn announce(server: &Server) -> anyhow::Result<()> {
    let ready = serde_json::json!({
        "address": server.address().to_string(),
        "control": server.control().map(|address| address.to_string()),
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{ready}").and_then(|()| stdout.flush()).context("cannot say that the node is ready")
}

/// Returns when the process has to end.
fn wait(exit_with_parent: bool) -> anyhow::Result<()> {
    let (gone, parent) = oneshot::channel::<()>();
    let mut kept = Some(gone);
    if exit_with_parent && let Some(gone) = kept.take() {
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            // The content of stdin is ignored; its end or an error means that the parent is gone.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            drop(gone);
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = parent => {}
        }
        Ok(())
    })
}
