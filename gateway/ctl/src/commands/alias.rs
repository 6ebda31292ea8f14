//! `miroir-ctl alias`: names that stand for indexes.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{client::path, context::Context, report::Report, show::word, table::Table};

/// Aliases: names that stand for indexes.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "alias")]
pub(crate) struct Alias {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Create(Create),
    Flip(Flip),
    Delete(Delete),
}

/// Lists the aliases.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl alias list")]
struct List {}

/// Makes an alias; of several targets, one that is only read.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create",
    example = "miroir-ctl alias create shop products\nmiroir-ctl alias create everything products films"
)]
struct Create {
    /// the alias
    #[argh(positional)]
    name: String,
    /// the index, or several
    #[argh(positional)]
    targets: Vec<String>,
}

/// Moves an alias to another index at once: no request sees both.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "flip", example = "miroir-ctl alias flip shop films")]
struct Flip {
    /// the alias
    #[argh(positional)]
    name: String,
    /// the index that it stands for from now on
    #[argh(positional)]
    target: String,
    /// flip only if the alias has this version
    #[argh(option)]
    version: Option<u64>,
}

/// Deletes an alias; its indexes stay.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", example = "miroir-ctl alias delete shop --yes")]
struct Delete {
    /// the alias
    #[argh(positional)]
    name: String,
}

impl Action for Alias {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::List(List {}) => {
                let aliases = client.get("/_miroir/aliases")?;
                let text = lines(aliases["results"].as_array().into_iter().flatten());
                Ok(Report::good(aliases, text))
            }
            Verb::Create(Create { name, targets }) => {
                let body = match targets.as_slice() {
                    [target] => json!({"name": name, "target": target}),
                    targets => json!({"name": name, "targets": targets}),
                };
                let alias = client.post("/_miroir/aliases", &body)?;
                let text = lines([&alias]);
                Ok(Report::good(alias, text))
            }
            Verb::Flip(Flip { name, target, version }) => {
                let mut body = json!({"target": target});
                if let Some(version) = version {
                    body["version"] = json!(version);
                }
                let alias = client.put(&path(&["aliases", name]), &body)?;
                let text = lines([&alias]);
                Ok(Report::good(alias, text))
            }
            Verb::Delete(Delete { name }) => {
                context.confirm(name, &format!("Requests for {name} are refused from now on"))?;
                client.delete(&path(&["aliases", name]))?;
                Ok(Report::good(json!({"name": name, "deleted": true}), format!("{name} is deleted\n")))
            }
        }
    }

    fn is_worth_watching(&self) -> bool {
        matches!(self.verb, Verb::List(_))
    }
}

fn lines<'a>(aliases: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(&["ALIAS", "KIND", "INDEX", "VERSION", "OWNER", "MADE"]);
    for alias in aliases {
        let targets = if alias["target"].is_null() { &alias["targets"] } else { &alias["target"] };
        table.row(&[
            word(&alias["name"]),
            word(&alias["kind"]),
            word(targets),
            word(&alias["version"]),
            word(&alias["owner"]),
            word(&alias["createdAt"]),
        ]);
    }
    table.text()
}
