//! Makes inputs from a seed, runs a target over them and catches its panics.
//!
//! - Execution `n` of a seed depends only on these two numbers, so its seed reproduces a finding.
//! - Half of the inputs are random bytes, half are random sequences of the tokens that parsers examine.

use std::any::Any;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Target;
use crate::mutate::TOKENS;

/// The longest generated input, in bytes.
pub const INPUT_BYTES_MAX: usize = 8 * 1024;
/// The time after which one execution counts as a finding: far more than it needs on a busy machine.
pub const EXECUTION_TIME_MAX: Duration = Duration::from_secs(20);

/// When a run without findings ends.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// After this many executions.
    Executions(u64),
    /// After the execution during which this time passed.
    Time(Duration),
}

/// Result of a run over one target.
#[derive(Debug)]
pub struct Outcome {
    pub executions: u64,
    /// The first violated property, which ends the run.
    pub finding: Option<Finding>,
}

/// A violated property and the input that violated it.
#[derive(Debug)]
pub struct Finding {
    /// The number of the execution, from 0.
    pub execution: u64,
    pub input: Vec<u8>,
    pub message: String,
}

/// Runs `target` over the inputs of `seed` until `limit` or the first finding.
#[must_use]
pub fn run(target: &Target, seed: u64, limit: Limit) -> Outcome {
    let started = Instant::now();
    let mut execution = 0;
    loop {
        let over = match limit {
            Limit::Executions(executions) => execution >= executions,
            Limit::Time(time) => started.elapsed() >= time,
        };
        if over {
            return Outcome { executions: execution, finding: None };
        }
        let input = input(seed, execution);
        if let Err(message) = replay(target, &input) {
            let finding = Finding { execution, input, message };
            return Outcome { executions: execution + 1, finding: Some(finding) };
        }
        execution += 1;
    }
}

/// Runs `target` over one input.
///
/// # Errors
/// The target's message about the violated property.
pub fn replay(target: &Target, input: &[u8]) -> Result<(), String> {
    let started = Instant::now();
    let run = target.run;
    catch_unwind(|| run(input)).map_err(|panic| message(&*panic))?;
    let elapsed = started.elapsed();
    if elapsed > EXECUTION_TIME_MAX {
        return Err(format!("one execution took {elapsed:?}"));
    }
    Ok(())
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}

fn input(seed: u64, execution: u64) -> Vec<u8> {
    // Nearby seeds must not share inputs, so the seed is scattered before the execution number is added.
    let mut random = Rng::with_seed(Rng::with_seed(seed).u64(..).wrapping_add(execution));
    let length_max = if random.u8(..) == 0 { INPUT_BYTES_MAX } else { 512 };
    let length = random.usize(0..=length_max);
    let mut input = Vec::with_capacity(length);
    if random.bool() {
        input.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
        return input;
    }
    // The first bytes decide how the target uses the others.
    input.extend(std::iter::repeat_with(|| random.u8(..)).take(length.min(8)));
    while input.len() < length {
        let token = TOKENS[random.usize(0..TOKENS.len())];
        let times = if random.u8(..) == 0 { random.usize(1..=INPUT_BYTES_MAX) } else { 1 };
        for _ in 0..times {
            input.extend_from_slice(token);
        }
    }
    input.truncate(length);
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: Target = Target {
        name: "planted",
        attacks: "a bug planted for this test",
        run: |bytes| assert!(bytes.len() < 300 || bytes[7] != 7, "byte 7 is 7"),
    };

    #[test]
    fn a_planted_bug_is_found_and_comes_again() {
        let outcome = run(&PLANTED, 5, Limit::Executions(10_000));
        let finding = outcome.finding.unwrap();
        assert_eq!(finding.message, "byte 7 is 7");
        assert_eq!(outcome.executions, finding.execution + 1);
        assert_eq!(replay(&PLANTED, &finding.input).unwrap_err(), "byte 7 is 7");
        let again = run(&PLANTED, 5, Limit::Executions(10_000)).finding.unwrap();
        assert_eq!((again.execution, again.input), (finding.execution, finding.input));
    }

    #[test]
    fn both_limits_end_a_run() {
        let harmless = Target { run: |_| (), ..PLANTED };
        assert_eq!(run(&harmless, 1, Limit::Executions(9)).executions, 9);
        assert!(run(&harmless, 1, Limit::Time(Duration::from_millis(20))).executions > 0);
    }

    #[test]
    fn seeds_and_executions_give_other_inputs() {
        assert_eq!(input(1, 2), input(1, 2));
        assert_ne!(input(1, 2), input(1, 3));
        assert_ne!(input(1, 2), input(2, 1));
        assert!((0..2_000).all(|execution| input(3, execution).len() <= INPUT_BYTES_MAX));
    }
}
