//! Documents as clients send and list them: payloads, lists, edit functions.

pub mod edit_function;
pub mod list;
pub mod payload;
