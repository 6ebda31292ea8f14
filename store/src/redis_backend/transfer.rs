//! Everything in Redis as entries of a transfer.
//! - Pages go through tasks by uid, tables by name and key, logs by name, stream and sequence. A mark is the last of a
//!   page. The first page has all the rest, which is little.

use super::backend::Backend;
use super::scripts::{number, padded, strange, text};
use crate::limits::{STORED_PAGE, STORED_PAGE_BYTES};
use crate::transfer::{Body, Entry, EntryPage, Mark};
use crate::{Record, StoreError};

const TASKS: u8 = 0;
const RECORDS: u8 = 1;
const LOGS: u8 = 2;

/// The counters, and the names of tables and logs.
struct Names {
    task_uid_next: u32,
    revision_next: u64,
    tables: Vec<String>,
    logs: Vec<String>,
}

impl Backend {
    pub(super) async fn stored(&self, after: Option<Mark>) -> Result<EntryPage, StoreError> {
        let Some(Mark { section, key }) = after else { return self.first_page().await };
        let key = String::from_utf8(key).map_err(|_| strange())?;
        match section {
            TASKS => self.task_entries(key.parse().ok()).await,
            RECORDS => self.record_entries(&key).await,
            _ => self.log_entries(&key).await,
        }
    }

    async fn names(&self) -> Result<Names, StoreError> {
        let mut values = self.scripts.read(vec!["names".into()]).await?.values.into_iter();
        let mut next = || values.next().ok_or_else(strange);
        let (uid, revision): (u32, u64) = (number(next()?)?, number(next()?)?);
        let mut names =
            Names { task_uid_next: uid, revision_next: revision + 1, tables: Vec::new(), logs: Vec::new() };
        for value in values {
            match text(value)?.split_once(':') {
                Some(("k", table)) => names.tables.push(table.to_owned()),
                Some(("logs", log)) => names.logs.push(log.to_owned()),
                _ => return Err(strange()),
            }
        }
        Ok(names)
    }

    async fn first_page(&self) -> Result<EntryPage, StoreError> {
        let Names { task_uid_next, revision_next, .. } = self.names().await?;
        let mut entries = vec![Entry::Counters { task_uid_next, revision_next }];
        let topology = self.topology().await?;
        entries.extend(topology.map(|known| Entry::Topology { version: known.version, value: known.value }));
        entries.extend(self.indexes().await?.into_iter().map(|index| Entry::Index(Box::new(index))));
        Ok(EntryPage { entries, next: Some(begin(TASKS)) })
    }

    async fn task_entries(&self, after: Option<u32>) -> Result<EntryPage, StoreError> {
        self.catch_up().await?;
        let uids = self.mirror.borrow().uids_after(after, STORED_PAGE);
        let Some(last) = uids.last() else {
            return Ok(EntryPage { entries: Vec::new(), next: Some(begin(RECORDS)) });
        };
        let next = Some(Mark { section: TASKS, key: last.to_string().into_bytes() });
        let tasks = self.all_of(&uids).await?.into_iter();
        Ok(EntryPage { entries: tasks.map(|task| Entry::Task(Box::new(task))).collect(), next })
    }

    async fn record_entries(&self, after: &str) -> Result<EntryPage, StoreError> {
        let (last_table, last_key) = after.split_once('\0').unwrap_or((after, ""));
        let tables = self.names().await?.tables;
        let Some(table) = tables.into_iter().find(|table| table.as_str() >= last_table) else {
            return Ok(EntryPage { entries: Vec::new(), next: Some(begin(LOGS)) });
        };
        let start = match table == last_table && after.contains('\0') {
            true => format!("({last_key}"),
            false => "-".to_owned(),
        };
        let records = self.records_of(&table, start, STORED_PAGE, |_| true).await?;
        // Behind the last key, or, after an empty page, behind the table.
        let key = match records.last() {
            Some(last) => format!("{table}\0{}", last.key),
            None => format!("{table}\u{1}"),
        };
        let entry = |Record { key, value, revision }| {
            let table = table.clone();
            Entry::Record { table, key, revision, value }
        };
        let entries = records.into_iter().map(entry).collect();
        Ok(EntryPage { entries, next: Some(Mark { section: RECORDS, key: key.into_bytes() }) })
    }

    async fn log_entries(&self, after: &str) -> Result<EntryPage, StoreError> {
        let mut streams = Vec::new();
        for log in self.names().await?.logs {
            let sizes = self.log_sizes(&log).await?;
            streams.extend(sizes.into_iter().map(|size| (log.clone(), size.stream)));
        }
        let mut parts = after.splitn(3, '\0');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (last, sequence) = ((part(), part()), part().parse::<u64>().unwrap_or(0));
        let Some((log, stream)) = streams.into_iter().find(|stream| *stream >= last) else {
            return Ok(EntryPage { entries: Vec::new(), next: None });
        };
        let from = if (&log, &stream) == (&last.0, &last.1) { sequence } else { 0 };
        let found = self.entries(&log, stream.clone(), from, STORED_PAGE_BYTES).await?;
        let key = match found.last() {
            Some(last) => format!("{log}\0{stream}\0{}", padded(last.sequence)),
            None => format!("{log}\0{stream}\u{1}"),
        };
        let entries = found.into_iter().map(|entry| Entry::Log {
            log: log.clone(),
            stream: stream.clone(),
            sequence: entry.sequence,
            header: entry.header,
            body: Body::of(&entry.body),
        });
        Ok(EntryPage {
            entries: entries.collect(),
            next: Some(Mark { section: LOGS, key: key.into_bytes() }),
        })
    }
}

fn begin(section: u8) -> Mark {
    Mark { section, key: Vec::new() }
}
