//! The interfaces for people: pages that the gateway serves itself, and the requests that only they make.
//! The sources of the pages are in `gateway/web`; what is built of them is a part of the binary.
//!
//! Invariants: a page has no inline script and asks no other host. Whatever it shows of a request, an index or a
//! configuration is escaped. Pages work behind any path prefix: they name everything relative to themselves.

pub(crate) mod assets;
pub(crate) mod console;
pub(crate) mod html;
pub(crate) mod search;
