//! How a pod follows the writes of all pods: it reads the change stream in Redis to its end before it answers a
//! question about tasks, and every `REDIS_FOLLOW_INTERVAL` for its watchers.
//! - The mirror always takes in a task's whole record, so hearing of a change twice does no harm.
//! - The pod reads everything anew after a gap in the stream, another epoch of the data, or another server behind a new
//!   connection.

use std::collections::BTreeSet;

use fred::types::Value;

use crate::change_ring::Name;
use crate::limits::REDIS_PAGE;
use crate::redis_backend::backend::{Backend, make};
use crate::redis_backend::commit_plan::{TASKS, task_of};
use crate::redis_backend::scripts::{number, stored, strange, text};
use crate::redis_backend::task_mirror::TaskMirror;
use crate::{StoreError, TaskRecord};

/// One change named by an entry of the stream.
enum Change {
    Task(u32),
    Named(Name),
}

impl Backend {
    /// Takes in every change that was written before the call.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.following.lock().await;
        if let Some(server) = self.other_server().await? {
            self.begin_anew().await?;
            *self.server.borrow_mut() = server;
            self.is_doubtful.set(false);
            return Ok(());
        }
        loop {
            let position = self.mirror.borrow().position;
            let from = Value::from(format!("({}-{}", position.0, position.1));
            let question = vec!["changes".into(), from, REDIS_PAGE.to_string().into()];
            let answered = self.scripts.read(question).await?;
            let mut values = answered.values.into_iter();
            let version: u64 = number(values.next().ok_or_else(strange)?)?;
            if answered.epoch.is_empty() || answered.epoch != *self.epoch.borrow() || version < position.0 {
                return self.begin_anew().await;
            }
            let mut changes = Vec::new();
            let mut last = position;
            let mut entries = 0;
            while let (Some(id), Some(fields)) = (values.next(), values.next()) {
                let id = entry_id(&text(id)?)?;
                let follows =
                    (id.0 == last.0 && id.1 == last.1.wrapping_add(1)) || (id.0, id.1) == (last.0 + 1, 0);
                if !follows {
                    return self.begin_anew().await;
                }
                last = id;
                entries += 1;
                let Value::Array(fields) = fields else { return Err(strange()) };
                read_changes(fields, &mut changes)?;
            }
            if entries == 0 && version > position.0 {
                return self.begin_anew().await;
            }
            self.take_in(changes).await?;
            self.mirror.borrow_mut().position = last;
            if entries < REDIS_PAGE {
                return Ok(());
            }
        }
    }

    async fn take_in(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (mut uids, mut names) = (BTreeSet::new(), Vec::new());
        for change in changes {
            match change {
                Change::Task(uid) => drop(uids.insert(uid)),
                Change::Named(name) => names.push(name),
            }
        }
        let uids: Vec<u32> = uids.into_iter().collect();
        for part in uids.chunks(REDIS_PAGE) {
            let tasks = self.tasks_of(part).await?;
            let mut mirror = self.mirror.borrow_mut();
            for (uid, task) in part.iter().zip(tasks) {
                match task {
                    Some(task) => mirror.take_in(&task),
                    None => mirror.forget(*uid),
                }
            }
        }
        self.changes.borrow_mut().add(names);
        Ok(())
    }

    /// Reads every task, and tells the watchers to read everything.
    async fn begin_anew(&self) -> Result<(), StoreError> {
        let least = self.mirror.borrow().task_uid_next();
        let (epoch, version) = make(&self.scripts, least).await?;
        let mut mirror = TaskMirror::at(version);
        let mut cursor = "0".to_owned();
        loop {
            let question = vec!["tasks".into(), cursor.into(), REDIS_PAGE.to_string().into()];
            let mut values = self.scripts.read(question).await?.values.into_iter();
            cursor = text(values.next().ok_or_else(strange)?)?;
            while let (Some(uid), Some(value)) = (values.next(), values.next()) {
                let (revision, json) = stored(value)?.ok_or_else(strange)?;
                mirror.take_in(&task_of(number(uid)?, revision, &json)?);
            }
            if cursor == "0" {
                break;
            }
        }
        *self.mirror.borrow_mut() = mirror;
        let before = self.epoch.replace(epoch);
        let mut changes = self.changes.borrow_mut();
        match before.is_empty() || before == *self.epoch.borrow() {
            true => changes.lose(),
            false => changes.begin_incarnation(),
        }
        Ok(())
    }

    pub(super) async fn tasks_of(&self, uids: &[u32]) -> Result<Vec<Option<TaskRecord>>, StoreError> {
        let mut question: Vec<Value> = vec!["fields".into()];
        question.extend(uids.iter().flat_map(|uid| [Value::from(TASKS), uid.to_string().into()]));
        let values = self.scripts.read(question).await?.values;
        let task = |(uid, value): (&u32, Value)| match stored(value)? {
            Some((revision, json)) => task_of(*uid, revision, &json).map(Some),
            None => Ok(None),
        };
        uids.iter().zip(values).map(task).collect()
    }
}

fn entry_id(id: &str) -> Result<(u64, u32), StoreError> {
    let parts =
        id.split_once('-').and_then(|(version, part)| Some((version.parse().ok()?, part.parse().ok()?)));
    parts.ok_or_else(strange)
}

fn read_changes(fields: Vec<Value>, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let mut fields = fields.into_iter();
    while let (Some(kind), Some(key)) = (fields.next(), fields.next()) {
        let (kind, key) = (text(kind)?, text(key)?);
        let pair = || {
            let (first, second) = key.split_once(':').ok_or_else(strange)?;
            Ok::<_, StoreError>((first.to_owned(), second.to_owned()))
        };
        changes.push(match kind.as_str() {
            "t" => Change::Task(key.parse().map_err(|_| strange())?),
            "i" => Change::Named(Name::Index(key)),
            "g" => Change::Named(Name::Topology),
            "r" => pair().map(|(table, key)| Change::Named(Name::Record { table, key }))?,
            "l" => pair().map(|(log, stream)| Change::Named(Name::Log { log, stream }))?,
            _ => return Err(strange()),
        });
    }
    Ok(())
}
