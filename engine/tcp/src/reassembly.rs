//! The reassembly queue: what arrived out of order, sorted and without overlaps (RFC 9293 §3.10.7.4, SHLD-31).
//!
//! ```text
//!   RCV.NXT        head            hint (latest arrival)      fin
//!      │   hole     [ chunk ][ chunk ]   hole   [ chunk ]      │
//! ```
//! The record lies in a pool and exists only while there is a hole; chunks are nodes of the receive pool, sorted by
//! sequence number. The blocks to be told by SACK (RFC 2018 §4) are kept beside, the latest first, and what else ACKs have to
//! say of what came ([`Reports`]): for that the record stays when the hole is gone. Space is charged by the caller. Bounded by [`Profile::reassembly_chunks`](crate::Profile) and by buffer space. No allocation.

use arrayvec::ArrayVec;
use fourtuple_wire::{MAX_SACK_BLOCKS, Received, SackBlock, SeqNum};

use crate::dsack::{Reports, Run};
use crate::pool::{NIL, Pool};
use crate::receive_queue::ReceiveNode;

/// What waits behind a hole.
#[derive(Debug)]
pub(crate) struct Reassembly {
    head: u32,
    /// The chunk that came last: the next one most likely follows it.
    hint: u32,
    chunks: u16,
    /// Where the peer's FIN stands, if it came before its time.
    pub(crate) fin: Option<SeqNum>,
    /// Blocks to be told, the latest first.
    pub(crate) blocks: ArrayVec<SackBlock, MAX_SACK_BLOCKS>,
    /// What ACKs have yet to say.
    pub(crate) reports: Reports,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It waits; the buffer space of it less that of chunks it replaced.
    Kept { charged: usize, discharged: usize },
    /// Nothing in it was new.
    Duplicate,
    /// The pool was empty.
    PoolEmpty,
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        Self {
            head: NIL,
            hint: NIL,
            chunks: 0,
            fin: None,
            blocks: ArrayVec::new(),
            reports: Reports::default(),
        }
    }

    /// Chunks that wait.
    pub(crate) fn chunks(&self) -> u16 {
        self.chunks
    }

    /// Nothing waits, not even a FIN, and nothing is to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL && self.fin.is_none() && self.reports.is_empty()
    }

    /// Keeps what is new of `buffer`, whose first octet is `seq`; `twice` is told what was here.
    pub(crate) fn insert<Rx: Received>(
        &mut self,
        mut seq: SeqNum,
        mut buffer: Rx,
        twice: &mut Run,
        pool: &mut Pool<ReceiveNode<Rx>>,
    ) -> Inserted {
        let arrived = SackBlock {
            left: seq,
            right: seq + buffer.bytes().len() as u32,
        };
        let previous = self.before(seq, pool);
        if let Some(node) = pool.piece(previous) {
            let covered = end_of(node).distance_from(seq) as i32;
            if covered > 0 {
                twice.extend(seq, end_of(node).earlier(arrived.right));
                buffer.trim_front(covered as usize);
                seq += covered as u32;
            }
        }
        let mut discharged = 0;
        loop {
            let next = self.after(previous, pool);
            let Some(node) = pool.piece(next) else { break };
            let end = seq + buffer.bytes().len() as u32;
            if !node.seq.before(end) {
                break;
            }
            twice.extend(node.seq, end_of(node).earlier(end));
            if end_of(node).after(end) {
                buffer.truncate(node.seq.distance_from(seq) as usize);
                break;
            }
            discharged += self
                .unlink(previous, next, pool)
                .map_or(0, |old| old.buffer.space());
        }
        let len = buffer.bytes().len() as u32;
        if len == 0 {
            // It is told of first all the same: its sender may not know that it is here.
            if arrived.left != arrived.right {
                self.report(arrived);
            }
            return Inserted::Duplicate;
        }
        let charged = buffer.space();
        let next = self.after(previous, pool);
        let Ok(node) = pool.insert(ReceiveNode { buffer, seq, next }) else {
            return Inserted::PoolEmpty;
        };
        match pool.piece_mut(previous) {
            Some(previous) => previous.next = node,
            None => self.head = node,
        }
        self.hint = node;
        self.chunks += 1;
        self.report(SackBlock {
            left: seq,
            right: seq + len,
        });
        Inserted::Kept { charged, discharged }
    }

    /// Takes out the first chunk if it reaches `nxt`: its sequence number and buffer.
    pub(crate) fn take_ready<Rx: Received>(
        &mut self,
        nxt: SeqNum,
        pool: &mut Pool<ReceiveNode<Rx>>,
    ) -> Option<(SeqNum, Rx)> {
        if pool.piece(self.head)?.seq.after(nxt) {
            return None;
        }
        let node = self.unlink(NIL, self.head, pool)?;
        Some((node.seq, node.buffer))
    }

    /// The block that holds a duplicate becomes the first (RFC 2883 §4).
    pub(crate) fn bring_forward(&mut self, duplicate: SackBlock) {
        let holds = |block: &SackBlock| {
            block.left.at_or_before(duplicate.left) && duplicate.right.at_or_before(block.right)
        };
        if let Some(at) = self.blocks.iter().position(holds) {
            self.blocks[..=at].rotate_right(1);
        }
    }

    /// Forgets the blocks that lie before `nxt`.
    pub(crate) fn advance(&mut self, nxt: SeqNum) {
        self.blocks.retain(|block| block.right.after(nxt));
        for block in &mut self.blocks {
            block.left = block.left.later(nxt);
        }
    }

    /// Gives up every chunk (RFC 2018 §8 permits it): the buffer space and the number of them.
    pub(crate) fn renege<Rx: Received>(&mut self, pool: &mut Pool<ReceiveNode<Rx>>) -> (usize, u16) {
        let (mut space, count) = (0, self.chunks);
        while let Some(node) = self.unlink(NIL, self.head, pool) {
            space += node.buffer.space();
        }
        self.blocks.clear();
        (space, count)
    }

    /// Buffer space of what waits.
    pub(crate) fn space<Rx: Received>(&self, pool: &Pool<ReceiveNode<Rx>>) -> usize {
        let (mut space, mut node) = (0, self.head);
        while let Some(piece) = pool.piece(node) {
            space += piece.buffer.space();
            node = piece.next;
        }
        space
    }

    /// Buffer space of what waits behind `nxt`; `None` when it is not in order, overlaps, or is counted wrongly. For audits.
    pub(crate) fn audit<Rx: Received>(&self, nxt: SeqNum, pool: &Pool<ReceiveNode<Rx>>) -> Option<u32> {
        let (mut space, mut last, mut node) = (0, nxt, self.head);
        for at in 0..=self.chunks {
            let Some(piece) = pool.piece(node) else {
                return (node == NIL && at == self.chunks).then_some(space);
            };
            // The first is behind a hole, others may touch.
            let follows = if at == 0 {
                piece.seq.after(last)
            } else {
                piece.seq.at_or_after(last)
            };
            if !follows || piece.buffer.bytes().is_empty() {
                return None;
            }
            space += piece.buffer.space() as u32;
            (last, node) = (end_of(piece), piece.next);
        }
        None
    }

    /// The last chunk that begins at or before `seq`; NIL when all begin behind it.
    fn before<Rx: Received>(&self, seq: SeqNum, pool: &Pool<ReceiveNode<Rx>>) -> u32 {
        let from_hint = pool
            .piece(self.hint)
            .is_some_and(|node| node.seq.at_or_before(seq));
        let (mut last, mut next) = if from_hint {
            (NIL, self.hint)
        } else {
            (NIL, self.head)
        };
        while let Some(node) = pool.piece(next) {
            if node.seq.after(seq) {
                break;
            }
            last = next;
            next = node.next;
        }
        last
    }

    fn after<Rx: Received>(&self, previous: u32, pool: &Pool<ReceiveNode<Rx>>) -> u32 {
        pool.piece(previous).map_or(self.head, |node| node.next)
    }

    fn unlink<Rx: Received>(
        &mut self,
        previous: u32,
        node: u32,
        pool: &mut Pool<ReceiveNode<Rx>>,
    ) -> Option<ReceiveNode<Rx>> {
        let taken = pool.remove(node)?;
        match pool.piece_mut(previous) {
            Some(previous) => previous.next = taken.next,
            None => self.head = taken.next,
        }
        if self.hint == node {
            self.hint = NIL;
        }
        self.chunks -= 1;
        Some(taken)
    }

    /// RFC 2018 §4: the first block holds what came last; the others are repeated, the latest first.
    fn report(&mut self, mut latest: SackBlock) {
        self.blocks.retain(|block| {
            let touches = block.left.at_or_before(latest.right) && latest.left.at_or_before(block.right);
            if touches {
                latest.left = latest.left.earlier(block.left);
                latest.right = latest.right.later(block.right);
            }
            !touches
        });
        self.blocks.truncate(MAX_SACK_BLOCKS - 1);
        self.blocks.insert(0, latest);
    }
}

fn end_of<Rx: Received>(node: &ReceiveNode<Rx>) -> SeqNum {
    node.seq + node.buffer.bytes().len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Frame;

    type FramePool = Pool<ReceiveNode<Frame>>;

    fn insert(queue: &mut Reassembly, at: u32, bytes: &[u8], pool: &mut FramePool) -> Inserted {
        queue.insert(SeqNum(at), Frame::new(bytes), &mut Run::default(), pool)
    }

    fn drain(queue: &mut Reassembly, mut nxt: SeqNum, pool: &mut FramePool) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((seq, buffer)) = queue.take_ready(nxt, pool) {
            assert_eq!(seq, nxt, "no overlaps are kept");
            out.extend_from_slice(buffer.bytes());
            nxt += buffer.bytes().len() as u32;
        }
        out
    }

    // proves: RFC 9293 SHLD-31
    #[test]
    fn chunks_in_any_order_with_any_overlap_read_as_the_stream() {
        let stream: Vec<u8> = (0..40).collect();
        for base in [0, u32::MAX - 20] {
            let pieces = [
                (30, 40),
                (10, 14),
                (12, 20),
                (8, 12),
                (25, 31),
                (0, 9),
                (19, 26),
                (3, 7),
            ];
            for rotation in 0..pieces.len() {
                let mut pool = Pool::new(16);
                let mut queue = Reassembly::new();
                for step in 0..pieces.len() {
                    let (from, to) = pieces[(step * 3 + rotation) % pieces.len()];
                    let at = base.wrapping_add(from as u32);
                    insert(&mut queue, at, &stream[from..to], &mut pool);
                }
                assert_eq!(drain(&mut queue, SeqNum(base), &mut pool), stream);
                assert_eq!((pool.in_use(), queue.chunks()), (0, 0));
            }
        }
    }

    #[test]
    fn what_is_covered_is_a_duplicate_and_what_covers_replaces() {
        let mut pool = Pool::new(16);
        let mut queue = Reassembly::new();
        insert(&mut queue, 10, b"abcd", &mut pool);
        assert_eq!(insert(&mut queue, 11, b"bc", &mut pool), Inserted::Duplicate);
        assert_eq!(
            insert(&mut queue, 9, b"_abcd_", &mut pool),
            Inserted::Kept {
                charged: Frame::new(b"_abcd_").space(),
                discharged: Frame::new(b"abcd").space()
            }
        );
        assert_eq!(queue.chunks(), 1);
    }

    #[test]
    fn an_empty_pool_keeps_what_was_there() {
        let mut pool = Pool::new(1);
        let mut queue = Reassembly::new();
        insert(&mut queue, 10, b"ab", &mut pool);
        assert_eq!(insert(&mut queue, 20, b"cd", &mut pool), Inserted::PoolEmpty);
        assert_eq!(queue.chunks(), 1);
        assert_eq!(queue.renege(&mut pool), (Frame::new(b"ab").space(), 1));
        assert_eq!(pool.in_use(), 0);
    }

    // proves: RFC 2018 §4 (the first block holds the latest arrival)
    #[test]
    fn blocks_merge_and_the_latest_comes_first() {
        let mut pool = Pool::new(16);
        let mut queue = Reassembly::new();
        let blocks = |queue: &Reassembly| -> Vec<_> {
            queue
                .blocks
                .iter()
                .map(|block| (block.left.0, block.right.0))
                .collect()
        };
        insert(&mut queue, 10, b"ab", &mut pool);
        insert(&mut queue, 20, b"cd", &mut pool);
        assert_eq!(blocks(&queue), [(20, 22), (10, 12)]);
        insert(&mut queue, 12, b"ef", &mut pool);
        assert_eq!(blocks(&queue), [(10, 14), (20, 22)]);
        insert(&mut queue, 20, b"cd", &mut pool);
        assert_eq!(blocks(&queue), [(20, 22), (10, 14)], "a duplicate, too");
        insert(&mut queue, 11, b"be", &mut pool);
        assert_eq!(blocks(&queue), [(10, 14), (20, 22)], "and within a block");
        queue.advance(SeqNum(14));
        assert_eq!(blocks(&queue), [(20, 22)]);
    }

    // proves: RFC 2883 §4 (the second block is the one that holds the duplicate)
    #[test]
    fn the_block_that_holds_a_duplicate_comes_forward() {
        let block = |left, right| SackBlock {
            left: SeqNum(left),
            right: SeqNum(right),
        };
        let blocks = [block(30, 40), block(20, 28), block(10, 14)];
        for (duplicate, first) in [
            (block(10, 14), Some(2)),
            (block(11, 13), Some(2)),
            (block(20, 24), Some(1)),
            (block(31, 40), Some(0)),
            (block(9, 12), None),
            (block(12, 15), None),
            (block(5, 6), None),
            (block(50, 60), None),
        ] {
            let mut queue = Reassembly::new();
            queue.blocks.extend(blocks);
            queue.bring_forward(duplicate);
            let mut expected = blocks;
            if let Some(first) = first {
                expected[..=first].rotate_right(1);
            }
            assert_eq!(queue.blocks[..], expected, "{duplicate:?}");
        }
    }

    #[test]
    fn what_waits_takes_the_space_of_all_of_its_chunks() {
        let mut pool = Pool::new(4);
        let mut queue = Reassembly::new();
        assert_eq!(queue.space(&pool), 0);
        insert(&mut queue, 10, b"ab", &mut pool);
        assert_eq!(queue.space(&pool), 66);
        insert(&mut queue, 20, b"cdef", &mut pool);
        assert_eq!(queue.space(&pool), 66 + 68);
    }

    #[test]
    fn the_place_of_the_latest_chunk_is_forgotten_with_it() {
        let mut pool = Pool::new(4);
        let (mut queue, mut other) = (Reassembly::new(), Reassembly::new());
        insert(&mut queue, 10, b"ab", &mut pool);
        assert!(queue.take_ready(SeqNum(10), &mut pool).is_some());
        // Another connection's chunk lies there now.
        insert(&mut other, 5, b"xy", &mut pool);
        insert(&mut queue, 20, b"cd", &mut pool);
        assert_eq!(drain(&mut queue, SeqNum(20), &mut pool), b"cd");
        assert_eq!(drain(&mut other, SeqNum(5), &mut pool), b"xy");
    }
}
