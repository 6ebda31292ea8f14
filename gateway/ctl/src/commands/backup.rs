//! `miroir-ctl backup`: the whole cluster, or some indexes, on disk and back.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    client::path,
    context::Context,
    operation,
    report::{Outcome, Report},
    show::{Colour, bytes, painted, state, word},
    table::Table,
};

/// Backups.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "backup")]
pub(crate) struct Backup {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Create(Create),
    List(List),
    Status(Status),
    Verify(Verify),
    Restore(Restore),
}

/// Makes a backup of all indexes, or of some.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create",
    example = "miroir-ctl backup create --watch\nmiroir-ctl backup create --index products --index films"
)]
struct Create {
    /// only this index; may be given several times
    #[argh(option)]
    index: Vec<String>,
}

/// Lists the backups, newest first.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl backup list")]
struct List {}

/// Shows a backup and its indexes; the newest one unless it is named.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "status",
    example = "miroir-ctl backup status\nmiroir-ctl backup status 20260131-120000000-7"
)]
struct Status {
    /// its id
    #[argh(positional)]
    id: Option<String>,
}

/// Compares the files of a backup with its manifest; exit code 1 when they
/// are damaged.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "verify", example = "miroir-ctl backup verify 20260131-120000000-7")]
struct Verify {
    /// its id
    #[argh(positional)]
    id: String,
}

/// Restores a backup, or some of its indexes, none of which may be there.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "restore",
    example = "miroir-ctl backup restore 20260131-120000000-7 --index products --watch"
)]
struct Restore {
    /// its id
    #[argh(positional)]
    id: String,
    /// only this index; may be given several times
    #[argh(option)]
    index: Vec<String>,
}

impl Action for Backup {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::Create(Create { index }) => {
                Ok(operation::begun(client.post("/_miroir/backups", &chosen(index))?))
            }
            Verb::Restore(Restore { id, index }) => {
                Ok(operation::begun(client.post(&path(&["backups", id, "restore"]), &chosen(index))?))
            }
            Verb::List(List {}) => {
                let all = client.get("/_miroir/backups")?;
                let text = lines(all["results"].as_array().into_iter().flatten());
                Ok(Report::good(all, text))
            }
            Verb::Status(Status { id: Some(id) }) => Ok(shown(client.get(&path(&["backups", id]))?)),
            Verb::Status(Status { id: None }) => {
                let all = client.get("/_miroir/backups")?;
                match all["results"].as_array().and_then(|all| all.first()) {
                    Some(newest) => Ok(shown(newest.clone())),
                    None => Ok(Report::good(Value::Null, "there is no backup\n")),
                }
            }
            Verb::Verify(Verify { id }) => {
                Ok(verified(client.get(&format!("{}?verify=true", path(&["backups", id])))?))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_) | Verb::Status(_))
    }
}

/// The body that names indexes; empty for all.
fn chosen(indexes: &[String]) -> Value {
    if indexes.is_empty() { json!({}) } else { json!({"indexes": indexes}) }
}

fn lines<'a>(backups: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(&["BACKUP", "STATUS", "INDEXES", "DOCUMENTS", "SIZE", "MADE BY", "REASON"]);
    for backup in backups {
        let manifest = &backup["manifest"];
        table.row(&[
            word(&backup["id"]),
            state(&backup["status"]),
            manifest["indexes"]
                .as_array()
                .map_or_else(|| "-".to_owned(), |indexes| indexes.len().to_string()),
            sum(&manifest["indexes"], "documents").map_or_else(|| "-".to_owned(), |sum| sum.to_string()),
            bytes(&json!(sum(&manifest["files"], "bytes"))),
            if backup["scheduled"] == true { "schedule" } else { "hand" }.to_owned(),
            word(&backup["reason"]),
        ]);
    }
    table.text()
}

/// The sum of a member of all objects in a list.
fn sum(list: &Value, name: &str) -> Option<u64> {
    let values = list.as_array()?.iter().map(|value| value[name].as_u64());
    values.sum()
}

/// A backup with its indexes; bad news when it has failed.
fn shown(backup: Value) -> Report {
    let mut table = Table::new(&["INDEX", "DOCUMENTS", "FINGERPRINT"]);
    for index in backup["manifest"]["indexes"].as_array().into_iter().flatten() {
        table.row(&[word(&index["uid"]), word(&index["documents"]), word(&index["fingerprint"])]);
    }
    let text = format!("{}\n{}", lines([&backup]), table.text());
    let is_good = backup["status"] != "failed";
    Report::good(backup, text).judged(is_good, Outcome::Failed)
}

fn verified(backup: Value) -> Report {
    let found = &backup["verified"];
    let is_good = found["intact"] == true;
    let mut text = match is_good {
        true => format!("{} is {}\n", word(&backup["id"]), painted(Colour::Green, "intact")),
        false => format!("{} is {}\n", word(&backup["id"]), painted(Colour::Red, "damaged")),
    };
    for wrong in found["wrong"].as_array().into_iter().flatten() {
        text.push_str(&format!("{}\n", word(wrong)));
    }
    Report::good(backup, text).judged(is_good, Outcome::Failed)
}
