//! `miroir-ctl`: the operator's command line over the management API.
//!
//! Invariants: it shows what the API answers and keeps no state. `--json` prints the API's own answer. The exit code
//! is 0 for done, 1 for failed, 2 for words that it does not understand, 3 for a gateway that does not answer and 4
//! for a cluster that is not well. It links neither an executor nor a store of the gateway, so that it stays small.

mod commands;
mod kit;

use std::{io::Write, process::ExitCode};

use crate::kit::{
    arguments::{self, Parsed},
    context::{Context, Manner},
    failure::exit_code,
    report, watch,
};

/// What every command prints with `--json`, as JSON Schema: the definition that has the command's name.
pub const JSON_SCHEMA: &str = include_str!("../json-schema.json");

/// The names of all commands, such as `node list`.
#[must_use]
pub fn commands() -> Vec<String> {
    kit::generate::names()
}

/// Runs the command; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let arguments = match arguments::parse(arguments.get(1..).unwrap_or_default()) {
        Parsed::Command(arguments) => arguments,
        Parsed::Help(text) => {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            return ExitCode::SUCCESS;
        }
        Parsed::Unreadable(message) => return fail(&message, 2),
    };
    let manner = Manner { json: arguments.json, yes: arguments.yes };
    let (url, key, ca) = (arguments.url.clone(), arguments.admin_key.clone(), arguments.ca.clone());
    let context = Context::new(url, key, ca, manner);
    let ended = match arguments.watch {
        true => watch::run(&arguments.command, &context),
        false => {
            let report = arguments.command.run(&context);
            report.and_then(|report| report::print(&report, context.json))
        }
    };
    match ended {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => fail(&format!("{error:#}"), exit_code(&error)),
    }
}

/// Says in one line what went wrong.
fn fail(message: &str, code: u8) -> ExitCode {
    let line = message.trim().replace('\n', " ");
    let _ = writeln!(std::io::stderr().lock(), "miroir-ctl: {line}");
    ExitCode::from(code)
}
