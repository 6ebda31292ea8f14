//! `miroir-ctl audit`: what was changed through the management API, and by whom.

use argh::{ArgsInfo, FromArgs};

use super::Action;
use crate::kit::{context::Context, report::Report, show::word, table::Table};

/// Shows what was changed through the management API, newest first.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "audit", example = "miroir-ctl audit\nmiroir-ctl audit --limit 5 --json")]
pub(crate) struct Audit {
    /// at most so many, 20 by default
    #[argh(option, default = "20")]
    limit: u32,
    /// from the change with this number down
    #[argh(option)]
    from: Option<u64>,
}

impl Action for Audit {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let from = self.from.map(|from| format!("&from={from}")).unwrap_or_default();
        let answer = context.client()?.get(&format!("/_miroir/audit?limit={}{from}", self.limit))?;
        let mut table = Table::new(&["NUMBER", "WHEN", "KEY", "POD", "STATUS", "CHANGE"]);
        for entry in answer["results"].as_array().into_iter().flatten() {
            let action = word(&entry["action"]);
            let method = action.split(' ').next().unwrap_or_default();
            table.row(&[
                word(&entry["id"]),
                word(&entry["at"]),
                word(&entry["key"]),
                word(&entry["pod"]),
                word(&entry["status"]),
                format!("{method} {}", word(&entry["path"])),
            ]);
        }
        Ok(Report::good(answer, table.text()))
    }

    fn is_worth_watching(&self) -> bool {
        true
    }
}
