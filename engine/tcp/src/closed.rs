//! CLOSED: a segment that belongs to nothing (RFC 9293 §3.10.7.1).

use fourtuple_wire::{SeqNum, TcpFlags, TcpHeader};

/// The RST that answers a segment for which there is no connection; `None` for a RST.
pub fn reset_for(header: &TcpHeader, payload_len: usize) -> Option<TcpHeader> {
    // RFC 9293 §3.10.7.1: an incoming segment with RST is discarded.
    if header.flags.contains(TcpFlags::RST) {
        return None;
    }
    Some(if header.flags.contains(TcpFlags::ACK) {
        // <SEQ=SEG.ACK><CTL=RST>
        TcpHeader {
            seq: header.ack,
            flags: TcpFlags::RST,
            ..TcpHeader::default()
        }
    } else {
        // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
        TcpHeader {
            seq: SeqNum(0),
            ack: header.seq + header.seq_len(payload_len),
            flags: TcpFlags::RST | TcpFlags::ACK,
            ..TcpHeader::default()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            seq: SeqNum(u32::MAX),
            ack: SeqNum(77),
            flags,
            ..TcpHeader::default()
        }
    }

    // proves: RFC 9293 §3.10.7.1
    #[test]
    fn a_reset_is_never_answered() {
        assert_eq!(reset_for(&segment(TcpFlags::RST), 3), None);
        assert_eq!(reset_for(&segment(TcpFlags::RST | TcpFlags::ACK), 0), None);
    }

    // proves: RFC 9293 §3.10.7.1
    #[test]
    fn with_ack_the_reset_takes_its_sequence_number() {
        let reset = reset_for(&segment(TcpFlags::ACK), 9).unwrap();
        assert_eq!((reset.seq, reset.flags), (SeqNum(77), TcpFlags::RST));
    }

    // proves: RFC 9293 §3.10.7.1
    #[test]
    fn without_ack_the_reset_acknowledges_all_of_it_round_the_circle() {
        for (flags, len, ack) in [
            (TcpFlags::SYN, 0, 0),
            (TcpFlags::default(), 2, 1),
            (TcpFlags::SYN | TcpFlags::FIN, 2, 3),
        ] {
            let reset = reset_for(&segment(flags), len).unwrap();
            assert_eq!((reset.seq, reset.ack), (SeqNum(0), SeqNum(ack)), "{flags:?}");
            assert_eq!(reset.flags, TcpFlags::RST | TcpFlags::ACK);
        }
    }
}
