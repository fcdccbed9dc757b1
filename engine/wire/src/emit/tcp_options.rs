//! TCP options as sent: in the order and with the padding that Linux uses, so that no middlebox sees anything unusual.
//!
//! ```text
//!   MSS(4) | SACK permitted(2) timestamps(10), or NOP NOP timestamps(10), or NOP NOP SACK permitted(2)
//!          | NOP window scale(3) | Fast Open(2 + cookie) and NOPs | NOP NOP SACK(2 + 8·blocks)
//! ```
//! Each group is whole 32-bit words, so timestamps and SACK blocks are aligned and the list needs no padding behind it
//! (RFC 9293 §3.1, MUST-69 holds with nothing to pad).

use crate::octets::SummingWriter;
use crate::protocol::tcp_option::{
    FAST_OPEN, MSS, NO_OPERATION, SACK, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE,
};
use crate::{FastOpenCookie, TcpOptions};

/// Octets of the list, a multiple of four and at most [`MAX_LEN`].
#[inline]
pub(super) fn len(options: &TcpOptions) -> usize {
    let before_sack = len_before_sack(options);
    match sack_blocks_that_fit(options, before_sack) {
        0 => before_sack,
        blocks => before_sack + 4 + blocks * 8,
    }
}

#[inline]
pub(super) fn put(writer: &mut SummingWriter<'_>, options: &TcpOptions) {
    if let Some(mss) = options.mss {
        writer.put_u32(word(MSS, 4, 0, 0) | u32::from(mss));
    }
    let sack_permitted = if options.sack_permitted {
        word(SACK_PERMITTED, 2, 0, 0)
    } else {
        word(NO_OPERATION, NO_OPERATION, 0, 0)
    };
    if let Some(timestamps) = options.timestamps {
        writer.put_u32(sack_permitted | word(0, 0, TIMESTAMPS, 10));
        writer.put_u32(timestamps.value);
        writer.put_u32(timestamps.echo);
    } else if options.sack_permitted {
        writer.put_u32(word(NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2));
    }
    if let Some(shift) = options.window_scale {
        writer.put_u32(word(NO_OPERATION, WINDOW_SCALE, 3, shift));
    }
    if let Some(cookie) = &options.fast_open {
        put_fast_open(writer, cookie);
    }
    let blocks = sack_blocks_that_fit(options, len_before_sack(options));
    if blocks > 0 {
        writer.put_u32(word(NO_OPERATION, NO_OPERATION, SACK, 2 + 8 * blocks as u8));
        for block in options.sack.iter().take(blocks) {
            writer.put_u32(block.left.0);
            writer.put_u32(block.right.0);
        }
    }
}

/// Only in SYNs: not on the way of other segments.
#[cold]
fn put_fast_open(writer: &mut SummingWriter<'_>, cookie: &FastOpenCookie) {
    let mut octets = [NO_OPERATION; FAST_OPEN_MOST];
    let len = cookie.octets().len();
    (octets[0], octets[1]) = (FAST_OPEN, 2 + len as u8);
    octets[2..2 + len].copy_from_slice(cookie.octets());
    let (words, _) = octets.as_chunks::<4>();
    for word in words.iter().take(fast_open_len(cookie) / 4) {
        writer.put_u32(u32::from_be_bytes(*word));
    }
}

fn fast_open_len(cookie: &FastOpenCookie) -> usize {
    (2 + cookie.octets().len()).next_multiple_of(4)
}

/// Octets of the longest cookie's option, padded.
const FAST_OPEN_MOST: usize = 20;

const fn word(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

#[inline]
fn len_before_sack(options: &TcpOptions) -> usize {
    let mss = if options.mss.is_some() { 4 } else { 0 };
    let middle = match (options.timestamps, options.sack_permitted) {
        (Some(_), _) => 12,
        (None, true) => 4,
        (None, false) => 0,
    };
    let window_scale = if options.window_scale.is_some() { 4 } else { 0 };
    let fast_open = options.fast_open.as_ref().map_or(0, fast_open_len);
    mss + middle + window_scale + fast_open
}

/// The first SACK blocks go out, as many as there is room for (RFC 2018 §3: they are ordered by how recent they are).
#[inline]
fn sack_blocks_that_fit(options: &TcpOptions, before: usize) -> usize {
    options.sack.len().min((MAX_LEN - before).saturating_sub(4) / 8)
}

/// What a data offset of 15 leaves behind the fixed header.
const MAX_LEN: usize = 40;
