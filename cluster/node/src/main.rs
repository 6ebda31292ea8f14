//! `miroir-node`: one embedded node as a process; see `node::standalone`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::standalone::main(&std::env::args().collect::<Vec<_>>())
}
