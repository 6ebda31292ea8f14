//! The sled backend's tables in memory and without a thread, for simulations. The owner decides when a command reaches
//! the store, and when and with what result its answer arrives.
//! - A command does the same as in sled: it runs the same code over other trees.
//! - Every command taken from an inlet must be performed or refused; a dropped one is answered with `Closed`.
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

/// The queue of one handle's commands.
pub struct Inlet(Inbox);

/// A command that a handle has sent.
pub struct Command(Request);

enum Request {
    Read(Read),
    Write(Write),
}

/// A command that has been performed but not answered.
#[must_use = "whoever asked waits for it"]
pub struct Done(Deferred);

impl Memory {
    /// An empty store. `clock` decides when leases, claims and counters end.
    ///
    /// # Errors
    /// `Corrupt`, which cannot happen to an empty store.
    pub fn new(clock: Clock) -> Result<Memory, OpenError> {
        let refused = |_| OpenError::Corrupt { path: "memory".into(), reason: "it cannot be".to_owned() };
        Ok(Memory { tables: Tables::open(Ground::Memory, None, clock, false).map_err(refused)? })
    }

    /// A handle, and the inlet with its commands.
    #[must_use]
    pub fn connect() -> (Store, Inlet) {
        let (store, inbox, _stop) = connect();
        (store, Inlet(inbox))
    }

    /// Performs a command. Every command performed later sees its effect.
    ///
    /// # Errors
    /// The command itself, when it asks for changes and there are none yet.
    #[allow(clippy::result_large_err, reason = "a command comes back whole")]
    pub fn perform(&mut self, command: Command) -> Result<Done, Command> {
        match command.0 {
            Request::Read(Read::Changes { after, answer }) => match self.tables.news(after) {
                Some(changes) => {
                    let send = move |error: Option<&StoreError>| {
                        // A dropped reply is no error: the caller no longer wants the answer.
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

    /// Ends all leases and claims, as opening a store does whose one process has gone.
    ///
    /// # Errors
    /// `Io`: a stored record cannot be read.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.tables.end_claims()
    }
}

impl Inlet {
    /// The next command, writes before reads.
    #[must_use]
    pub fn next(&self) -> Option<Command> {
        let write = self.0.writes.try_recv().ok().map(Request::Write);
        write.or_else(|| self.0.reads.try_recv().ok().map(Request::Read)).map(Command)
    }
}

impl Done {
    /// Sends the answer. With `failed` the caller gets this error instead, although the command was performed.
    pub fn answer(self, failed: Option<&StoreError>) {
        (self.0)(failed);
    }
}

impl Command {
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.0, Request::Write(_))
    }

    /// Answers a command that never reached the store.
    pub fn refuse(self, error: StoreError) {
        /// Sends the error whatever kind the command is. A dropped reply is no error.
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
