//! What one worker counts and how it keeps latencies. Plain numbers of the worker's own; no lock, no allocation once made.

use hdrhistogram::Histogram;

/// Failed operations by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Errors {
    /// The connection could not be opened.
    pub connect: u64,
    /// The connection ended before the operation did.
    pub reset: u64,
    /// The operation took longer than it may.
    pub timeout: u64,
    /// What came was not what was sent, or no answer of HTTP.
    pub verify: u64,
    /// The answer's status was not 2xx; `None` where no HTTP is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u64>,
}

impl Errors {
    /// All kinds.
    pub fn sum(&self) -> u64 {
        self.connect + self.reset + self.timeout + self.verify + self.status.unwrap_or_default()
    }
}

/// What a worker, or all of them, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations done.
    pub operations: u64,
    /// Payload bytes sent.
    pub sent: u64,
    /// Payload bytes received.
    pub received: u64,
    /// Operations that failed.
    pub errors: Errors,
    /// Connections that were established (hold).
    pub established: u64,
    /// And that ended before their time.
    pub lost: u64,
}

impl Counts {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            operations,
            sent,
            received,
            errors,
            established,
            lost,
        } = *other;
        self.operations += operations;
        self.sent += sent;
        self.received += received;
        self.errors.connect += errors.connect;
        self.errors.reset += errors.reset;
        self.errors.timeout += errors.timeout;
        self.errors.verify += errors.verify;
        if let Some(status) = errors.status {
            *self.errors.status.get_or_insert_default() += status;
        }
        self.established += established;
        self.lost += lost;
    }
}

/// Counts and latencies of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) counts: Counts,
    pub(crate) latency_ns: Histogram<u64>,
}

impl Recorder {
    /// With a count of statuses where HTTP is spoken.
    pub(crate) fn new(speaks_http: bool) -> Self {
        Self {
            counts: Counts {
                errors: Errors {
                    status: speaks_http.then_some(0),
                    ..Errors::default()
                },
                ..Counts::default()
            },
            latency_ns: histogram(),
        }
    }

    /// An operation is done.
    pub(crate) fn operation(&mut self, latency_ns: u64) {
        self.counts.operations += 1;
        self.latency(latency_ns);
    }

    /// One latency was measured.
    pub(crate) fn latency(&mut self, latency_ns: u64) {
        self.latency_ns.saturating_record(latency_ns);
    }
}

/// From 1 ns to 20 minutes, three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants that hold: lowest ≥ 1, highest ≥ 2 × lowest, digits ≤ 5.
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("constant bounds")
}

/// Longest latency that is told apart, in nanoseconds: 20 minutes; longer ones count as this.
const LONGEST_NS: u64 = 1_200_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_beyond_the_longest_is_kept_as_the_longest() {
        let mut recorder = Recorder::new(false);
        recorder.operation(u64::MAX);
        recorder.operation(0);
        assert_eq!(recorder.counts.operations, 2);
        assert_eq!(recorder.latency_ns.len(), 2);
        assert!(recorder.latency_ns.max() >= LONGEST_NS);
    }

    #[test]
    fn counts_add_up_field_by_field() {
        let one = Counts {
            operations: 1,
            sent: 2,
            received: 3,
            errors: Errors {
                connect: 4,
                reset: 5,
                timeout: 6,
                verify: 7,
                status: Some(8),
            },
            established: 9,
            lost: 10,
        };
        let mut sum = one;
        sum.add(&one);
        assert_eq!((sum.operations, sum.sent, sum.received), (2, 4, 6));
        assert_eq!(sum.errors.sum(), 60);
        assert_eq!((sum.established, sum.lost), (18, 20));
        let mut without = Counts::default();
        without.add(&Counts::default());
        assert_eq!(without.errors.status, None, "no HTTP, no status");
    }
}
