//! The receive queue: payload in order that the application has not taken yet, and what the receive window is charged.
//!
//! Charged is buffer space, not payload (D5): for what waits in order, what waits out of order, and what the application
//! has taken but not released. The nodes are a ring in a pool, addressed by its last. No allocation.

use fourtuple_wire::{Received, SeqNum};

use crate::pool::{NIL, Pool};

/// A received chunk, in order or not.
pub(crate) struct ReceiveNode<Rx> {
    pub(crate) buffer: Rx,
    /// Its first sequence number; only looked at while it waits out of order.
    pub(crate) seq: SeqNum,
    pub(crate) next: u32,
}

/// The queue of one connection.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct ReceiveQueue {
    tail: u32,
    /// Payload bytes in order and not taken.
    unread: u32,
    /// Buffer space that is charged.
    charged: u32,
}

impl ReceiveQueue {
    pub(crate) const fn new() -> Self {
        Self {
            tail: NIL,
            unread: 0,
            charged: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.tail == NIL
    }

    pub(crate) const fn unread(&self) -> u32 {
        self.unread
    }

    pub(crate) const fn charged(&self) -> u32 {
        self.charged
    }

    #[inline]
    pub(crate) fn charge(&mut self, space: usize) {
        self.charged = self.charged.saturating_add(space as u32);
    }

    #[inline]
    pub(crate) fn discharge(&mut self, space: usize) {
        self.charged = self
            .charged
            .saturating_sub(u32::try_from(space).unwrap_or(u32::MAX));
    }

    /// Nothing is charged any more but so much.
    pub(crate) fn charge_only(&mut self, space: usize) {
        self.charged = space as u32;
    }

    /// Appends a chunk of `len` octets that was stored in the pool already and charged.
    #[inline(always)]
    pub(crate) fn append<Rx: Received>(&mut self, node: u32, len: u32, pool: &mut Pool<ReceiveNode<Rx>>) {
        let mut first = node;
        if self.tail != NIL
            && let Some(tail) = pool.piece_mut(self.tail)
        {
            first = std::mem::replace(&mut tail.next, node);
        }
        if let Some(own) = pool.piece_mut(node) {
            own.next = first;
            self.unread += len;
            self.tail = node;
        }
    }

    /// The same of a chunk that is not stored yet, mostly the only one, charged with its space; it is dropped, and the answer is
    /// `false`, when the pool is full.
    #[inline(always)]
    pub(crate) fn push<Rx: Received>(
        &mut self,
        buffer: Rx,
        seq: SeqNum,
        len: u32,
        pool: &mut Pool<ReceiveNode<Rx>>,
    ) -> bool {
        let space = buffer.space();
        // The only one is its own ring.
        let node = |next| ReceiveNode { buffer, seq, next };
        let Some(own) = pool.put(node) else {
            return false;
        };
        self.charge(space);
        if self.tail == NIL {
            (self.tail, self.unread) = (own, len);
        } else {
            self.append(own, len, pool);
        }
        true
    }

    /// The next chunk; its space stays charged.
    #[inline]
    pub(crate) fn take<Rx: Received>(&mut self, pool: &mut Pool<ReceiveNode<Rx>>) -> Option<Rx> {
        let tail = self.tail;
        let first = pool.piece(tail)?.next;
        if first == tail {
            // The only one, as it mostly is.
            (self.tail, self.unread) = (NIL, 0);
            return pool.remove(tail).map(|node| node.buffer);
        }
        let node = pool.remove(first)?;
        if let Some(tail) = pool.piece_mut(tail) {
            tail.next = node.next;
        }
        self.unread = self.unread.saturating_sub(node.buffer.bytes().len() as u32);
        Some(node.buffer)
    }

    /// What waits in order, chunk by chunk.
    pub(crate) fn chunks<'a, Rx: Received>(
        &self,
        pool: &'a Pool<ReceiveNode<Rx>>,
    ) -> impl Iterator<Item = &'a Rx> + use<'a, Rx> {
        let tail = self.tail;
        let mut next = pool.piece(tail).map(|tail| tail.next);
        std::iter::from_fn(move || {
            let at = next?;
            let piece = pool.piece(at)?;
            next = (at != tail).then_some(piece.next);
            Some(&piece.buffer)
        })
    }

    /// Buffer space and bytes of what waits in order; `None` when the nodes make no ring. For audits.
    pub(crate) fn held<Rx: Received>(&self, pool: &Pool<ReceiveNode<Rx>>) -> Option<(u32, u32)> {
        let (mut space, mut bytes, mut node) = (0, 0, self.tail);
        for _ in 0..=pool.in_use() {
            let Some(piece) = pool.piece(node) else {
                return (node == NIL).then_some((space, bytes));
            };
            space += piece.buffer.space() as u32;
            bytes += piece.buffer.bytes().len() as u32;
            node = piece.next;
            if node == self.tail {
                return Some((space, bytes));
            }
        }
        None
    }

    /// Gives everything back.
    pub(crate) fn clear<Rx: Received>(&mut self, pool: &mut Pool<ReceiveNode<Rx>>) {
        while let Some(buffer) = self.take(pool) {
            self.discharge(buffer.space());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Frame;

    #[test]
    fn chunks_come_out_in_order_and_stay_charged_until_released() {
        let mut pool = Pool::new(4);
        let mut queue = ReceiveQueue::new();
        for bytes in [&b"ab"[..], b"c", b"def"] {
            let buffer = Frame::new(bytes);
            queue.charge(buffer.space());
            let node = pool
                .insert(ReceiveNode {
                    buffer,
                    seq: SeqNum(0),
                    next: NIL,
                })
                .ok()
                .unwrap();
            queue.append(node, bytes.len() as u32, &mut pool);
        }
        let charged = queue.charged();
        assert_eq!(queue.unread(), 6);
        assert_eq!(queue.take(&mut pool).unwrap().bytes(), b"ab");
        assert_eq!((queue.unread(), queue.charged()), (4, charged));
        queue.discharge(Frame::new(b"ab").space());
        assert!(queue.charged() < charged);
        queue.clear(&mut pool);
        assert!(queue.is_empty() && queue.charged() == 0 && pool.in_use() == 0);
    }

    #[test]
    fn chunks_are_stored_and_charged_while_the_pool_has_room_and_read_in_order() {
        let mut pool = Pool::new(3);
        let mut queue = ReceiveQueue::new();
        let (mut unread, mut charged) = (0, 0);
        for bytes in [&b"ab"[..], b"c", b"def"] {
            let len = bytes.len() as u32;
            assert!(queue.push(Frame::new(bytes), SeqNum(0), len, &mut pool));
            (unread, charged) = (unread + len, charged + len + 64);
            assert_eq!((queue.unread(), queue.charged()), (unread, charged));
        }
        assert!(!queue.push(Frame::new(b"g"), SeqNum(0), 1, &mut pool));
        assert_eq!((queue.unread(), queue.charged()), (6, charged));
        let read: Vec<_> = queue.chunks(&pool).map(|chunk| chunk.bytes().to_vec()).collect();
        assert_eq!(read, [&b"ab"[..], b"c", b"def"]);
        for bytes in read {
            assert_eq!(queue.take(&mut pool).unwrap().bytes(), bytes);
        }
        assert!(queue.is_empty() && queue.chunks(&pool).next().is_none());
    }
}
