//! `--watch`: what takes long is followed to its end; anything else is shown again and again until it is interrupted.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use super::{
    context::Context,
    operation,
    report::{Outcome, print},
};
use crate::commands::Command;

/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Runs the command and follows it. Ends with the operation that it began, with an error, or never.
pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<Outcome> {
    loop {
        let report = command.run(context)?;
        if let Some(number) = report.operation() {
            return print(&operation::follow(context, number)?, context.json);
        }
        if !command.is_worth_watching() {
            return print(&report, context.json);
        }
        let mut out = std::io::stdout();
        if out.is_terminal() && !context.json {
            out.write_all(CLEAR.as_bytes())?;
        }
        print(&report, context.json)?;
        out.flush()?;
        std::thread::sleep(LOOK_PAUSE);
    }
}
