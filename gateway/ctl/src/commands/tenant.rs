//! `miroir-ctl tenant`: which replica group each tenant reads, and which tenant each API key belongs to.

use anyhow::ensure;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{
    client::{Client, path},
    context::Context,
    report::Report,
    show::word,
};

/// Tenants and their replica groups.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "tenant")]
pub(crate) struct Tenant {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    List(List),
    Set(Set),
    Delete(Delete),
}

/// Lists the tenants with their groups, and the keys with their tenants.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list", example = "miroir-ctl tenant list")]
struct List {}

/// Assigns a tenant to a group, or an API key to a tenant.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "set", example = "miroir-ctl tenant set acme --group 1")]
struct Set {
    /// the tenant
    #[argh(positional)]
    tenant: String,
    /// the group that it reads
    #[argh(option)]
    group: Option<u16>,
    /// the uid of a key that belongs to it
    #[argh(option)]
    key: Option<String>,
}

/// Takes a tenant, or a key, out of the table.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", example = "miroir-ctl tenant delete acme")]
struct Delete {
    /// the tenant; with --key the uid of a key
    #[argh(positional)]
    name: String,
    /// whether a key is meant
    #[argh(switch)]
    key: bool,
}

impl Action for Tenant {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let client = context.client()?;
        match &self.verb {
            Verb::List(List {}) => {
                let table = client.get("/_miroir/tenants")?;
                let text = lines(&table);
                Ok(Report::good(table, text))
            }
            Verb::Set(set) => set.run(client),
            Verb::Delete(Delete { name, key }) => {
                let at = if *key { path(&["tenants", "keys", name]) } else { path(&["tenants", name]) };
                client.delete(&at)?;
                let text = format!("{name} is not in the table any more\n");
                Ok(Report::good(json!({"name": name, "deleted": true}), text))
            }
        }
    }
}

impl Set {
    fn run(&self, client: &Client) -> anyhow::Result<Report> {
        let Self { tenant, group, key } = self;
        ensure!(group.is_some() || key.is_some(), "give --group, --key or both");
        // Both requests are answered with what now belongs to the tenant.
        let (mut answer, mut text) = (json!({"tenant": tenant}), String::new());
        if let Some(group) = group {
            let set = client.put(&path(&["tenants", tenant]), &json!({"group": group}))?;
            answer["group"] = set["group"].clone();
            text.push_str(&format!("{tenant} reads group {group}\n"));
        }
        if let Some(key) = key {
            let set = client.put(&path(&["tenants", "keys", key]), &json!({"tenant": tenant}))?;
            answer["keyUid"] = set["keyUid"].clone();
            text.push_str(&format!("the key {key} belongs to {tenant}\n"));
        }
        Ok(Report::good(answer, text))
    }
}

/// A table of tenants, then one of keys.
fn lines(table: &Value) -> String {
    let mut text = format!("{:<40} {}\n", "TENANT", "GROUP");
    for row in table["results"].as_array().into_iter().flatten() {
        text.push_str(&format!("{:<40} {}\n", word(&row["tenant"]), row["group"]));
    }
    for row in table["keys"].as_array().into_iter().flatten() {
        text.push_str(&format!("key {:<36} {}\n", word(&row["keyUid"]), word(&row["tenant"])));
    }
    text
}
