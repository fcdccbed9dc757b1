//! What a run is to do: pattern, target, how many connections, for how long.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Request and response over connections that are kept: the target is an echo service.
    RequestResponse,
    /// A connection for each operation: connect, one request and its response, close. The target is an echo service.
    ConnectRequestResponse,
    /// Bulk in one direction, an operation a block: to a discard service, or from a chargen service.
    Stream {
        /// From the target to us.
        reverse: bool,
    },
}

impl Pattern {
    /// The word for it on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestResponse => "rr",
            Self::ConnectRequestResponse => "crr",
            Self::Stream { .. } => "stream",
        }
    }
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this time.
    Time(Duration),
    /// After so many operations, failed ones included.
    Operations(u64),
}

/// How `crr` ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Close {
    /// This side sends its FIN first, and keeps the TIME_WAIT record.
    #[default]
    Client,
    /// A RST: no side keeps anything.
    Reset,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What an operation is.
    pub pattern: Pattern,
    /// Where the target listens.
    pub target: SocketAddr,
    /// Addresses to connect from, in turn; the engine chooses when empty.
    pub locals: Vec<IpAddr>,
    /// Connections at a time, all workers together.
    pub connections: u32,
    /// When it is over.
    pub limit: Limit,
    /// Operations for so long are done and not counted.
    pub warmup: Duration,
    /// An operation that takes longer has failed.
    pub timeout: Duration,
    /// Bytes of a request, and of its echo; of a block for [`Pattern::Stream`].
    pub size: u32,
    /// Requests under way on a connection at a time.
    pub pipeline: u16,
    /// Received bytes are compared with what was sent.
    pub verify: bool,
    /// How `crr` ends a connection.
    pub close: Close,
    /// What the payload is drawn from.
    pub seed: u64,
}

/// A plan that can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// The field, by its flag's name.
    pub field: &'static str,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl Plan {
    /// Against this target, with the defaults of the command.
    pub fn new(pattern: Pattern, target: SocketAddr) -> Self {
        Self {
            pattern,
            target,
            locals: Vec::new(),
            connections: 64,
            limit: Limit::Time(Duration::from_secs(10)),
            warmup: Duration::ZERO,
            timeout: Duration::from_secs(5),
            size: 64,
            pipeline: 1,
            verify: false,
            close: Close::Client,
            seed: 1,
        }
    }

    /// Checks the fields against their bounds and against each other.
    ///
    /// # Errors
    /// [`PlanError`], which names the field and the fix.
    pub fn validate(&self) -> Result<(), PlanError> {
        let wrong = |field, problem: &str| {
            Err(PlanError {
                field,
                problem: problem.to_owned(),
            })
        };
        if self.target.port() == 0 {
            return wrong(
                "target",
                "port 0 can't be connected to; give the port of the service",
            );
        }
        if self.connections == 0 {
            return wrong("connections", "at least one is needed");
        }
        if self.size == 0 {
            return wrong("size", "an operation needs at least one byte");
        }
        if self.pipeline == 0 || self.pipeline > MAX_PIPELINE {
            return wrong(
                "pipeline",
                "between 1 and 128 requests can be under way on a connection",
            );
        }
        if self.pipeline > 1 && self.pattern != Pattern::RequestResponse {
            return wrong("pipeline", "only rr has more than one request on a connection");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "no operation is done in no time");
        }
        if self.verify && matches!(self.pattern, Pattern::Stream { .. }) {
            return wrong("verify", "a stream has no echo to compare; use rr or crr");
        }
        match self.limit {
            Limit::Time(span) if span.is_zero() => wrong("duration", "a run takes some time; as 10s"),
            Limit::Operations(0) => wrong("count", "at least one operation is needed"),
            Limit::Time(_) | Limit::Operations(_) => Ok(()),
        }
    }

    /// The part of `total` that worker `worker` of `workers` has.
    pub(crate) fn share(total: u64, worker: u16, workers: u16) -> u64 {
        let workers = u64::from(workers.max(1));
        total / workers + u64::from(u64::from(worker) < total % workers)
    }
}

/// Most requests under way on one connection.
const MAX_PIPELINE: u16 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Plan);

    #[test]
    fn each_bad_field_is_named() {
        let plan = || Plan::new(Pattern::RequestResponse, "10.0.0.1:7".parse().unwrap());
        assert_eq!(plan().validate(), Ok(()));
        let cases: [(&str, Spoil); 10] = [
            ("target", |p| p.target.set_port(0)),
            ("connections", |p| p.connections = 0),
            ("size", |p| p.size = 0),
            ("pipeline", |p| p.pipeline = 0),
            ("pipeline", |p| p.pipeline = 129),
            ("pipeline", |p| {
                (p.pipeline, p.pattern) = (2, Pattern::ConnectRequestResponse)
            }),
            ("timeout", |p| p.timeout = Duration::ZERO),
            ("verify", |p| {
                (p.verify, p.pattern) = (true, Pattern::Stream { reverse: false })
            }),
            ("duration", |p| p.limit = Limit::Time(Duration::ZERO)),
            ("count", |p| p.limit = Limit::Operations(0)),
        ];
        for (field, spoil) in cases {
            let mut plan = plan();
            spoil(&mut plan);
            assert_eq!(plan.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn shares_sum_up_to_the_whole() {
        for (total, workers) in [(64, 1), (65, 2), (1, 4), (1000, 7)] {
            assert_eq!(
                (0..workers)
                    .map(|worker| Plan::share(total, worker, workers))
                    .sum::<u64>(),
                total
            );
        }
    }
}
