//! Duplicates reported to their sender: D-SACK (RFC 2883), and an ACK for each segment out of order where there is no SACK.
//!
//! ```text
//!   came        ├─────────────────┤               one segment
//!   was here          ├───┤   ├──────────────
//!   reported          ├───┤                       the first run of octets that came twice
//! ```
//! The first block of an ACK names octets that came twice: once, in the ACK that answers them (RFC 2883 §4). Where they lie above
//! RCV.NXT the second block is what holds them. What is to be said waits in the record of [`Reassembly`], which stays for as
//! long as an ACK owes it. One burst of duplicates is as many ACKs, [`REPORTS_MOST`] at most; further ones go unreported.
//!
//! [`Reassembly`]: crate::reassembly::Reassembly

use arrayvec::ArrayVec;
use fourtuple_wire::{SackBlock, SeqNum, TcpOptions};

use crate::pool::NIL;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Env, Tcb};

/// Duplicates that wait to be reported. A burst of more is a flood, or a sender that lost far more than it can learn from this.
const REPORTS_MOST: usize = 8;

/// RFC 5681 §3.2: so many duplicate ACKs begin a fast retransmit.
const ENOUGH_ACKS: u8 = 3;

/// What ACKs have yet to say of segments that came.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// D-SACK blocks, in the order in which their segments came.
    duplicates: ArrayVec<SackBlock, REPORTS_MOST>,
    /// Duplicate ACKs, for a peer that counts them.
    acks: u8,
}

impl Reports {
    /// Nothing has to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.duplicates.is_empty() && self.acks == 0
    }

    /// D-SACK blocks in the next ACK: none or one.
    pub(crate) fn blocks(&self) -> usize {
        self.duplicates.len().min(1)
    }

    /// Octets came twice.
    pub(crate) fn add_duplicate(&mut self, duplicate: Run) {
        if let Some(block) = duplicate.0 {
            // Full: this one goes unreported, as if its ACK were lost.
            let _ = self.duplicates.try_push(block);
        }
    }

    /// The last duplicate ends here.
    pub(crate) fn reach(&self, seq: SeqNum) -> bool {
        self.duplicates.last().is_some_and(|block| block.right == seq)
    }

    /// A segment came out of order, and its sender counts the ACKs.
    pub(crate) fn add_ack(&mut self) {
        self.acks = (self.acks + 1).min(ENOUGH_ACKS);
    }

    /// A bare ACK goes out.
    fn acknowledged(&mut self) {
        self.acks = self.acks.saturating_sub(1);
    }

    /// RCV.NXT moves: an ACK of it is no duplicate.
    pub(crate) fn forget_acks(&mut self) {
        self.acks = 0;
    }

    fn next_duplicate(&mut self) -> Option<SackBlock> {
        self.duplicates.pop_at(0)
    }
}

/// The first run of octets of one segment that were here already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run(Option<SackBlock>);

impl Run {
    /// `left..right` were here. RFC 2883 §4.2.3: of several runs with new octets between them only the first is reported.
    pub(crate) fn extend(&mut self, left: SeqNum, right: SeqNum) {
        if !left.before(right) {
            return;
        }
        match &mut self.0 {
            None => self.0 = Some(SackBlock { left, right }),
            Some(run) if run.right == left => run.right = right,
            Some(_) => {}
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// `left..right` of a segment were here already: an ACK says so at once.
    #[cold]
    pub(crate) fn report_duplicate(&mut self, left: SeqNum, right: SeqNum, env: &mut Env<'_, B>) {
        let mut run = Run::default();
        run.extend(left, right);
        self.report_run(run, env);
    }

    /// The same of the first run of octets.
    pub(crate) fn report_run(&mut self, run: Run, env: &mut Env<'_, B>) {
        if run.0.is_none() || !self.flags.contains(Flags::SACK) {
            return;
        }
        if let Some(index) = self.reassembly_record(env)
            && let Some(reassembly) = env.pools.reassemblies.piece_mut(index)
        {
            reassembly.reports.add_duplicate(run);
            self.debts.insert(Debts::ACK);
        }
    }

    /// A bare ACK goes out: one of those that the peer counts.
    pub(crate) fn duplicate_ack_goes(&mut self, env: &mut Env<'_, B>) {
        if let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) {
            reassembly.reports.acknowledged();
        }
    }

    /// What a segment says of what came out of order or twice; owes a further ACK when more is left to say.
    // RFC 2018 §4: what waits out of order, the latest first, as many blocks as there is room for.
    // RFC 2883 §4: a duplicate is reported in one ACK alone, as its first block; the block that holds it comes second.
    #[cold]
    pub(crate) fn say_what_came(&mut self, options: &mut TcpOptions, env: &mut Env<'_, B>) {
        let (sack, mut room) = (self.flags.contains(Flags::SACK), self.sack_room());
        let Some(reassembly) = env.pools.reassemblies.piece_mut(self.reassembly) else {
            return;
        };
        if sack {
            if let Some(duplicate) = reassembly.reports.next_duplicate() {
                reassembly.bring_forward(duplicate);
                options.sack.push(duplicate);
                room -= 1;
                env.counters.dsacks_out += 1;
            }
            options.sack.extend(reassembly.blocks.iter().take(room).copied());
        }
        if !reassembly.reports.is_empty() {
            self.debts.insert(Debts::ACK);
        } else if reassembly.is_empty() {
            env.pools.reassemblies.remove(self.reassembly);
            self.reassembly = NIL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(parts: &[(u32, u32)]) -> Option<(u32, u32)> {
        let mut run = Run::default();
        for (left, right) in parts {
            run.extend(SeqNum(*left), SeqNum(*right));
        }
        run.0.map(|block| (block.left.0, block.right.0))
    }

    // proves: RFC 2883 §4.2.3
    #[test]
    fn of_several_runs_the_first_is_reported() {
        assert_eq!(run(&[]), None);
        assert_eq!(run(&[(5, 5)]), None, "no octets");
        assert_eq!(run(&[(5, 7), (7, 9)]), Some((5, 9)), "they touch");
        assert_eq!(run(&[(5, 7), (8, 9), (9, 12)]), Some((5, 7)));
        assert_eq!(run(&[(u32::MAX, 1), (1, 3)]), Some((u32::MAX, 3)));
    }

    #[test]
    fn reports_are_bounded() {
        let mut reports = Reports::default();
        for at in 0..100 {
            let mut run = Run::default();
            run.extend(SeqNum(at), SeqNum(at + 1));
            reports.add_duplicate(run);
            reports.add_ack();
        }
        assert_eq!(
            (reports.duplicates.len(), reports.acks),
            (REPORTS_MOST, ENOUGH_ACKS)
        );
        assert_eq!(reports.next_duplicate().map(|block| block.left), Some(SeqNum(0)));
        reports.forget_acks();
        assert!(!reports.is_empty());
    }

    // proves: RFC 2883 §4
    #[test]
    fn an_ack_has_room_for_one_duplicate_at_most() {
        let mut reports = Reports::default();
        for (at, blocks) in [(0, 0), (1, 1), (2, 1)] {
            assert_eq!(reports.blocks(), blocks, "{at}");
            let mut run = Run::default();
            run.extend(SeqNum(at), SeqNum(at + 1));
            reports.add_duplicate(run);
        }
    }
}
