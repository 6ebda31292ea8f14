//! `miroir-ctl store`: moves a store that no gateway has open to another place or backend.
//!
//! Invariant: the gateway's own program does it (`miroir store`), since the format of the store is its own; this
//! program neither links a backend nor reads a file of it.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use super::Action;
use crate::kit::{context::Context, report::Report};

/// The gateway's program.
const GATEWAY: &str = "miroir";

/// A gateway's store, while no gateway has it open.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "store")]
pub(crate) struct Store {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Export(Export),
    Import(Import),
}

/// Writes all of a store into a file of JSON lines.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "export",
    example = "miroir-ctl store export --store sled:./miroir-data store.jsonl"
)]
struct Export {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be made
    #[argh(positional)]
    file: PathBuf,
}

/// Fills an empty store from a file that `export` has written.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "import",
    example = "miroir-ctl store import --store redis://127.0.0.1:6379 store.jsonl"
)]
struct Import {
    /// sled:PATH or redis://HOST:PORT, as the gateway has it
    #[argh(option)]
    store: String,
    /// the file to be read
    #[argh(positional)]
    file: PathBuf,
}

impl Action for Store {
    fn run(&self, _: &Context) -> anyhow::Result<Report> {
        let (verb, done, store, file) = match &self.verb {
            Verb::Export(Export { store, file }) => ("export", "exported", store, file),
            Verb::Import(Import { store, file }) => ("import", "imported", store, file),
        };
        let arguments = ["store", verb, "--store", store].map(OsStr::new);
        let answer = run_gateway(&arguments, file.as_os_str())?;
        let Some(count) = answer["entries"].as_u64() else {
            bail!("{GATEWAY} store {verb}: the program answers {answer}; it is of another version");
        };
        Ok(Report::good(answer, format!("{count} entries {done}\n")))
    }
}

/// Starts the gateway's program and waits for it; gives what it prints.
fn run_gateway(arguments: &[&OsStr], file: &OsStr) -> anyhow::Result<Value> {
    let program = gateway_program();
    let started = Command::new(&program).args(arguments).arg(file).output();
    let output = started.with_context(|| {
        format!("the program {GATEWAY} cannot be started; put it beside miroir-ctl or on the PATH")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.trim().strip_prefix("miroir: ").unwrap_or(said.trim());
    ensure!(output.status.success(), "{reason}");
    let out = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&out).with_context(|| format!("{GATEWAY} store: {out:?} is no answer"))
}

/// The program beside this one, which is of the same version, else the first on the `PATH`.
fn gateway_program() -> OsString {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(GATEWAY));
    beside.filter(|path| path.is_file()).map_or_else(|| GATEWAY.into(), PathBuf::into_os_string)
}
