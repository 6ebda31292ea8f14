//! `miroir-ctl ui`: what search pages run on.

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use super::Action;
use crate::kit::{context::Context, report::Report, show::word, table::Table};

/// Search pages.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ui")]
pub(crate) struct Ui {
    #[argh(subcommand)]
    verb: Verb,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Verb {
    Rotate(Rotate),
}

/// Replaces the secret that signs the tokens of search pages, on all
/// gateways; tokens that visitors hold stay valid until they end.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "rotate-jwt-secret", example = "miroir-ctl ui rotate-jwt-secret")]
struct Rotate {}

impl Action for Ui {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let Verb::Rotate(Rotate {}) = &self.verb;
        let answer = context.client()?.post("/_miroir/ui/jwt-secret", &json!({}))?;
        let text = lines(&answer);
        Ok(Report::good(answer, text))
    }
}

/// The secrets by name, newest first.
fn lines(answer: &Value) -> String {
    let mut table = Table::new(&["SECRET", "SIGNS FROM", "ITS TOKENS END BY"]);
    for secret in answer["secrets"].as_array().into_iter().flatten() {
        table.row(&[word(&secret["kid"]), word(&secret["signsFrom"]), word(&secret["acceptedUntil"])]);
    }
    table.text()
}
