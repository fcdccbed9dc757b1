//! What a way has to know of what a frame carries: how long a packet is, where its congestion marks are, what has no checksum.

/// Bytes of the IP packet that a frame carries, without padding; `None` when it carries none.
pub(crate) fn packet_len(frame: &[u8]) -> Option<usize> {
    let packet = frame.get(ETHERNET..)?;
    let word = |at: usize| {
        Some(usize::from(u16::from_be_bytes([
            *packet.get(at)?,
            *packet.get(at + 1)?,
        ])))
    };
    match frame.get(12..14)? {
        [0x08, 0x00] => word(2),
        [0x86, 0xdd] => Some(word(4)? + IPV6_HEADER),
        _ => None,
    }
}

/// The frame carries ARP.
pub(crate) fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x06])
}

/// Sets CE in a packet of an ECN-capable transport (RFC 3168 §5); `false` when it is none, or has it already.
pub(crate) fn mark_congestion(frame: &mut [u8]) -> bool {
    let ipv6 = match frame.get(12..14) {
        Some([0x08, 0x00]) => false,
        Some([0x86, 0xdd]) => true,
        _ => return false,
    };
    let Some(packet) = frame
        .get_mut(ETHERNET..)
        .filter(|packet| packet.len() >= IPV4_HEADER)
    else {
        return false;
    };
    // The two lowest bits of the traffic class, which lies across two octets in IPv6.
    let shift = if ipv6 { 4 } else { 0 };
    let codepoint = packet[1] >> shift & CE;
    if codepoint == NOT_ECT || codepoint == CE {
        return false;
    }
    packet[1] |= CE << shift;
    if !ipv6 {
        // RFC 1624, equation 3: the header's checksum, of which one word grew.
        let sum = u32::from(!u16::from_be_bytes([packet[10], packet[11]])) + u32::from(CE - codepoint);
        let sum = (sum & 0xffff) + (sum >> 16);
        packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
    true
}

const ETHERNET: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(class: u8) -> Vec<u8> {
        let mut frame = vec![0; 34];
        frame[12..14].copy_from_slice(&[8, 0]);
        let header = [
            0x45, class, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        frame[14..].copy_from_slice(&header);
        let sum = !folded(&frame[14..]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    fn folded(words: &[u8]) -> u16 {
        let sum: u32 = words
            .chunks(2)
            .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
            .sum();
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    #[test]
    fn a_mark_is_set_where_the_transport_knows_of_it_and_the_checksum_stays_right() {
        for (class, after) in [(0xb8, None), (0xb9, Some(0xbb)), (0xba, Some(0xbb)), (0xbb, None)] {
            let mut frame = ipv4(class);
            assert_eq!(mark_congestion(&mut frame), after.is_some(), "{class:x}");
            assert_eq!(frame[15], after.unwrap_or(class));
            assert_eq!(folded(&frame[14..]), 0xffff, "{class:x}");
        }
        let mut frame = vec![0; 54];
        frame[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0x20]);
        assert!(mark_congestion(&mut frame));
        assert_eq!(frame[15], 0x30);
        assert!(!mark_congestion(&mut frame) && !mark_congestion(&mut [0; 60]) && !mark_congestion(&mut []));
    }

    #[test]
    fn the_length_is_the_headers_word_for_it() {
        assert_eq!(packet_len(&ipv4(0)), Some(20));
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[19] = 6;
        assert_eq!(packet_len(&frame), Some(46));
        assert_eq!((packet_len(&[0; 60]), packet_len(&frame[..17])), (None, None));
    }
}
