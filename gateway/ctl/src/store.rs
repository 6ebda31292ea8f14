//! `miroir-ctl store`: moves a store that no gateway has open to another place or backend.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use ::store::{RedisOptions, StoreLocation, StoreThread, open_redis, open_sled, transfer};
use anyhow::{Context, ensure};
use argh::FromArgs;
use futures_lite::future::block_on;
use serde_json::json;

use crate::report::Report;

/// A gateway's store, while no gateway has it open.
#[derive(FromArgs)]
#[argh(subcommand, name = "store")]
pub(crate) struct Store {
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

impl Store {
    pub(crate) fn run(&self) -> anyhow::Result<Report> {
        let (count, done) = match &self.verb {
            Verb::Export(Export { store, file }) => (export(store, file)?, "exported"),
            Verb::Import(Import { store, file }) => (import(store, file)?, "imported"),
        };
        let (answer, text) = (json!({"entries": count}), format!("{count} entries {done}\n"));
        Ok(Report { answer, text, is_good: true })
    }
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

fn open(location: StoreLocation) -> anyhow::Result<(::store::Store, StoreThread)> {
    Ok(match location {
        StoreLocation::Sled { path } => open_sled(&path)?,
        StoreLocation::Redis { url } => open_redis(RedisOptions { url, clock: None })?,
    })
}
