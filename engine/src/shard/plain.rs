//! The short way of a connection: plain text that comes in, and plain text that goes out, each with one look at its record.
//!
//! TCP says what is plain (`engine/tcp/src/plain.rs` and `segment_arrives/plain.rs`); here stands what the engine has to know besides: that
//! record, port and neighbour are the usual ones. Whatever is not goes the way of all others, which would do the same.

use std::ops::Range;

use fourtuple_nic::{Queue, RxBuf, TxChecksum, TxFrame};
use fourtuple_tcp::{Env, Pools, State};
use fourtuple_wire::{
    ECT_0, EmitChecksum, Instant, IpFields, Packet, STAMPED_HEADERS_LEN, StampedFields, Sum, TcpHeader,
    TcpPacket, TupleV4, emit_stamped,
};

use super::limits::COPY_UP_TO;
use super::ports::AttachedPort;
use super::profiles::Profiles;
use super::receive::Arrived;
use super::slot_list::SlotList;
use super::work::Work;
use crate::buffer::{PortBuffers, RxChunk};
use crate::conn_id::SlotRef;
use crate::port_number::PortNumber;
use crate::records::{Conn, Rare};
use crate::stats::Counters;

impl<Q: Queue> Work<Q> {
    /// Plain text for the connection at the hint, as nearly all segments are, is taken: its record is looked at once. What has a
    /// record here is this worker's.
    ///
    /// # Errors
    /// The frame, and nothing has changed, when it is something else.
    #[inline(always)]
    pub(super) fn plain_segment(
        &mut self,
        arrived: &Arrived,
        packet: &Packet,
        segment: &TcpPacket,
        frame: Q::Rx,
    ) -> Result<(), Q::Rx> {
        let Some((slot, conn)) = self.records.hinted_conn_mut(arrived.hint, &segment.tuple) else {
            return Err(frame);
        };
        let Some(profile) = self.profiles.get(conn.profile) else {
            return Err(frame);
        };
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let attached = &mut self.ports[arrived.port];
        // RFC 1122 §3.3.4.2, the strong model: the record's address lives on that port. It was admitted when the record was made.
        let ours = conn.port == arrived.port && packet.ether_destination == attached.host.addresses.mac();
        let len = u32::from(segment.payload.len);
        let plain = ours
            && attached.shortage.share.is_none()
            && !segment.is_marked()
            && segment.header.options.fast_open.is_none()
            && conn.tcb.expects_plain(&segment.header, len, frame.space(), &env);
        if !plain {
            let may_end = ours && len == 0 && segment.header.options.fast_open.is_none();
            if may_end && conn.tcb.expects_plain_end(&segment.header, &env) {
                self.plain_end(slot, arrived.hash, segment);
                return Ok(());
            }
            return Err(frame);
        }
        let text = cut(frame, segment.payload.range());
        let lists = (&mut attached.transmit, &mut self.deliver);
        take_text(slot, conn, &segment.header, text, &mut env, lists);
        self.counters.partial_checksums += u64::from(segment.partial_checksum);
        Ok(())
    }

    /// The same of text that is read where it lies, as nearly all is.
    ///
    /// # Errors
    /// The frame, and nothing has changed, when it is something else.
    // By itself: in the loop over a burst its values would not fit into registers.
    #[inline(never)]
    pub(super) fn plain_text_arrives(&mut self, arrived: &Arrived, frame: Q::Rx) -> Result<(), Q::Rx> {
        let Some(text) = arrived.text(&frame) else {
            return Err(frame);
        };
        let Some((slot, conn)) = self.records.hinted_conn_v4_mut(arrived.hint, &text.tuple()) else {
            return Err(frame);
        };
        let Some(profile) = self.profiles.get(conn.profile) else {
            return Err(frame);
        };
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let attached = &mut self.ports[arrived.port];
        let (header, range) = (text.header(), text.text());
        // RFC 1122 §3.3.4.2, as above.
        let plain = conn.port == arrived.port
            && text.ether_destination() == attached.host.addresses.mac()
            && attached.shortage.share.is_none()
            && !text.is_marked()
            && conn
                .tcb
                .expects_plain(&header, range.len() as u32, frame.space(), &env);
        if !plain {
            return Err(frame);
        }
        let text = cut(frame, range);
        let lists = (&mut attached.transmit, &mut self.deliver);
        take_text(slot, conn, &header, text, &mut env, lists);
        Ok(())
    }

    /// The peer's FIN, or the ACK of ours, as TCP expects it: taken, and its owner is to be told. With the last ACK the four-tuple is free,
    /// as `unlist_if_closed` has it: its hash is at hand here, and the table's line.
    #[inline(never)]
    fn plain_end(&mut self, slot: SlotRef, hash: u64, segment: &TcpPacket) {
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        let Some(profile) = self.profiles.get(conn.profile) else {
            return;
        };
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let before = conn.tcb.state();
        let arrival = conn.tcb.take_plain_end(&segment.header, &mut env);
        let after = conn.tcb.state();
        if conn.tcb.owes() && !std::mem::replace(&mut conn.flags.transmit, true) {
            self.ports[conn.port].transmit.push_back(slot);
        }
        if conn.tcb.is_closed() && !conn.flags.rare.note(Rare::UNLISTED) {
            self.records.table.remove(hash, slot);
        }
        self.counters.partial_checksums += u64::from(segment.partial_checksum);
        self.state_moved(slot, before, after);
        // In hand again in `deliver`, and armed then.
        self.tell(slot, arrival.signals, arrival.ended);
    }

    /// A debtor of IPv4 is [paid plainly](pay). `None`, and nothing has changed, when that can't be.
    #[inline(never)]
    pub(super) fn pay_plainly(&mut self, slot: SlotRef, port: PortNumber) -> Option<()> {
        let (conn, tuple) = self.records.conn_v4_mut(slot)?;
        if conn.port != port || !conn.flags.transmit {
            return None;
        }
        let means = Means {
            now: self.now,
            profiles: &self.profiles,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        pay(conn, tuple, &mut self.ports[port], means)?;
        conn.flags.transmit = false;
        if !conn.is_armed_in_time() {
            self.arm(slot);
        }
        Some(())
    }

    /// A handler was called because bytes had come. When it has read all of them, and the connection is as open as before, that is put
    /// down: what it owes is [paid](pay) at once, while all of it is at hand, or else by `transmit`. `false`: more is to be seen to.
    #[inline(never)]
    pub(super) fn settle_plainly(&mut self, slot: SlotRef) -> bool {
        if !slot.is_tcb_v4() {
            return self.settle(slot);
        }
        let Some((conn, tuple)) = self.records.conn_v4_mut(slot) else {
            return false;
        };
        if conn.tcb.has_unread() || conn.tcb.state() != State::Established {
            return false;
        }
        if conn.flags.transmit {
            return true;
        }
        if conn.tcb.owes() {
            let attached = &mut self.ports[conn.port];
            let means = Means {
                now: self.now,
                profiles: &self.profiles,
                pools: &mut self.pools,
                counters: &mut self.counters,
            };
            let others_first = attached.is_backed_up() || attached.lacks_frames;
            if others_first || pay(conn, tuple, attached, means).is_none() {
                return self.settle(slot);
            }
        }
        if !conn.is_armed_in_time() {
            self.arm(slot);
        }
        true
    }

    /// The same without paying.
    #[inline(never)]
    fn settle(&mut self, slot: SlotRef) -> bool {
        let open = |conn: &Conn<Q>| !conn.tcb.has_unread() && conn.tcb.state() == State::Established;
        if !self.records.conn(slot).is_some_and(open) {
            return false;
        }
        if !self.note_debt(slot) {
            self.arm(slot);
        }
        true
    }
}

/// What it takes to pay, while a record is in hand.
struct Means<'a, Q: Queue> {
    now: Instant,
    profiles: &'a Profiles,
    pools: &'a mut Pools<PortBuffers<Q>>,
    counters: &'a mut Counters,
}

/// A connection whose whole debt is one small segment of plain text, to a station that is known: the frame is written in a straight line.
/// `None`, and nothing has changed, when it is not so.
#[inline(always)]
fn pay<Q: Queue>(
    conn: &mut Conn<Q>,
    tuple: &TupleV4,
    attached: &mut AttachedPort<Q>,
    means: Means<'_, Q>,
) -> Option<()> {
    let Means {
        now,
        profiles,
        pools,
        counters,
    } = means;
    let profile = profiles.get(conn.profile)?;
    let text = conn.tcb.plain_text(profile)?;
    if text.len() > COPY_UP_TO || attached.host.vlan().is_some() {
        return None;
    }
    let ether = attached.neighbours.ether(conn.hop?, now)?;
    let mut frame = attached.queue.tx_frame()?;
    let (headers, room) = frame
        .append(STAMPED_HEADERS_LEN + text.len())?
        .split_first_chunk_mut::<STAMPED_HEADERS_LEN>()?;
    let checksum = if attached.queue.promises().tx_checksum {
        room.copy_from_slice(text);
        EmitChecksum::Hardware
    } else {
        EmitChecksum::Software(Sum::of_copy(text, room))
    };
    let len = text.len();
    let segment = conn.tcb.send_plain(&mut Env {
        now,
        profile,
        pools,
        counters: &mut counters.tcp,
    });
    // RFC 9293 §3.9.1.1, MUST-45, and §3.9.1.9, SHLD-22, as in `next_segment`.
    let ip = IpFields {
        ttl: profile.ttl,
        traffic_class: (profile.dscp << 2) | if segment.ect { ECT_0 } else { 0 },
        identification: 0,
    };
    let link = attached.host.link_to(ether);
    let fields = StampedFields {
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        urgent: 0,
        timestamps: segment.timestamps,
    };
    emit_stamped(headers, &link, tuple, &ip, &fields, len, checksum);
    if matches!(checksum, EmitChecksum::Hardware) {
        frame.request_checksum(TxChecksum {
            l2_len: 14,
            l3_len: 20,
            ipv6: false,
        });
    }
    counters.tx_copied_bytes += len as u64;
    counters.tx_packets += 1;
    counters.tx_bytes += (STAMPED_HEADERS_LEN + len) as u64;
    attached.tx.push(frame);
    Some(())
}

/// What lies there of a frame.
#[inline(always)]
fn cut<R: RxBuf>(mut frame: R, range: Range<usize>) -> RxChunk<R> {
    frame.truncate(range.end);
    frame.trim_front(range.start);
    RxChunk(frame)
}

/// Plain text is taken; the connection stands on the lists then of those that owe something, and that are to be told.
#[inline(always)]
fn take_text<Q: Queue>(
    slot: SlotRef,
    conn: &mut Conn<Q>,
    header: &TcpHeader,
    text: RxChunk<Q::Rx>,
    env: &mut Env<'_, PortBuffers<Q>>,
    (transmit, deliver): (&mut SlotList, &mut SlotList),
) {
    let signals = conn.tcb.take_plain(header, text, env);
    conn.signals.insert(signals);
    if conn.tcb.owes() && !std::mem::replace(&mut conn.flags.transmit, true) {
        transmit.push_back(slot);
    }
    // In hand again in `deliver`, and armed then.
    if !std::mem::replace(&mut conn.flags.deliver, true) {
        deliver.push_back(slot);
    }
}
