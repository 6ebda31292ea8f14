//! The parts of a cluster that a binary plays when it starts itself as a child: node and gateway, and the command line
//! that operates them.
//! Invariant: a part ends with its parent.

use std::process::ExitCode;

/// Plays the part that the arguments name; `None` when they name none.
pub fn play(arguments: &[String]) -> Option<ExitCode> {
    match arguments.get(1).map(String::as_str) {
        Some("role-gateway") => {
            exit_with_parent();
            Some(gateway::process::main(&arguments[1..]))
        }
        Some("role-redis") => Some(crate::dev::redis::keep(&arguments[2..])),
        Some("role-ctl") => Some(ctl::main(&arguments[1..])),
        Some("role-node") => Some(node::standalone::main(&arguments[1..])),
        _ => None,
    }
}

/// Ends this process at the end of its stdin, whose other end the parent holds.
fn exit_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}
