//! `miroir-ctl completions`: completions for shells, and the manual page.

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::Action;
use crate::kit::{context::Context, failure::Failure, generate, report::Report};

/// Prints completions for a shell, or the manual page.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    example = "miroir-ctl completions bash\nmiroir-ctl completions zsh\nmiroir-ctl completions fish\nmiroir-ctl completions man"
)]
pub(crate) struct Completions {
    /// bash, zsh, fish, or man for the manual page
    #[argh(positional)]
    kind: String,
}

impl Action for Completions {
    fn run(&self, _context: &Context) -> anyhow::Result<Report> {
        let text = match self.kind.as_str() {
            "bash" => generate::bash(),
            "zsh" => generate::zsh(),
            "fish" => generate::fish(),
            "man" => generate::man(),
            other => {
                let message =
                    format!("there are no completions for {other:?}; allowed: bash, zsh, fish, man");
                return Err(Failure::usage(message));
            }
        };
        Ok(Report::good(json!({"kind": self.kind, "text": text}), text))
    }
}
