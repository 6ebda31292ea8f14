//! `miroir-ctl dump`: what another Meilisearch has exported, taken into the cluster.

use std::{fs::File, path::PathBuf};

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::commands::Action;
use crate::kit::{
    client::path,
    context::Context,
    failure::Failure,
    operation,
    report::Report,
    show::{bytes, state, word},
    table::Table,
};

/// Dumps of other servers.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "dump")]
pub(crate) struct Dump {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Import(Import),
    Status(Status),
}

/// Sends a dump to the gateway, which writes its keys, settings and
/// documents. None of its indexes may be there.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "import", example = "miroir-ctl dump import 20260131-120000000.dump --watch")]
struct Import {
    /// the file, as a server of version 1 has made it
    #[argh(positional)]
    file: PathBuf,
}

/// Shows an import and its indexes; all imports unless one is named.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", example = "miroir-ctl dump status\nmiroir-ctl dump status 42")]
struct Status {
    /// the number of its operation
    #[argh(positional)]
    number: Option<u64>,
}

impl Action for Dump {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::Import(Import { file }) => {
                let unreadable = |error: std::io::Error| {
                    Failure::usage(format!("{} cannot be read: {error}", file.display()))
                };
                let opened = File::open(file).map_err(unreadable)?;
                if opened.metadata().map_err(unreadable)?.is_dir() {
                    return Err(Failure::usage(format!("{} is a folder", file.display())));
                }
                Ok(operation::begun(client.upload("/_miroir/dumps/import", opened)?))
            }
            Verb::Status(Status { number: Some(number) }) => {
                Ok(shown(client.get(&path(&["operations", &number.to_string()]))?))
            }
            Verb::Status(Status { number: None }) => {
                let all = client.get("/_miroir/operations?kind=dumpImport&limit=100")?;
                let text = lines(all["results"].as_array().into_iter().flatten());
                Ok(Report::good(all, text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Status(_))
    }
}

fn lines<'a>(imports: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(&["OPERATION", "STATUS", "PHASE", "DOCUMENTS", "SIZE", "REASON"]);
    for import in imports {
        let progress = &import["progress"];
        table.row(&[
            word(&import["operation"]),
            state(&import["status"]),
            word(&import["phase"]),
            format!("{}/{}", word(&progress["documentsMoved"]), word(&progress["documentsTotal"])),
            bytes(&import["dump"]["bytes"]),
            word(&import["reason"]),
        ]);
    }
    table.text()
}

fn shown(import: Value) -> Report {
    let mut table = Table::new(&["INDEX", "PRIMARY KEY", "DOCUMENTS"]);
    for (uid, index) in import["dump"]["indexes"].as_object().into_iter().flatten() {
        table.row(&[uid.clone(), word(&index["primaryKey"]), word(&index["documents"])]);
    }
    let judged = operation::report(import.clone());
    Report { text: format!("{}\n{}", lines([&import]), table.text()), ..judged }
}
