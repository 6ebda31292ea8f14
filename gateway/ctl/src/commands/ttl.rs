//! `miroir-ctl ttl`: the policies by which documents end.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{client::path, context::Context, report::Report, show::word, table::Table};

/// Policies by which documents end.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ttl")]
pub(crate) struct Ttl {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Show(Show),
    Set(Set),
    Delete(Delete),
}

/// Shows the policy of an index.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "show", example = "miroir-ctl ttl show products")]
struct Show {
    /// the index
    #[argh(positional)]
    index: String,
}

/// Sets the policy of an index: its documents end at their
/// _miroir_expires_at.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "set",
    example = "miroir-ctl ttl set products\nmiroir-ctl ttl set products --sweep-interval 60 --max-deletes 500"
)]
struct Set {
    /// the index
    #[argh(positional)]
    index: String,
    /// seconds from one sweep to the next
    #[argh(option)]
    sweep_interval: Option<u32>,
    /// documents that one sweep deletes at the most
    #[argh(option)]
    max_deletes: Option<u32>,
    /// keep the policy, and let nothing end for now
    #[argh(switch)]
    disabled: bool,
}

/// Removes the policy of an index: its documents stay.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", example = "miroir-ctl ttl delete products --yes")]
struct Delete {
    /// the index
    #[argh(positional)]
    index: String,
}

impl Action for Ttl {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        let at = |index: &str| path(&["indexes", index, "ttl-policy"]);
        match &self.verb {
            Verb::Show(Show { index }) => Ok(shown(index, client.get(&at(index))?)),
            Verb::Set(Set { index, sweep_interval, max_deletes, disabled }) => {
                let mut policy = json!({"enabled": !disabled});
                for (name, value) in
                    [("sweepIntervalSeconds", sweep_interval), ("maxDeletesPerSweep", max_deletes)]
                {
                    if let Some(value) = value {
                        policy[name] = json!(value);
                    }
                }
                Ok(shown(index, client.post(&at(index), &policy)?))
            }
            Verb::Delete(Delete { index }) => {
                context.confirm(index, &format!("Documents of {index} that have ended are shown again"))?;
                client.delete(&at(index))?;
                let text = format!("{index} has no policy any more\n");
                Ok(Report::good(json!({"index": index, "deleted": true}), text))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::Show(_))
    }
}

fn shown(index: &str, policy: Value) -> Report {
    let mut table = Table::new(&["INDEX", "ENABLED", "SWEEP EVERY", "DELETES A SWEEP"]);
    table.row(&[
        index.to_owned(),
        word(&policy["enabled"]),
        format!("{}s", word(&policy["sweepIntervalSeconds"])),
        word(&policy["maxDeletesPerSweep"]),
    ]);
    Report::good(policy, table.text())
}
