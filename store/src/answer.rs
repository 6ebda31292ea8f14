//! Where a backend sends its answers: the channel types that commands, watchers of changes and backends share.

use futures_channel::oneshot;

use crate::StoreError;
use crate::coordination::Outcome;

/// The sender for the answer to one command.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Receives the outcome of a coordination step.
pub(crate) type StepAnswer = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;
