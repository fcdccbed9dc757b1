//! Checksums as a port with offloads makes and verifies them: TCP over IPv4, or over IPv6 without extension headers.

use fourtuple_nic::{RxChecksum, TxChecksum};

/// Fills in what a frame asked for: the TCP field holds the bare pseudo-header sum, the IPv4 header checksum is zero.
pub(crate) fn fill(frame: &mut [u8], request: TxChecksum) {
    let ip = usize::from(request.l2_len);
    let tcp = ip + usize::from(request.l3_len);
    let Some(end) = packet_end(frame, ip, request.ipv6) else {
        return;
    };
    if !request.ipv6
        && let Some(header) = frame.get_mut(ip..tcp)
    {
        let checksum = !sum(&[header]);
        if let Some(field) = header.get_mut(10..12) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
    }
    if let Some(segment) = frame.get_mut(tcp..end) {
        let checksum = !sum(&[segment]);
        if let Some(field) = segment.get_mut(16..18) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

/// What a port finds out about a received frame. What it can't read it leaves to software.
pub(crate) fn verify(frame: &[u8]) -> RxChecksum {
    let mut ip = 14;
    if frame.get(12..14) == Some(&[0x81, 0x00]) {
        ip = 18;
    }
    match (frame.get(ip - 2..ip), frame.get(ip)) {
        (Some(&[0x08, 0x00]), Some(first)) if first >> 4 == 4 => {
            verify_v4(frame, ip, usize::from(first & 15) * 4)
        }
        (Some(&[0x86, 0xdd]), Some(first)) if first >> 4 == 6 => verify_v6(frame, ip),
        _ => RxChecksum::Unchecked,
    }
}

fn verify_v4(frame: &[u8], ip: usize, header_len: usize) -> RxChecksum {
    let Some(header) = frame.get(ip..ip + header_len).filter(|header| header.len() >= 20) else {
        return RxChecksum::Unchecked;
    };
    let Some(segment) = packet_end(frame, ip, false).and_then(|end| frame.get(ip + header_len..end)) else {
        return RxChecksum::Unchecked;
    };
    if sum(&[header]) != 0xffff {
        return RxChecksum::Bad;
    }
    let fragment = header[6] & 0x3f != 0 || header[7] != 0;
    if fragment || header[9] != TCP {
        return RxChecksum::Unchecked;
    }
    let pseudo = [0, TCP, (segment.len() >> 8) as u8, segment.len() as u8];
    told(sum(&[&header[12..20], &pseudo, segment]) == 0xffff)
}

fn verify_v6(frame: &[u8], ip: usize) -> RxChecksum {
    let Some(header) = frame.get(ip..ip + 40).filter(|header| header[6] == TCP) else {
        return RxChecksum::Unchecked;
    };
    let Some(segment) = packet_end(frame, ip, true).and_then(|end| frame.get(ip + 40..end)) else {
        return RxChecksum::Unchecked;
    };
    let pseudo = [0, TCP, (segment.len() >> 8) as u8, segment.len() as u8];
    told(sum(&[&header[8..40], &pseudo, segment]) == 0xffff)
}

fn told(right: bool) -> RxChecksum {
    if right { RxChecksum::Good } else { RxChecksum::Bad }
}

/// Where the IP packet ends that starts at octet `ip` of the frame.
fn packet_end(frame: &[u8], ip: usize, ipv6: bool) -> Option<usize> {
    let (at, fixed) = if ipv6 { (4, 40) } else { (2, 0) };
    let len = frame.get(ip + at..ip + at + 2)?;
    let end = ip + fixed + usize::from(u16::from_be_bytes([len[0], len[1]]));
    (end <= frame.len()).then_some(end)
}

/// The ones-complement sum; every part but the last has an even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            total += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u64::from(low));
        }
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

const TCP: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of five octets, as Linux sent it over IPv4 and IPv6.
    const FRAMES: [&str; 2] = [
        "02000000000b02000000000a080045000039bafe400040066bac0a0900010a090002a9321f902c0dabb57371d41c8018003f0ed600000101080aad1255f1bdf1aaac70696e6721",
        "02000000000b02000000000a86dd6006e58a00250640fd090000000000000000000000000001fd090000000000000000000000000002979e1f90f907674d881dbd33801800404b0300000101080ae69a945099b4c01070696e6721",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn right_is_told_from_wrong_for_every_bit() {
        for frame in FRAMES.map(bytes) {
            assert_eq!(verify(&frame), RxChecksum::Good);
            let tcp = if frame[12] == 0x08 { 34 } else { 54 };
            for bit in tcp * 8..frame.len() * 8 {
                let mut wrong = frame.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(&wrong), RxChecksum::Bad, "bit {bit}");
            }
            for len in 0..frame.len() {
                assert_eq!(verify(&frame[..len]), RxChecksum::Unchecked, "{len} octets");
            }
            let mut padded = frame.clone();
            padded.resize(100, 0xee);
            assert_eq!(verify(&padded), RxChecksum::Good);
            let mut tagged = frame;
            tagged.splice(12..12, [0x81, 0, 0, 7]);
            assert_eq!(verify(&tagged), RxChecksum::Good);
        }
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        for frame in FRAMES.map(bytes) {
            let ipv6 = frame[12] == 0x86;
            let (l3_len, addresses) = if ipv6 { (40, 22..54) } else { (20, 26..34) };
            let tcp = 14 + usize::from(l3_len);
            let segment_len = (frame.len() - tcp) as u16;
            let pseudo = [&[0, TCP][..], &segment_len.to_be_bytes()].concat();
            let bare = sum(&[&frame[addresses], &pseudo]);
            let mut partial = frame.clone();
            partial[tcp + 16..tcp + 18].copy_from_slice(&bare.to_be_bytes());
            if !ipv6 {
                partial[24..26].fill(0);
            }
            let request = TxChecksum {
                l2_len: 14,
                l3_len,
                ipv6,
            };
            fill(&mut partial, request);
            assert_eq!(partial, frame);
        }
    }
}
