//! The contract's Toeplitz against DPDK's own, which NICs are tested with. Needs no EAL.

use fourtuple_nic::{RSS_KEY_LEN, Toeplitz};
use proptest::prelude::*;

const MICROSOFT_KEY: [u8; RSS_KEY_LEN] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// `rte_softrss` over the bytes as they stand in the frame; it wants words in the host's order.
fn oracle(input: &[u8], key: &[u8; RSS_KEY_LEN]) -> u32 {
    let word = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut words: Vec<u32> = input.chunks_exact(4).map(word).collect();
    // SAFETY: as many words as are told, and a key of 40 bytes, four more than the longest input.
    unsafe { dpdk_sys::shim_softrss(words.as_mut_ptr(), words.len() as u32, key.as_ptr()) }
}

fn ports(src: u16, dst: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (src.to_be_bytes(), dst.to_be_bytes());
    [a, b, c, d]
}

#[test]
fn both_know_microsofts_vector() {
    let (src, dst) = ([66, 9, 149, 187], [161, 142, 100, 80]);
    let input = [&src[..], &dst, &ports(2794, 1766)].concat();
    assert_eq!(oracle(&input, &MICROSOFT_KEY), 0x51cc_c178);
    assert_eq!(
        Toeplitz::new(MICROSOFT_KEY).hash_v4(src, dst, 2794, 1766),
        0x51cc_c178
    );
}

proptest! {
    #[test]
    fn any_ipv4_four_tuple_under_any_key(key: [u8; 40], src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16) {
        let input = [&src[..], &dst, &ports(sport, dport)].concat();
        prop_assert_eq!(Toeplitz::new(key).hash_v4(src, dst, sport, dport), oracle(&input, &key));
    }

    #[test]
    fn any_ipv6_four_tuple_under_any_key(key: [u8; 40], src: [u8; 16], dst: [u8; 16], sport: u16, dport: u16) {
        let input = [&src[..], &dst, &ports(sport, dport)].concat();
        prop_assert_eq!(Toeplitz::new(key).hash_v6(src, dst, sport, dport), oracle(&input, &key));
    }
}
