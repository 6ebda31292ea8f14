//! `miroir-ctl verify`: whether all copies of all documents are equal.

use argh::{ArgsInfo, FromArgs};

use super::{Action, anti_entropy};
use crate::kit::{context::Context, report::Report};

/// Compares all copies and repairs nothing; exit code 1 when they differ.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "verify", example = "miroir-ctl verify\nmiroir-ctl verify --index products")]
pub(crate) struct Verify {
    /// only this index
    #[argh(option)]
    index: Option<String>,
}

impl Action for Verify {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        anti_entropy::verify(context.client()?, self.index.as_deref(), None)
    }
}
