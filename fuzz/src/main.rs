//! The `fuzz` command: runs all targets for a bounded time, or repeats one input.
//!
//! It prints one line per target, and exits with 1 on a finding.

use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use argh::FromArgs;
use fuzz::{
    Limit, TARGETS, Target,
    sim::{
        coordinator,
        gateway::{self, Flaw},
    },
};

/// Attack the parsers and merges of Miroir.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    command: Subcommand,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Subcommand {
    Smoke(Smoke),
    Replay(Replay),
    List(List),
    Sim(Simulate),
}

/// Run every target over seeded inputs for a while.
#[derive(FromArgs)]
#[argh(subcommand, name = "smoke")]
struct Smoke {
    /// seconds over all targets (default 10)
    #[argh(option, default = "10")]
    seconds: u32,
    /// where the inputs come from (default: a new one each time, printed)
    #[argh(option)]
    seed: Option<u64>,
    /// only targets whose name contains this
    #[argh(option, default = "String::new()")]
    only: String,
}

/// Run one target over the bytes of a file.
#[derive(FromArgs)]
#[argh(subcommand, name = "replay")]
struct Replay {
    /// the target's name
    #[argh(positional)]
    target: String,
    /// the file with the input
    #[argh(positional)]
    file: PathBuf,
}

/// Print the targets and what they attack.
#[derive(FromArgs)]
#[argh(subcommand, name = "list")]
struct List {}

/// Run simulations, seed after seed; ends with the first in which a checker finds something.
#[derive(FromArgs)]
#[argh(subcommand, name = "sim")]
struct Simulate {
    /// what is simulated: coordinator, gateway, or changes (gateways whose cluster changes its shape)
    #[argh(positional)]
    what: String,
    /// how many seeds (default 100)
    #[argh(option, default = "100")]
    seeds: u64,
    /// the first of them (default 0)
    #[argh(option, default = "0")]
    first: u64,
    /// a flaw of the world of gateways, which the checkers should find
    #[argh(option)]
    flaw: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Arguments = argh::from_env();
    match arguments.command {
        Subcommand::Smoke(smoke) => smoke.run(),
        Subcommand::Sim(simulate) => simulate.run(),
        Subcommand::Replay(replay) => replay.run(),
        Subcommand::List(List {}) => {
            let mut out = std::io::stdout().lock();
            for target in TARGETS {
                writeln!(out, "{}: {}", target.name, target.attacks)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Smoke {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let targets = TARGETS.iter().filter(|target| target.name.contains(&self.only)).collect::<Vec<_>>();
        let count = u32::try_from(targets.len()).context("too many targets")?;
        anyhow::ensure!(count > 0, "no target's name contains {:?}", self.only);
        let limit = Limit::Time(Duration::from_secs(u64::from(self.seconds)) / count);
        let mut found = false;
        let mut out = std::io::stdout().lock();
        for target in targets {
            let outcome = fuzz::run(target, seed, limit);
            writeln!(out, "{} {} {seed}", target.name, outcome.executions)?;
            if let Some(finding) = outcome.finding {
                found = true;
                let hex = finding.input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                writeln!(out, "  finding: {}", finding.message)?;
                writeln!(out, "  seed {seed}, execution {}, input in hex: {hex}", finding.execution)?;
            }
        }
        Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Simulate {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let flaw = self.flaw.as_ref().map(|name| {
            let named = |flaw: &&Flaw| format!("{flaw:?}") == *name;
            let known = Flaw::ALL.iter().find(named).copied();
            known.with_context(|| format!("there is no flaw {name:?}; there are {:?}", Flaw::ALL))
        });
        let flaw = flaw.transpose()?;
        let run = |seed: u64| match (self.what.as_str(), flaw) {
            ("gateway" | "changes", Some(flaw)) => format!("{:?}", gateway::run_with(seed, flaw)),
            ("gateway", None) => format!("{:?}", gateway::run(seed)),
            ("changes", None) => format!("{:?}", gateway::run_changing(seed)),
            (_, _) => format!("{:?}", coordinator::run(seed)),
        };
        match self.what.as_str() {
            "coordinator" | "gateway" | "changes" => {}
            other => anyhow::bail!("{other:?} is not simulated; coordinator, gateway and changes are"),
        }
        let (begun, mut out) = (Instant::now(), std::io::stdout().lock());
        for seed in self.first..self.first + self.seeds {
            let Ok(outcomes) = catch_unwind(|| run(seed)) else {
                writeln!(
                    out,
                    "seed {seed}: a checker found something; once more: sim {} --seeds 1 --first {seed}",
                    self.what
                )?;
                return Ok(ExitCode::FAILURE);
            };
            writeln!(out, "seed {seed}: {outcomes}")?;
        }
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        #[allow(clippy::cast_precision_loss, reason = "a count of seeds")]
        let rate = self.seeds as f64 / minutes;
        writeln!(out, "{} seeds, {rate:.0} a minute", self.seeds)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Replay {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        let target: &Target = fuzz::target(&self.target)
            .with_context(|| format!("there is no target {:?}; there are {}", self.target, known()))?;
        let input = std::fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        let mut out = std::io::stdout().lock();
        match fuzz::replay(target, &input) {
            Ok(()) => {
                writeln!(out, "{}: every promise held", target.name)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(message) => {
                writeln!(out, "{}: {message}", target.name)?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
