//! The store's thread: it applies the writes that wait, syncs once and acknowledges all of them. It serves reads in
//! between and during the sync, which runs on a second thread.
//! - Only this thread writes to sled, and never during a sync. So a group of writes lies in one sync, and a crash keeps
//!   or loses it whole.
//! - A write is answered after its sync, a refused one too: the state that it was refused for is then durable.
//! - A failed sync answers `Io` to its group and closes the store, because the disk's state is unknown.

use std::fs::File;
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, never, select};

use super::tables::{Deferred, Tables};
use super::{Database, first_line};
use crate::StoreError;
use crate::command::{Inbox, Write};
use crate::limits::{GATHER_TIME_MAX, QUEUE_LENGTH_MAX, WRITE_BATCH_MAX};
use crate::sled_backend::body_files::FileChanges;

pub(super) fn spawn(
    database: Database,
    tables: Tables,
    inbox: Inbox,
    lock: File,
) -> io::Result<JoinHandle<Result<(), StoreError>>> {
    let syncer = Syncer::spawn(database)?;
    Builder::new().name("store".to_owned()).spawn(move || {
        let mut worker = Worker { tables, inbox, syncer, group_length: 1, sync_time: Duration::ZERO };
        let outcome = worker.run();
        let Worker { tables, inbox, syncer, .. } = worker;
        drop(inbox);
        let stopped = syncer.stop();
        // sled syncs once more when its last handles drop, so the lock is released after them. It ends the process when
        // that fails, so after a failed sync the handles are kept for as long as the process lives.
        match &outcome {
            Ok(()) => drop(tables),
            Err(_) => std::mem::forget(tables),
        }
        drop(lock);
        outcome.and(stopped)
    })
}

struct Worker {
    tables: Tables,
    inbox: Inbox,
    syncer: Syncer,
    /// The number of writes in the previous group.
    group_length: usize,
    sync_time: Duration,
}

struct Syncer {
    requests: Sender<FileChanges>,
    outcomes: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn run(&mut self) -> Result<(), StoreError> {
        loop {
            select! {
                recv(self.inbox.reads) -> read => match read {
                    Ok(read) => self.tables.answer(read),
                    Err(_) => break,
                },
                recv(self.inbox.writes) -> write => match write {
                    Ok(write) => self.commit(write)?,
                    Err(_) => break,
                },
                recv(self.inbox.stop) -> _ => break,
            }
        }
        self.commit_waiting()
    }

    /// Commits the writes that wait when the store stops. Those that arrive meanwhile may be refused.
    fn commit_waiting(&mut self) -> Result<(), StoreError> {
        let mut waiting = self.inbox.writes.len().min(QUEUE_LENGTH_MAX);
        while waiting > 0
            && let Ok(write) = self.inbox.writes.try_recv()
        {
            self.commit(write)?;
            waiting = waiting.saturating_sub(WRITE_BATCH_MAX);
        }
        Ok(())
    }

    fn commit(&mut self, first: Write) -> Result<(), StoreError> {
        let mut group: Vec<Deferred> = vec![self.tables.apply(first)];
        self.gather(&mut group);
        self.group_length = group.len();
        let started = Instant::now();
        let synced = if self.tables.take_dirty() { self.sync() } else { Ok(()) };
        self.sync_time = started.elapsed();
        if synced.is_ok() {
            self.tables.publish();
        }
        for answer in group {
            answer(synced.as_ref().err());
        }
        synced
    }

    /// Adds the writes that wait. The callers answered a moment ago are about to send their next writes, and a sync for
    /// the first of them alone would double the syncs. So a group smaller than the previous one waits for up to a tenth
    /// of a sync. A lone writer never waits.
    fn gather(&mut self, group: &mut Vec<Deferred>) {
        let deadline = Instant::now() + (self.sync_time / 10).min(GATHER_TIME_MAX);
        while group.len() < WRITE_BATCH_MAX {
            if let Ok(write) = self.inbox.writes.try_recv() {
                group.push(self.tables.apply(write));
                continue;
            }
            if group.len() >= self.group_length {
                return;
            }
            select! {
                recv(self.inbox.writes) -> write => match write {
                    Ok(write) => group.push(self.tables.apply(write)),
                    Err(_) => return,
                },
                recv(self.inbox.reads) -> read => match read {
                    Ok(read) => self.tables.answer(read),
                    Err(_) => return,
                },
                default(deadline.saturating_duration_since(Instant::now())) => return,
            }
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let dead = || StoreError::Io("the sync thread died".to_owned());
        let files = self.tables.take_file_changes();
        self.syncer.requests.send(files).map_err(|_| dead())?;
        let silent = never();
        let mut reads = &self.inbox.reads;
        loop {
            select! {
                recv(reads) -> read => match read {
                    Ok(read) => self.tables.answer(read),
                    Err(_) => reads = &silent,
                },
                recv(self.syncer.outcomes) -> outcome => {
                    let outcome = outcome.map_err(|_| dead())?;
                    return outcome.map_err(|error| StoreError::Io(first_line(&error.to_string())));
                }
            }
        }
    }
}

impl Syncer {
    fn spawn(database: Database) -> io::Result<Syncer> {
        let (requests, requests_inbox) = bounded::<FileChanges>(1);
        let (outcomes_outbox, outcomes) = bounded(1);
        let thread = Builder::new().name("store-sync".to_owned()).spawn(move || {
            for files in requests_inbox {
                let outcome = files.sync().and_then(|()| database.flush()).map(|_statistics| ());
                if outcome.is_ok() {
                    files.delete();
                }
                if outcomes_outbox.send(outcome).is_err() {
                    return;
                }
            }
        })?;
        Ok(Syncer { requests, outcomes, thread })
    }

    fn stop(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.thread.join().map_err(|_| StoreError::Io("the sync thread died".to_owned()))
    }
}
