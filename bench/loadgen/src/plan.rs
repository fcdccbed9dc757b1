//! What a run is to do: pattern, target, how many connections, for how long; and what is refused of it.

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
    /// Connections that are opened and held: an operation is one that is still there at the end.
    Hold,
    /// GET requests over connections that are kept: the target is any server of HTTP/1.1.
    Http,
}

impl Pattern {
    /// The word for it on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestResponse => "rr",
            Self::ConnectRequestResponse => "crr",
            Self::Stream { .. } => "stream",
            Self::Hold => "hold",
            Self::Http => "http",
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
    /// The server is asked to close, sends its FIN first and keeps the TIME_WAIT record: the target is an http service.
    Server,
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
    /// Connections of a worker that are being opened at a time, but for crr.
    pub opening: u32,
    /// Connections that have requests under way at a time, all workers together, drawn at random, each once before any comes again
    /// (rr, http); all of them when `None`.
    pub active: Option<u32>,
    /// When it is over.
    pub limit: Limit,
    /// Operations for so long are done and not counted.
    pub warmup: Duration,
    /// The connections that are kept are opened evenly over this time.
    pub ramp: Duration,
    /// An operation that takes longer has failed.
    pub timeout: Duration,
    /// Bytes of a request, and of its echo; of a block for [`Pattern::Stream`]; of a request of HTTP about so many.
    pub size: u32,
    /// Bytes of an answer's body, where they are not those of the request: the target is an http service.
    pub response: Option<u32>,
    /// What HTTP asks for; `/`, or `/bytes/N` for an answer of `response` bytes, when `None`.
    pub path: Option<String>,
    /// Requests under way on a connection at a time.
    pub pipeline: u16,
    /// Received bytes are compared with what was sent.
    pub verify: bool,
    /// How `crr` ends a connection.
    pub close: Close,
    /// `crr` sends its request with the SYN, once the target gave a cookie (RFC 7413).
    pub fast_open: bool,
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
            opening: OPENING,
            active: None,
            limit: Limit::Time(Duration::from_secs(10)),
            warmup: Duration::ZERO,
            ramp: Duration::ZERO,
            timeout: Duration::from_secs(5),
            size: 64,
            response: None,
            path: None,
            pipeline: 1,
            verify: false,
            close: Close::Client,
            fast_open: false,
            seed: 1,
        }
    }

    /// Requests are those of HTTP: by the pattern, and for rr and crr where an echo can't give what is asked for.
    pub fn speaks_http(&self) -> bool {
        match self.pattern {
            Pattern::Http => true,
            Pattern::RequestResponse | Pattern::ConnectRequestResponse => {
                self.close == Close::Server || self.response.is_some_and(|response| response != self.size)
            }
            Pattern::Stream { .. } | Pattern::Hold => false,
        }
    }

    /// Requests go one after another over connections that are kept.
    pub(crate) fn keeps(&self) -> bool {
        matches!(self.pattern, Pattern::RequestResponse | Pattern::Http)
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
        if self.opening == 0 {
            return wrong("opening", "at least one has to be opened at a time");
        }
        if self.active == Some(0) {
            return wrong("active", "at least one connection has to ask");
        }
        if self.active.is_some() && !self.keeps() {
            return wrong(
                "active",
                "only rr and http ask again on connections that are kept",
            );
        }
        if self.size == 0 && self.pattern != Pattern::Http {
            return wrong("size", "an operation needs at least one byte");
        }
        if self.response == Some(0) && !self.speaks_http() {
            return wrong("size", "an echo has at least one byte");
        }
        if self.response.is_some() && matches!(self.pattern, Pattern::Stream { .. } | Pattern::Hold) {
            return wrong("size", "only rr, crr and http have answers; give one size");
        }
        if self.speaks_http() && self.size > MAX_REQUEST {
            return wrong("size", "a request of HTTP has at most 8192 bytes");
        }
        if let Some(path) = &self.path {
            if !self.speaks_http() {
                return wrong("path", "only http asks for a path");
            }
            if !path.starts_with('/')
                || path.len() > MAX_PATH
                || !path.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return wrong(
                    "path",
                    "write it as /index.html, without spaces, at most 2048 bytes",
                );
            }
        }
        if self.close == Close::Server && self.pattern != Pattern::ConnectRequestResponse {
            return wrong("close", "only crr closes after each operation");
        }
        if self.fast_open && self.pattern != Pattern::ConnectRequestResponse {
            return wrong("fast-open", "only crr opens a connection for each request");
        }
        if !self.ramp.is_zero() && self.pattern == Pattern::ConnectRequestResponse {
            return wrong(
                "ramp",
                "crr opens a connection for each operation; it has none to open before",
            );
        }
        if self.pattern == Pattern::Hold && matches!(self.limit, Limit::Operations(_)) {
            return wrong("count", "hold takes a time, as -d 10s; how many it holds is -c");
        }
        if self.pipeline == 0 || self.pipeline > MAX_PIPELINE {
            return wrong(
                "pipeline",
                "between 1 and 128 requests can be under way on a connection",
            );
        }
        if self.pipeline > 1 && !self.keeps() {
            return wrong(
                "pipeline",
                "only rr and http have more than one request on a connection",
            );
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "no operation is done in no time");
        }
        let echoes = matches!(
            self.pattern,
            Pattern::RequestResponse | Pattern::ConnectRequestResponse
        ) && !self.speaks_http();
        if self.verify && !echoes {
            return wrong(
                "verify",
                "there is no echo to compare; use rr or crr with one size for both ways",
            );
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

/// Connections of a worker that are being opened at a time unless it is said: below any server's SYN queue.
const OPENING: u32 = 64;

/// Most requests under way on one connection.
const MAX_PIPELINE: u16 = 128;

/// Largest head of a request, in bytes: what servers take by default (ours, nginx, Apache).
pub(crate) const MAX_REQUEST: u32 = 8_192;

/// Longest path, in bytes.
const MAX_PATH: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Plan);

    #[test]
    fn each_bad_field_is_named() {
        let plan = || Plan::new(Pattern::RequestResponse, "10.0.0.1:7".parse().unwrap());
        assert_eq!(plan().validate(), Ok(()));
        let cases: [(&str, Spoil); 23] = [
            ("target", |p| p.target.set_port(0)),
            ("connections", |p| p.connections = 0),
            ("size", |p| p.size = 0),
            ("opening", |p| p.opening = 0),
            ("active", |p| p.active = Some(0)),
            ("active", |p| (p.active, p.pattern) = (Some(1), Pattern::Hold)),
            ("pipeline", |p| p.pipeline = 0),
            ("pipeline", |p| p.pipeline = 129),
            ("pipeline", |p| {
                (p.pipeline, p.pattern) = (2, Pattern::ConnectRequestResponse)
            }),
            ("timeout", |p| p.timeout = Duration::ZERO),
            ("verify", |p| {
                (p.verify, p.pattern) = (true, Pattern::Stream { reverse: false })
            }),
            ("verify", |p| (p.verify, p.response) = (true, Some(4_096))),
            ("size", |p| {
                (p.response, p.pattern) = (Some(1), Pattern::Stream { reverse: true })
            }),
            ("size", |p| (p.size, p.response) = (10_000, Some(1))),
            ("path", |p| p.path = Some("/".into())),
            ("path", |p| {
                (p.path, p.pattern) = (Some("index.html".into()), Pattern::Http)
            }),
            ("path", |p| {
                (p.path, p.pattern) = (Some("/a b".into()), Pattern::Http)
            }),
            ("close", |p| p.close = Close::Server),
            ("ramp", |p| {
                (p.ramp, p.pattern) = (Duration::from_secs(1), Pattern::ConnectRequestResponse)
            }),
            ("count", |p| {
                (p.limit, p.pattern) = (Limit::Operations(1), Pattern::Hold)
            }),
            ("pipeline", |p| (p.pipeline, p.pattern) = (2, Pattern::Hold)),
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
    fn http_is_spoken_where_an_echo_would_not_do() {
        type Change = fn(&mut Plan);
        let cases: [(bool, Change); 6] = [
            (false, |_| ()),
            (false, |p| p.response = Some(64)),
            (true, |p| p.response = Some(4_096)),
            (true, |p| {
                (p.close, p.pattern) = (Close::Server, Pattern::ConnectRequestResponse)
            }),
            (true, |p| p.pattern = Pattern::Http),
            (false, |p| p.pattern = Pattern::Hold),
        ];
        for (expected, change) in cases {
            let mut plan = Plan::new(Pattern::RequestResponse, "10.0.0.1:7".parse().unwrap());
            change(&mut plan);
            assert_eq!(plan.validate(), Ok(()));
            assert_eq!(plan.speaks_http(), expected, "{plan:?}");
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
