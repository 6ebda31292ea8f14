//! `miroir-ctl rollover`: policies by which aliases move on to new indexes.

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::Action;
use crate::kit::{
    client::path, context::Context, failure::Failure, operation, report::Report, show::word, table::Table,
};

/// Policies by which aliases move on to new indexes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rollover")]
pub(crate) struct Rollover {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Create(Create),
    Run(Run),
    Delete(Delete),
}

/// Lists the policies with their indexes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl rollover list")]
struct List {}

/// Makes a policy of a file, which has the body of the request.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "create", example = "miroir-ctl rollover create policy.json")]
struct Create {
    /// a file of JSON
    #[argh(positional)]
    file: PathBuf,
}

/// Checks a policy now, and rolls over if it is due.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run", example = "miroir-ctl rollover run logs --dry-run")]
struct Run {
    /// its name
    #[argh(positional)]
    name: String,
    /// only say what would be done
    #[argh(switch)]
    dry_run: bool,
}

/// Forgets a policy; its aliases and indexes stay.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", example = "miroir-ctl rollover delete logs --yes")]
struct Delete {
    /// its name
    #[argh(positional)]
    name: String,
}

impl Action for Rollover {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::List(List {}) => {
                let all = client.get("/_miroir/rollover-policies")?;
                let text = lines(all["results"].as_array().into_iter().flatten());
                Ok(Report::good(all, text))
            }
            Verb::Create(Create { file }) => {
                let shown = file.display();
                let text = std::fs::read(file)
                    .map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
                let policy = serde_json::from_slice::<Value>(&text)
                    .map_err(|error| Failure::usage(format!("{shown} is no JSON: {error}")))?;
                let made = client.post("/_miroir/rollover-policies", &policy)?;
                let text = lines([&made]);
                Ok(Report::good(made, text))
            }
            Verb::Run(Run { name, dry_run: false }) => {
                Ok(operation::begun(client.post(&path(&["rollover-policies", name, "run"]), &json!({}))?))
            }
            Verb::Run(Run { name, dry_run: true }) => {
                let asked = path(&["rollover-policies", name, "run"]);
                let plan = client.post(&asked, &json!({"dryRun": true}))?;
                let text = planned(&plan);
                Ok(Report::good(plan, text))
            }
            Verb::Delete(Delete { name }) => {
                context.confirm(name, &format!("Policy {name} is forgotten"))?;
                client.delete(&path(&["rollover-policies", name]))?;
                let text = format!("policy {} is forgotten\n", word(&json!(name)));
                Ok(Report::good(json!({"name": name}), text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_))
    }
}

fn lines<'a>(policies: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(&["POLICY", "WRITE ALIAS", "READ ALIAS", "PHASE", "INDEXES", "LAST ERROR"]);
    for policy in policies {
        let indexes = policy["indexes"].as_array().into_iter().flatten();
        let indexes = indexes.map(|index| index["uid"].clone()).collect::<Vec<_>>();
        table.row(&[
            word(&policy["name"]),
            word(&policy["writeAlias"]),
            word(&policy["readAlias"]),
            word(&policy["phase"]),
            word(&json!(indexes)),
            word(&policy["lastError"]),
        ]);
    }
    table.text()
}

/// What a check would do.
fn planned(plan: &Value) -> String {
    let mut text = match plan["wouldRollOver"] == true {
        true => format!("would begin {}: {}\n", word(&plan["newIndex"]), word(&plan["reasons"])),
        false => "would begin nothing\n".to_owned(),
    };
    if plan["deletes"].as_array().is_some_and(|deletes| !deletes.is_empty()) {
        text.push_str(&format!("would delete {}\n", word(&plan["deletes"])));
    }
    text
}
