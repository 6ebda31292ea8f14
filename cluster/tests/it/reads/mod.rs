//! What clients read through a cluster.

mod coalescing;
mod corpus;
mod differential;
mod documents;
mod hedging;
mod multi_search;
mod planning;
mod queries;
mod sdk;
mod similar;
