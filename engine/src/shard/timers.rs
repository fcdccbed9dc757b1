//! Deadlines: what the wheel brings up, TIME_WAIT records that are over, and the sweep while the wheel is full.

use fourtuple_nic::Queue;
use fourtuple_tcp::SynDeadline;
use fourtuple_wire::{Family, Instant};

use super::limits::{SWEEP_BUDGET, TIMER_BUDGET};
use super::ports::AttachedPort;
use super::work::Work;
use crate::conn_id::{SlotKind, SlotRef};
use crate::tick::{before, tick_at_or_after, tick_of};

/// Records that are asked for before their turn: four lines each, and a core fetches some twenty at a time.
const LOOK_AHEAD: usize = 6;

impl<Q: Queue> Work<Q> {
    /// Everything that is due, within a budget; the rest is due next turn.
    pub(crate) fn timers(&mut self, due: &mut Vec<u32>) {
        self.wheel.advance(tick_of(self.now), TIMER_BUDGET, due);
        // More may be due: not to be put off by a rest.
        self.busy |= due.len() >= TIMER_BUDGET;
        // Most of these have not been looked at for long: of very many connections, none is in the cache.
        let mut ahead = due.iter().map(|raw| SlotRef::from_u32(*raw));
        ahead
            .by_ref()
            .take(LOOK_AHEAD)
            .for_each(|slot| self.records.prefetch(slot));
        for slot in due.iter().map(|raw| SlotRef::from_u32(*raw)) {
            if let Some(slot) = ahead.next() {
                self.records.prefetch(slot);
            }
            match slot.kind() {
                SlotKind::Tcb => self.connection_due(slot),
                SlotKind::Syn => self.half_open_due(slot),
                SlotKind::TimeWait => {}
            }
        }
        due.clear();
        self.time_waits_due();
        if self.sweep.is_some() {
            self.busy = true;
            self.sweep_connections();
        }
        self.poll_host();
        self.expire_fragments();
    }

    /// The wheel came to an entry of this connection, or to one of an earlier user of its place.
    fn connection_due(&mut self, slot: SlotRef) {
        let tick = tick_of(self.now);
        let Some(conn) = self.records.conn_mut(slot) else {
            self.records.entry_came_up(slot, tick);
            return;
        };
        if conn.flags.armed_far && !before(tick, conn.armed_far) {
            conn.flags.armed_far = false;
        }
        if conn.flags.armed && before(tick, conn.armed) {
            // An entry that a nearer one had replaced: its time is past, the one that counts still stands.
            return;
        }
        conn.flags.armed = false;
        if conn.tcb.deadline(self.now) > self.now {
            self.arm(slot);
            return;
        }
        self.busy = true;
        let Some(arrival) = self.with_tcb(slot, |tcb, env| tcb.on_deadline(env)) else {
            return;
        };
        self.tell(slot, arrival.signals, arrival.ended);
    }

    fn half_open_due(&mut self, slot: SlotRef) {
        let now = self.now;
        self.records.entry_came_up(slot, tick_of(now));
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return;
        };
        let Some(listener) = self.listeners.at(half_open.listener) else {
            self.end_half_open(slot);
            return;
        };
        let profile = &self.profiles[listener.profile];
        match half_open.record.on_deadline(profile, now) {
            SynDeadline::Retransmit => {
                self.busy = true;
                if !std::mem::replace(&mut half_open.transmit, true) {
                    self.ports[half_open.port].transmit.push_back(slot);
                }
                self.arm_half_open_again(slot);
            }
            SynDeadline::GiveUp => {
                self.busy = true;
                self.counters.timeouts += 1;
                self.end_half_open(slot);
            }
            SynDeadline::NotYet => self.arm_half_open_again(slot),
        }
    }

    fn arm_half_open_again(&mut self, slot: SlotRef) {
        self.counters.listen_drops += u64::from(!self.arm_half_open(slot));
    }

    /// Lets the wheel look at a half-open connection at its deadline; `false` when it can't, and the connection is gone.
    pub(crate) fn arm_half_open(&mut self, slot: SlotRef) -> bool {
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return false;
        };
        let tick = tick_at_or_after(half_open.record.deadline(self.now));
        if half_open.entry().is_some_and(|at| !before(tick, at)) {
            // One that stands there already, perhaps of an earlier user of the place, will do.
            return true;
        }
        let Some(looked_at) = self.wheel.arm(slot.as_u32(), tick) else {
            // Without a deadline it would stay for ever: the client will ask again.
            self.end_half_open(slot);
            return false;
        };
        half_open.set_entry(looked_at);
        true
    }

    fn time_waits_due(&mut self) {
        for _ in 0..TIMER_BUDGET {
            if !self.records.end_due_time_wait(self.now) {
                return;
            }
            self.busy = true;
        }
    }

    /// The wheel's pool was exhausted: look at connections one after the other until all are armed.
    fn sweep_connections(&mut self) {
        let Some(from) = self.sweep else {
            return;
        };
        let v4 = self.records.capacity(Family::V4);
        let all = v4 + self.records.capacity(Family::V6);
        let until = (from + SWEEP_BUDGET).min(all);
        self.sweep = if until >= all { None } else { Some(until) };
        for place in from..until {
            let slot = if place < v4 {
                SlotRef::new(SlotKind::Tcb, Family::V4, place)
            } else {
                SlotRef::new(SlotKind::Tcb, Family::V6, place - v4)
            };
            if self.records.conn(slot).is_some_and(|conn| !conn.flags.armed) {
                self.connection_due(slot);
            }
        }
    }

    /// Frames wait to be built or to be taken by a port, or a scan goes on that may bring some.
    pub(crate) fn has_unsent(&self) -> bool {
        self.ports.iter().any(AttachedPort::has_unsent) || !self.scans.is_empty()
    }

    /// When the shard has something to do, if nothing arrives before.
    pub(crate) fn next_deadline(&self) -> Instant {
        let more = !self.deliver.is_empty() || !self.retire.is_empty() || self.retry > 0;
        if more || self.sweep.is_some() || self.has_unsent() {
            return self.now;
        }
        let mut next = Instant::FAR_FUTURE;
        for port in self.ports.numbers() {
            next = next.min(self.host_deadline(port));
        }
        if let Some(tick) = self.wheel.next_tick() {
            let ahead = tick.wrapping_sub(tick_of(self.now)) as i32;
            next = next.min(Instant::from_millis(
                self.now.as_millis() + u64::from(ahead.max(0) as u32),
            ));
        }
        next = next.min(
            self.records
                .next_time_wait(self.now)
                .unwrap_or(Instant::FAR_FUTURE),
        );
        next = next.min(self.pieces.reassembler.next_deadline());
        if !self.starved.is_empty() {
            next = next.min(self.starved_until);
        }
        if let Some(tick) = self.alarms.next() {
            let ahead = tick.wrapping_sub(tick_of(self.now)) as i32;
            next = next.min(Instant::from_millis(
                self.now.as_millis() + u64::from(ahead.max(0) as u32),
            ));
        }
        next.min(self.wake_at.unwrap_or(Instant::FAR_FUTURE))
    }
}
