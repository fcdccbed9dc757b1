//! What was measured: each stage with its name, its calls, its operations and its time.
//!
//! [`measured!`](crate::measured) gives each stage a function of its own, which is not inlined: under callgrind its name leads to
//! the instructions of all its calls, everything that it called included; natively the clock is read round it.

use std::time::{Duration, Instant};

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    /// As its function is called, without `measured_`.
    pub(crate) name: &'static str,
    /// Operations in all calls together: frames, look-ups, exchanges.
    pub(crate) operations: u64,
    /// Time of all calls.
    pub(crate) time: Duration,
}

/// All stages, in the order of their first call.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    stages: Vec<Stage>,
}

impl Meter {
    /// One more call of a stage, for so many operations.
    pub(crate) fn note(&mut self, function: &'static str, operations: usize, started: Instant) {
        let time = started.elapsed();
        let name = function.strip_prefix(PREFIX).unwrap_or(function);
        let stage = match self.stages.iter().position(|stage| stage.name == name) {
            Some(place) => &mut self.stages[place],
            None => {
                self.stages.push(Stage {
                    name,
                    operations: 0,
                    time: Duration::ZERO,
                });
                let last = self.stages.len() - 1;
                &mut self.stages[last]
            }
        };
        stage.operations += operations as u64;
        stage.time += time;
    }

    /// What was measured.
    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }
}

/// How the names of measured functions begin.
pub(crate) const PREFIX: &str = "measured_";

/// Runs an expression in a function of this name, and notes its time for so many operations.
#[macro_export]
macro_rules! measured {
    ($meter:expr, $name:ident, $operations:expr, $act:expr) => {{
        #[inline(never)]
        fn $name<R>(act: impl FnOnce() -> R) -> R {
            // Keeps functions of equal stages apart.
            std::hint::black_box(stringify!($name));
            act()
        }
        let started = std::time::Instant::now();
        let result = $name(|| $act);
        $meter.note(stringify!($name), $operations, started);
        result
    }};
}
