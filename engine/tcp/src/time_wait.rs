//! TIME_WAIT: two segment lifetimes after an orderly end (RFC 9293 §3.6.1, RFC 1337, RFC 6191).
//!
//! The rules are those of [`TimeWait`], a compact record without payload; a [`Tcb`] in TIME_WAIT (its application may not
//! have read everything yet) makes one of itself to apply them. The record's size is asserted.

use std::num::NonZeroU16;

use fourtuple_wire::{DropReason, Instant, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::challenge::LastAnswer;
use crate::profile::millis;
use crate::syn_record::acceptable;
use crate::timers::{Timer, instant_of, is_before};
use crate::window::scaled;
use crate::{Buffers, Env, Profile, State, Tcb};

/// A connection that is over and waits for stragglers.
#[derive(Clone, Debug)]
pub struct TimeWait {
    /// Tick at which it is over.
    deadline: u32,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    /// TS.Recent, if timestamps were used.
    recent: u32,
    /// The window field of our last ACK.
    window: u16,
    marks: Marks,
}

const _: () = assert!(size_of::<TimeWait>() == 20 && size_of::<Option<TimeWait>>() == 20);

/// In one word: what was agreed on, whether the wait began again, and when a doubtful segment was answered last. Never zero, so that
/// an empty place needs no word of its own.
#[derive(Clone, Copy, Debug)]
struct Marks(NonZeroU16);

impl Marks {
    /// In every one.
    const ALWAYS: NonZeroU16 = NonZeroU16::MIN;
    /// Timestamps are used.
    const TIMESTAMPS: u16 = 2;
    /// It lasts longer than was said when it began.
    const PROLONGED: u16 = 4;
    /// Above these stands the last answer.
    const ANSWERED: u32 = 3;

    fn has(self, which: u16) -> bool {
        self.0.get() & which != 0
    }

    fn insert(&mut self, which: u16) {
        self.0 |= which;
    }

    fn remove(&mut self, which: u16) {
        self.0 = Self::ALWAYS | (self.0.get() & !which);
    }

    /// As [`LastAnswer::try_answer`].
    fn try_answer(&mut self, now: Instant) -> bool {
        let mut last = LastAnswer::from_bits(self.0.get() >> Self::ANSWERED);
        let may = last.try_answer(now);
        self.remove(u16::MAX << Self::ANSWERED);
        self.insert(last.bits() << Self::ANSWERED);
        may
    }
}

const _: () = assert!(LastAnswer::BITS + Marks::ANSWERED == u16::BITS);

/// What TIME_WAIT makes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeWaitArrival {
    /// Send this ACK.
    Acknowledge(TcpHeader),
    /// A new SYN that may reopen the four-tuple: give it to the listener, with `reopening_iss`.
    Reopen,
    /// Drop it.
    Drop(DropReason),
}

impl TimeWait {
    /// When the record is to be forgotten.
    pub fn deadline(&self, now: Instant) -> Instant {
        instant_of(self.deadline, now)
    }

    /// It may be forgotten.
    pub fn is_over(&self, now: Instant) -> bool {
        !is_before(now.as_millis() as u32, self.deadline)
    }

    /// It is over before the other.
    pub fn ends_before(&self, other: &Self) -> bool {
        is_before(self.deadline, other.deadline)
    }

    /// A FIN that came again made it last longer than those that began after it, since [`is_in_order`](Self::is_in_order).
    pub fn was_prolonged(&self) -> bool {
        self.marks.has(Marks::PROLONGED)
    }

    /// It stands where it belongs now.
    pub fn is_in_order(&mut self) {
        self.marks.remove(Marks::PROLONGED);
    }

    /// Judges a segment as RFC 9293 §3.10.7.4 does in TIME_WAIT, in its order. `timestamp_offset`: what the connection was given
    /// ([`Seeds`](crate::Seeds)), should the answer need it.
    pub fn segment_arrives(
        &mut self,
        header: &TcpHeader,
        payload_len: usize,
        profile: &Profile,
        timestamp_offset: impl FnOnce() -> u32,
        now: Instant,
    ) -> TimeWaitArrival {
        let is = |flag| header.flags.contains(flag);
        // Second, before the others: RST is ignored, or it would assassinate the wait (RFC 1337 §3, fix F1).
        // Deviation: RFC 9293 closes the connection here; RFC 1337 shows what that lets in.
        if is(TcpFlags::RST) {
            return TimeWaitArrival::Drop(DropReason::TimeWait);
        }
        if is(TcpFlags::SYN) && !is(TcpFlags::ACK) && self.may_reopen(header, profile) {
            return TimeWaitArrival::Reopen;
        }
        // First: an old duplicate of the connection is acknowledged, whatever it says.
        let old = header
            .options
            .timestamps
            .is_some_and(|timestamps| self.has_timestamps() && is_before(timestamps.value, self.recent));
        let len = header.seq_len(payload_len);
        let window = u32::from(self.window).max(1);
        let in_window = !old && !is(TcpFlags::SYN) && acceptable(header.seq, len, self.rcv_nxt, window);
        // Fifth: without ACK it is dropped. A bare one at RCV.NXT is what a peer says that knows all: its answer would be the same,
        // and so on.
        let knows_all = len == 0 && !is(TcpFlags::SYN) && header.seq == self.rcv_nxt;
        if knows_all || (in_window && !is(TcpFlags::ACK)) {
            return TimeWaitArrival::Drop(DropReason::TimeWait);
        }
        // Eighth: the peer's FIN once more: our ACK was lost, and two lifetimes begin again.
        let last = header.seq + len;
        if is(TcpFlags::FIN) && !is(TcpFlags::SYN) && !old && last == self.rcv_nxt {
            self.deadline = (now.as_millis() as u32).wrapping_add(2 * millis(profile.msl));
            self.marks.insert(Marks::PROLONGED);
        }
        // RFC 5961 §7. Text and FINs are always answered: two ends that only acknowledge send none.
        let may_loop = len == 0 || is(TcpFlags::SYN);
        if may_loop && !self.marks.try_answer(now) {
            return TimeWaitArrival::Drop(DropReason::RateLimited);
        }
        TimeWaitArrival::Acknowledge(self.acknowledgment(timestamp_offset, now))
    }

    fn has_timestamps(&self) -> bool {
        self.marks.has(Marks::TIMESTAMPS)
    }

    /// RFC 6191 §2, and RFC 9293 §3.6.1 MAY-2 (a), SHLD-4: the SYN must be of a later incarnation.
    fn may_reopen(&self, header: &TcpHeader, profile: &Profile) -> bool {
        if !profile.time_wait_reopen {
            return false;
        }
        match header.options.timestamps {
            Some(timestamps) if self.has_timestamps() && timestamps.value != self.recent => {
                is_before(self.recent, timestamps.value)
            }
            // The same timestamp, no timestamps before, or none now: the sequence number decides.
            Some(_) | None => header.seq.after(self.rcv_nxt),
        }
    }

    /// An ISS beyond every sequence number that this connection used.
    // RFC 9293 §3.6.1, MAY-2 (a): larger than the largest sequence number used on the previous incarnation.
    pub fn reopening_iss(&self, candidate: SeqNum) -> SeqNum {
        if candidate.after(self.snd_nxt) {
            candidate
        } else {
            self.snd_nxt + REOPENING_GAP
        }
    }

    /// RFC 9293 §3.10.7.4: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
    fn acknowledgment(&self, timestamp_offset: impl FnOnce() -> u32, now: Instant) -> TcpHeader {
        let timestamps = self.has_timestamps().then(|| Timestamps {
            value: (now.as_millis() as u32).wrapping_add(timestamp_offset()),
            echo: self.recent,
        });
        TcpHeader {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: TcpFlags::ACK,
            window: self.window,
            urgent: 0,
            options: TcpOptions {
                timestamps,
                ..TcpOptions::default()
            },
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// RFC 9293 §3.6.1, MUST-13: two maximum segment lifetimes.
    pub(crate) fn begin_time_wait(&mut self, env: &mut Env<'_, B>) {
        env.counters.time_waits += 1;
        self.timers.disarm_all();
        self.timers
            .arm(Timer::Life, millis(env.profile.msl) * 2, env.tick());
    }

    /// In TIME_WAIT with nothing owed and nothing unread: the compact record that takes over; then the TCB can be freed.
    pub fn time_wait(&self, env: &Env<'_, B>) -> Option<TimeWait> {
        let done = self.state == State::TimeWait && self.debts.is_empty() && self.received.is_empty();
        done.then(|| self.time_wait_record(env))
    }

    /// The record of this connection, whatever is still owed.
    pub(crate) fn time_wait_record(&self, env: &Env<'_, B>) -> TimeWait {
        let mut marks = Marks(Marks::ALWAYS);
        if self.timestamps.enabled {
            marks.insert(Marks::TIMESTAMPS);
        }
        TimeWait {
            deadline: self.timers.deadline(env.now).as_millis() as u32,
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            recent: self.timestamps.recent,
            window: scaled(self.rcv.wnd(), self.rcv.shift),
            marks,
        }
    }
}

/// What RFC 9293's predecessors added, and others still do: more than a window of the old connection could hold.
const REOPENING_GAP: u32 = 64_000 + 65_536;
