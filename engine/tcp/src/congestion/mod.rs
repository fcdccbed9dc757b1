//! Congestion control: which algorithms there are, and what recovery tells them (RFC 5681, RFC 6582).
//!
//! An enum over one sealed trait, so that a call is a jump and no pointer; fixed point, no float. What is lost is decided
//! in `recovery`, when to send in `transmit`; here only how much may be outstanding.

mod new_reno;

pub(crate) use new_reno::NewReno;

/// The algorithms that a profile can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionKind {
    /// Slow start, congestion avoidance, NewReno's fast recovery (RFC 5681, RFC 6582).
    #[default]
    NewReno,
}

/// What an algorithm remembers beyond window and threshold; it lies in the [`Flight`](crate::flight::Flight), if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) enum Model {
    /// Nothing.
    #[default]
    None,
}

impl Model {
    /// It may be forgotten when everything is acknowledged.
    pub(crate) fn may_go(&self) -> bool {
        match self {
            Self::None => true,
        }
    }
}

/// What an algorithm answers to.
pub(crate) trait Algorithm {
    /// Octets that may be outstanding.
    fn window(&self) -> u32;
    /// Slow-start threshold in octets.
    fn threshold(&self) -> u32;
    /// `acked` new octets were acknowledged outside of recovery.
    fn on_ack(&mut self, acked: u32, mss: u32);
    /// Loss was inferred with `flight` octets outstanding; `inflate`: duplicate ACKs widen the window (no SACK).
    fn on_fast_retransmit(&mut self, flight: u32, mss: u32, inflate: bool);
    /// A further duplicate ACK in recovery without SACK.
    fn on_duplicate_ack(&mut self, mss: u32);
    /// An ACK within recovery without SACK that does not end it.
    fn on_partial_ack(&mut self, acked: u32, mss: u32);
    /// Recovery ended with `flight` octets outstanding.
    fn on_recovered(&mut self, flight: u32, mss: u32);
    /// The retransmission timer ran out; `first`: for this octet for the first time.
    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool);
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
    fn on_idle(&mut self, initial: u32);
    /// The handshake lost its SYN (RFC 5681 §3.1: start from one segment).
    fn on_syn_lost(&mut self, mss: u32);
}

/// The algorithm of a connection and its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Congestion {
    NewReno(NewReno),
}

impl Congestion {
    pub(crate) fn new(kind: CongestionKind, initial: u32) -> Self {
        match kind {
            CongestionKind::NewReno => Self::NewReno(NewReno::new(initial)),
        }
    }
}

impl Algorithm for Congestion {
    #[inline]
    fn window(&self) -> u32 {
        match self {
            Self::NewReno(algorithm) => algorithm.window(),
        }
    }

    fn threshold(&self) -> u32 {
        match self {
            Self::NewReno(algorithm) => algorithm.threshold(),
        }
    }

    #[inline]
    fn on_ack(&mut self, acked: u32, mss: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_ack(acked, mss),
        }
    }

    fn on_fast_retransmit(&mut self, flight: u32, mss: u32, inflate: bool) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_fast_retransmit(flight, mss, inflate),
        }
    }

    fn on_duplicate_ack(&mut self, mss: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_duplicate_ack(mss),
        }
    }

    fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_partial_ack(acked, mss),
        }
    }

    fn on_recovered(&mut self, flight: u32, mss: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_recovered(flight, mss),
        }
    }

    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_timeout(flight, mss, first),
        }
    }

    fn on_idle(&mut self, initial: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_idle(initial),
        }
    }

    fn on_syn_lost(&mut self, mss: u32) {
        match self {
            Self::NewReno(algorithm) => algorithm.on_syn_lost(mss),
        }
    }
}
