//! The `miroir-ctl` binary: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::main(&std::env::args().collect::<Vec<_>>())
}
