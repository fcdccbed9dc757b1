//! Debts are paid: connections that owe an ACK, data or a FIN get their frames now, while there are slots (D1).
//!
//! A frame is made fresh for each transmission: headers and small payload in its linear part, large payload attached (D3). What
//! finds no frame or no slot stays owed for the next turn.

use std::net::IpAddr;

use fourtuple_nic::{Queue, TxChecksum, TxFrame};
use fourtuple_tcp::{Env, Outgoing, Pools, State, Tcb};
use fourtuple_wire::{
    ECT_0, EmitChecksum, EtherAddr, Family, FourTuple, HeaderTemplate, IpFields, Link, Payload,
    SYN_HEADERS_LEN, Sum, SynOptions, TcpFlags, TcpHeader, TcpOptions, emit_syn, emit_tcp,
    tcp_frame_header_len,
};

use super::fast_open::option_of_syn;
use super::limits::{COPY_UP_TO, SEGMENTS_A_CONNECTION, SEGMENTS_ALONE};
use super::train::{Left, leave};
use super::work::Work;
use crate::buffer::PortBuffers;
use crate::conn_id::{SlotKind, SlotRef};
use crate::host::Resolution;
use crate::port_number::PortNumber;
use crate::records::List;

/// What came of paying one debtor.
enum Paid {
    /// It owes nothing more.
    All,
    /// It still owes: others first.
    Part,
    /// There is no frame or no slot: the rest of the port's list waits for the next turn.
    NoRoom,
}

impl<Q: Queue> Work<Q> {
    /// Pays debts in the order in which they were noted, port by port, and hands the frames over.
    pub(crate) fn transmit(&mut self) {
        for port in self.ports.numbers() {
            self.pay_debtors(port);
        }
    }

    /// What one port can't send is left for its next turn; the others' debtors are paid all the same.
    #[inline]
    fn pay_debtors(&mut self, port: PortNumber) {
        self.ports[port].lacks_frames = false;
        let mut left = self.ports[port].transmit.len();
        while left > 0 {
            left -= 1;
            let attached = &mut self.ports[port];
            if attached.is_backed_up() {
                self.busy |= attached.flush();
                if attached.is_backed_up() {
                    self.counters.tx_deferred += 1;
                    break;
                }
            }
            let Some(slot) = attached.transmit.pop_front() else {
                break;
            };
            if slot.is_tcb_v4() && self.pay_plainly(slot, port).is_some() {
                continue;
            }
            let paid = match slot.kind() {
                SlotKind::Tcb => self.pay_in_full(slot, port),
                SlotKind::Syn => self.pay_half_open(slot, port),
                SlotKind::TimeWait => Paid::All,
            };
            match paid {
                Paid::All => {}
                Paid::Part => self.ports[port].transmit.push_back(slot),
                Paid::NoRoom => {
                    self.counters.tx_deferred += 1;
                    self.ports[port].lacks_frames = true;
                    self.ports[port].transmit.push_front(slot);
                    break;
                }
            }
        }
        self.busy |= self.ports[port].flush();
    }

    /// A frame is ready: it leaves with the next burst that its port takes, in order.
    #[inline]
    pub(crate) fn put(&mut self, port: PortNumber, frame: Q::Tx) {
        self.counters.tx_packets += 1;
        self.counters.tx_bytes += frame.frame_len() as u64;
        self.ports[port].tx.push(frame);
    }

    fn pay_in_full(&mut self, slot: SlotRef, port: PortNumber) -> Paid {
        let Some(tuple) = self.records.tuple(slot) else {
            self.records.came_off(slot, List::Transmit(port));
            return Paid::All;
        };
        let Some(conn) = self.records.conn(slot) else {
            return Paid::All;
        };
        if conn.port != port {
            // The place's next user is another port's debtor, and stands on that one's list if it owes.
            self.records.came_off(slot, List::Transmit(port));
            return Paid::All;
        }
        // A place that was used again since it was noted has taken the entry over.
        if !conn.flags.transmit {
            return Paid::All;
        }
        let mut owes = conn.tcb.owes();
        let is_alone = self.ports[port].transmit.is_empty();
        let most = if is_alone {
            SEGMENTS_ALONE
        } else {
            SEGMENTS_A_CONNECTION
        };
        let (mut sent, mut hop) = (0, None);
        let paid = loop {
            if !owes {
                break Paid::All;
            }
            if sent >= most || self.ports[port].is_backed_up() {
                break Paid::Part;
            }
            let Some(frame) = self.ports[port].queue.tx_frame() else {
                break Paid::NoRoom;
            };
            let hop = match hop {
                Some(hop) => hop,
                None => *hop.insert(self.next_hop(slot, port, &tuple)),
            };
            match self.next_segments(slot, port, &tuple, hop, frame, most - sent) {
                Some((more, count)) => (owes, sent) = (more, sent + count),
                None => break Paid::All,
            }
        };
        let Some(conn) = self.records.conn_mut(slot) else {
            return Paid::All;
        };
        let paid = if conn.tcb.owes() { paid } else { Paid::All };
        if matches!(paid, Paid::All) {
            conn.flags.transmit = false;
            if conn.tcb.is_closed() || conn.tcb.state() == State::TimeWait {
                self.note_retire(slot);
            }
        }
        self.arm(slot);
        paid
    }

    /// Builds the next segment of a connection into `frame`, and others behind it where they are alike; of at most `most` tells
    /// whether the connection owes more, and how many went. `None` when it owes nothing.
    #[inline]
    fn next_segments(
        &mut self,
        slot: SlotRef,
        port: PortNumber,
        tuple: &FourTuple,
        hop: NextHop,
        frame: Q::Tx,
        most: usize,
    ) -> Option<(bool, usize)> {
        let conn = self.records.conn_mut(slot)?;
        let profile = self.profiles.get(conn.profile)?;
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let before = conn.tcb.state();
        let outgoing = conn.tcb.poll_transmit(&mut env);
        let after = conn.tcb.state();
        if before != after {
            self.counters.by_state.moved(Some(before), Some(after));
        }
        let mut outgoing = outgoing?;
        if outgoing.header.flags.contains(TcpFlags::SYN) {
            let option = option_of_syn(
                &mut conn.tcb,
                &mut self.fast_open,
                &self.secrets,
                tuple,
                &outgoing,
                self.now,
            );
            outgoing.header.options.fast_open = option;
            self.counters.fast_opens_sent += u64::from(outgoing.payload_len > 0);
        }
        // RFC 9293 §3.9.1.1, MUST-45: both addresses are the four-tuple's, from the first segment to the last. §3.9.1.9, SHLD-22:
        // the code point is what was set.
        let ip = IpFields {
            ttl: profile.ttl,
            traffic_class: (profile.dscp << 2) | if outgoing.ect { ECT_0 } else { 0 },
            identification: 0,
        };
        let attached = &mut self.ports[port];
        let frame_of = FrameOf {
            link: attached.host.link_to(hop.ether()),
            tuple,
            ip,
            hardware: attached.queue.promises().tx_checksum,
        };
        self.counters.resets_sent += u64::from(outgoing.header.flags.contains(TcpFlags::RST));
        let mut left = Left::default();
        let built = frame_of.outgoing(
            frame,
            &outgoing,
            &conn.tcb,
            env.pools,
            &mut attached.queue,
            &mut left,
        );
        match (built, hop) {
            (None, _) => {}
            (Some(frame), NextHop::Known(_)) => {
                left.count(&frame);
                attached.tx.push(frame);
                let cars = conn.tcb.train_behind(&outgoing, (most - 1) as u32, &env);
                if cars > 0 {
                    leave(
                        &mut conn.tcb,
                        attached,
                        &frame_of,
                        outgoing,
                        cars,
                        &mut env,
                        &mut left,
                    );
                }
            }
            (Some(frame), NextHop::Wait(ip)) => {
                // What may not wait is lost as on any link; TCP sends it again.
                let _given_up = attached.neighbours.try_wait(ip, frame);
            }
        }
        let owes = conn.tcb.owes();
        self.counters.tx_packets += left.frames;
        self.counters.tx_bytes += left.bytes;
        self.counters.tx_copied_bytes += left.copied;
        self.counters.tx_deferred += left.deferred;
        Some((owes, 1 + left.cars))
    }

    /// A half-open connection owes a SYN+ACK.
    fn pay_half_open(&mut self, slot: SlotRef, port: PortNumber) -> Paid {
        let Some(tuple) = self.records.tuple(slot) else {
            self.records.came_off(slot, List::Transmit(port));
            return Paid::All;
        };
        let now = self.now;
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return Paid::All;
        };
        if half_open.port != port {
            self.records.came_off(slot, List::Transmit(port));
            return Paid::All;
        }
        if !half_open.transmit {
            return Paid::All;
        }
        let attached = &mut self.ports[port];
        let Some(mut frame) = attached.queue.tx_frame() else {
            return Paid::NoRoom;
        };
        half_open.transmit = false;
        let Some(listener) = self.listeners.at(half_open.listener) else {
            return Paid::All;
        };
        let profile = &self.profiles[listener.profile];
        let mut header = half_open.record.syn_ack(profile, now);
        if half_open.fast_open {
            header.options.fast_open = Some(self.secrets.fast_open_cookie(&tuple, now));
        }
        let frame_of = FrameOf {
            link: attached.host.link_to(half_open.ether_source),
            tuple: &tuple,
            ip: IpFields {
                ttl: profile.ttl,
                traffic_class: profile.dscp << 2,
                identification: 0,
            },
            hardware: attached.queue.promises().tx_checksum,
        };
        if frame_of.syn(&mut frame, &header) {
            self.counters.syn_acks_sent += 1;
            self.put(port, frame);
        }
        Paid::All
    }

    /// RST for a half-open connection, whether its peer has our SYN+ACK (RST at RCV.NXT) or not (RST with an acceptable ACK).
    /// `false`: there is no frame or no slot now. Where there are other ports nobody waits for this one: the RST is dropped.
    pub(crate) fn reset_half_open(&mut self, slot: SlotRef) -> bool {
        let Some(tuple) = self.records.tuple(slot) else {
            return true;
        };
        let now = self.now;
        let Some(half_open) = self.records.half_open_mut(slot) else {
            return true;
        };
        let port = half_open.port;
        let alone = self.ports.len() == 1;
        let attached = &mut self.ports[port];
        if attached.is_backed_up() {
            self.busy |= attached.flush();
        }
        let frame = if attached.is_backed_up() {
            None
        } else {
            attached.queue.tx_frame()
        };
        let Some(mut frame) = frame else {
            self.counters.answers_dropped += u64::from(!alone);
            return !alone;
        };
        let profile = self
            .listeners
            .at(half_open.listener)
            .map_or(0, |listener| listener.profile);
        let profile = &self.profiles[profile];
        let syn_ack = half_open.record.syn_ack(profile, now);
        let reset = TcpHeader {
            seq: syn_ack.seq + 1,
            ack: syn_ack.ack,
            flags: TcpFlags::RST | TcpFlags::ACK,
            window: 0,
            urgent: 0,
            options: TcpOptions::default(),
        };
        let frame_of = FrameOf {
            link: attached.host.link_to(half_open.ether_source),
            tuple: &tuple,
            ip: IpFields {
                ttl: profile.ttl,
                traffic_class: profile.dscp << 2,
                identification: 0,
            },
            hardware: attached.queue.promises().tx_checksum,
        };
        if frame_of.headers(&mut frame, &reset, 0, Sum::default()) {
            self.counters.resets_sent += 1;
            self.put(port, frame);
        }
        true
    }

    /// Where frames of this connection go, by the hop that it keeps or by asking.
    #[inline]
    fn next_hop(&mut self, slot: SlotRef, port: PortNumber, tuple: &FourTuple) -> NextHop {
        let now = self.now;
        let port = &mut self.ports[port];
        if let Some(ether) = self
            .records
            .conn(slot)
            .and_then(|conn| conn.hop)
            .and_then(|hop| port.neighbours.ether(hop, now))
        {
            return NextHop::Known(ether);
        }
        let remote = tuple.remote().ip();
        let Some(next) = port.host.addresses.next_hop(remote) else {
            // No gateway of its family: nothing will resolve, and TCP gives up in its own time.
            return NextHop::Wait(remote);
        };
        match port.neighbours.resolve(next, now) {
            Resolution::Known(ether, hop) => {
                if let Some(conn) = self.records.conn_mut(slot) {
                    conn.hop = Some(hop);
                }
                NextHop::Known(ether)
            }
            Resolution::Pending | Resolution::Failed | Resolution::Full => NextHop::Wait(next),
        }
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug)]
enum NextHop {
    /// To this station.
    Known(EtherAddr),
    /// To whoever has this address, once that is known.
    Wait(IpAddr),
}

impl NextHop {
    /// The station, or a placeholder that is filled in when it is known.
    fn ether(&self) -> EtherAddr {
        match self {
            Self::Known(ether) => *ether,
            Self::Wait(_) => EtherAddr::default(),
        }
    }
}

/// What all frames of a connection have in common.
pub(super) struct FrameOf<'a> {
    link: Link,
    tuple: &'a FourTuple,
    ip: IpFields,
    /// The port fills in checksums.
    hardware: bool,
}

impl FrameOf<'_> {
    /// The frame of a segment, if there is room for it.
    #[inline]
    pub(super) fn outgoing<Q: Queue>(
        &self,
        frame: Q::Tx,
        outgoing: &Outgoing,
        tcb: &Tcb<PortBuffers<Q>>,
        pools: &Pools<PortBuffers<Q>>,
        queue: &mut Q,
        left: &mut Left,
    ) -> Option<Q::Tx> {
        let (mut built, mut copied) = self.segment(frame, outgoing, tcb, pools, COPY_UP_TO);
        if built.is_none()
            && let Some(frame) = queue.tx_frame()
        {
            // More pieces than a frame may have, or no buffers for them: sent again it would fail again.
            (built, copied) = self.segment(frame, outgoing, tcb, pools, usize::MAX);
        }
        left.copied += copied as u64;
        left.deferred += u64::from(built.is_none());
        built
    }

    /// The frame of a segment with its payload, and how many payload bytes were copied, which all are when they are not more
    /// than `copy_up_to`; no frame when there was no room for it.
    fn segment<Q: Queue>(
        &self,
        mut frame: Q::Tx,
        outgoing: &Outgoing,
        tcb: &Tcb<PortBuffers<Q>>,
        pools: &Pools<PortBuffers<Q>>,
        copy_up_to: usize,
    ) -> (Option<Q::Tx>, usize) {
        let len = usize::from(outgoing.payload_len);
        let (mut sum, mut copied) = (Sum::default(), 0);
        if len == 0 {
            let fits = self.headers(&mut frame, &outgoing.header, 0, sum);
            return (fits.then_some(frame), 0);
        }
        // Room for the headers first: their checksum is that of what follows.
        let header_len = self.header_len(&outgoing.header);
        let mut fits = frame.append(header_len).is_some();
        // Where the port would copy it, too, it is summed on the way, and no slice is made.
        let ports_copy = len > copy_up_to && frame.copies(len);
        tcb.each_payload(outgoing, pools, |chunk, range| {
            let bytes = chunk.bytes().get(range.clone()).unwrap_or(&[]);
            fits = fits
                && if ports_copy || len <= copy_up_to {
                    self.copy(&mut frame, bytes, &mut sum)
                } else {
                    if !self.hardware {
                        sum.add(bytes);
                    }
                    frame.attach(&chunk.slice(range).0)
                };
        });
        if len <= copy_up_to {
            copied = len;
        }
        fits = fits && self.write(&mut frame, header_len, &outgoing.header, len, sum);
        if fits { (Some(frame), copied) } else { (None, 0) }
    }

    /// The headers of the segments behind one with these, where they are summed here.
    pub(super) fn template(&self, header: &TcpHeader, payload_len: usize) -> Option<HeaderTemplate> {
        let (link, ip) = (&self.link, &self.ip);
        (!self.hardware)
            .then(|| HeaderTemplate::new(link, self.tuple, ip, header, payload_len))
            .flatten()
    }

    /// Copies payload behind what is there, and sums it where the port does not; whether there was room.
    #[inline]
    fn copy(&self, frame: &mut impl TxFrame, bytes: &[u8], sum: &mut Sum) -> bool {
        match frame.append(bytes.len()) {
            Some(room) if self.hardware => room.copy_from_slice(bytes),
            Some(room) => sum.add_copy(bytes, room),
            None => return false,
        }
        true
    }

    /// Octets of the headers.
    #[inline]
    fn header_len(&self, header: &TcpHeader) -> usize {
        tcp_frame_header_len(self.tuple.family(), self.link.vlan, &header.options)
    }

    /// The same of a SYN+ACK, which nearly always has the same options.
    #[inline]
    fn syn(&self, frame: &mut impl TxFrame, header: &TcpHeader) -> bool {
        let FourTuple::V4(tuple) = self.tuple else {
            return self.headers(frame, header, 0, Sum::default());
        };
        let (None, Some(options)) = (self.link.vlan, SynOptions::of(&header.options)) else {
            return self.headers(frame, header, 0, Sum::default());
        };
        let room = frame.append(SYN_HEADERS_LEN);
        let Some(room) = room.and_then(|room| room.first_chunk_mut()) else {
            return false;
        };
        emit_syn(
            room,
            &self.link,
            tuple,
            &self.ip,
            header,
            &options,
            0,
            self.checksum(Sum::default()),
        );
        self.request_checksum(frame);
        true
    }

    /// How the checksum is made, over payload of this sum.
    #[inline]
    fn checksum(&self, sum: Sum) -> EmitChecksum {
        if self.hardware {
            EmitChecksum::Hardware
        } else {
            EmitChecksum::Software(sum)
        }
    }

    /// Lets the port fill in the checksum, if it does.
    #[inline]
    fn request_checksum(&self, frame: &mut impl TxFrame) {
        if self.hardware {
            frame.request_checksum(TxChecksum {
                l2_len: if self.link.vlan.is_some() { 18 } else { 14 },
                l3_len: if self.tuple.family() == Family::V4 { 20 } else { 40 },
                ipv6: self.tuple.family() == Family::V6,
            });
        }
    }

    /// Appends the headers to an empty frame.
    #[inline]
    fn headers(&self, frame: &mut impl TxFrame, header: &TcpHeader, payload_len: usize, sum: Sum) -> bool {
        let len = self.header_len(header);
        frame.append(len).is_some() && self.write(frame, len, header, payload_len, sum)
    }

    /// Writes the headers into the first `len` octets of a frame.
    #[inline]
    fn write(
        &self,
        frame: &mut impl TxFrame,
        len: usize,
        header: &TcpHeader,
        payload_len: usize,
        sum: Sum,
    ) -> bool {
        let room = frame.linear_mut();
        let written = emit_tcp(
            room,
            &self.link,
            self.tuple,
            &self.ip,
            header,
            payload_len,
            self.checksum(sum),
        );
        if written != len {
            return false;
        }
        self.request_checksum(frame);
        true
    }
}
