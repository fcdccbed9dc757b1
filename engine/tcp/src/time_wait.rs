//! TIME_WAIT: two segment lifetimes after an orderly end (RFC 9293 §3.6.1, RFC 1337, RFC 6191).
//!
//! The rules are those of [`TimeWait`], a compact record without payload; a [`Tcb`] in TIME_WAIT (its application may not
//! have read everything yet) makes one of itself to apply them. The record's size is asserted.

use fourtuple_wire::{DropReason, Instant, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::challenge::LastAnswer;
use crate::profile::millis;
use crate::syn_record::acceptable;
use crate::timers::{Timer, is_before};
use crate::window::scaled;
use crate::{Buffers, Env, Profile, State, Tcb};

/// A connection that is over and waits for stragglers.
#[derive(Clone, Debug)]
pub struct TimeWait {
    deadline_ms: u64,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    /// TS.Recent, if timestamps were used.
    recent: u32,
    timestamp_offset: u32,
    /// The window field of our last ACK.
    window: u16,
    timestamps: bool,
    answered: LastAnswer,
}

const _: () = assert!(size_of::<TimeWait>() <= 36);

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
    pub fn deadline(&self) -> Instant {
        Instant::from_millis(self.deadline_ms)
    }

    /// Judges a segment as RFC 9293 §3.10.7.4 does in TIME_WAIT, in its order.
    pub fn segment_arrives(
        &mut self,
        header: &TcpHeader,
        payload_len: usize,
        profile: &Profile,
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
            .is_some_and(|timestamps| self.timestamps && is_before(timestamps.value, self.recent));
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
            self.deadline_ms = now.as_millis() + 2 * u64::from(millis(profile.msl));
        }
        // RFC 5961 §7. Text and FINs are always answered: two ends that only acknowledge send none.
        let may_loop = len == 0 || is(TcpFlags::SYN);
        if may_loop && !self.answered.try_answer(now) {
            return TimeWaitArrival::Drop(DropReason::RateLimited);
        }
        TimeWaitArrival::Acknowledge(self.acknowledgment(now))
    }

    /// RFC 6191 §2, and RFC 9293 §3.6.1 MAY-2 (a), SHLD-4: the SYN must be of a later incarnation.
    fn may_reopen(&self, header: &TcpHeader, profile: &Profile) -> bool {
        if !profile.time_wait_reopen {
            return false;
        }
        match header.options.timestamps {
            Some(timestamps) if self.timestamps && timestamps.value != self.recent => {
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
    fn acknowledgment(&self, now: Instant) -> TcpHeader {
        let timestamps = self.timestamps.then(|| Timestamps {
            value: (now.as_millis() as u32).wrapping_add(self.timestamp_offset),
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
        TimeWait {
            deadline_ms: self.timers.deadline(env.now).as_millis(),
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            recent: self.timestamps.recent,
            timestamp_offset: self.timestamps.offset,
            window: scaled(self.rcv.wnd(), self.rcv.shift),
            timestamps: self.timestamps.enabled,
            answered: LastAnswer::default(),
        }
    }
}

/// What RFC 9293's predecessors added, and others still do: more than a window of the old connection could hold.
const REOPENING_GAP: u32 = 64_000 + 65_536;
