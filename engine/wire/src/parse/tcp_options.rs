//! TCP options as received (RFC 9293 §3.1, RFC 7323, RFC 2018, RFC 7413).

use crate::octets::{be32, part};
use crate::protocol::tcp_option;
use crate::{FastOpenCookie, SackBlock, SeqNum, TcpOptions, Timestamps};

/// Reads all options of a header; nothing in them can make the segment unusable.
///
/// RFC 9293 §3.1, MUST-4: end of list, no-operation and MSS are the least that is understood.
/// RFC 9293 §3.1, MUST-5: they are read in every segment, with SYN or without. MUST-64: an option may begin at any octet.
pub(super) fn parse(rest: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    read(rest, &mut options);
    options
}

/// The same into options that are empty.
pub(super) fn read(list: &[u8], options: &mut TcpOptions) {
    match list.first_chunk::<20>() {
        Some(syn) if list.len() == 20 && is_of_a_syn(syn) => {
            options.mss = Some((be32(syn, 0) & 0xffff) as u16);
            options.sack_permitted = true;
            options.timestamps = Some(timestamps(&part(syn, 8)));
            options.window_scale = Some(syn[19]);
        }
        Some(_) | None => read_each(list, options),
    }
}

/// What nearly every SYN has, in the order in which most stacks have it.
#[inline]
const fn is_of_a_syn(list: &[u8; 20]) -> bool {
    const MSS: u32 = u32::from_be_bytes([tcp_option::MSS, 4, 0, 0]);
    const SACK_AND_STAMPS: u32 =
        u32::from_be_bytes([tcp_option::SACK_PERMITTED, 2, tcp_option::TIMESTAMPS, 10]);
    const SCALE: u32 = u32::from_be_bytes([tcp_option::NO_OPERATION, tcp_option::WINDOW_SCALE, 3, 0]);
    be32(list, 0) & 0xffff_0000 == MSS
        && be32(list, 4) == SACK_AND_STAMPS
        && be32(list, 16) & 0xffff_ff00 == SCALE
}

fn read_each(mut rest: &[u8], options: &mut TcpOptions) {
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
                read_one(kind, body, options);
                rest = behind;
            }
        }
    }
}

/// One option. A known kind of a length that is not its own is skipped like an unknown one.
fn read_one(kind: u8, body: &[u8], options: &mut TcpOptions) {
    match (kind, body) {
        (tcp_option::MSS, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
        (tcp_option::WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
        (tcp_option::SACK_PERMITTED, []) => options.sack_permitted = true,
        (tcp_option::FAST_OPEN, octets) => {
            options.fast_open = FastOpenCookie::new(octets).or(options.fast_open);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sack(blocks: &[(u32, u32)]) -> TcpOptions {
        TcpOptions {
            sack: blocks
                .iter()
                .map(|&(left, right)| SackBlock {
                    left: SeqNum(left),
                    right: SeqNum(right),
                })
                .collect(),
            ..TcpOptions::default()
        }
    }

    #[test]
    fn what_nearly_every_syn_has_reads_as_any_list_does() {
        let linux = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7];
        for at in 0..linux.len() {
            for value in 0..=u8::MAX {
                let mut list = linux;
                list[at] = value;
                let mut each = TcpOptions::default();
                read_each(&list, &mut each);
                assert_eq!(parse(&list), each, "{list:?}");
            }
        }
        assert!(is_of_a_syn(&linux));
        // A list that only begins so is read to its end.
        let longer = [&linux[..], &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]].concat();
        let mut each = TcpOptions::default();
        read_each(&longer, &mut each);
        assert!(each.fast_open.is_some() && each.window_scale == Some(7));
        assert_eq!(parse(&longer), each);
    }

    // proves: RFC 9293 MUST-4, MUST-6, MUST-7, MUST-64, MUST-68, RFC 7413 §4.1.1
    #[test]
    fn what_is_understood_is_read_and_the_rest_does_no_harm() {
        let none = TcpOptions::default();
        let mss = TcpOptions {
            mss: Some(1460),
            ..none.clone()
        };
        let scale = TcpOptions {
            window_scale: Some(15),
            ..none.clone()
        };
        let stamps = TcpOptions {
            timestamps: Some(Timestamps {
                value: 0x0102_0304,
                echo: 0xfffe_fdfc,
            }),
            ..none.clone()
        };
        let permitted = TcpOptions {
            sack_permitted: true,
            ..none.clone()
        };
        let request = TcpOptions {
            fast_open: Some(FastOpenCookie::REQUEST),
            ..none.clone()
        };
        let cookie = TcpOptions {
            fast_open: FastOpenCookie::new(&[1, 2, 3, 4, 5, 6, 7, 8]),
            ..none.clone()
        };
        let rows: &[(&str, &[u8], &TcpOptions)] = &[
            ("no options", &[], &none),
            ("end and padding", &[0, 0, 0, 0], &none),
            ("an option behind the end is padding", &[0, 2, 4, 5, 0xb4], &none),
            ("NOPs only", &[1, 1, 1, 1], &none),
            ("MSS", &[2, 4, 5, 0xb4], &mss),
            ("MSS at an odd octet", &[1, 2, 4, 5, 0xb4, 0, 0, 0], &mss),
            ("window scale as received, even above 14", &[3, 3, 15, 1], &scale),
            ("SACK permitted", &[4, 2, 0, 0], &permitted),
            (
                "timestamps",
                &[1, 1, 8, 10, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc],
                &stamps,
            ),
            (
                "timestamps off word alignment",
                &[8, 10, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 1, 1],
                &stamps,
            ),
            (
                "an unknown option before MSS",
                &[254, 6, 9, 9, 9, 9, 2, 4, 5, 0xb4],
                &mss,
            ),
            ("an unknown option without body", &[200, 2, 2, 4, 5, 0xb4], &mss),
            (
                "MSS of a wrong length is skipped",
                &[2, 3, 5, 2, 4, 5, 0xb4],
                &mss,
            ),
            ("the last of two counts", &[2, 4, 0, 1, 2, 4, 5, 0xb4], &mss),
            ("a request for a cookie", &[34, 2, 1, 1], &request),
            (
                "a cookie of eight octets",
                &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1],
                &cookie,
            ),
            ("a cookie of two octets is none", &[34, 4, 1, 2], &none),
            ("nor is one of five", &[34, 7, 1, 2, 3, 4, 5], &none),
            ("length zero ends the list", &[2, 4, 5, 0xb4, 77, 0, 4, 2], &mss),
            ("length one ends the list", &[2, 4, 5, 0xb4, 77, 1, 4, 2], &mss),
            (
                "length beyond the header ends it",
                &[2, 4, 5, 0xb4, 3, 4, 7],
                &mss,
            ),
            ("a kind at the very end", &[2, 4, 5, 0xb4, 1, 1, 1, 8], &mss),
        ];
        for (what, bytes, expected) in rows {
            assert_eq!(&parse(bytes), *expected, "{what}");
        }
    }

    // proves: RFC 2018 §3
    #[test]
    fn sack_blocks_come_in_their_order() {
        let one = [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(parse(&one), sack(&[(1, 9)]));
        let wrapped = [5, 18, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 8];
        assert_eq!(parse(&wrapped), sack(&[(u32::MAX, 5), (7, 8)]));
        let mut four = vec![1, 1, 5, 34];
        four.extend((0..8u32).flat_map(u32::to_be_bytes));
        assert_eq!(parse(&four), sack(&[(0, 1), (2, 3), (4, 5), (6, 7)]));
        assert_eq!(parse(&[5, 2, 1, 1]), sack(&[]), "no blocks");
        assert_eq!(parse(&[5, 9, 0, 0, 0, 1, 0, 0, 0]), sack(&[]), "not whole blocks");
    }
}
