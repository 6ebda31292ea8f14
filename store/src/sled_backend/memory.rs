//! The same tables in memory and without a thread, for simulations: whoever owns them decides when a command comes to
//! the store, and when and how its answer comes back.
//! - What a command does is what it does in sled: the same code, over other trees.
//! - Every command taken out of an inlet is performed or refused; one that is dropped is answered with `Closed`.
//! - Several handles share one store, as pods share a Redis.

use super::tables::{Deferred, Tables};
use super::tree::Ground;
use crate::command::{Inbox, Read, Write};
use crate::handle::{Store, connect};
use crate::{Clock, OpenError, StoreError};

/// A store in memory.
pub struct Memory {
    tables: Tables,
}

/// Where the commands of one handle wait.
pub struct Inlet(Inbox);

/// Something a handle has asked.
pub struct Command(Request);

enum Request {
    Read(Read),
    Write(Write),
}

/// A command that is done, and not yet answered.
#[must_use = "whoever asked waits for it"]
pub struct Done(Deferred);

impl Memory {
    /// An empty store with a clock of the caller's, by which leases, claims and counters end.
    pub fn new(clock: Clock) -> Result<Memory, OpenError> {
        let refused = |_| OpenError::Corrupt { path: "memory".into(), reason: "it cannot be".to_owned() };
        Ok(Memory { tables: Tables::open(Ground::Memory, None, clock, false).map_err(refused)? })
    }

    /// A handle, and where its commands are to be taken from.
    #[must_use]
    pub fn connect() -> (Store, Inlet) {
        let (store, inbox, _stop) = connect();
        (store, Inlet(inbox))
    }

    /// Does what is asked; all of it is seen by whatever is performed after it. A question for changes comes back while
    /// there is nothing new.
    #[allow(clippy::result_large_err, reason = "a command comes back whole")]
    pub fn perform(&mut self, command: Command) -> Result<Done, Command> {
        match command.0 {
            Request::Read(Read::Changes { after, answer }) => match self.tables.news(after) {
                Some(changes) => {
                    let send = move |error: Option<&StoreError>| {
                        // A caller that no longer listens is free to.
                        let _ = answer.send(error.map_or(Ok(changes), |error| Err(error.clone())));
                    };
                    Ok(Done(Box::new(send)))
                }
                None => Err(Command(Request::Read(Read::Changes { after, answer }))),
            },
            Request::Read(read) => Ok(Done(self.tables.look(read))),
            Request::Write(write) => {
                let done = self.tables.apply(write);
                self.tables.take_dirty();
                self.tables.publish();
                Ok(Done(done))
            }
        }
    }

    /// Ends the leases and claims of a process that is gone, as opening its store of one process would.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.tables.end_claims()
    }
}

impl Inlet {
    /// The next command, changes before questions.
    #[must_use]
    pub fn next(&self) -> Option<Command> {
        let write = self.0.writes.try_recv().ok().map(Request::Write);
        write.or_else(|| self.0.reads.try_recv().ok().map(Request::Read)).map(Command)
    }
}

impl Done {
    /// Gives the answer, or the error that whoever asked gets instead, though the command is done.
    pub fn answer(self, failed: Option<&StoreError>) {
        (self.0)(failed);
    }
}

impl Command {
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.0, Request::Write(_))
    }

    /// Answers a command that never came to the store.
    pub fn refuse(self, error: StoreError) {
        /// The same answer for each of these kinds of command; a caller that no longer listens is free to.
        macro_rules! answer {
            ($command:expr; $($kind:ident::$variant:ident)* $(; $step:ident)?) => {
                match $command {
                    $($kind::$variant { answer, .. } => drop(answer.send(Err(error))),)*
                    $($step::Step { answer, .. } => answer(Err(error)),)?
                }
            };
        }
        match self.0 {
            Request::Read(read) => answer!(read;
                Read::Topology Read::Indexes Read::Index Read::Task Read::FirstTask Read::Tasks Read::TaskUids Read::UnfinishedTasks
                Read::Record Read::Records Read::Entries Read::LogSizes Read::Leases Read::Jobs Read::Stored
                Read::Changes),
            Request::Write(write) => answer!(write;
                Write::PutTopology Write::PutIndex Write::DeleteIndex Write::CreateTask Write::UpdateTask
                Write::DeleteTasks Write::PruneTasks Write::Commit Write::PutRecord Write::TakeTaskUids Write::Load
                Write::DeleteRecord; Write),
        }
    }
}
