//! What a run has seen.
//! Invariant: counts are of everything that happened; only the list of problems is cut.

use std::fmt;
use std::time::Duration;

/// Problems that are described.
const PROBLEMS_MAX: usize = 20;

/// Counts of one run, and the first things that were wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that were answered 202, and the operations on documents in them.
    pub writes: u64,
    pub operations: u64,
    /// Writes refused although the gateway answered.
    pub refused: u64,
    /// Writes without an answer: the gateway died, or took too long.
    pub unanswered: u64,
    /// Writes that took longer than a second, and the longest.
    pub slow_writes: u64,
    pub slowest_write: Duration,
    /// Acknowledged writes whose task did not succeed, or did not end.
    pub tasks_not_succeeded: u64,
    /// Searches and other reads that were answered whole.
    pub reads: u64,
    /// Reads whose answer says that shards are missing, and 503 for the same reason.
    pub degraded_reads: u64,
    /// Those among them that lack nothing all the same, and the 503s.
    pub degraded_whole: u64,
    pub unavailable_reads: u64,
    /// Reads answered otherwise, or not at all while the gateway lived.
    pub failed_reads: u64,
    /// Answers that lack documents and do not say so.
    pub incomplete_reads: u64,
    /// Documents that are not in a state the acknowledged operations allow.
    pub lost_writes: u64,
    /// Those among them that an acknowledged deletion had taken away.
    pub deletes_undone: u64,
    /// How long after the last fault all copies were equal; `None` when they were not in time.
    pub level_after: Option<Duration>,
    /// Search times in trouble and before it: p50 and p99 of each.
    pub quiet: Option<[Duration; 2]>,
    pub troubled: Option<[Duration; 2]>,
    pub problems: Vec<String>,
}

impl Report {
    /// Notes a problem, if there is room for it.
    pub(super) fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }

    /// Takes over how long searches took before and during the faults.
    pub(super) fn search_times(&mut self, (quiet, troubled): (Vec<Duration>, Vec<Duration>)) {
        self.quiet = percentiles(quiet);
        self.troubled = percentiles(troubled);
    }

    /// Whether nothing went wrong that a cluster with copies promises.
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
