//! What operators see: counters of each worker and how they leave it.

mod counters;

pub use counters::{ByState, Counters, Dropped, Kind, Metric, PLAIN};
