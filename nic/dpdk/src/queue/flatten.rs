//! Frames that are no [`crate::Mbuf`] as they come, copied into one of our own buffers.
//!
//! A ring port passes on the sender's very mbufs: a head with indirect segments behind it, whose bytes the sender keeps for
//! retransmission. Trimming them here would edit the sender's queue, and keeping them would drain the sender's pool. Plain
//! ones are copied, too, when that pool runs dry (`lender.rs`).

use crate::mbuf::RawMbuf;
use crate::pool::Pool;

/// Why a frame could not be flattened; it is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The pool is exhausted.
    NoBuffer,
    /// It is longer than a buffer.
    TooLong,
}

/// Copies all segments of `frame` into one buffer of `pool`, and frees it.
pub(super) fn into_plain(mut frame: RawMbuf, pool: &Pool) -> Result<RawMbuf, Lost> {
    let copied = copy(&frame, pool);
    // SAFETY: the frame was received by this queue, which owns the whole chain and uses it no more.
    unsafe { frame.release() }
    copied
}

fn copy(frame: &RawMbuf, pool: &Pool) -> Result<RawMbuf, Lost> {
    let mut plain = pool.take().ok_or(Lost::NoBuffer)?;
    let mut fits = append(&mut plain, frame.bytes());
    let mut rest = frame.next();
    while let Some(segment) = rest.filter(|_| fits) {
        fits = append(&mut plain, segment.bytes());
        rest = segment.next();
    }
    if fits {
        plain.set_len(plain.len());
        return Ok(plain);
    }
    // SAFETY: fresh, unique, and used no more.
    unsafe { plain.release() }
    Err(Lost::TooLong)
}

fn append(plain: &mut RawMbuf, bytes: &[u8]) -> bool {
    let room = plain.extend(bytes.len());
    if let Some(room) = room {
        room.copy_from_slice(bytes);
        return true;
    }
    false
}
