//! The words that commands, those who wait for changes, and backends share: where an answer goes.

use futures_channel::oneshot;

use crate::StoreError;
use crate::coordination::Outcome;

/// Takes the answer to one command.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Takes the outcome of a step.
pub(crate) type StepAnswer = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;
