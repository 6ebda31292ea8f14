//! The cluster changes its shape under load.

mod refused;
mod shapes;
mod typed;
