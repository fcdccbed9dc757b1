//! The feature `async` on real threads: two engines over a link in memory, their connections as tasks of tokio's runtimes.
//!
//! Nothing here is timed. What waits for a state waits as long as it takes; nextest ends what hangs.

mod backpressure;
mod calls;
mod cancelling;
mod echoing;
mod engines;
mod leaving;
