//! A sequence lock over plain words: one writer that never waits, readers that try again.
//!
//! ```text
//!   writer   sequence := odd ── fence(Release) ── words := … (Relaxed) ── sequence := even (Release)
//!   reader   sequence (Acquire, even?) ── words (Relaxed) ── fence(Acquire) ── sequence the same?
//! ```
//!
//! Whoever reads one word of a block that is being written sees, behind its fence, at least the odd sequence that was stored
//! before the writer's fence, and tries again. The loom test goes through all interleavings. Nothing allocates after the start.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam::utils::CachePadded;

/// The lock with its words.
#[derive(Debug)]
pub(super) struct SequenceLock {
    /// Odd while a block is being written. 2⁶⁴ blocks are never written.
    sequence: CachePadded<AtomicU64>,
    words: Box<[AtomicU64]>,
}

impl SequenceLock {
    /// `len` words of zero.
    pub(super) fn new(len: usize) -> Self {
        Self {
            sequence: CachePadded::new(AtomicU64::new(0)),
            words: (0..len).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Writes a block; `fill` puts its words in order, and what it leaves out keeps its value.
    ///
    /// Only one thread writes: the caller holds the only [`Publisher`](super::Publisher).
    pub(super) fn write(&self, fill: impl FnOnce(&mut Words<'_>)) {
        // Relaxed: nobody else writes it.
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        // Pairs with the Acquire fence in `read`: a reader that saw a word stored below sees the odd sequence.
        fence(Ordering::Release);
        fill(&mut Words(self.words.iter()));
        // Pairs with the Acquire load in `read`: a reader that sees the even sequence sees all words.
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// Copies a block that was written as a whole. Tries again while one is being written, which takes about a microsecond
    /// once in a millisecond.
    pub(super) fn read(&self, into: &mut [u64]) {
        while !self.try_read(into) {
            relax();
        }
    }

    fn try_read(&self, into: &mut [u64]) -> bool {
        // Pairs with the Release store at the end of `write`.
        let before = self.sequence.load(Ordering::Acquire);
        if before % 2 == 1 {
            return false;
        }
        for (value, word) in into.iter_mut().zip(&self.words) {
            *value = word.load(Ordering::Relaxed);
        }
        // Pairs with the Release fence in `write`.
        fence(Ordering::Acquire);
        self.sequence.load(Ordering::Relaxed) == before
    }

    /// How many words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

/// The words of a block, to be put in order.
pub(super) struct Words<'a>(std::slice::Iter<'a, AtomicU64>);

impl Words<'_> {
    /// The next one. Behind the last one nothing happens.
    #[inline]
    pub(super) fn put(&mut self, value: u64) {
        if let Some(word) = self.0.next() {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The next ones.
    pub(super) fn put_all(&mut self, values: &[u64]) {
        // In this order: a word is taken only for a value that there is.
        for (value, word) in values.iter().zip(self.0.by_ref()) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// How many are still to be put.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

/// Lets the writer go on: it may share this core.
fn relax() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_block_comes_back_as_it_was_put() {
        let lock = SequenceLock::new(3);
        lock.write(|words| (1..=5).for_each(|value| words.put(value)));
        let mut block = [0; 3];
        lock.read(&mut block);
        assert_eq!(block, [1, 2, 3]);
    }

    #[test]
    fn readers_beside_a_writer_see_whole_blocks_that_never_go_back() {
        let lock = Arc::new(SequenceLock::new(64));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let lock = Arc::clone(&lock);
                std::thread::spawn(move || {
                    let (mut block, mut last) = ([0; 64], 0);
                    while last < 20_000 {
                        lock.read(&mut block);
                        assert!(block.iter().all(|word| *word == block[0]), "{block:?}");
                        assert!(block[0] >= last);
                        last = block[0];
                    }
                })
            })
            .collect();
        for value in 1..=20_000 {
            lock.write(|words| (0..64).for_each(|_| words.put(value)));
        }
        for reader in readers {
            reader.join().expect("the reader saw whole blocks");
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;

    use super::*;

    fn lock_with_writer(blocks: u64) -> (Arc<SequenceLock>, loom::thread::JoinHandle<()>) {
        let lock = Arc::new(SequenceLock::new(2));
        let writers = Arc::clone(&lock);
        let writer = loom::thread::spawn(move || {
            for value in 1..=blocks {
                writers.write(|words| (0..2).for_each(|_| words.put(value)));
            }
        });
        (lock, writer)
    }

    #[test]
    fn no_interleaving_shows_half_a_block() {
        loom::model(|| {
            let (lock, writer) = lock_with_writer(2);
            let mut block = [0; 2];
            if lock.try_read(&mut block) {
                assert_eq!(block[0], block[1]);
            }
            writer.join().unwrap();
            lock.read(&mut block);
            assert_eq!(block, [2, 2]);
        });
    }

    #[test]
    fn a_reader_that_sees_the_end_of_a_block_sees_its_words() {
        loom::model(|| {
            let (lock, writer) = lock_with_writer(1);
            let mut block = [0; 2];
            let before = lock.sequence.load(Ordering::Relaxed);
            if lock.try_read(&mut block) {
                assert!(
                    block == [1, 1] || before < 2 && block == [0, 0],
                    "{block:?} after {before}"
                );
            }
            writer.join().unwrap();
        });
    }
}
