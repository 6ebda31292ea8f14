//! `miroir-ctl`: the operator's command line over the management API.
//!
//! Invariants: it shows what the API answers and keeps no state. `--json` prints the API's own answer. The exit code
//! is 0 for done, 1 for a difference or failure that was found, 2 for what could not be asked. It links neither an
//! executor nor a store of the gateway, so that it stays small.

mod anti_entropy;
mod arguments;
mod canary;
mod client;
mod node;
mod report;
mod shadow;
mod shards;
mod status;
mod store;
mod tenant;

use std::{io::Write, process::ExitCode};

use argh::FromArgs;

use crate::{
    arguments::{Arguments, Command},
    client::Client,
    report::Report,
};

/// Runs the command; `arguments` start with the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let rest = arguments.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
    let parsed = match Arguments::from_args(&["miroir-ctl"], &rest) {
        Ok(parsed) => parsed,
        Err(exit) if exit.status.is_ok() => {
            let _ = writeln!(std::io::stdout().lock(), "{}", exit.output);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            let _ = writeln!(std::io::stderr().lock(), "miroir-ctl: {}", exit.output.trim());
            return ExitCode::from(2);
        }
    };
    match run(&parsed).and_then(|report| report.print(parsed.json)) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "miroir-ctl: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    // A store is moved in place, without a gateway that runs.
    let client = || Client::new(&arguments.address, arguments.admin_key()?, arguments.ca.as_deref());
    match &arguments.command {
        Command::Status(status) => status.run(&client()?),
        Command::Node(node) => node.run(&client()?),
        Command::Shards(shards) => shards.run(&client()?),
        Command::AntiEntropy(anti_entropy) => anti_entropy.run(&client()?),
        Command::Store(store) => store.run(),
        Command::Canary(canary) => canary.run(&client()?),
        Command::Shadow(shadow) => shadow.run(&client()?),
        Command::Tenant(tenant) => tenant.run(&client()?),
    }
}
