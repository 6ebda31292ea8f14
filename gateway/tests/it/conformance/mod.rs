//! HTTP/1.1 to the letter of the RFCs, towards clients and towards nodes, on both runtimes. The cases are data in
//! `table` and `answers`; each names its section.

mod answers;
mod requests;
mod table;
