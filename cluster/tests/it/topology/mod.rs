//! The cluster changes its shape under load.

mod pods;
mod refused;
mod reshards;
mod shapes;
mod typed;
