//! Time that stands still until a test moves it, and the choice between it and the system's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fourtuple_nic::{Clock, SystemClock};

/// A clock that a test moves; clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    now_ns: Arc<AtomicU64>,
}

impl VirtualClock {
    /// A clock that stands at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves it forward by `span`.
    pub fn advance(&self, span: Duration) {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        // Pairs with the load in `now_ns`: who sees the new time sees what was done before it.
        self.now_ns.fetch_add(span, Ordering::Release);
    }

    /// Moves it forward to `at_ns` nanoseconds; it never goes back.
    pub fn advance_to(&self, at_ns: u64) {
        self.now_ns.fetch_max(at_ns, Ordering::Release);
    }
}

impl Clock for VirtualClock {
    fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Acquire)
    }
}

/// The clock that a wire goes by.
#[derive(Clone, Debug)]
pub enum TimeSource {
    /// One that a test moves.
    Virtual(VirtualClock),
    /// The system's: for tests with threads.
    System(SystemClock),
}

impl Clock for TimeSource {
    fn now_ns(&self) -> u64 {
        match self {
            Self::Virtual(clock) => clock.now_ns(),
            Self::System(clock) => clock.now_ns(),
        }
    }
}

impl From<VirtualClock> for TimeSource {
    fn from(clock: VirtualClock) -> Self {
        Self::Virtual(clock)
    }
}

impl From<&VirtualClock> for TimeSource {
    fn from(clock: &VirtualClock) -> Self {
        Self::Virtual(clock.clone())
    }
}

impl From<SystemClock> for TimeSource {
    fn from(clock: SystemClock) -> Self {
        Self::System(clock)
    }
}
