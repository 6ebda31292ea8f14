//! The `miroir` binary: see `gateway::process`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::process::main(&std::env::args().collect::<Vec<_>>())
}
