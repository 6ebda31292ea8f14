//! Reads: each is one question to Redis, except those about tasks, which the task mirror answers first.

use super::backend::Backend;
use super::scripts::{bytes, number, padded, stored, strange, text};
use crate::answer::Answer;
use crate::command::Read;
use crate::coordination::{HeldLease, JOBS, Job, LEASES, job_view, lease_view, queue_prefix};
use crate::idempotency::{FirstTask, IDEMPOTENCY_KEYS};
use crate::limits::{LOG_PAGE_MAX, REDIS_PAGE};
use crate::redis_backend::commit_plan::{INDEXES, TOPOLOGY, TOPOLOGY_KEY, decode, in_table};
use crate::{
    IndexRecord, LogEntry, LogSize, Record, StoreError, Table, TaskPage, TaskQuery, TaskRecord, Versioned,
};

impl Backend {
    pub(super) async fn answer(&self, read: Read) {
        match read {
            Read::Topology { answer } => reply(answer, self.topology().await),
            Read::Indexes { answer } => reply(answer, self.indexes().await),
            Read::Index { uid, answer } => reply(answer, self.index(&uid).await),
            Read::Task { uid, answer } => {
                reply(answer, self.tasks_of(&[uid]).await.map(|tasks| tasks.into_iter().flatten().next()));
            }
            Read::FirstTask { key, answer } => reply(answer, self.first_task(&key).await),
            Read::Tasks { query, answer } => reply(answer, self.task_page(&query).await),
            Read::TaskUids { query, answer } => {
                let caught_up = self.catch_up().await;
                reply(answer, caught_up.map(|()| self.selected(&query)));
            }
            Read::UnfinishedTasks { count_max, answer } => {
                reply(answer, self.unfinished(count_max).await);
            }
            Read::Record { table, key, answer } => reply(answer, self.record(table, key).await),
            Read::Records { table, after, limit, answer } => {
                let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
                reply(answer, self.records_of(table.name(), start, limit, |_| true).await);
            }
            Read::Entries { log, stream, after, bytes_max, answer } => {
                reply(answer, self.entries(log.name(), stream, after, bytes_max).await);
            }
            Read::LogSizes { log, answer } => reply(answer, self.log_sizes(log.name()).await),
            Read::Leases { prefix, answer } => reply(answer, self.leases(&prefix).await),
            Read::Jobs { queue, answer } => reply(answer, self.jobs(&queue).await),
            Read::Stored { after, answer } => reply(answer, self.stored(after).await),
            Read::Changes { after, answer } => self.changes.borrow_mut().watch(after, answer),
        }
    }

    async fn field(&self, hash: &str, key: String) -> Result<Option<(u64, bytes::Bytes)>, StoreError> {
        let answered = self.scripts.read(vec!["fields".into(), hash.into(), key.into()]).await?;
        stored(answered.values.into_iter().next().ok_or_else(strange)?)
    }

    pub(super) async fn topology(&self) -> Result<Option<Versioned<serde_json::Value>>, StoreError> {
        let found = self.field(TOPOLOGY, TOPOLOGY_KEY.to_owned()).await?;
        found.map(|(version, json)| Ok(Versioned { version, value: decode(&json)? })).transpose()
    }

    async fn index(&self, uid: &str) -> Result<Option<IndexRecord>, StoreError> {
        let found = self.field(INDEXES, uid.to_owned()).await?;
        found.map(|(revision, json)| Ok(IndexRecord { revision, ..decode(&json)? })).transpose()
    }

    pub(super) async fn indexes(&self) -> Result<Vec<IndexRecord>, StoreError> {
        let mut values = self.scripts.read(vec!["all".into(), INDEXES.into()]).await?.values.into_iter();
        let mut indexes = Vec::new();
        while let (Some(_uid), Some(value)) = (values.next(), values.next()) {
            let (revision, json) = stored(value)?.ok_or_else(strange)?;
            indexes.push(IndexRecord { revision, ..decode(&json)? });
        }
        indexes.sort_unstable_by(|one, other| one.uid.cmp(&other.uid));
        Ok(indexes)
    }

    fn selected(&self, query: &TaskQuery) -> Vec<u32> {
        self.mirror.borrow_mut().index.select(query).into_iter().collect()
    }

    async fn task_page(&self, query: &TaskQuery) -> Result<TaskPage, StoreError> {
        self.catch_up().await?;
        let page = self.mirror.borrow_mut().index.page(query);
        let from = page.uids.first().copied();
        Ok(TaskPage { tasks: self.all_of(&page.uids).await?, total: page.total, from, next: page.next })
    }

    async fn unfinished(&self, count_max: usize) -> Result<Vec<TaskRecord>, StoreError> {
        self.catch_up().await?;
        let unfinished = self.mirror.borrow().index.unfinished();
        self.all_of(&unfinished.into_iter().take(count_max).collect::<Vec<_>>()).await
    }

    /// The records of those tasks that still exist.
    pub(super) async fn all_of(&self, uids: &[u32]) -> Result<Vec<TaskRecord>, StoreError> {
        let mut tasks = Vec::with_capacity(uids.len());
        for part in uids.chunks(REDIS_PAGE) {
            tasks.extend(self.tasks_of(part).await?.into_iter().flatten());
        }
        Ok(tasks)
    }

    async fn first_task(&self, key: &str) -> Result<Option<FirstTask>, StoreError> {
        let (hash, key) = in_table(IDEMPOTENCY_KEYS, key);
        let answered = self.scripts.read(vec!["fields".into(), hash.into(), key.into()]).await?;
        let now = self.clock.as_ref().map_or(answered.now, |clock| clock());
        let found = stored(answered.values.into_iter().next().ok_or_else(strange)?)?;
        let known = found.map(|(_, json)| decode::<FirstTask>(&json)).transpose()?;
        Ok(known.filter(|known| known.is_live(now)))
    }

    async fn record(&self, table: Table, key: String) -> Result<Option<Record>, StoreError> {
        let (hash, key) = in_table(table, &key);
        let found = self.field(&hash, key.clone()).await?;
        found.map(|(revision, json)| Ok(Record { key, value: decode(&json)?, revision })).transpose()
    }

    /// Up to `limit` records of a table from `start` on, until `wanted` refuses a key.
    pub(super) async fn records_of(
        &self,
        table: &str,
        mut start: String,
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records: Vec<Record> = Vec::new();
        while records.len() < limit {
            let count = (limit - records.len()).min(REDIS_PAGE);
            let question = vec!["page".into(), table.into(), start.into(), count.to_string().into()];
            let mut values = self.scripts.read(question).await?.values.into_iter();
            let mut read = 0;
            while let (Some(key), Some(value)) = (values.next(), values.next()) {
                read += 1;
                let key = text(key)?;
                if !wanted(&key) {
                    return Ok(records);
                }
                let (revision, json) = stored(value)?.ok_or_else(strange)?;
                records.push(Record { key, value: decode(&json)?, revision });
            }
            if read < count {
                break;
            }
            start = records.last().map_or_else(|| "-".to_owned(), |last| format!("({}", last.key));
        }
        Ok(records)
    }

    pub(super) async fn records_from(&self, table: Table, prefix: &str) -> Result<Vec<Record>, StoreError> {
        self.records_of(table.name(), format!("[{prefix}"), usize::MAX, |key| key.starts_with(prefix)).await
    }

    async fn leases(&self, prefix: &str) -> Result<Vec<HeldLease>, StoreError> {
        let records = self.records_from(LEASES, prefix).await?;
        let now = self.now().await?;
        Ok(records.iter().filter_map(|record| lease_view(&record.key, &record.value, now)).collect())
    }

    async fn jobs(&self, queue: &str) -> Result<Vec<Job>, StoreError> {
        let records = self.records_from(JOBS, &queue_prefix(queue)).await?;
        let now = self.now().await?;
        Ok(records.iter().filter_map(|record| job_view(&record.key, &record.value, now)).collect())
    }

    pub(super) async fn entries(
        &self,
        log: &str,
        stream: String,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let question = vec![
            "entries".into(),
            log.into(),
            stream.into(),
            padded(after).into(),
            bytes_max.to_string().into(),
            LOG_PAGE_MAX.to_string().into(),
        ];
        let mut values = self.scripts.read(question).await?.values.into_iter();
        let mut entries = Vec::new();
        while let (Some(sequence), Some(header), Some(body)) = (values.next(), values.next(), values.next()) {
            let (sequence, header) = (number(sequence)?, decode(&bytes(header)?)?);
            entries.push(LogEntry { sequence, header, body: bytes(body)? });
        }
        Ok(entries)
    }

    pub(super) async fn log_sizes(&self, log: &str) -> Result<Vec<LogSize>, StoreError> {
        let mut values = self.scripts.read(vec!["sizes".into(), log.into()]).await?.values.into_iter();
        let mut sizes = Vec::new();
        while let (Some(stream), Some(entries), Some(bytes)) = (values.next(), values.next(), values.next()) {
            sizes.push(LogSize { stream: text(stream)?, entries: number(entries)?, bytes: number(bytes)? });
        }
        Ok(sizes)
    }
}

fn reply<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    // A dropped reply is no error: the caller no longer wants the answer.
    let _ = answer.send(result);
}
