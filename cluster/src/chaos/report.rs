//! The observations of a run.
//! Invariant: counts cover everything that happened; only the list of problems is truncated.

use std::fmt;
use std::time::Duration;

/// The most problems that are described.
const PROBLEMS_MAX: usize = 20;

/// Counts of one run, and the first problems.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests answered with 202, and the operations on documents in them.
    pub writes: u64,
    pub operations: u64,
    /// Writes that the gateway refused.
    pub refused: u64,
    /// Writes without an answer: the gateway died, or took too long.
    pub unanswered: u64,
    /// Writes that took longer than a second, and the duration of the longest.
    pub slow_writes: u64,
    pub slowest_write: Duration,
    /// Acknowledged writes whose task failed or did not end.
    pub tasks_not_succeeded: u64,
    /// Searches and other reads with a complete answer.
    pub reads: u64,
    /// Reads whose answer reports missing shards.
    pub degraded_reads: u64,
    /// Degraded reads that are complete nevertheless, and reads answered 503 because of missing shards.
    pub degraded_whole: u64,
    pub unavailable_reads: u64,
    /// Reads with another answer, or with none while the gateway was up.
    pub failed_reads: u64,
    /// Answers that lack documents without reporting it.
    pub incomplete_reads: u64,
    /// Documents in a state that the acknowledged operations do not allow.
    pub lost_writes: u64,
    /// Those among them that an acknowledged deletion had removed.
    pub deletes_undone: u64,
    /// Time from the last fault until all copies were equal; `None` when that took too long.
    pub level_after: Option<Duration>,
    /// p50 and p99 of search times before the faults (`quiet`) and during them.
    pub quiet: Option<[Duration; 2]>,
    pub troubled: Option<[Duration; 2]>,
    pub problems: Vec<String>,
}

impl Report {
    /// Records a problem, if there is room for it.
    pub(super) fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }

    /// Records the durations of searches before and during the faults.
    pub(super) fn search_times(&mut self, (quiet, troubled): (Vec<Duration>, Vec<Duration>)) {
        self.quiet = percentiles(quiet);
        self.troubled = percentiles(troubled);
    }

    /// Whether the run violated no guarantee of a cluster with copies.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let wrong = self.refused
            + self.tasks_not_succeeded
            + self.failed_reads
            + self.incomplete_reads
            + self.lost_writes;
        wrong == 0 && self.level_after.is_some()
    }
}

fn percentiles(mut times: Vec<Duration>) -> Option<[Duration; 2]> {
    times.sort_unstable();
    let at = |per_cent: usize| times.get((times.len() * per_cent / 100).min(times.len().saturating_sub(1)));
    Some([*at(50)?, *at(99)?])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "writes acknowledged   {} ({} operations)", self.writes, self.operations)?;
        writeln!(f, "writes refused        {}, unanswered {}", self.refused, self.unanswered)?;
        writeln!(f, "writes over a second  {}, slowest {:?}", self.slow_writes, self.slowest_write)?;
        writeln!(f, "tasks not succeeded   {}", self.tasks_not_succeeded)?;
        writeln!(f, "reads whole           {}", self.reads)?;
        writeln!(
            f,
            "reads degraded        {}, of them whole {}, unavailable {}",
            self.degraded_reads, self.degraded_whole, self.unavailable_reads
        )?;
        writeln!(f, "reads failed          {}", self.failed_reads)?;
        writeln!(f, "reads incomplete      {}", self.incomplete_reads)?;
        writeln!(
            f,
            "writes lost           {}, of them deletes undone {}",
            self.lost_writes, self.deletes_undone
        )?;
        match self.level_after {
            Some(time) => writeln!(f, "copies equal after    {time:?}")?,
            None => writeln!(f, "copies equal after    never")?,
        }
        for (name, times) in [("before", self.quiet), ("in trouble", self.troubled)] {
            if let Some([median, late]) = times {
                writeln!(f, "searches {name}: p50 {median:?}, p99 {late:?}")?;
            }
        }
        for problem in &self.problems {
            writeln!(f, "! {problem}")?;
        }
        Ok(())
    }
}
