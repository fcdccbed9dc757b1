//! The scoreboard: what is outstanding, when it was sent, and what became of it (RFC 2018 §5, RFC 6675 §3, RFC 8985 §5.1).
//!
//! ```text
//!   una        end           end          end          end         end = nxt
//!    │ sent again │ SACKed     │ lost       │ SACKed     │ sent       │
//! ```
//! Ranges cover SND.UNA to SND.NXT without a gap, sorted, bounded in number (`ranges`). What was sent at about the same time is one
//! range: it keeps its first and its last moment, so that no segment is taken for sent earlier, or later, than it was. With
//! no room left neighbours of one kind are merged; a SACK that finds no room even then is forgotten, which costs a
//! retransmission and no more. Moments are microseconds on a circle of 32 bits.

mod ranges;

use fourtuple_wire::{SackBlock, SeqNum};

use ranges::Ranges;
pub(crate) use ranges::{FEW, Spares};

/// The ranges of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Scoreboard {
    una: SeqNum,
    ranges: Ranges,
}

/// Octets up to `end`, from where the range before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    end: SeqNum,
    /// When the first of them was sent last.
    first: u32,
    /// When the last of them was.
    last: u32,
    fate: Fate,
    /// They were sent more than once.
    again: bool,
    /// The octet before `end` was sent at `last`.
    exact: bool,
}

/// What is thought of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// On their way.
    Sent,
    /// The peer holds them, out of order.
    Sacked,
    /// Lost, and to be sent again.
    Lost,
}

/// Octets that an ACK, cumulative or selective, reported for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) end: SeqNum,
    pub(crate) octets: u32,
    /// Not sent before this.
    pub(crate) first: u32,
    /// Not sent after this.
    pub(crate) last: u32,
    /// The octet before `end` was sent at `last`.
    pub(crate) exact: bool,
    /// They were sent more than once.
    pub(crate) again: bool,
}

/// Octets that `judge` is asked about: on their way, sent between `first` and `last`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) end: SeqNum,
    pub(crate) last: u32,
}

/// What became of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Octets newly taken for lost.
    pub(crate) octets: u32,
    /// The earliest moment at which a retransmission among them was sent.
    pub(crate) retransmission: Option<u32>,
}

/// What SACKs and retransmissions leave free, so that new text always finds its range.
const RESERVE: usize = 4;

impl Scoreboard {
    /// What lies between, sent not before `first` and not after `last`; `again`: perhaps more than once.
    pub(crate) fn new(una: SeqNum, nxt: SeqNum, first: u32, last: u32, again: bool) -> Self {
        let mut ranges = Ranges::few();
        if una != nxt {
            ranges.push(Range {
                end: nxt,
                first,
                last,
                fate: Fate::Sent,
                again,
                exact: false,
            });
        }
        Self { una, ranges }
    }

    /// Before something is added: more memory, where there is some, rather than that something be forgotten.
    #[inline]
    pub(crate) fn make_sure(&mut self, spares: &mut Spares) {
        if self.ranges.is_short()
            && let Some(spare) = spares.take()
        {
            self.ranges.lengthen(spare);
        }
    }

    /// Gives that memory back when what is left fits in its own, with room to spare.
    #[inline]
    pub(crate) fn shorten(&mut self, spares: &mut Spares) {
        if let Some(spare) = self.ranges.shorten() {
            spares.give_back(spare);
        }
    }

    /// It is needed no more.
    pub(crate) fn give_back(self, spares: &mut Spares) {
        if let Some(spare) = self.ranges.into_spare() {
            spares.give_back(spare);
        }
    }

    /// New text up to `end` goes out. What follows within `quantum` microseconds joins the range before it.
    #[inline]
    pub(crate) fn sent(&mut self, end: SeqNum, now: u32, quantum: u32) {
        if let Some(range) = self.ranges.last_mut()
            && range.fate == Fate::Sent
            && !range.again
            && now.wrapping_sub(range.first) <= quantum
        {
            (range.end, range.last) = (end, now);
            return;
        }
        self.append(end, now);
    }

    fn append(&mut self, end: SeqNum, now: u32) {
        let range = Range {
            end,
            first: now,
            last: now,
            fate: Fate::Sent,
            again: false,
            exact: true,
        };
        self.make_room(1);
        if !self.ranges.push(range)
            && let Some(last) = self.ranges.last_mut()
        {
            // What was SACKed there is forgotten; none of it counts as sent once.
            let again = last.again || last.fate != Fate::Sent;
            *last = Range {
                first: last.first,
                again,
                ..range
            };
        }
    }

    /// `left..right` goes out once more.
    pub(crate) fn sent_again(&mut self, left: SeqNum, right: SeqNum, now: u32, quantum: u32) {
        self.cut(left, 2);
        self.cut(right, 1);
        let mut from = self.una;
        for range in self.ranges.iter_mut() {
            let covers = from.before(right) && left.before(range.end) && range.fate != Fate::Sacked;
            if covers {
                // Without room for a cut the whole range counts: it waits for a further loss, or the timer.
                (range.fate, range.again) = (Fate::Sent, true);
                (range.first, range.last, range.exact) = (now, now, true);
            }
            from = range.end;
        }
        self.coalesce(quantum);
    }

    /// A block of the peer's that lies within what is outstanding: tells of all in it that is news, and how many octets.
    pub(crate) fn sack(&mut self, block: SackBlock, mut tell: impl FnMut(&Delivered)) -> u32 {
        // RFC 2018 §5 and 2883: what lies outside is a duplicate's report, or nonsense.
        let sane = block.left.after(self.una)
            && block.left.before(block.right)
            && block.right.at_or_before(self.nxt());
        if !sane {
            return 0;
        }
        self.cut(block.left, RESERVE + 2);
        self.cut(block.right, RESERVE + 1);
        let (mut from, mut news) = (self.una, 0);
        for range in self.ranges.iter_mut() {
            let covered = block.left.at_or_before(from) && range.end.at_or_before(block.right);
            if covered && range.fate != Fate::Sacked {
                let delivered = range.delivered(from, range.end);
                news += delivered.octets;
                tell(&delivered);
                range.fate = Fate::Sacked;
            }
            from = range.end;
        }
        if news > 0 {
            self.coalesce(0);
        }
        news
    }

    /// The cumulative acknowledgment: tells of what was not known to be delivered, and forgets all before `una`.
    #[inline]
    pub(crate) fn acknowledge(&mut self, una: SeqNum, mut tell: impl FnMut(&Delivered)) {
        let (mut from, mut whole) = (self.una, 0);
        for range in self.ranges.iter() {
            if !from.before(una) {
                break;
            }
            let end = range.end.earlier(una);
            if range.fate != Fate::Sacked {
                tell(&range.delivered(from, end));
            }
            whole += usize::from(range.end.at_or_before(una));
            from = range.end;
        }
        self.ranges.forget_first(whole);
        self.una = una;
    }

    /// Asks `lost` of everything on its way, and marks what is.
    pub(crate) fn judge(&mut self, mut lost: impl FnMut(Waiting) -> bool) -> Lost {
        let (mut from, mut found) = (self.una, Lost::default());
        for range in self.ranges.iter_mut() {
            let waiting = Waiting {
                end: range.end,
                last: range.last,
            };
            if range.fate == Fate::Sent && lost(waiting) {
                range.fate = Fate::Lost;
                found.octets += range.end.distance_from(from);
                if range.again {
                    let earliest = found
                        .retransmission
                        .map_or(range.first, |other| earlier(other, range.first));
                    found.retransmission = Some(earliest);
                }
            }
            from = range.end;
        }
        if found.octets > 0 {
            self.coalesce(0);
        }
        found
    }

    /// The first `octets` outstanding, unless SACKed, are lost.
    pub(crate) fn lose_first(&mut self, octets: u32) {
        let right = self.una + octets;
        self.cut(right, 1);
        if let Some(range) = self.ranges.first_mut().filter(|range| range.fate == Fate::Sent) {
            range.fate = Fate::Lost;
        }
    }

    /// All of it is lost, SACKed or not (RFC 2018 §8).
    pub(crate) fn lose_all(&mut self) {
        for range in self.ranges.iter_mut() {
            range.fate = Fate::Lost;
        }
        self.coalesce(0);
    }

    /// Nothing is lost after all.
    pub(crate) fn find_all(&mut self) {
        for range in self.ranges.iter_mut() {
            if range.fate == Fate::Lost {
                range.fate = Fate::Sent;
            }
        }
    }

    /// RFC 6675 §4, SetPipe: octets thought to be in the network.
    pub(crate) fn pipe(&self) -> u32 {
        self.octets_of(Fate::Sent)
    }

    pub(crate) fn octets_of(&self, fate: Fate) -> u32 {
        let mut from = self.una;
        let mut octets = 0;
        for range in self.ranges.iter() {
            if range.fate == fate {
                octets += range.end.distance_from(from);
            }
            from = range.end;
        }
        octets
    }

    /// RFC 6675 §4, NextSeg (1): the first part that is lost.
    pub(crate) fn next_lost(&self) -> Option<(SeqNum, SeqNum)> {
        let (mut from, mut found) = (self.una, None);
        for range in self.ranges.iter() {
            found = match (found, range.fate) {
                (None, Fate::Lost) => Some((from, range.end)),
                (Some((left, _)), Fate::Lost) => Some((left, range.end)),
                (None, Fate::Sent | Fate::Sacked) => None,
                (Some(_), Fate::Sent | Fate::Sacked) => break,
            };
            from = range.end;
        }
        found
    }

    /// Where the first SACKed octet stands.
    pub(crate) fn first_sacked(&self) -> Option<SeqNum> {
        let mut from = self.una;
        for range in self.ranges.iter() {
            if range.fate == Fate::Sacked {
                return Some(from);
            }
            from = range.end;
        }
        None
    }

    fn nxt(&self) -> SeqNum {
        self.ranges.last().map_or(self.una, |range| range.end)
    }

    /// A range ends at `at`, if `spare` ranges can be had.
    fn cut(&mut self, at: SeqNum, spare: usize) {
        if !self.una.before(at) || !at.before(self.nxt()) {
            return;
        }
        let Some(index) = self.ranges.iter().position(|range| at.before(range.end)) else {
            return;
        };
        if index > 0 && self.ranges[index - 1].end == at {
            return;
        }
        self.make_room(spare);
        if self.ranges.remaining_capacity() < spare {
            return;
        }
        if let Some(index) = self.ranges.iter().position(|range| at.before(range.end)) {
            let whole = self.ranges[index];
            let front = Range {
                end: at,
                exact: whole.first == whole.last,
                ..whole
            };
            self.ranges.insert(index, front);
        }
    }

    /// Neighbours of one kind become one, those nearest in time first, until `spare` ranges are free or none are left.
    fn make_room(&mut self, spare: usize) {
        while self.ranges.remaining_capacity() < spare {
            let nearest = (1..self.ranges.len())
                .filter(|&index| self.ranges[index - 1].is_kin(&self.ranges[index]))
                .min_by_key(|&index| self.ranges[index - 1].span_with(&self.ranges[index]));
            let Some(index) = nearest else { return };
            self.merge(index);
        }
    }

    /// Neighbours become one whose times are near, or matter no more.
    fn coalesce(&mut self, quantum: u32) {
        let mut index = 1;
        while index < self.ranges.len() {
            let (left, right) = (&self.ranges[index - 1], &self.ranges[index]);
            let timeless = left.fate != Fate::Sent;
            if left.is_kin(right) && (timeless || left.span_with(right) <= quantum) {
                self.merge(index);
            } else {
                index += 1;
            }
        }
    }

    /// The range at `index` takes in the one before it.
    fn merge(&mut self, index: usize) {
        let left = self.ranges.remove(index - 1);
        let merged = &mut self.ranges[index - 1];
        merged.exact &= !is_earlier(merged.last, left.last);
        merged.first = earlier(left.first, merged.first);
        merged.last = later(left.last, merged.last);
        merged.again |= left.again;
    }
}

impl Range {
    /// The same is thought of both.
    fn is_kin(&self, other: &Self) -> bool {
        self.fate == other.fate && (self.again == other.again || self.fate == Fate::Sacked)
    }

    /// Time between the first and the last sending of both.
    fn span_with(&self, other: &Self) -> u32 {
        later(self.last, other.last).wrapping_sub(earlier(self.first, other.first))
    }

    fn delivered(&self, from: SeqNum, end: SeqNum) -> Delivered {
        Delivered {
            end,
            octets: end.distance_from(from),
            first: self.first,
            last: self.last,
            exact: (end == self.end && self.exact) || self.first == self.last,
            again: self.again,
        }
    }
}

/// `left` lies before `right` on the circle of microseconds.
#[inline]
pub(crate) const fn is_earlier(left: u32, right: u32) -> bool {
    (left.wrapping_sub(right) as i32) < 0
}

const fn earlier(left: u32, right: u32) -> u32 {
    if is_earlier(left, right) { left } else { right }
}

const fn later(left: u32, right: u32) -> u32 {
    if is_earlier(left, right) { right } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand octets outstanding, sent at moment 50, as offsets from a base on either side of 2³².
    fn board(base: u32) -> Scoreboard {
        let mut board = Scoreboard::new(SeqNum(base), SeqNum(base), 0, 0, false);
        board.sent(SeqNum(base) + 1000, 50, 10);
        board
    }

    fn sack(board: &mut Scoreboard, base: u32, left: u32, right: u32) -> u32 {
        let block = SackBlock {
            left: SeqNum(base) + left,
            right: SeqNum(base) + right,
        };
        board.sack(block, |_| ())
    }

    /// Ends and fates.
    fn ranges(board: &Scoreboard, base: u32) -> Vec<(u32, Fate)> {
        board
            .ranges
            .iter()
            .map(|range| (range.end.distance_from(SeqNum(base)), range.fate))
            .collect()
    }

    const BASES: [u32; 2] = [0, u32::MAX - 250];

    // proves: RFC 6675 §3
    #[test]
    fn blocks_are_sorted_and_merged() {
        use Fate::{Sacked, Sent};
        for base in BASES {
            let mut board = board(base);
            assert_eq!(sack(&mut board, base, 500, 600), 100);
            assert_eq!(sack(&mut board, base, 100, 200), 100);
            assert_eq!(sack(&mut board, base, 200, 300), 100);
            assert_eq!(
                ranges(&board, base),
                [
                    (100, Sent),
                    (300, Sacked),
                    (500, Sent),
                    (600, Sacked),
                    (1000, Sent)
                ]
            );
            assert_eq!(sack(&mut board, base, 250, 550), 200, "only news counts");
            assert_eq!(ranges(&board, base), [(100, Sent), (600, Sacked), (1000, Sent)]);
            assert_eq!((board.pipe(), board.octets_of(Sacked)), (500, 500));
            assert_eq!(board.first_sacked(), Some(SeqNum(base) + 100));
        }
    }

    #[test]
    fn nonsense_changes_nothing() {
        for base in BASES {
            let mut board = board(base);
            for (left, right) in [
                (0, 100),
                (900, 1001),
                (400, 400),
                (500, 400),
                (1000, 1100),
                (u32::MAX, 90),
            ] {
                assert_eq!(sack(&mut board, base, left, right), 0);
            }
            assert_eq!(ranges(&board, base), [(1000, Fate::Sent)]);
        }
    }

    // proves: RFC 8985 §6.1
    #[test]
    fn what_is_sent_at_about_one_time_is_one_range_and_what_is_not_is_two() {
        let mut board = board(0);
        board.sent(SeqNum(1100), 60, 10);
        board.sent(SeqNum(1200), 61, 10);
        assert_eq!(ranges(&board, 0), [(1100, Fate::Sent), (1200, Fate::Sent)]);
        let mut told = Vec::new();
        board.acknowledge(SeqNum(1150), |delivered| told.push(*delivered));
        assert_eq!(
            told.iter()
                .map(|part| (part.octets, part.first, part.last, part.exact))
                .collect::<Vec<_>>(),
            [(1100, 50, 60, true), (50, 61, 61, true)]
        );
        assert_eq!(board.pipe(), 50);
    }

    #[test]
    fn only_the_end_of_a_range_has_an_exact_time() {
        let mut board = board(0);
        board.sent(SeqNum(1100), 60, 10);
        let mut told = Vec::new();
        board.acknowledge(SeqNum(500), |delivered| told.push(*delivered));
        assert!(!told[0].exact);
    }

    // proves: RFC 6675 §4 (SetPipe, NextSeg)
    #[test]
    fn the_pipe_holds_what_is_neither_lost_nor_sacked_and_what_was_sent_again() {
        for base in BASES {
            let mut board = board(base);
            sack(&mut board, base, 100, 200);
            sack(&mut board, base, 300, 600);
            let edge = SeqNum(base) + 300;
            let lost = board.judge(|waiting| waiting.end.at_or_before(edge));
            assert_eq!((lost.octets, lost.retransmission), (200, None));
            assert_eq!(board.pipe(), 400);
            assert_eq!(board.next_lost(), Some((SeqNum(base), SeqNum(base) + 100)));
            board.sent_again(SeqNum(base), SeqNum(base) + 60, 90, 10);
            assert_eq!(board.pipe(), 460);
            assert_eq!(board.next_lost(), Some((SeqNum(base) + 60, SeqNum(base) + 100)));
            let again = board.judge(|waiting| waiting.last == 90);
            assert_eq!((again.octets, again.retransmission), (60, Some(90)));
            assert_eq!(board.next_lost(), Some((SeqNum(base), SeqNum(base) + 100)));
            board.find_all();
            assert_eq!((board.next_lost(), board.pipe()), (None, 600));
        }
    }

    // proves: RFC 2018 §8
    #[test]
    fn a_timeout_may_lose_all_or_the_first() {
        let mut board = board(0);
        sack(&mut board, 0, 100, 200);
        board.lose_first(50);
        assert_eq!(board.next_lost(), Some((SeqNum(0), SeqNum(50))));
        board.lose_all();
        assert_eq!(
            (board.next_lost(), board.pipe()),
            (Some((SeqNum(0), SeqNum(1000))), 0)
        );
    }

    #[test]
    fn a_full_board_forgets_sacks_and_never_text() {
        for base in BASES {
            let mut board = Scoreboard::new(SeqNum(base), SeqNum(base), 0, 0, false);
            for at in 0..200u32 {
                board.sent(SeqNum(base) + (at + 1) * 20, at * 1000, 10);
            }
            assert!(board.ranges.len() <= FEW);
            let mut sacked = 0;
            for at in 0..199u32 {
                sacked += sack(&mut board, base, at * 20 + 10, at * 20 + 20);
            }
            assert!(sacked > 0 && board.ranges.len() <= FEW);
            assert_eq!(board.pipe() + board.octets_of(Fate::Sacked), 4000);
            for at in 0..40u32 {
                board.sent(SeqNum(base) + 4000 + (at + 1) * 20, 300_000 + at * 1000, 10);
                board.sent_again(SeqNum(base) + at * 40, SeqNum(base) + at * 40 + 5, 400_000, 10);
                assert_eq!(board.nxt(), SeqNum(base) + 4000 + (at + 1) * 20);
            }
            board.lose_all();
            assert_eq!(board.next_lost(), Some((SeqNum(base), SeqNum(base) + 4800)));
        }
    }

    fn range(end: u32, at: u32, fate: Fate, again: bool) -> Range {
        Range {
            end: SeqNum(end),
            first: at,
            last: at,
            fate,
            again,
            exact: true,
        }
    }

    /// A hundred octets each, a millisecond apart.
    fn board_of(kinds: impl IntoIterator<Item = (Fate, bool)>) -> Scoreboard {
        let mut board = Scoreboard::new(SeqNum(0), SeqNum(0), 0, 0, false);
        for (at, (fate, again)) in (1..).zip(kinds) {
            assert!(board.ranges.push(range(at * 100, at * 1000, fate, again)));
        }
        board
    }

    /// So many ranges, none of one kind with its neighbour: sent once and sent again in turn.
    fn motley(count: usize) -> Scoreboard {
        board_of((1..=count).map(|at| (Fate::Sent, at % 2 == 0)))
    }

    #[test]
    fn a_sack_leaves_room_for_what_is_sent_behind_it() {
        for (free, left_cut, right_cut) in [(6, 50, 50), (5, 0, 50), (4, 0, 0)] {
            let mut board = motley(FEW - free);
            assert_eq!(sack(&mut board, 0, 1050, 1100), left_cut, "{free}");
            let mut board = motley(FEW - free);
            assert_eq!(sack(&mut board, 0, 1000, 1050), right_cut, "{free}");
        }
    }

    #[test]
    fn a_full_board_joins_the_nearest_two_of_one_kind_and_no_more() {
        // At 21 and 41 one of a kind follows another, at 31 one of another kind follows sooner than both.
        let kinds = (1..=FEW).map(|at| {
            let pairs = usize::from(at >= 21) + usize::from(at >= 41);
            (Fate::Sent, (at + pairs) % 2 == 0)
        });
        let mut board = board_of(kinds);
        for (at, moment) in [(21, 20_500), (31, 30_001), (41, 40_100)] {
            let range = &mut board.ranges[at - 1];
            (range.first, range.last) = (moment, moment);
        }
        board.sent(SeqNum(6500), 100_000, 10);
        let ends: Vec<u32> = ranges(&board, 0).iter().map(|(end, _)| *end).collect();
        let left: Vec<u32> = (1..=65u32).filter(|at| *at != 40).map(|at| at * 100).collect();
        assert_eq!(ends, left);
    }

    #[test]
    fn without_any_of_one_kind_new_text_joins_the_last_range_whatever_it_is() {
        for (fate, sent_again, again) in [
            (Fate::Sent, false, false),
            (Fate::Sent, true, true),
            (Fate::Sacked, false, true),
        ] {
            let mut board = motley(FEW - 2);
            assert!(board.ranges.push(range(6_300, 63_000, Fate::Lost, false)));
            assert!(board.ranges.push(range(6_400, 64_000, fate, sent_again)));
            board.sent(SeqNum(6_500), 100_000, 10);
            assert_eq!(board.ranges.len(), FEW);
            let joined = Range {
                first: 64_000,
                ..range(6_500, 100_000, Fate::Sent, again)
            };
            assert_eq!(board.ranges.last(), Some(&joined), "{fate:?}");
        }
    }

    #[test]
    fn a_board_takes_the_larger_memory_before_it_is_full_and_gives_it_back() {
        let mut spares = Spares::new(1);
        let mut board = motley(FEW - 8);
        board.make_sure(&mut spares);
        assert_eq!(spares.in_use(), 0, "there is room");
        let mut board = motley(FEW - 7);
        board.make_sure(&mut spares);
        board.shorten(&mut spares);
        assert_eq!((spares.in_use(), board.ranges.len()), (1, FEW - 7));
        board.acknowledge(SeqNum(2_500), |_| ());
        board.shorten(&mut spares);
        assert_eq!((spares.in_use(), board.ranges.len()), (0, FEW / 2));
        let mut board = motley(FEW - 7);
        board.make_sure(&mut spares);
        board.give_back(&mut spares);
        assert_eq!(spares.in_use(), 0);
    }

    // proves: RFC 8985 §6.1
    #[test]
    fn only_what_has_no_time_or_about_one_is_joined() {
        use Fate::{Lost, Sacked, Sent};
        let three = || {
            let mut board = board(0);
            board.sent(SeqNum(1100), 100, 10);
            board.sent(SeqNum(1200), 200, 10);
            board
        };
        let mut one = three();
        sack(&mut one, 0, 1150, 1200);
        assert_eq!(
            ranges(&one, 0),
            [(1000, Sent), (1100, Sent), (1150, Sent), (1200, Sacked)]
        );
        let mut two = three();
        sack(&mut two, 0, 1100, 1200);
        sack(&mut two, 0, 1000, 1100);
        assert_eq!(
            ranges(&two, 0),
            [(1000, Sent), (1200, Sacked)],
            "whenever it was sent"
        );
        let mut all = three();
        assert_eq!(all.judge(|_| true).octets, 1200);
        assert_eq!(ranges(&all, 0), [(1200, Lost)]);
        for (later, near) in [(310, true), (311, false)] {
            all.sent_again(SeqNum(0), SeqNum(50), 300, 10);
            all.sent_again(SeqNum(50), SeqNum(90), later, 10);
            let ends: &[_] = if near {
                &[(90, Sent), (1200, Lost)]
            } else {
                &[(50, Sent), (90, Sent), (1200, Lost)]
            };
            assert_eq!(ranges(&all, 0), ends, "{later}");
        }
    }

    #[test]
    fn two_ranges_become_one_of_the_times_of_both() {
        for (left, right, both, exact) in [
            ((10, 20), (30, 40), (10, 40), true),
            ((30, 40), (10, 20), (10, 40), false),
            ((10, 40), (20, 40), (10, 40), true),
            ((20, 30), (10, 40), (10, 40), true),
            ((u32::MAX - 5, u32::MAX), (3, 7), (u32::MAX - 5, 7), true),
        ] {
            for again in [(false, false), (true, false), (false, true)] {
                for known in [true, false] {
                    let mut board = board_of([(Fate::Sacked, again.0), (Fate::Sacked, again.1)]);
                    (board.ranges[0].first, board.ranges[0].last) = left;
                    (board.ranges[1].first, board.ranges[1].last) = right;
                    board.ranges[1].exact = known;
                    let span = u32::wrapping_sub(both.1, both.0);
                    assert_eq!(board.ranges[0].span_with(&board.ranges[1]), span);
                    assert!(board.ranges[0].is_kin(&board.ranges[1]));
                    board.coalesce(0);
                    let joined = Range {
                        end: SeqNum(200),
                        first: both.0,
                        last: both.1,
                        fate: Fate::Sacked,
                        again: again.0 || again.1,
                        exact: exact && known,
                    };
                    assert_eq!(board.ranges[..], [joined], "{left:?} {right:?}");
                }
            }
        }
    }

    #[test]
    fn of_what_is_not_sacked_only_the_same_is_of_one_kind() {
        use Fate::{Lost, Sacked, Sent};
        for (left, right, kin) in [
            ((Sent, false), (Sent, false), true),
            ((Sent, false), (Sent, true), false),
            ((Lost, true), (Lost, true), true),
            ((Lost, true), (Lost, false), false),
            ((Sacked, true), (Sacked, false), true),
            ((Sacked, true), (Sent, true), false),
        ] {
            let [left_range, right_range] = [left, right].map(|(fate, again)| range(100, 10, fate, again));
            assert_eq!(left_range.is_kin(&right_range), kin, "{left:?} {right:?}");
        }
    }

    #[test]
    fn the_front_of_a_range_that_was_cut_has_an_exact_time_only_when_all_of_it_has() {
        for (extended, exact) in [(false, true), (true, false)] {
            let mut board = board(0);
            if extended {
                board.sent(SeqNum(1100), 60, 10);
            }
            board.cut(SeqNum(500), 1);
            assert_eq!((board.ranges[0].exact, board.ranges[1].exact), (exact, true));
        }
    }
}
