//! The transmission control block: what TCP remembers of one connection (RFC 9293 §3.3.1).
//!
//! ```text
//!   Send                                                    Receive
//!        snd.una      snd.nxt     snd.una + snd.wnd               rcv.nxt         rcv.adv
//!   ─────────┼────────────┼───────────────┼──────────       ──────────┼──────────────┼─────────
//!    acked   │ outstanding│ may be sent   │ may not          received │ acceptable   │ not yet
//!
//!   queue front = snd.una (+1 while the SYN is not acknowledged); a FIN stands behind the queue's last byte
//! ```
//! Hot fields lie in the first two cache lines, what loss, timing and idleness need in the third; sizes are asserted
//! below for the 16-byte payload of a port. What a connection only has under load (further chunks, holes, the
//! times of what is outstanding) lies in [`Pools`](crate::Pools). The rules are in the other files, by topic.

use std::fmt;

use fourtuple_wire::SeqNum;

use crate::congestion::Congestion;
use crate::pool::NIL;
use crate::receive_queue::ReceiveQueue;
use crate::recovery::Recovery;
use crate::rto::Rto;
use crate::send_queue::SendQueue;
use crate::timers::Timers;
use crate::timestamps::TimestampState;
use crate::{Buffers, Path, Profile, State};

/// What a four-tuple and the engine's secrets give a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The initial send sequence number.
    pub iss: SeqNum,
    /// Offset of the timestamp clock.
    pub timestamp_offset: u32,
}

/// One connection. Every call is given an [`Env`](crate::Env); what is to be sent is owed until `poll_transmit`.
///
/// Three cache lines when it begins at one, which is for who keeps it to see to: what is kept beside it then shares the fourth.
#[repr(C)]
pub struct Tcb<B: Buffers> {
    pub(crate) snd: SendSpace,
    pub(crate) rcv: ReceiveSpace,
    pub(crate) timestamps: TimestampState,
    pub(crate) timers: Timers,
    pub(crate) queue: SendQueue<B::Tx>,
    pub(crate) received: ReceiveQueue,
    pub(crate) flags: Flags,
    pub(crate) state: State,
    pub(crate) debts: Debts,
    // The third line.
    pub(crate) congestion: Congestion,
    pub(crate) rto: Rto,
    pub(crate) recovery: Recovery,
    /// What is known of what is outstanding, in a pool ([`Flight`](crate::flight::Flight)).
    pub(crate) flight: u32,
    /// What waits behind a hole, in a pool.
    pub(crate) reassembly: u32,
    /// Tick since which nothing of what is outstanding was acknowledged.
    pub(crate) progress_at: u32,
    /// Tick at which data was sent last (RFC 5681 §4.1).
    pub(crate) last_sent: u32,
    /// Urgent pointers and the search for the path's MTU, in a pool.
    pub(crate) aside: u32,
}

/// Send sequence space.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SendSpace {
    /// SND.UNA: oldest unacknowledged.
    pub(crate) una: SeqNum,
    /// SND.NXT: next to be sent; never goes back.
    pub(crate) nxt: SeqNum,
    /// SND.WND, scaled: unsigned, and of 32 bits (RFC 9293 §3.1, MUST-1, REC-1).
    pub(crate) wnd: u32,
    /// SND.WL1: segment sequence number of the last window update.
    pub(crate) wl1: SeqNum,
    /// SND.WL2: acknowledgment number of the last window update.
    pub(crate) wl2: SeqNum,
    /// Payload octets of a full segment: the effective send MSS less timestamps (MUST-16).
    pub(crate) mss: u16,
    /// What our MTU allows.
    pub(crate) mss_limit: u16,
    /// The largest window field seen, unscaled.
    pub(crate) max_window: u16,
    /// Shift of the peer's window field.
    pub(crate) shift: u8,
    /// Challenge ACKs sent in the current second.
    pub(crate) challenges: u8,
}

/// Receive sequence space.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct ReceiveSpace {
    /// RCV.NXT.
    pub(crate) nxt: SeqNum,
    /// The right edge that was advertised: RCV.NXT + RCV.WND.
    pub(crate) adv: SeqNum,
    /// Last.ACK.sent (RFC 7323 §4.3).
    pub(crate) last_ack_sent: SeqNum,
    /// Before ESTABLISHED the MSS we announce; after it the largest payload seen, which is what a full segment is.
    pub(crate) mss: u16,
    /// Shift of our window field.
    pub(crate) shift: u8,
    /// Retransmissions of our SYN, or SYN+ACK.
    pub(crate) syn_retransmits: u8,
}

impl SendSpace {
    /// Octets (and SYN or FIN) sent and not acknowledged.
    #[inline]
    pub(crate) const fn flight(&self) -> u32 {
        self.nxt.distance_from(self.una)
    }

    /// Max(SND.WND) of RFC 9293 §3.8.6.2.1.
    pub(crate) const fn max_wnd(&self) -> u32 {
        (self.max_window as u32) << self.shift
    }
}

impl ReceiveSpace {
    /// RCV.WND as the peer sees it.
    #[inline]
    pub(crate) const fn wnd(&self) -> u32 {
        self.adv.distance_from(self.nxt)
    }
}

macro_rules! bit_set {
    ($(#[doc = $doc:literal])+ $name:ident($int:ty) { $($(#[doc = $bit_doc:literal])+ $bit:ident = $value:expr,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name($int);

        impl $name {
            pub(crate) const NONE: Self = Self(0);
            $($(#[doc = $bit_doc])+ pub(crate) const $bit: Self = Self($value);)+

            #[inline]
            pub(crate) const fn contains(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            #[inline]
            pub(crate) const fn insert(&mut self, other: Self) {
                self.0 |= other.0;
            }

            #[inline]
            pub(crate) const fn remove(&mut self, other: Self) {
                self.0 &= !other.0;
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut set = f.debug_set();
                $(if self.contains(Self::$bit) { set.entry(&format_args!(stringify!($bit))); })+
                set.finish()
            }
        }
    };
}

bit_set! {
    /// What is so, for longer than a segment.
    Flags(u16) {
        /// The connection came from a listener.
        PASSIVE = 1,
        /// The application let go of it.
        ORPHAN = 2,
        /// A FIN stands behind what is queued.
        FIN_QUEUED = 4,
        /// That FIN was sent.
        FIN_SENT = 256,
        /// The peer's FIN came in order.
        PEER_FIN = 8,
        /// Both ends offered SACK.
        SACK = 16,
        /// Both ends offered window scaling.
        WINDOW_SCALE = 32,
        /// RCV.UP is ahead of what was taken.
        URGENT = 64,
        /// R1 was told for what is outstanding.
        R1_TOLD = 128,
        /// An ICMP error said that the peer can't be reached just now, and nothing was acknowledged since.
        UNREACHABLE = 512,
        /// Both ends agreed to use ECN.
        ECN = 1024,
        /// Acknowledgments echo a congestion mark.
        ECN_ECHO = 2048,
        /// New data tells that the window came down.
        CWR_OWED = 4096,
        /// The pacer holds text back.
        PACED = 8192,
        /// A handshake of TCP Fast Open is under way.
        FAST_OPEN = 16384,
        /// Our SYN has the option of TCP Fast Open.
        FAST_OPEN_ASKED = 32768,
        /// Any of these keeps header prediction off: ORPHAN, ECN_ECHO, FAST_OPEN.
        UNPREDICTED = 2 | 2048 | 16384,
        /// What an acknowledgment of something new puts an end to: R1_TOLD, UNREACHABLE.
        TOLD_OF_TROUBLE = 128 | 512,
    }
}

bit_set! {
    /// What is owed to the peer (D1).
    Debts(u8) {
        /// An acknowledgment, now.
        ACK = 1,
        /// A RST.
        RESET = 2,
        /// The SYN, or SYN+ACK.
        SYN = 4,
        /// The first unacknowledged segment once more.
        RETRANSMIT = 8,
        /// What `next_segment` finds: new data, lost data, a FIN.
        TEXT = 16,
        /// A window probe.
        PROBE = 32,
        /// A keep-alive probe.
        KEEPALIVE = 64,
        /// A tail loss probe (RFC 8985 §7).
        TAIL_PROBE = 128,
    }
}

impl Flags {
    /// Both.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Debts {
    /// `one` is in the set, and nothing but that and perhaps `other`.
    #[inline]
    pub(crate) const fn only(self, one: Self, other: Self) -> bool {
        self.0 & !other.0 == one.0
    }

    /// Nothing but what is in `other`.
    #[inline]
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Nothing is owed.
    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl<B: Buffers> Tcb<B> {
    /// A connection about to send its SYN, or its SYN+ACK.
    #[inline(always)]
    pub(crate) fn new(seeds: Seeds, path: &Path, profile: &Profile, tick: u32) -> Self {
        let path = path.clamped(profile);
        let mss = path.default_mss.min(path.send_mss_limit).max(1);
        Self {
            snd: SendSpace {
                una: seeds.iss,
                nxt: seeds.iss + 1,
                wnd: 0,
                wl1: SeqNum(0),
                wl2: seeds.iss,
                mss,
                mss_limit: path.send_mss_limit.max(1),
                max_window: 0,
                shift: 0,
                challenges: 0,
            },
            rcv: ReceiveSpace {
                nxt: SeqNum(0),
                adv: SeqNum(0),
                last_ack_sent: SeqNum(0),
                mss: path.receive_mss,
                shift: if profile.window_scaling {
                    profile.window_shift()
                } else {
                    0
                },
                syn_retransmits: 0,
            },
            timestamps: TimestampState::new(seeds.timestamp_offset),
            timers: Timers::new(),
            queue: SendQueue::new(),
            received: ReceiveQueue::new(),
            flags: Flags::NONE,
            state: State::Closed,
            debts: Debts::NONE,
            congestion: Congestion::new(u32::from(mss)),
            rto: Rto::new(profile),
            recovery: Recovery::new(seeds.iss),
            flight: NIL,
            reassembly: NIL,
            progress_at: tick,
            last_sent: tick,
            aside: NIL,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// In CLOSED, with nothing left to send.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed && self.debts.is_empty()
    }

    /// `poll_transmit` would give something now.
    #[inline]
    pub fn owes(&self) -> bool {
        !self.debts.is_empty()
    }
}

impl<B: Buffers> fmt::Debug for Tcb<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcb")
            .field("state", &self.state)
            .field("flags", &self.flags)
            .field("debts", &self.debts)
            .field("snd", &self.snd)
            .field("rcv", &self.rcv)
            .field("queued", &self.queue.len())
            .field("received", &self.received)
            .field("timers", &self.timers)
            .field("rto", &self.rto)
            .field("recovery", &self.recovery)
            .field("congestion", &self.congestion)
            .field("timestamps", &self.timestamps)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestBuffers;

    /// The sizes of the design, with the 16-byte payload of a port: three cache lines, the hot part in two.
    const _: () = assert!(size_of::<Tcb<TestBuffers>>() == 192);
    const _: () = assert!(std::mem::offset_of!(Tcb<TestBuffers>, congestion) <= 128);

    #[test]
    fn sets_are_joined_and_compared() {
        let both = Flags::PACED.with(Flags::ECN_ECHO);
        assert!(both.contains(Flags::PACED) && both.contains(Flags::ECN_ECHO));
        let mut two = Debts::ACK;
        two.insert(Debts::TEXT);
        for (debts, within) in [
            (Debts::NONE, true),
            (Debts::ACK, true),
            (Debts::TEXT, false),
            (two, false),
        ] {
            assert_eq!(debts.is_within(Debts::ACK), within, "{debts:?}");
        }
        assert!(two.is_within(two));
    }

    #[test]
    fn bit_sets_print_their_bits() {
        let mut debts = Debts::ACK;
        debts.insert(Debts::RESET);
        assert_eq!(format!("{debts:?}"), "{ACK, RESET}");
        debts.remove(Debts::ACK);
        assert!(!debts.contains(Debts::ACK) && !debts.is_empty());
    }
}
