//! `miroir store export|import`: moves a store that no gateway has open to another place or backend.
//!
//! Invariants: an export creates no store and writes over no file; an import fills an empty store alone. The gateway's
//! own program does it, since the format of the store is its own; `miroir-ctl store` starts this program.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use argh::FromArgs;
use futures_lite::future::block_on;
use store::{RedisOptions, Store, StoreLocation, StoreThread, open_redis, open_sled, transfer};

/// Moves a store that no gateway has open.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Verb {
    Export(Export),
    Import(Import),
}

/// Writes all of a store into a file of JSON lines.
#[derive(FromArgs)]
#[argh(subcommand, name = "export")]
struct Export {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be made
    #[argh(positional)]
    file: PathBuf,
}

/// Fills an empty store from a file that `export` has written.
#[derive(FromArgs)]
#[argh(subcommand, name = "import")]
struct Import {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be read
    #[argh(positional)]
    file: PathBuf,
}

/// Runs `miroir store` with the arguments behind these words; it prints `{"entries": N}`, or the help.
///
/// # Errors
/// One clear line: the arguments, the store or the file are not fit for it.
pub(super) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let parsed = match Arguments::from_args(&["miroir", "store"], arguments) {
        Ok(parsed) => parsed,
        Err(exit) if exit.status.is_ok() => return Ok(writeln!(out, "{}", exit.output)?),
        Err(exit) => anyhow::bail!("store: {}", exit.output.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    let count = match &parsed.verb {
        Verb::Export(Export { store, file }) => export(store, file)?,
        Verb::Import(Import { store, file }) => import(store, file)?,
    };
    Ok(writeln!(out, "{}", serde_json::json!({"entries": count}))?)
}

/// Writes a store into a new file; gives the number of its entries.
fn export(named: &str, file: &Path) -> anyhow::Result<u64> {
    let location = location(named)?;
    if let StoreLocation::Sled { path } = &location {
        // Opening creates a store that is missing, which an export must not do.
        ensure!(path.exists(), "store {}: there is none", path.display());
    }
    let (store, thread) = open(location)?;
    let fresh = File::create_new(file).with_context(|| format!("{} cannot be made", file.display()))?;
    let mut out = BufWriter::new(fresh);
    let written = block_on(transfer::export(&store, &mut out));
    if written.is_err() {
        // A part of the file would help nobody, so it is removed.
        let _ = fs::remove_file(file);
    }
    out.get_ref().sync_all()?;
    let count = written?;
    thread.join()?;
    Ok(count)
}

/// Fills an empty store from a file; gives the number of its entries.
fn import(named: &str, file: &Path) -> anyhow::Result<u64> {
    let (store, thread) = open(location(named)?)?;
    let read = block_on(transfer::import(&store, file));
    let count = read.with_context(|| file.display().to_string())?;
    thread.join()?;
    Ok(count)
}

fn location(named: &str) -> anyhow::Result<StoreLocation> {
    let refusal = || {
        let (shown, allowed) = (StoreLocation::shown(named), StoreLocation::ALLOWED);
        format!("option store: {shown:?} is not allowed; {allowed}")
    };
    StoreLocation::parse(named).with_context(refusal)
}

fn open(location: StoreLocation) -> anyhow::Result<(Store, StoreThread)> {
    Ok(match location {
        StoreLocation::Sled { path } => open_sled(&path)?,
        StoreLocation::Redis { url } => open_redis(RedisOptions { url, clock: None })?,
    })
}
