//! The `miroir-ctl` binary: see `gateway::ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::ctl::main(&std::env::args().collect::<Vec<_>>())
}
