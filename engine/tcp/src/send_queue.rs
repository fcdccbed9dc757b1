//! The send queue: bytes the application gave and the peer has not acknowledged yet.
//!
//! ```text
//!        front (SND.UNA)                                            end
//!          │ head, inline   │ node │ node │ … │ node (tail)           │
//!          └─ head_offset bytes of head are acknowledged already ─────┘ len bytes
//! ```
//! Charged is what chunks pin, not what is left of them to send (D5): see [`Payload::charge`].
//! The first chunk lies in the TCB; those behind it are nodes of a pool, a ring addressed by its last. A cursor remembers
//! the node from which new data is sent, so that a long queue is not walked for every segment. No allocation.

use std::ops::Range;

use fourtuple_wire::Payload;

use crate::pool::{NIL, Pool};

/// A chunk behind the first.
pub(crate) struct SendNode<Tx> {
    payload: Tx,
    next: u32,
}

/// The queue of one connection.
#[repr(C)]
pub(crate) struct SendQueue<Tx> {
    head: Option<Tx>,
    head_offset: u32,
    len: u32,
    /// The charges of all chunks.
    charged: u32,
    tail: u32,
    cursor: u32,
    /// Offset of the cursor's first byte from the front.
    cursor_at: u32,
}

impl<Tx: Payload> SendQueue<Tx> {
    pub(crate) fn new() -> Self {
        Self {
            head: None,
            head_offset: 0,
            len: 0,
            charged: 0,
            tail: NIL,
            cursor: NIL,
            cursor_at: 0,
        }
    }

    /// Bytes from the first unacknowledged to the last.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// What the chunks are charged; that of the first shrinks with what is left of it, down to what it pins.
    #[inline]
    pub(crate) fn charged(&self) -> u32 {
        self.charged
    }

    /// What is queued, if it lies in one piece.
    #[inline]
    pub(crate) fn only_chunk(&self) -> Option<&[u8]> {
        match &self.head {
            Some(head) if self.tail == NIL => head.bytes().get(self.head_offset as usize..),
            Some(_) => None,
            None => Some(&[]),
        }
    }

    /// `octets` are queued, in one chunk, or none.
    #[inline]
    pub(crate) fn is_one_chunk_of(&self, octets: u32) -> bool {
        self.len == octets && self.tail == NIL
    }

    /// The first chunk of an empty queue, of so many bytes, which are not none.
    #[inline(always)]
    pub(crate) fn begin_with(&mut self, payload: Tx, bytes: u32) {
        self.charged = bytes.max((payload.space() / 2) as u32);
        self.head = Some(payload);
        self.head_offset = 0;
        self.len = bytes;
    }

    /// The only chunk, or what is left of it, was acknowledged.
    #[inline]
    pub(crate) fn forget_only_chunk(&mut self) {
        self.head = None;
        self.head_offset = 0;
        self.len = 0;
        self.charged = 0;
    }

    /// Appends a chunk.
    ///
    /// # Errors
    /// Gives it back when the pool is empty; never when the queue is.
    #[inline(always)]
    pub(crate) fn push(&mut self, payload: Tx, pool: &mut Pool<SendNode<Tx>>) -> Result<(), Tx> {
        let bytes = payload.len() as u32;
        if bytes == 0 {
            return Ok(());
        }
        let charge = payload.charge();
        if self.head.is_none() {
            self.head = Some(payload);
            self.head_offset = 0;
        } else {
            let first = pool.piece(self.tail).map_or(NIL, |tail| tail.next);
            let node = pool
                .insert(SendNode { payload, next: first })
                .map_err(|node| node.payload)?;
            if first == NIL {
                if let Some(own) = pool.piece_mut(node) {
                    own.next = node;
                }
            } else if let Some(tail) = pool.piece_mut(self.tail) {
                tail.next = node;
            }
            self.tail = node;
        }
        self.len += bytes;
        self.charged += charge;
        Ok(())
    }

    /// Bytes of all chunks from the first unacknowledged one; `None` when the nodes make no ring. For audits.
    pub(crate) fn held(&self, pool: &Pool<SendNode<Tx>>) -> Option<u32> {
        let Some(head) = &self.head else {
            return (self.tail == NIL).then_some(0);
        };
        let mut bytes = (head.len() as u32).checked_sub(self.head_offset)?;
        let mut node = self.tail;
        for _ in 0..=pool.in_use() {
            let Some(piece) = pool.piece(node) else {
                return (node == NIL).then_some(bytes);
            };
            bytes += piece.payload.len() as u32;
            node = piece.next;
            if node == self.tail {
                return Some(bytes);
            }
        }
        None
    }

    /// Takes `count` acknowledged bytes off the front.
    #[inline]
    pub(crate) fn acknowledge(&mut self, count: u32, pool: &mut Pool<SendNode<Tx>>) {
        let mut left = count.min(self.len);
        self.len -= left;
        if self.cursor != NIL {
            if self.cursor_at < left {
                self.cursor = NIL;
            }
            self.cursor_at = self.cursor_at.wrapping_sub(left);
        }
        while let Some(head) = &self.head {
            let rest = head.len() as u32 - self.head_offset;
            let floor = (head.space() / 2) as u32;
            if left < rest {
                self.head_offset += left;
                self.charged -= rest.max(floor) - (rest - left).max(floor);
                return;
            }
            self.charged -= rest.max(floor);
            left -= rest;
            self.head_offset = 0;
            self.head = self.take_first(pool);
        }
    }

    /// The first node moves into the TCB.
    fn take_first(&mut self, pool: &mut Pool<SendNode<Tx>>) -> Option<Tx> {
        let first = pool.piece(self.tail)?.next;
        if first == self.cursor {
            self.cursor = NIL;
        }
        let node = pool.remove(first)?;
        if first == self.tail {
            self.tail = NIL;
        } else if let Some(tail) = pool.piece_mut(self.tail) {
            tail.next = node.next;
        }
        Some(node.payload)
    }

    /// New data is about to be sent from `offset`: the cursor moves to the node that holds it.
    #[inline(always)]
    pub(crate) fn seek(&mut self, offset: u32, pool: &Pool<SendNode<Tx>>) {
        if self.tail != NIL {
            self.seek_behind_head(offset, pool);
        }
    }

    fn seek_behind_head(&mut self, offset: u32, pool: &Pool<SendNode<Tx>>) {
        let (mut node, mut at) = self.start_for(offset, pool);
        while node != NIL {
            let Some(piece) = pool.piece(node) else { return };
            let end = at + piece.payload.len() as u32;
            if offset < end || node == self.tail {
                self.cursor = node;
                self.cursor_at = at;
                return;
            }
            at = end;
            node = piece.next;
        }
    }

    /// The nearest known node at or before `offset`, and its offset; the first node when there is no nearer one.
    fn start_for(&self, offset: u32, pool: &Pool<SendNode<Tx>>) -> (u32, u32) {
        if self.cursor != NIL && self.cursor_at <= offset {
            return (self.cursor, self.cursor_at);
        }
        let head = self
            .head
            .as_ref()
            .map_or(0, |head| head.len() as u32 - self.head_offset);
        (pool.piece(self.tail).map_or(NIL, |tail| tail.next), head)
    }

    /// Calls `f` with the chunks, and the parts of them, that hold `range` counted from the front.
    pub(crate) fn each(
        &self,
        range: Range<u32>,
        pool: &Pool<SendNode<Tx>>,
        mut f: impl FnMut(&Tx, Range<usize>),
    ) {
        let Some(head) = &self.head else { return };
        let range = range.start..range.end.min(self.len);
        if range.is_empty() {
            return;
        }
        let head_len = head.len() as u32 - self.head_offset;
        if range.start < head_len {
            let to = range.end.min(head_len);
            f(
                head,
                (self.head_offset + range.start) as usize..(self.head_offset + to) as usize,
            );
        }
        if range.end <= head_len {
            return;
        }
        let (mut node, mut at) = self.start_for(range.start, pool);
        while at < range.end {
            let Some(piece) = pool.piece(node) else { return };
            let end = at + piece.payload.len() as u32;
            if range.start < end {
                let from = range.start.max(at) - at;
                f(&piece.payload, from as usize..(range.end.min(end) - at) as usize);
            }
            if node == self.tail {
                return;
            }
            at = end;
            node = piece.next;
        }
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, pool: &mut Pool<SendNode<Tx>>) {
        self.head = None;
        while self.take_first(pool).is_some() {}
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bytes;

    fn read(queue: &SendQueue<Bytes>, range: Range<u32>, pool: &Pool<SendNode<Bytes>>) -> Vec<u8> {
        let mut out = Vec::new();
        queue.each(range, pool, |chunk, part| {
            assert!(
                !part.is_empty(),
                "a part of no bytes would be a piece of its own to a device"
            );
            out.extend_from_slice(&chunk.bytes()[part])
        });
        out
    }

    #[test]
    fn any_range_reads_as_the_bytes_that_were_pushed() {
        let mut pool = Pool::new(8);
        let mut queue = SendQueue::new();
        for chunk in [&b"abc"[..], b"defgh", b"", b"i", b"jkl"] {
            queue.push(Bytes::from(chunk), &mut pool).unwrap();
        }
        let all = b"abcdefghijkl";
        for acknowledged in 0..=12u32 {
            assert_eq!(queue.len(), 12 - acknowledged);
            let rest = &all[acknowledged as usize..];
            for from in 0..=rest.len() {
                queue.seek(from as u32, &pool);
                for start in 0..=rest.len() {
                    for end in start..=rest.len() {
                        assert_eq!(read(&queue, start as u32..end as u32, &pool), &rest[start..end]);
                    }
                }
            }
            queue.acknowledge(1, &mut pool);
        }
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn the_first_chunk_needs_no_pool() {
        let mut pool = Pool::new(0);
        let mut queue = SendQueue::new();
        assert!(queue.push(Bytes::from(&b"abc"[..]), &mut pool).is_ok());
        assert!(queue.push(Bytes::from(&b"d"[..]), &mut pool).is_err());
        queue.acknowledge(3, &mut pool);
        assert!(queue.push(Bytes::from(&b"d"[..]), &mut pool).is_ok());
    }

    #[test]
    fn clearing_gives_every_node_back() {
        let mut pool = Pool::new(4);
        let mut queue = SendQueue::new();
        for _ in 0..4 {
            queue.push(Bytes::from(&b"xyz"[..]), &mut pool).unwrap();
        }
        assert_eq!(pool.in_use(), 3);
        queue.clear(&mut pool);
        assert_eq!((pool.in_use(), queue.len()), (0, 0));
    }

    /// So many bytes of a buffer of a thousand.
    fn part_of_a_thousand(bytes: usize) -> Bytes {
        Bytes::from(&[7; 1000][..]).slice(0..bytes)
    }

    #[test]
    fn a_chunk_is_charged_what_is_left_of_it_and_half_of_what_it_pins_at_least() {
        let mut pool = Pool::new(2);
        for (bytes, charged) in [(10, 500), (700, 700)] {
            let mut queue = SendQueue::new();
            queue.begin_with(part_of_a_thousand(bytes), bytes as u32);
            assert_eq!((queue.len(), queue.charged()), (bytes as u32, charged));
        }
        let mut queue = SendQueue::new();
        queue.push(part_of_a_thousand(900), &mut pool).unwrap();
        queue.push(part_of_a_thousand(100), &mut pool).unwrap();
        for (count, charged) in [
            (0, 1_400),
            (300, 1_100),
            (300, 1_000),
            (200, 1_000),
            (100, 500),
            (50, 500),
            (50, 0),
        ] {
            queue.acknowledge(count, &mut pool);
            assert_eq!(queue.charged(), charged);
        }
    }

    #[test]
    fn a_look_behind_the_end_finds_what_is_queued_there_later() {
        let mut pool = Pool::new(8);
        for chunks in [&[&b"ab"[..], b"cd"][..], &[b"ab", b"cd", b"ef"]] {
            let mut queue = SendQueue::new();
            let mut all = Vec::new();
            for chunk in chunks {
                queue.push(Bytes::from(*chunk), &mut pool).unwrap();
                all.extend_from_slice(chunk);
            }
            queue.seek(queue.len(), &pool);
            for chunk in [&b"ghij"[..], b"kl"] {
                queue.push(Bytes::from(chunk), &mut pool).unwrap();
                all.extend_from_slice(chunk);
            }
            for start in 0..all.len() {
                assert_eq!(read(&queue, start as u32..all.len() as u32, &pool), &all[start..]);
            }
            queue.clear(&mut pool);
        }
    }
}
