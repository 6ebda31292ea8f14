//! HTTP/1.1 by the book, towards clients and towards nodes, on both runtimes.
//! The cases are data: `table` and `answers`; each names the section it comes from.

mod answers;
mod requests;
mod table;
