//! What a shard keeps of one connection: the record of an open one, with its owner and flags, and that of a half-open one.

use fourtuple_nic::Queue;
use fourtuple_tcp::{Ending, Signals, State, SynRecord, Tcb};
use fourtuple_wire::EtherAddr;

use super::listed::{Left, Listed, Own, kept};
use crate::buffer::PortBuffers;
use crate::handoff::EndpointIndex;
use crate::host::Hop;
use crate::listener::ListenerId;
use crate::port_number::PortNumber;
use crate::slots::Again;
use crate::tick::before;

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody yet: it waits in its listener's accept queue, or its handshake is not done.
    Queue,
    /// The handler on this worker.
    Handler,
    /// An endpoint.
    Endpoint(EndpointIndex),
    /// This endpoint, as soon as it says that it has what the one before knew of it: nobody is told anything until then. Who had it
    /// before stands in [`Conn::token`].
    Moving(EndpointIndex),
    /// Nobody any more: the application let go before TCP was done.
    Orphan,
}

/// A connection: its TCB and what the engine keeps with it.
///
/// What is not the TCB's lies behind it, in one cache line with the key.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Conn<Q: Queue> {
    pub(crate) tcb: Tcb<PortBuffers<Q>>,
    /// Where its next hop stood in the neighbour table when last looked.
    pub(crate) hop: Option<Hop>,
    /// The wheel tick that will look at it, if `flags.armed`.
    pub(crate) armed: u32,
    /// A later entry that still stands in the wheel.
    pub(crate) armed_far: u32,
    /// The endpoint's token of a connect; while it moves, the endpoint that had it. A handler's: when its timer is due, 0 for none.
    pub(crate) token: u32,
    /// What the endpoint's payload was charged and it was not yet told to be free again, acknowledged or not. A handler's: the
    /// place of its timer's entry and one, 0 for none.
    pub(crate) freed: u32,
    pub(crate) owner: Owner,
    pub(crate) listener: Option<ListenerId>,
    /// Index of its interned options.
    pub(crate) profile: u16,
    /// Told by TCP, not yet told to the owner.
    pub(crate) signals: Signals,
    pub(crate) flags: ConnFlags,
    /// Where its local address lives: its frames come and go there.
    pub(crate) port: PortNumber,
    /// How TCP ended, once it has.
    pub(crate) ended: Option<Ending>,
}

/// What a new connection is beside its TCB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewConn {
    pub(crate) owner: Owner,
    pub(crate) listener: Option<ListenerId>,
    pub(crate) port: PortNumber,
    pub(crate) profile: u16,
    pub(crate) token: u32,
}

impl<Q: Queue> Conn<Q> {
    /// A new one, of which nothing was told yet.
    #[inline(always)]
    pub(crate) fn new(new: NewConn, tcb: Tcb<PortBuffers<Q>>) -> Self {
        let NewConn {
            owner,
            listener,
            port,
            profile,
            token,
        } = new;
        Self {
            tcb,
            hop: None,
            armed: 0,
            armed_far: 0,
            token,
            freed: 0,
            owner,
            listener,
            profile,
            signals: Signals::default(),
            flags: ConnFlags::default(),
            port,
            ended: None,
        }
    }

    /// The tick at which its handler's timer is due.
    pub(crate) fn timer(&self) -> Option<u32> {
        (self.token != 0).then_some(self.token)
    }

    pub(crate) fn set_timer(&mut self, due: Option<u32>) {
        self.token = due.map_or(0, |due| due.max(1));
    }

    /// Where the entry of its handler's timer stands.
    pub(crate) fn timer_place(&self) -> Option<usize> {
        (self.freed as usize).checked_sub(1)
    }

    pub(crate) fn set_timer_place(&mut self, place: Option<usize>) {
        self.freed = place.map_or(0, |place| place as u32 + 1);
    }

    /// The wheel looks at it no later than its deadline, as nearly always; else [`tick_to_arm`](Self::tick_to_arm) says what is so.
    #[inline(always)]
    pub(crate) fn is_armed_in_time(&self) -> bool {
        self.flags.armed && !self.tcb.is_due_before(self.armed)
    }

    /// The tick for which the wheel has to be told of its deadline, if it does not look at it by then.
    #[inline]
    pub(crate) fn tick_to_arm(&self, now: u32) -> Option<u32> {
        let tick = self.tcb.deadline_tick(now)?;
        let sooner = !self.flags.armed || before(tick, self.armed);
        sooner.then_some(tick)
    }

    /// Its owner is to be told that bytes came, perhaps that room was freed that a handler did not ask for, and nothing else.
    #[inline]
    pub(crate) fn is_only_readable(&self) -> bool {
        let told = self.signals == Signals::READABLE || self.signals == Signals::READABLE | Signals::WRITABLE;
        told && self.tcb.state() == State::Established
            && self.flags.told_open
            && !self.flags.wants_room
            && self.tcb.has_unread()
    }

    /// The peer's FIN came and everything before it was taken.
    ///
    /// RFC 9293 §3.10.7.4: who was reset is told so, and not of an end that came before: with what lay unread gone, it would take
    /// a part for the whole.
    pub(crate) fn sees_end(&self) -> bool {
        let orderly = matches!(self.ended, None | Some(Ending::Closed | Ending::TimeWait));
        orderly && self.tcb.at_end()
    }
}

/// Which lists a connection stands on, and what was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnFlags {
    pub(crate) transmit: bool,
    pub(crate) deliver: bool,
    pub(crate) retire: bool,
    pub(crate) armed: bool,
    pub(crate) armed_far: bool,
    /// The owner knows of it (`on_open`, `Opened`).
    pub(crate) told_open: bool,
    pub(crate) told_end_of_file: bool,
    /// A send found no room: tell when there is some.
    pub(crate) wants_room: bool,
    /// Its endpoint took no more: it waits, by its name, until that does, and stands on the list of deliveries again then.
    pub(crate) held_up: bool,
    /// It stands on the list of those that found no buffer.
    pub(crate) starved: bool,
    /// Told to the owner, or nobody to tell.
    pub(crate) told_ended: bool,
    /// The owner called close or abort, or is gone.
    pub(crate) let_go: bool,
    /// It is counted among the orphans.
    pub(crate) orphan: bool,
    pub(crate) rare: Rare,
}

/// What is seldom so, in one octet: a record has no room for one each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare(u8);

impl Rare {
    /// The table no longer leads here.
    pub(crate) const UNLISTED: Self = Self(1);
    /// Its application sends received buffers on, which stay until they are acknowledged.
    pub(crate) const SENDS_ON: Self = Self(2);

    /// It is so.
    pub(crate) const fn has(self, which: Self) -> bool {
        self.0 & which.0 != 0
    }

    /// It is so from now on; `true` when it was before.
    pub(crate) const fn note(&mut self, which: Self) -> bool {
        let was = self.has(which);
        self.0 |= which.0;
        was
    }
}

/// A half-open connection of the listening side.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) record: SynRecord,
    pub(crate) listener: ListenerId,
    /// Where the SYN came in.
    pub(crate) port: PortNumber,
    /// It owes a SYN+ACK and stands on the transmit list.
    pub(crate) transmit: bool,
    /// The tick of the wheel's entry that names its place, 0 for none.
    pub(super) entry: u32,
    /// A bit for each other port among whose debtors its place stands.
    pub(super) elsewhere: u8,
    /// The SYN+ACK brings a cookie of TCP Fast Open.
    pub(crate) fast_open: bool,
    /// The station that sent the SYN: the SYN+ACK goes back to it until the neighbour is known.
    pub(crate) ether_source: EtherAddr,
}

impl HalfOpen {
    /// One that owes its SYN+ACK.
    pub(crate) fn new(
        record: SynRecord,
        listener: ListenerId,
        port: PortNumber,
        ether_source: EtherAddr,
        fast_open: bool,
    ) -> Self {
        Self {
            record,
            listener,
            port,
            transmit: true,
            entry: 0,
            elsewhere: 0,
            fast_open,
            ether_source,
        }
    }

    /// The tick of the wheel's entry that names its place, as far as it is remembered.
    pub(crate) fn entry(&self) -> Option<u32> {
        (self.entry != 0).then_some(self.entry)
    }

    /// Remembers it.
    pub(crate) fn set_entry(&mut self, tick: u32) {
        self.entry = kept(tick);
    }

    /// What it leaves to the next of its place.
    pub(super) fn leaves(&self) -> Left {
        let owes = if self.transmit { self.port.bit() } else { 0 };
        Left {
            entry: self.entry,
            listed: Listed {
                lists: 0,
                owes_at: owes | self.elsewhere,
            },
            ..Left::NOTHING
        }
    }

    /// Takes over what was left at its place; `true`: it stands on its port's list of debtors already.
    pub(super) fn take_over(&mut self, mut left: Left) -> bool {
        let taken = left.listed.take_over(self.port);
        (self.entry, self.elsewhere) = (left.entry, left.listed.owes_at);
        taken.owes_at != 0
    }
}

impl<Q: Queue> Conn<Q> {
    /// What it leaves to the next of its place, and when that is used again.
    pub(super) fn leaves(&self, own: Own) -> (Left, Again) {
        let entry = if self.flags.armed_far {
            kept(self.armed_far)
        } else if self.flags.armed {
            kept(self.armed)
        } else {
            0
        };
        let (generation, again) = own.next_generation();
        let left = Left {
            generation,
            entry,
            listed: Listed::of(&self.flags, self.port, own.elsewhere()),
        };
        (left, again)
    }

    /// Takes over what was left at its place; what the place keeps of it.
    pub(super) fn take_over(&mut self, mut left: Left) -> Own {
        if left
            != (Left {
                generation: left.generation,
                ..Left::NOTHING
            })
        {
            left.listed.take_over(self.port).hand_over(&mut self.flags);
            if left.entry != 0 {
                (self.armed_far, self.flags.armed_far) = (left.entry, true);
            }
        }
        Own::new(left.generation, left.listed.owes_at)
    }
}
