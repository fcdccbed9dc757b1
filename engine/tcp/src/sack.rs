//! The scoreboard of selective acknowledgments (RFC 2018 §5, RFC 6675 §3–4).
//!
//! ```text
//!   una      [ sacked )      [ sacked )        [ sacked )     nxt
//!    │ hole: lost  │  hole: lost │  hole: in flight  │ in flight │
//!                                ▲ lost edge: enough was SACKed above
//! ```
//! Sorted, disjoint ranges, bounded in number; it lies in a pool and exists only while something is SACKed. A range that
//! finds no room is forgotten: that costs a retransmission, no more.

use arrayvec::ArrayVec;
use fourtuple_wire::{SackBlock, SeqNum};

/// Ranges of one connection that the peer holds out of order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scoreboard {
    ranges: ArrayVec<SackBlock, RANGES>,
}

/// A receiver reports four at a time; more holes than these in one window are met by a timeout.
const RANGES: usize = 32;

/// RFC 6675 §2: DupThresh.
pub(crate) const DUP_THRESH: u32 = 3;

impl Scoreboard {
    /// Adds a block that lies within `una..nxt`; how many octets of it are news.
    pub(crate) fn add(&mut self, block: SackBlock, una: SeqNum, nxt: SeqNum) -> u32 {
        // RFC 2018 §5 and 2883: what lies outside is a duplicate's report, or nonsense.
        let sane = block.left.after(una) && block.left.before(block.right) && block.right.at_or_before(nxt);
        if !sane {
            return 0;
        }
        let before = self.octets();
        let first = self
            .ranges
            .iter()
            .position(|range| range.right.at_or_after(block.left));
        let first = first.unwrap_or(self.ranges.len());
        let mut merged = block;
        while let Some(range) = self
            .ranges
            .get(first)
            .filter(|range| range.left.at_or_before(merged.right))
        {
            merged.left = merged.left.earlier(range.left);
            merged.right = merged.right.later(range.right);
            self.ranges.remove(first);
        }
        if self.ranges.is_full() {
            return 0;
        }
        self.ranges.insert(first, merged);
        self.octets().saturating_sub(before)
    }

    /// Forgets what the cumulative acknowledgment covers; true when nothing is left.
    pub(crate) fn advance(&mut self, una: SeqNum) -> bool {
        // A range that is covered in part was reneged upon, or never held: SND.UNA itself is always a hole.
        self.ranges.retain(|range| range.left.after(una));
        self.ranges.is_empty()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
    }

    fn octets(&self) -> u32 {
        self.ranges
            .iter()
            .map(|range| range.right.distance_from(range.left))
            .sum()
    }

    /// The ranges, in order.
    pub(crate) fn ranges(&self) -> &[SackBlock] {
        &self.ranges
    }
}

/// Everything not SACKed before this is lost (RFC 6675 §4, IsLost): three ranges, or more than two segments, lie above it.
pub(crate) fn lost_edge(ranges: &[SackBlock], una: SeqNum, mss: u32) -> SeqNum {
    let mut octets = 0u32;
    for (above, range) in ranges.iter().rev().enumerate() {
        octets = octets.saturating_add(range.right.distance_from(range.left));
        if above as u32 + 1 >= DUP_THRESH || octets > (DUP_THRESH - 1) * mss {
            return range.left;
        }
    }
    una
}

/// RFC 6675 §4, SetPipe: octets thought to be in the network, when all not SACKed before `lost` is lost, and what is
/// before `high_rxt` was retransmitted.
pub(crate) fn pipe(ranges: &[SackBlock], una: SeqNum, nxt: SeqNum, high_rxt: SeqNum, lost: SeqNum) -> u32 {
    let mut octets = 0;
    each_hole(ranges, una, nxt, |left, right| {
        // (a) not lost, hence still on its way.
        octets += overlap(left, right, lost, nxt);
        // (b) retransmitted.
        octets += overlap(left, right, una, high_rxt);
    });
    octets
}

/// The first hole, or what is left of one, at or behind `from` and before `edge`.
pub(crate) fn hole_from(
    ranges: &[SackBlock],
    una: SeqNum,
    nxt: SeqNum,
    from: SeqNum,
    edge: SeqNum,
) -> Option<(SeqNum, SeqNum)> {
    let mut found = None;
    each_hole(ranges, una, nxt, |left, right| {
        let (left, right) = (left.later(from), right.earlier(edge));
        if found.is_none() && left.before(right) {
            found = Some((left, right));
        }
    });
    found
}

fn each_hole(ranges: &[SackBlock], una: SeqNum, nxt: SeqNum, mut f: impl FnMut(SeqNum, SeqNum)) {
    let mut left = una;
    for range in ranges {
        if left.before(range.left) {
            f(left, range.left);
        }
        left = range.right;
    }
    if left.before(nxt) {
        f(left, nxt);
    }
}

/// Octets that `left..right` and `from..to` have in common.
fn overlap(left: SeqNum, right: SeqNum, from: SeqNum, to: SeqNum) -> u32 {
    let (left, right) = (left.later(from), right.earlier(to));
    if left.before(right) {
        right.distance_from(left)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;

    /// Ranges as offsets from a base on either side of 2³².
    fn board(base: u32, blocks: &[(u32, u32)]) -> Scoreboard {
        let mut board = Scoreboard::default();
        for (left, right) in blocks {
            let block = SackBlock {
                left: SeqNum(base) + *left,
                right: SeqNum(base) + *right,
            };
            board.add(block, SeqNum(base), SeqNum(base) + 10_000);
        }
        board
    }

    fn offsets(board: &Scoreboard, base: u32) -> Vec<(u32, u32)> {
        let from = |seq: SeqNum| seq.distance_from(SeqNum(base));
        board
            .ranges()
            .iter()
            .map(|range| (from(range.left), from(range.right)))
            .collect()
    }

    // proves: RFC 6675 §3
    #[test]
    fn blocks_are_sorted_merged_and_trimmed() {
        for base in [0, u32::MAX - 250] {
            let mut board = board(base, &[(500, 600), (100, 200), (200, 300), (250, 550)]);
            assert_eq!(offsets(&board, base), [(100, 600)]);
            assert!(!board.advance(SeqNum(base) + 99));
            assert_eq!(offsets(&board, base), [(100, 600)]);
            assert!(
                board.advance(SeqNum(base) + 150),
                "covered in part: not to be trusted"
            );
        }
    }

    #[test]
    fn only_news_counts_and_nonsense_does_not() {
        let mut board = Scoreboard::default();
        let mut add = |left, right| {
            board.add(
                SackBlock {
                    left: SeqNum(left),
                    right: SeqNum(right),
                },
                SeqNum(100),
                SeqNum(900),
            )
        };
        assert_eq!(add(200, 300), 100);
        assert_eq!(add(250, 320), 20);
        assert_eq!(add(200, 320), 0);
        assert_eq!(
            (
                add(50, 90),
                add(50, 150),
                add(800, 901),
                add(400, 400),
                add(500, 400)
            ),
            (0, 0, 0, 0, 0)
        );
    }

    #[test]
    fn a_full_board_forgets_and_does_not_panic() {
        let blocks: Vec<_> = (0..100u32).map(|at| (at * 20 + 10, at * 20 + 20)).collect();
        let board = board(0, &blocks);
        assert_eq!(board.ranges().len(), RANGES);
    }

    // proves: RFC 6675 §4 (IsLost)
    #[test]
    fn lost_is_what_has_three_ranges_or_more_than_two_segments_above() {
        for base in [0, u32::MAX - 250] {
            let una = SeqNum(base);
            let edge =
                |blocks: &[(u32, u32)]| lost_edge(board(base, blocks).ranges(), una, MSS).distance_from(una);
            assert_eq!(edge(&[]), 0);
            assert_eq!(edge(&[(100, 300)]), 0);
            assert_eq!(edge(&[(100, 301)]), 100);
            assert_eq!(edge(&[(10, 20), (30, 40)]), 0);
            assert_eq!(edge(&[(10, 20), (30, 40), (50, 60)]), 10);
            assert_eq!(edge(&[(10, 20), (30, 40), (50, 60), (70, 80)]), 30);
        }
    }

    // proves: RFC 6675 §4 (SetPipe, NextSeg)
    #[test]
    fn the_pipe_holds_what_is_not_lost_and_what_was_retransmitted() {
        for base in [0, u32::MAX - 250] {
            let una = SeqNum(base);
            let nxt = una + 1000;
            let board = board(base, &[(100, 200), (300, 600)]);
            let pipe_at = |high: u32, lost: u32| pipe(board.ranges(), una, nxt, una + high, una + lost);
            assert_eq!(pipe_at(0, 0), 600);
            assert_eq!(pipe_at(0, 300), 400);
            assert_eq!(pipe_at(100, 300), 500);
            assert_eq!(pipe_at(250, 300), 550);
            let hole = |from: u32, edge: u32| {
                hole_from(board.ranges(), una, nxt, una + from, una + edge)
                    .map(|(left, right)| (left.distance_from(una), right.distance_from(una)))
            };
            assert_eq!(hole(0, 300), Some((0, 100)));
            assert_eq!(hole(100, 300), Some((200, 300)));
            assert_eq!(hole(250, 260), Some((250, 260)));
            assert_eq!(hole(300, 600), None);
            assert_eq!(hole(0, 0), None);
        }
    }
}
