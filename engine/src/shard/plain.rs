//! The short way of a connection: plain text that comes in, and plain text that goes out, each with one look at its record.
//!
//! TCP says what is plain (`engine/tcp/src/plain.rs` and `segment_arrives/plain.rs`); here stands what the engine has to know besides: that
//! record, port and neighbour are the usual ones. Whatever is not goes the way of all others, which would do the same.

use fourtuple_nic::{Queue, RxBuf, TxChecksum, TxFrame};
use fourtuple_tcp::Env;
use fourtuple_wire::{
    ECT_0, EmitChecksum, IpFields, Packet, STAMPED_HEADERS_LEN, StampedFields, Sum, TcpPacket, emit_stamped,
};

use super::limits::COPY_UP_TO;
use super::receive::Arrived;
use super::work::Work;
use crate::buffer::RxChunk;
use crate::conn_id::SlotRef;
use crate::port_number::PortNumber;
use crate::records::Rare;

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
        let (mut frame, range) = (frame, segment.payload.range());
        frame.truncate(range.end);
        frame.trim_front(range.start);
        let signals = conn.tcb.take_plain(&segment.header, RxChunk(frame), &mut env);
        conn.signals.insert(signals);
        if conn.tcb.owes() && !std::mem::replace(&mut conn.flags.transmit, true) {
            attached.transmit.push_back(slot);
        }
        // In hand again in `deliver`, and armed then.
        if !std::mem::replace(&mut conn.flags.deliver, true) {
            self.deliver.push_back(slot);
        }
        self.counters.partial_checksums += u64::from(segment.partial_checksum);
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

    /// A connection of IPv4 whose whole debt is one small segment of plain text to a station that is known: the record is looked
    /// at once, and the frame is written in a straight line. `None`, and nothing has changed, when it is not so.
    #[inline]
    pub(super) fn pay_plainly(&mut self, slot: SlotRef, port: PortNumber) -> Option<()> {
        let (now, attached) = (self.now, &mut self.ports[port]);
        let (conn, tuple) = self.records.conn_v4_mut(slot)?;
        let profile = self.profiles.get(conn.profile)?;
        let text = conn.tcb.plain_text(profile)?;
        if conn.port != port
            || !conn.flags.transmit
            || text.len() > COPY_UP_TO
            || attached.host.vlan().is_some()
        {
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
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
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
        conn.flags.transmit = false;
        self.counters.tx_copied_bytes += len as u64;
        self.counters.tx_packets += 1;
        self.counters.tx_bytes += (STAMPED_HEADERS_LEN + len) as u64;
        attached.tx.push(frame);
        if !conn.is_armed_in_time() {
            self.arm(slot);
        }
        Some(())
    }
}
