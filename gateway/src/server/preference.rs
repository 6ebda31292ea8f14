//! Serves a request with a preference for a replica group.
//!
//! Invariant: the preference holds while the request is polled and never after, also when it panics: the request that
//! is polled next has its own.

use std::{cell::Cell, future::poll_fn};

use crate::state::{core::Core, read_preference::ReadPreference};

/// Runs `serving` with the preference that `change` makes of the present one.
pub(crate) async fn preferring<F: Future>(
    core: &Core,
    change: impl Fn(ReadPreference) -> ReadPreference,
    serving: F,
) -> F::Output {
    struct Restore<'c>(&'c Cell<ReadPreference>, ReadPreference);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let mut serving = Box::pin(serving);
    poll_fn(|context| {
        let before = core.read_preference.get();
        core.read_preference.set(change(before));
        let _restore = Restore(&core.read_preference, before);
        serving.as_mut().poll(context)
    })
    .await
}
