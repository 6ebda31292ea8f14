//! `miroir-ctl group`: replica groups, each of which holds every shard.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{change, client::path, context::Context, failure::Failure, report::Report};

/// Replica groups.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "group")]
pub(crate) struct Group {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Add(Add),
    Remove(Remove),
}

/// Adds nodes as a group, which serves once it has every shard.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "add",
    example = "miroir-ctl group add 1 --node m1=http://10.0.1.1:7700 --node m2=http://10.0.1.2:7700 --watch"
)]
struct Add {
    /// its number
    #[argh(positional)]
    number: u16,
    /// a node as NAME=URL, repeated
    #[argh(option)]
    node: Vec<String>,
    /// show what the first node would get, and move nothing
    #[argh(switch)]
    dry_run: bool,
}

/// Removes a group with its nodes; others must have every shard.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "remove", example = "miroir-ctl group remove 1 --watch")]
struct Remove {
    /// its number
    #[argh(positional)]
    number: u16,
    /// show what would be done, and do nothing
    #[argh(switch)]
    dry_run: bool,
}

impl Action for Group {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        match &self.verb {
            Verb::Add(add) => add.run(context),
            Verb::Remove(Remove { number, dry_run }) => {
                let number = number.to_string();
                if !dry_run {
                    context.confirm(&number, &format!("Group {number} and its nodes are forgotten"))?;
                }
                let asked = format!("{}?dryRun={dry_run}", path(&["groups", &number]));
                Ok(change::report(context.client()?.delete(&asked)?))
            }
        }
    }
}

impl Add {
    /// Adds one node after the other; the report is about the last operation, which ends after the others.
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let split = |node: &String| {
            let (id, url) = node.split_once('=').filter(|(id, url)| !id.is_empty() && !url.is_empty())?;
            Some((id.to_owned(), url.to_owned()))
        };
        let nodes = self.node.iter().map(split).collect::<Option<Vec<_>>>();
        let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) else {
            return Err(Failure::usage("option node: give NAME=URL once for each node of the group"));
        };
        let mut last = Value::Null;
        for (id, url) in nodes {
            let body = json!({"id": id, "url": url, "group": self.number, "dryRun": self.dry_run});
            last = context.client()?.post("/_miroir/nodes", &body)?;
            if self.dry_run {
                break;
            }
        }
        Ok(change::report(last))
    }
}
