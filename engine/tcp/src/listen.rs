//! LISTEN: a segment for a listener, with no record of its four-tuple (RFC 9293 §3.10.7.2).
//!
//! No state is touched here: what comes of a SYN (a record, a cookie, nothing) is the engine's to decide.

use fourtuple_wire::{DropReason, TcpFlags, TcpHeader};

use crate::closed::reset_for;

/// What a listener does with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenArrival {
    /// A SYN: make a SYN record, if there is room.
    Syn,
    /// Send this RST.
    Reply(TcpHeader),
    /// Drop it.
    Drop(DropReason),
}

/// Judges a segment in the order of RFC 9293 §3.10.7.2.
pub fn listen_segment_arrives(header: &TcpHeader, payload_len: usize) -> ListenArrival {
    // First: a RST is ignored.
    if header.flags.contains(TcpFlags::RST) {
        return ListenArrival::Drop(DropReason::StrayReset);
    }
    // Second: any acknowledgment is bad here, and is reset.
    if header.flags.contains(TcpFlags::ACK) {
        return match reset_for(header, payload_len) {
            Some(reset) => ListenArrival::Reply(reset),
            None => ListenArrival::Drop(DropReason::StrayReset),
        };
    }
    // Third: a SYN opens. One with FIN is no opening that any TCP sends; it is dropped (as §3.10.7.2 fourth permits).
    if header.flags.contains(TcpFlags::SYN) && !header.flags.contains(TcpFlags::FIN) {
        return ListenArrival::Syn;
    }
    // Fourth: anything else is dropped.
    ListenArrival::Drop(DropReason::BadListenSegment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(flags: TcpFlags) -> ListenArrival {
        listen_segment_arrives(
            &TcpHeader {
                flags,
                ..TcpHeader::default()
            },
            0,
        )
    }

    // proves: RFC 9293 §3.10.7.2
    #[test]
    fn the_order_is_reset_ack_syn_others() {
        use ListenArrival::{Drop, Reply, Syn};
        assert_eq!(arrives(TcpFlags::SYN), Syn);
        assert_eq!(arrives(TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR), Syn);
        assert!(matches!(arrives(TcpFlags::SYN | TcpFlags::ACK), Reply(_)));
        assert!(matches!(arrives(TcpFlags::ACK), Reply(_)));
        assert_eq!(
            arrives(TcpFlags::RST | TcpFlags::SYN | TcpFlags::ACK),
            Drop(DropReason::StrayReset)
        );
        assert_eq!(arrives(TcpFlags::FIN), Drop(DropReason::BadListenSegment));
        assert_eq!(
            arrives(TcpFlags::SYN | TcpFlags::FIN),
            Drop(DropReason::BadListenSegment)
        );
    }
}
