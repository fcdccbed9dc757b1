//! What must hold of a shard behind every turn, and of everything when all is over.

use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;
use fourtuple_tcp::{Sequences, State};
use fourtuple_wire::{Family, Instant, SeqNum};

use super::MS;
use super::on_worker::OnWorker;
use crate::ConnId;
use crate::conn_id::{SlotKind, SlotRef};
use crate::records::Owner;
use crate::shard::Shard;

/// What was seen of a shard before.
#[derive(Debug)]
pub(super) struct Watch {
    /// By family and place: the connection that was there.
    seen: Vec<Option<(ConnId, Sequences)>>,
    /// Connections that went, or are in TIME_WAIT, as far as was not told; some more than once.
    pub(super) went: Vec<ConnId>,
    /// Connections of listeners that were not there before, and the number with which our side of each began.
    pub(super) came_in: Vec<(ConnId, SeqNum)>,
    /// Bytes reserved, and places of every list: they never change.
    reserved: Vec<usize>,
    turns: u64,
    /// TIME_WAIT records that went before their time, as far as was told.
    pub(super) evicted: u64,
    /// Time limits that ended something, as far as was told.
    pub(super) limits_met: u64,
}

type WorkerShard = Shard<MemQueue, OnWorker>;

impl Watch {
    pub(super) fn new(shard: &WorkerShard) -> Self {
        let places = shard.work.records.capacity(Family::V4) + shard.work.records.capacity(Family::V6);
        Self {
            seen: vec![None; places as usize],
            went: Vec::new(),
            came_in: Vec::new(),
            reserved: reserved(shard),
            turns: 0,
            evicted: 0,
            limits_met: 0,
        }
    }

    /// Looks at a shard behind its turn, after which it wants the next one at `next`.
    pub(super) fn after_turn(
        &mut self,
        shard: &mut WorkerShard,
        now: Instant,
        next: Instant,
    ) -> Result<(), String> {
        self.turns += 1;
        let whole = self.turns.is_multiple_of(32);
        if !shard.was_busy() && !whole {
            return Ok(());
        }
        verdicts(shard)?;
        let v4 = shard.work.records.capacity(Family::V4);
        let (mut orphans, mut states) = (0, [0u32; 11]);
        for place in 0..self.seen.len() as u32 {
            let slot = if place < v4 {
                SlotRef::new(SlotKind::Tcb, Family::V4, place)
            } else {
                SlotRef::new(SlotKind::Tcb, Family::V6, place - v4)
            };
            let Some(conn) = shard.work.records.conn(slot) else {
                self.went
                    .extend(self.seen[place as usize].take().map(|(id, _)| id));
                continue;
            };
            orphans += u32::from(conn.flags.orphan);
            states[conn.tcb.state() as usize % 11] += 1;
            self.connection(shard, slot, place as usize, now, next)
                .map_err(|what| {
                    let tuple = shard.work.records.tuple(slot);
                    let tuple = tuple.map_or_else(String::new, |tuple| tuple.to_string());
                    let conn = shard.work.records.conn(slot);
                    format!("{tuple}: {what}\n  {conn:?}")
                })?;
        }
        half_open(shard, now, next)?;
        if orphans != shard.work.orphans {
            return Err(format!("{orphans} orphans are counted as {}", shard.work.orphans));
        }
        if states.iter().sum::<u32>() != shard.work.records.connections() {
            return Err("connections are not counted as they are".into());
        }
        if whole && reserved(shard) != self.reserved {
            return Err(format!(
                "memory grew: {:?} was {:?}",
                reserved(shard),
                self.reserved
            ));
        }
        Ok(())
    }

    fn connection(
        &mut self,
        shard: &WorkerShard,
        slot: SlotRef,
        place: usize,
        now: Instant,
        next: Instant,
    ) -> Result<(), String> {
        let work = &shard.work;
        let Some(conn) = work.records.conn(slot) else {
            return Ok(());
        };
        // Long queues are not walked behind every turn.
        if self.turns.is_multiple_of(8) || conn.tcb.pinned() < SHALLOW {
            let taken = conn.tcb.audit(&work.pools)?;
            if conn.owner == Owner::Handler && taken != 0 {
                return Err(format!("{taken} bytes of its window are charged for nothing"));
            }
        } else {
            conn.tcb.audit_spaces()?;
        }
        let name = work.name(slot);
        self.went
            .extend(self.seen[place].map(|(id, _)| id).filter(|id| *id != name));
        if conn.tcb.state() == State::TimeWait {
            self.went.push(name);
        }
        if let Some(now) = conn.tcb.sequences() {
            if let Some((_, before)) = self.seen[place].filter(|(id, _)| *id == name) {
                advances(&before, &now)?;
            } else if conn.listener.is_some() {
                // What it may have sent in its first turn nobody has acknowledged.
                self.came_in.push((name, now.una.back(1)));
            }
            self.seen[place] = Some((name, now));
        }
        if conn.tcb.owes() {
            return if conn.flags.transmit || conn.tcb.state() == State::Closed {
                Ok(())
            } else {
                Err("it owes a segment and stands on no list".into())
            };
        }
        let due = conn.tcb.deadline(now);
        let listed = conn.flags.transmit || conn.flags.deliver || conn.flags.retire || work.sweep.is_some();
        if due != Instant::FAR_FUTURE && !listed && conn.tcb.state() != State::Closed {
            if due.as_nanos() + 2 * MS < now.as_nanos() {
                return Err(format!("its deadline was {:?} ago", now.since(due)));
            }
            if next.as_nanos() > due.as_nanos() + 2 * MS {
                return Err(format!(
                    "its deadline is {:?} before the worker's next turn",
                    next.since(due)
                ));
            }
        }
        Ok(())
    }
}

/// Half-open connections are looked at when they are to be: they would hold their places for ever.
fn half_open(shard: &mut WorkerShard, now: Instant, next: Instant) -> Result<(), String> {
    let records = &mut shard.work.records;
    if records.half_open() == 0 {
        return Ok(());
    }
    for family in [Family::V4, Family::V6] {
        let (_, places) = records.filled(SlotKind::Syn, family);
        for place in 0..places {
            let slot = SlotRef::new(SlotKind::Syn, family, place);
            let Some(half_open) = records.half_open_mut(slot) else {
                continue;
            };
            let due = half_open.record.deadline(now);
            let late = now.max(next).as_nanos() > due.as_nanos() + 2 * MS;
            if late && !half_open.transmit {
                return Err(format!(
                    "half-open at {place}: {due:?} is before the next turn, {next:?}"
                ));
            }
        }
    }
    Ok(())
}

/// RFC 9293 §3.4: what was acknowledged stays so; §3.8.6, SHLD-14: what was offered is not taken back.
fn advances(before: &Sequences, now: &Sequences) -> Result<(), String> {
    let pairs = [
        ("SND.UNA", before.una, now.una),
        ("SND.NXT", before.nxt, now.nxt),
        ("RCV.NXT", before.rcv_nxt, now.rcv_nxt),
        ("the offered window's edge", before.rcv_adv, now.rcv_adv),
    ];
    for (name, before, now) in pairs {
        if now.before(before) {
            return Err(format!("{name} went back from {} to {}", before.0, now.0));
        }
    }
    Ok(())
}

/// Packets in = sum of verdicts.
fn verdicts(shard: &WorkerShard) -> Result<(), String> {
    let counters = &shard.work.counters;
    let verdicts = counters.consumed + counters.steered_out + counters.dropped.sum();
    let came = counters.rx_packets + counters.steered_in;
    if came == verdicts {
        Ok(())
    } else {
        Err(format!("{came} packets came, and {verdicts} verdicts were given"))
    }
}

/// Bytes reserved and places of lists, none of which grows (D6).
fn reserved(shard: &WorkerShard) -> Vec<usize> {
    let work = &shard.work;
    let mut reserved = vec![
        work.records.reserved_bytes() + work.wheel.reserved_bytes() + work.pools.reserved_bytes(),
        work.deliver.capacity(),
        work.retire.capacity(),
        work.held_up.capacity(),
        work.starved.capacity(),
    ];
    for port in work.ports.iter() {
        reserved.push(port.transmit.capacity());
        reserved.push(port.tx.capacity());
    }
    reserved
}

/// Connections and half-open ones that a time limit ended.
pub(super) fn limits_met(shard: &WorkerShard) -> u64 {
    let (counters, tcp) = (&shard.work.counters, &shard.work.counters.tcp);
    counters.timeouts + tcp.fin_wait_2_timeouts + tcp.orphan_timeouts
}

/// What is left in a shard that should be empty; `fresh`: free buffers at the start, received, to send, payload.
pub(super) fn left_over(shard: &mut WorkerShard, fresh: [u32; 3]) -> Result<(), String> {
    verdicts(shard)?;
    let work = &shard.work;
    let in_use = work.pools.in_use();
    let left = [
        ("connections", work.records.connections()),
        ("half-open connections", work.records.half_open()),
        ("TIME_WAIT records", work.records.time_wait()),
        ("entries of the table", work.records.table.len() as u32),
        ("orphans", work.orphans),
        ("send chunks", in_use.send_chunks),
        ("receive chunks", in_use.receive_chunks),
        ("reassembly records", in_use.reassemblies),
        ("flights", in_use.flights),
        ("records of what is aside", in_use.asides),
        (
            "debtors",
            work.ports.iter().map(|port| port.transmit.len() as u32).sum(),
        ),
        ("deliveries", work.deliver.len() as u32),
        ("connections held up", work.held_up.len() as u32),
        (
            "waiting for accepts",
            work.listeners.iter().map(|listener| listener.waiting).sum(),
        ),
        (
            "half-open of listeners",
            work.listeners.iter().map(|listener| listener.half_open).sum(),
        ),
    ];
    for (what, count) in left {
        if count != 0 {
            return Err(format!("{count} {what} are left"));
        }
    }
    let free = free_buffers(shard);
    if free == fresh {
        Ok(())
    } else {
        Err(format!("{free:?} buffers are free of {fresh:?}"))
    }
}

/// Nothing is left that time would end.
pub(super) fn is_empty(shard: &WorkerShard) -> bool {
    let records = &shard.work.records;
    records.connections() == 0 && records.half_open() == 0 && records.time_wait() == 0
}

/// Free buffers of all ports: received, to send, payload.
pub(super) fn free_buffers(shard: &WorkerShard) -> [u32; 3] {
    shard.work.ports.iter().fold([0; 3], |[rx, tx, payload], port| {
        let pool = port.queue.pool();
        [
            rx + pool.rx_free,
            tx + pool.tx_free,
            payload + port.queue.payload_pool().1,
        ]
    })
}

/// Bytes pinned by a connection whose queues are walked behind every turn.
const SHALLOW: u32 = 20_000;
