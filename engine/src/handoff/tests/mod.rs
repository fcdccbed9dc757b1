//! Endpoints against model workers, stepped by one thread: nothing sleeps, nothing races, every order can be had.

mod accepting;
mod allocation;
mod commands;
mod leaving;
mod lending;
mod misuse;
mod model;
mod moving;
mod properties;
mod readiness;
mod soak;
#[cfg(feature = "async")]
mod tasks;
mod waiting;
