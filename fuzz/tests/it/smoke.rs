//! A short run of every target, with the same inputs each time, and the command itself.

use std::process::Command;

use fuzz::{Limit, TARGETS};

/// Enough to reach every generator and kind of damage; about two seconds in all, unoptimised.
const EXECUTIONS: u64 = 600;

#[test]
fn every_promise_holds() {
    for target in TARGETS {
        let outcome = fuzz::run(target, 7, Limit::Executions(EXECUTIONS));
        if let Some(finding) = outcome.finding {
            panic!("{}: {}\ninput: {:02x?}", target.name, finding.message, finding.input);
        }
        assert_eq!(outcome.executions, EXECUTIONS);
    }
}

#[test]
fn names_are_unique_and_found() {
    for target in TARGETS {
        assert_eq!(fuzz::target(target.name).unwrap().attacks, target.attacks);
        assert!(!target.attacks.is_empty());
    }
    assert!(fuzz::target("no such target").is_none());
}

#[test]
fn the_command_prints_name_executions_and_seed() {
    let command = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fuzz")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, printed) = command(&["smoke", "--seconds", "0", "--seed", "3"]);
    assert_eq!(code, Some(0));
    let expected = TARGETS.iter().map(|target| format!("{} 0 3\n", target.name)).collect::<String>();
    assert_eq!(printed, expected);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(
        command(&["replay", "reserved", manifest]),
        (Some(0), "reserved: every promise held\n".to_owned())
    );
    assert_eq!(command(&["replay", "nothing", manifest]).0, Some(1));
}
