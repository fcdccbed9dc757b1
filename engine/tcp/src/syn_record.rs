//! SYN_RECEIVED of a passive open, small: what a listener remembers between its SYN+ACK and the handshake's ACK.
//!
//! It answers as RFC 9293 §3.10.7.4 says for that state, statelessly but for the count of retransmissions, and becomes a
//! [`Tcb`] with [`SynRecord::establish`]; the segment that did it is then given to the TCB. Its size is asserted.

use fourtuple_wire::{DropReason, Instant, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::challenge::LastAnswer;
use crate::closed::reset_for;
use crate::profile::millis;
use crate::tcb::Flags;
use crate::timers::{instant_of, is_before};
use crate::window::{initial_window, scaled};
use crate::{Buffers, Env, Path, Profile, Seeds, State, Tcb, ecn, timestamps};

/// A half-open connection of the listening side.
#[derive(Clone, Debug)]
pub struct SynRecord {
    /// Tick of the deadline.
    pub(crate) deadline: u32,
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    pub(crate) timestamp_offset: u32,
    /// TS.Recent, if the peer offered timestamps.
    pub(crate) recent: u32,
    /// Tick of the SYN.
    pub(crate) born: u32,
    /// The peer's window field, which is never scaled in a SYN.
    pub(crate) window: u16,
    pub(crate) send_mss: u16,
    pub(crate) receive_mss: u16,
    pub(crate) offers: u8,
    /// Bits 0–3 the peer's shift, 4–7 retransmissions of the SYN+ACK, which stop at 15.
    pub(crate) shift_and_retransmits: u8,
    pub(crate) answered: LastAnswer,
}

const _: () = assert!(size_of::<SynRecord>() <= 36);

pub(crate) const TIMESTAMPS: u8 = 1;
pub(crate) const SACK: u8 = 2;
pub(crate) const WINDOW_SCALE: u8 = 4;
pub(crate) const ECN: u8 = 16;
/// Not an offer: the SYN came again, so the SYN+ACK went out more than once.
pub(crate) const ANSWERED_AGAIN: u8 = 8;

/// What a SYN record makes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SynArrival {
    /// The handshake is done: `establish`, and give the same segment to the TCB.
    Establish,
    /// The SYN came again: send the SYN+ACK again.
    SynAck,
    /// Send this: a challenge ACK or a RST.
    Reply(TcpHeader),
    /// A valid RST: forget the record.
    Remove,
    /// Drop the segment.
    Drop(DropReason),
}

/// What a SYN record does at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynDeadline {
    /// Send the SYN+ACK again.
    Retransmit,
    /// Forget the record.
    GiveUp,
    /// The deadline has not come.
    NotYet,
}

impl SynRecord {
    /// The record of a SYN that a listener takes.
    pub fn from_syn(header: &TcpHeader, seeds: Seeds, path: &Path, profile: &Profile, now: Instant) -> Self {
        let path = path.clamped(profile);
        let offered = timestamps::offered(header, profile);
        let shift = header.options.window_scale.filter(|_| profile.window_scaling);
        let mut offers = 0;
        offers |= if offered.is_some() { TIMESTAMPS } else { 0 };
        offers |= if header.options.sack_permitted && profile.sack {
            SACK
        } else {
            0
        };
        offers |= if shift.is_some() { WINDOW_SCALE } else { 0 };
        offers |= if ecn::asks(header) && profile.accepts_ecn() {
            ECN
        } else {
            0
        };
        Self {
            deadline: (now.as_millis() as u32).wrapping_add(millis(profile.initial_rto)),
            iss: seeds.iss,
            irs: header.seq,
            timestamp_offset: seeds.timestamp_offset,
            recent: offered.map_or(0, |timestamps| timestamps.value),
            born: now.as_millis() as u32,
            window: header.window,
            // RFC 9293 §3.7.1, MUST-15: without the option the default holds.
            send_mss: header
                .options
                .mss
                .unwrap_or(path.default_mss)
                .min(path.send_mss_limit),
            receive_mss: path.receive_mss,
            offers,
            shift_and_retransmits: shift.unwrap_or(0).min(14),
            answered: LastAnswer::default(),
        }
    }

    pub(crate) fn offers(&self, what: u8) -> bool {
        self.offers & what != 0
    }

    /// These bits, when both ends agreed to use ECN.
    fn ecn(&self, bits: TcpFlags) -> TcpFlags {
        if self.offers(ECN) {
            bits
        } else {
            TcpFlags::default()
        }
    }

    fn retransmits(&self) -> u8 {
        self.shift_and_retransmits >> 4
    }

    fn option(&self, now: Instant) -> Option<Timestamps> {
        self.offers(TIMESTAMPS).then(|| Timestamps {
            value: (now.as_millis() as u32).wrapping_add(self.timestamp_offset),
            echo: self.recent,
        })
    }

    /// The SYN+ACK, to be sent or sent again.
    pub fn syn_ack(&self, profile: &Profile, now: Instant) -> TcpHeader {
        TcpHeader {
            seq: self.iss,
            ack: self.irs + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK | self.ecn(TcpFlags::ECE),
            window: initial_window(profile),
            urgent: 0,
            options: TcpOptions {
                mss: Some(self.receive_mss),
                window_scale: self.offers(WINDOW_SCALE).then(|| profile.window_shift()),
                sack_permitted: self.offers(SACK),
                timestamps: self.option(now),
                ..TcpOptions::default()
            },
        }
    }

    /// Judges a segment as RFC 9293 §3.10.7.4 does in SYN_RECEIVED, in its order.
    pub fn segment_arrives(
        &mut self,
        header: &TcpHeader,
        payload_len: usize,
        profile: &Profile,
        now: Instant,
    ) -> SynArrival {
        let nxt = self.irs + 1;
        let is = |flag| header.flags.contains(flag);
        // The SYN once more: its SYN+ACK was lost. (RFC 9293 §3.10.7.4, first: unacceptable, hence an ACK; ours has the SYN.)
        if is(TcpFlags::SYN) && !is(TcpFlags::ACK) && !is(TcpFlags::RST) && header.seq == self.irs {
            self.offers |= ANSWERED_AGAIN;
            if !ecn::asks(header) {
                // RFC 3168 §6.1.1: its peer gave up asking.
                self.offers &= !ECN;
            }
            return SynArrival::SynAck;
        }
        // First: PAWS and the window.
        let held = self.offers(TIMESTAMPS) && !is(TcpFlags::RST);
        let timestamps = header.options.timestamps.filter(|_| held);
        if held && timestamps.is_none() && !is(TcpFlags::SYN) {
            // RFC 7323 §3.2: once negotiated, a segment without the option is dropped.
            return SynArrival::Drop(DropReason::OldTimestamp);
        }
        if timestamps.is_some_and(|timestamps| is_before(timestamps.value, self.recent)) {
            return self.challenge(profile, now);
        }
        let window = u32::from(initial_window(profile));
        if !acceptable(header.seq, header.seq_len(payload_len), nxt, window) {
            return if is(TcpFlags::RST) {
                SynArrival::Drop(DropReason::OutOfWindow)
            } else {
                self.challenge(profile, now)
            };
        }
        // Second: RST, exactly at RCV.NXT (RFC 5961 §3.2); a passive open returns to LISTEN.
        if is(TcpFlags::RST) {
            return if header.seq == nxt {
                SynArrival::Remove
            } else {
                self.challenge(profile, now)
            };
        }
        // Fourth: a SYN within the window is challenged (RFC 5961 §4.2).
        if is(TcpFlags::SYN) {
            return self.challenge(profile, now);
        }
        // Fifth: the ACK must be of our SYN.
        if !is(TcpFlags::ACK) {
            return SynArrival::Drop(DropReason::NoAck);
        }
        if header.ack != self.iss + 1 {
            return match reset_for(header, payload_len) {
                Some(reset) => SynArrival::Reply(reset),
                None => SynArrival::Drop(DropReason::BadAck),
            };
        }
        SynArrival::Establish
    }

    /// The ACK that tells the peer where we stand, unless it was just told (RFC 5961 §7).
    fn challenge(&mut self, profile: &Profile, now: Instant) -> SynArrival {
        if !self.answered.try_answer(now) {
            return SynArrival::Drop(DropReason::RateLimited);
        }
        let shift = if self.offers(WINDOW_SCALE) {
            profile.window_shift()
        } else {
            0
        };
        SynArrival::Reply(TcpHeader {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: TcpFlags::ACK,
            window: scaled(u32::from(initial_window(profile)), shift),
            urgent: 0,
            options: TcpOptions {
                timestamps: self.option(now),
                ..TcpOptions::default()
            },
        })
    }

    /// The TCB, in SYN_RECEIVED with its SYN+ACK sent; it waits for the segment that made it.
    pub fn establish<B: Buffers>(&self, env: &mut Env<'_, B>) -> Tcb<B> {
        let mut tcb = self.blank(env.profile);
        self.establish_in(&mut tcb, env);
        tcb
    }

    /// A TCB that is nothing yet, to be put where it is to lie: [`establish_in`](Self::establish_in) makes one of it that `establish` would
    /// give, so that it is not moved.
    #[inline(always)]
    pub fn blank<B: Buffers>(&self, profile: &Profile) -> Tcb<B> {
        let path = Path {
            receive_mss: self.receive_mss,
            send_mss_limit: self.send_mss,
            default_mss: self.send_mss,
        };
        let seeds = Seeds {
            iss: self.iss,
            timestamp_offset: self.timestamp_offset,
        };
        Tcb::new(seeds, &path, profile, self.born)
    }

    /// A [`blank`](Self::blank) TCB becomes the record's.
    pub fn establish_in<B: Buffers>(&self, tcb: &mut Tcb<B>, env: &mut Env<'_, B>) {
        let options = TcpOptions {
            mss: Some(self.send_mss),
            window_scale: self
                .offers(WINDOW_SCALE)
                .then_some(self.shift_and_retransmits & 15),
            sack_permitted: self.offers(SACK),
            timestamps: self.offers(TIMESTAMPS).then_some(Timestamps {
                value: self.recent,
                echo: 0,
            }),
            ..TcpOptions::default()
        };
        let syn = TcpHeader {
            seq: self.irs,
            ack: SeqNum(0),
            flags: TcpFlags::SYN | self.ecn(ecn::SETUP),
            window: self.window,
            urgent: 0,
            options,
        };
        tcb.flags.insert(Flags::PASSIVE);
        tcb.take_peer_syn(&syn, env);
        tcb.rcv.syn_retransmits = self.retransmits();
        if self.retransmits() > 0 {
            tcb.rto.after_lost_syn();
        } else if !self.offers(ANSWERED_AGAIN) {
            // RFC 6298 §2.2: the SYN+ACK gives the first sample, unless it went out more than once (§3, Karn).
            tcb.rto
                .start(self.iss + 1, Instant::from_millis(u64::from(self.born)));
        }
        tcb.enter(State::SynReceived, env);
        env.counters.passive_opens += 1;
        tcb.arm_syn_timer(env);
    }

    /// When `on_deadline` has something to do.
    pub fn deadline(&self, now: Instant) -> Instant {
        instant_of(self.deadline, now)
    }

    /// Retransmits with exponential backoff (RFC 9293 §3.8.3, MUST-22), until the record is too old.
    // Deviation: MUST-23 asks for 3 minutes; a record of the listening side lives 75 s, for a flood pays per record.
    pub fn on_deadline(&mut self, profile: &Profile, now: Instant) -> SynDeadline {
        if is_before(now.as_millis() as u32, self.deadline) {
            return SynDeadline::NotYet;
        }
        let age = (now.as_millis() as u32).wrapping_sub(self.born);
        let lifetime = millis(profile.syn_record_timeout);
        if age >= lifetime {
            return SynDeadline::GiveUp;
        }
        if self.retransmits() < 15 {
            self.shift_and_retransmits += 1 << 4;
        }
        let backoff = u64::from(millis(profile.initial_rto).max(1)) << self.retransmits();
        let most = millis(profile.max_rto).min(lifetime - age);
        let wait = u32::try_from(backoff).map_or(most, |backoff| backoff.min(most));
        self.deadline = (now.as_millis() as u32).wrapping_add(wait.max(1));
        SynDeadline::Retransmit
    }
}

/// RFC 9293 §3.10.7.4, first: the four cases of the acceptability test.
#[inline]
pub(crate) fn acceptable(seq: SeqNum, len: u32, nxt: SeqNum, window: u32) -> bool {
    match (len, window) {
        (0, 0) => seq == nxt,
        (0, _) => seq.within(nxt, window),
        (_, 0) => false,
        (_, _) => {
            let last = seq + (len - 1);
            // The RFC's two cases, and the segment that covers the window on both sides: some of it is new as well.
            let covers = seq.before(nxt) && last.at_or_after(nxt + window);
            seq.within(nxt, window) || last.within(nxt, window) || covers
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 9293 §3.10.7.4, first (the four cases; around 2³²)
    #[test]
    fn a_segment_is_acceptable_where_some_of_it_lies_in_the_window() {
        for (seq, len, window, expected) in [
            (0, 0, 0, true),
            (1, 0, 0, false),
            (-1, 0, 0, false),
            (0, 1, 0, false),
            (-1, 0, 10, false),
            (0, 0, 10, true),
            (9, 0, 10, true),
            (10, 0, 10, false),
            (-1, 1, 10, false),
            (-1, 2, 10, true),
            (9, 1, 10, true),
            (9, 9, 10, true),
            (10, 1, 10, false),
            (-5, 16, 10, true),
            (-5, 100, 10, true),
        ] {
            for nxt in [SeqNum(1_000), SeqNum(u32::MAX), SeqNum(0), SeqNum(u32::MAX - 4)] {
                let at = SeqNum(nxt.0.wrapping_add_signed(seq));
                assert_eq!(
                    acceptable(at, len, nxt, window),
                    expected,
                    "{seq} {len} {window} {nxt:?}"
                );
            }
        }
    }
}
