//! A run: start, load, ask, compare, shrink, report.
//! Invariants: families alternate, so that a short run has all of them. A question can be repeated by its number. One
//! difference of each kind is shrunk, at most as many as requested.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::cluster::ClusterOptions;
use crate::differential::corpus::Corpus;
use crate::differential::families::{Asker, FAMILIES, Family};
use crate::differential::report::{Counts, Found, Report};
use crate::differential::setup::{Layout, Pair, rewrite};
use crate::differential::shrink;
use crate::differential::targets::{Both, Ties};
use crate::differential::verdict::Verdict;

/// The total time for finding smallest cases.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(300);
/// The number of questions between two lines of progress.
const PROGRESS_EVERY: usize = 500;

/// The path of a list of all indexes, which has those behind aliases under their own names.
const LIST_OF_INDEXES: &str = "/stats";

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub queries: usize,
    /// The number of documents of the largest index.
    pub documents: usize,
    /// Names of families; all when empty.
    pub families: Vec<String>,
    pub ties: Ties,
    /// The number of the cluster's nodes to kill before the first question.
    pub down: usize,
    /// How the cluster holds the indexes.
    pub layout: Layout,
    /// Whether to rewrite the cluster's documents while questions are asked.
    pub rewrite: bool,
    /// The most differences to shrink.
    pub shrink_max: usize,
    /// The cluster; the single node uses its programs. Its directory has the data of both.
    pub cluster: ClusterOptions,
}

/// The names of all families.
#[must_use]
pub fn family_names() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.name).collect()
}

/// Runs it; `say` receives lines of progress.
///
/// # Errors
/// When the node or the cluster cannot be started or loaded, when the node gives no answer, or for an unknown family.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<Report> {
    let chosen = chosen(&options.families)?;
    ensure!(options.down < options.cluster.nodes, "a cluster needs a node that is not down");
    let corpus = Corpus::new(options.seed, options.documents);
    let is_written = matches!(options.layout, Layout::Index | Layout::Alias);
    ensure!(is_written || !options.rewrite, "an alias of several indexes takes no writes");
    let mut pair = Pair::start(&options.cluster, options.layout)?;
    say(&format!(
        "loading {} documents",
        corpus.indexes.iter().map(|index| index.documents.len()).sum::<usize>()
    ));
    pair.load(&corpus)?;
    (0..options.down).try_for_each(|number| pair.kill_node(number))?;
    let (stop, gateway) = (AtomicBool::new(false), pair.gateway.clone());
    std::thread::scope(|scope| {
        let writer = options.rewrite.then(|| scope.spawn(|| rewrite(&gateway, &corpus, &stop)));
        let report = ask(options, &chosen, &pair, &corpus, say);
        stop.store(true, Ordering::Relaxed);
        match writer.map(std::thread::ScopedJoinHandle::join) {
            None => {}
            Some(Ok(written)) => say(&format!("{} documents were written again meanwhile", written?)),
            Some(Err(_)) => bail!("the thread that writes documents again panicked"),
        }
        report
    })
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Family>> {
    if names.is_empty() {
        return Ok(FAMILIES.iter().collect());
    }
    let find = |name: &String| {
        let known = || family_names().join(", ");
        let family = FAMILIES.iter().find(|family| family.name == name);
        family.ok_or_else(|| anyhow::anyhow!("`{name}` is no family; known: {}", known()))
    };
    names.iter().map(find).collect()
}

fn ask(
    options: &Options,
    chosen: &[&Family],
    pair: &Pair,
    corpus: &Corpus,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let both = Both::new(pair, corpus, options.ties);
    let families = chosen.iter().filter(|family| family.since <= pair.version).collect::<Vec<_>>();
    ensure!(!families.is_empty(), "nodes of this version have none of these families");
    let mut counts = families.iter().map(|family| Counts::new(family)).collect::<Vec<_>>();
    let mut differences: Vec<Found> = Vec::new();
    for number in 0..options.queries {
        let family = families[number % families.len()];
        let question = (family.ask)(&mut Asker::new(corpus, options.seed, number));
        if pair.layout != Layout::Index && question.path == LIST_OF_INDEXES {
            continue;
        }
        let verdict = both.judge(&question, question.index)?;
        counts[number % families.len()].count(&verdict);
        if let Verdict::Differs(found) = verdict {
            let family = family.name;
            differences.push(Found {
                family,
                number,
                question,
                differences: found,
                smallest: None,
                documents: None,
            });
        }
        if number % PROGRESS_EVERY == PROGRESS_EVERY - 1 {
            say(&format!("{} of {} asked, {} differ", number + 1, options.queries, differences.len()));
        }
    }
    shrink_some(&both, options.shrink_max, &mut differences, say)?;
    Ok(Report { title: title(options, pair), families: counts, differences })
}

/// Shrinks one difference of each family and kind, in the order in which they were found.
fn shrink_some(
    both: &Both<'_>,
    count_max: usize,
    differences: &mut [Found],
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    let deadline = Instant::now() + SHRINK_TIME_MAX;
    for found in differences {
        if Instant::now() > deadline {
            return Ok(());
        }
        let Some(kind) = found.differences.first().map(|difference| difference.kind.clone()) else {
            continue;
        };
        if seen.len() == count_max || !seen.insert((found.family, kind.clone())) {
            continue;
        }
        say(&format!("looking for the smallest case: {}, {kind}", found.family));
        let smallest = shrink::question(both, &found.question, &kind)?;
        if let Verdict::Differs(differences) = both.judge(&smallest, smallest.index)? {
            found.differences = differences;
        }
        found.documents = shrink::documents(both, &smallest, &kind)?;
        found.smallest = Some(smallest);
    }
    Ok(())
}

fn title(options: &Options, pair: &Pair) -> String {
    let cluster = &options.cluster;
    let kind = if cluster.node_binary.is_some() { "Meilisearch" } else { "embedded" };
    let ties = if options.ties == Ties::Strict { "compared" } else { "in any order" };
    let layout = match pair.layout {
        Layout::Index => String::new(),
        Layout::Alias => ", each index behind an alias".to_owned(),
        Layout::Parts(count) => format!(", each index an alias of {count}"),
    };
    let rewritten = if options.rewrite { ", documents written again meanwhile" } else { "" };
    format!(
        "Seed {}, {} questions, {} documents; {} nodes, {} group(s), replication factor {}, {} down{rewritten}{layout}; {kind} \
         nodes of version {}.{}; ties {ties}.",
        options.seed,
        options.queries,
        options.documents,
        cluster.nodes,
        cluster.groups,
        cluster.replication_factor,
        options.down,
        pair.version.0,
        pair.version.1,
    )
}
