//! TCP options as received (RFC 9293 §3.1, RFC 7323, RFC 2018).

use crate::octets::be32;
use crate::protocol::tcp_option;
use crate::{SackBlock, SeqNum, TcpOptions, Timestamps};

/// Reads all options of a header; nothing in them can make the segment unusable.
///
/// RFC 9293 §3.1, MUST-5: they are read in every segment, with SYN or without. MUST-64: an option may begin at any octet.
pub(super) fn parse(mut rest: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    while let [kind, behind @ ..] = rest {
        match *kind {
            // What stands behind the end of the list is padding.
            tcp_option::END => break,
            tcp_option::NO_OPERATION => rest = behind,
            kind => {
                // RFC 9293 §3.1, MUST-7: an illegal length (below two, or beyond the header) does no harm. Nobody can say
                // where the next option begins, so reading ends here; what was read stays.
                let Some((&[_, len], _)) = rest.split_first_chunk::<2>() else {
                    break;
                };
                let Some(behind) = rest.get(usize::from(len)..).filter(|_| len >= 2) else {
                    break;
                };
                let body = &rest[2..usize::from(len)];
                // RFC 9293 §3.1, MUST-6 and MUST-68: an unknown option is skipped by its length.
                read_one(kind, body, &mut options);
                rest = behind;
            }
        }
    }
    options
}

/// One option. A known kind of a length that is not its own is skipped like an unknown one.
fn read_one(kind: u8, body: &[u8], options: &mut TcpOptions) {
    match (kind, body) {
        (tcp_option::MSS, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
        (tcp_option::WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
        (tcp_option::SACK_PERMITTED, []) => options.sack_permitted = true,
        (tcp_option::TIMESTAMPS, body) => {
            if let Ok(body) = <&[u8; 8]>::try_from(body) {
                options.timestamps = Some(timestamps(body));
            }
        }
        (tcp_option::SACK, body) => {
            let (blocks, []) = body.as_chunks::<8>() else {
                return;
            };
            // Forty octets of options hold four blocks in one option; a second option gets what room is left.
            for block in blocks {
                let block = SackBlock {
                    left: SeqNum(be32(block, 0)),
                    right: SeqNum(be32(block, 4)),
                };
                let _ = options.sack.try_push(block);
            }
        }
        _ => {}
    }
}

#[inline]
pub(super) fn timestamps(body: &[u8; 8]) -> Timestamps {
    Timestamps {
        value: be32(body, 0),
        echo: be32(body, 4),
    }
}
