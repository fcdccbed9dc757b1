//! `TCP_INFO` as Linux lays it out (`struct tcp_info` of linux/tcp.h), as far as this TCP has the numbers; the rest is zero.
#![forbid(unsafe_code)]

use std::time::Duration;

use fourtuple::{State, Status};

/// The octets of the structure.
pub(crate) fn encode(status: &Status, receive_mss: u16) -> Vec<u8> {
    let segments = |octets: u32| octets.div_ceil(u32::from(status.mss.max(1)));
    let micros = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
    let options = u8::from(status.timestamps) | u8::from(status.sack) << 1;
    let retransmits = status.retransmits;
    let mut octets = vec![state(status.state), 0, retransmits, 0, retransmits, options, 0, 0];
    let mss = u32::from(status.mss);
    let threshold = match status.ssthresh {
        u32::MAX => INFINITE_THRESHOLD,
        octets => octets / mss.max(1),
    };
    let words = [
        micros(status.rto),
        0, // ato
        mss,
        u32::from(receive_mss),
        segments(status.in_flight),
        0, // sacked
        0, // lost
        0, // retrans
        0, // fackets
        0, // last_data_sent
        0, // last_ack_sent
        0, // last_data_recv
        0, // last_ack_recv
        u32::from(receive_mss) + 40,
        status.receive_window,
        micros(status.srtt),
        micros(status.rttvar),
        threshold,
        status.cwnd / mss.max(1),
        u32::from(receive_mss),
        REORDERING,
        0, // rcv_rtt
        status.receive_window,
        0, // total_retrans
    ];
    octets.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    octets
}

/// The numbers of Linux's states (include/net/tcp_states.h).
fn state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// What Linux shows before the first loss.
const INFINITE_THRESHOLD: u32 = 0x7fff_ffff;
/// Duplicate acknowledgments that mean a loss (RFC 5681 §3.2).
const REORDERING: u32 = 3;
