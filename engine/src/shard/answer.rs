//! Stateless answers: RST, ACK of a TIME_WAIT record, ARP, neighbour discovery, ICMP.
//!
//! They need a transmit slot at once (D1); without one they are dropped and counted: whoever asked will ask again. An answer
//! goes back to the station that the question came from.

use std::net::IpAddr;

use fourtuple_nic::{Queue, RxBuf, TxFrame};
use fourtuple_wire::{
    DropReason, EmitChecksum, EtherAddr, FourTuple, IpFields, Packet, Sum, TcpFlags, TcpHeader, emit_tcp,
    tcp_frame_header_len,
};

use super::limits::TX_BACKLOG;
use super::work::Work;
use crate::host::Resolution;
use crate::mesh::MeshMessage;

/// Largest frame that the host writes of its own: an echo reply of a full packet, 9000 bytes and their Ethernet header.
const ANSWER_ROOM: usize = 9216;

impl<Q: Queue> Work<Q> {
    /// Sends a bare segment back to where `packet` came from.
    pub(crate) fn answer_segment(&mut self, packet: &Packet, tuple: &FourTuple, header: &TcpHeader) {
        let Some(mut frame) = self.answer_frame() else {
            return;
        };
        let link = self.host.link_to(packet.ether_source);
        let len = tcp_frame_header_len(tuple.family(), link.vlan, &header.options);
        let profile = &self.profiles[0];
        let ip = IpFields {
            ttl: profile.ttl,
            traffic_class: profile.dscp << 2,
            identification: 0,
        };
        let Some(room) = frame.append(len) else {
            self.counters.answers_dropped += 1;
            return;
        };
        emit_tcp(
            room,
            &link,
            tuple,
            &ip,
            header,
            0,
            EmitChecksum::Software(Sum::default()),
        );
        if header.flags.contains(TcpFlags::RST) {
            self.counters.resets_sent += 1;
        }
        self.put(frame);
    }

    /// ARP, neighbour discovery, ICMP, UDP: what is not TCP. Worker 0 only, but for ICMP errors about a
    /// connection, which are its owner's (D8).
    pub(crate) fn answer_for_host(&mut self, packet: &Packet, frame: &Q::Rx) -> Result<(), DropReason> {
        let mut room = [0u8; ANSWER_ROOM];
        let answer = self.host.answer(packet, frame.bytes(), self.now, &mut room);
        if let Some(len) = answer.reply_len {
            self.send_bytes(&room[..len]);
            answer.count_reply(packet, &mut self.counters);
        }
        if let Some(learned) = answer.learned
            && self.neighbours.learn(&learned, self.now)
        {
            self.send_resolved();
            for other in 1..self.workers {
                let _full = self
                    .mesh
                    .try_say(other, MeshMessage::Neighbour(learned.ip, learned.ether));
            }
        }
        match answer.icmp_error {
            Some(error) => self.path_error(&error),
            None => answer.verdict,
        }
    }

    /// Worker 0 learned where a neighbour is.
    pub(crate) fn learn_neighbour(&mut self, ip: IpAddr, ether: EtherAddr) {
        self.neighbours.replicate(ip, ether, self.now);
        self.send_resolved();
    }

    /// Frames whose next hop became known leave.
    fn send_resolved(&mut self) {
        while let Some((ether, mut frame)) = self.neighbours.poll_ready() {
            // The destination is the first field of an Ethernet header.
            if let Some(place) = frame.linear_mut().get_mut(..6) {
                place.copy_from_slice(&ether);
            }
            self.put(frame);
        }
    }

    /// Another worker waits for a neighbour: tell it, or find out.
    pub(crate) fn resolve_for(&mut self, worker: u16, ip: IpAddr) {
        if let Resolution::Known(ether, _) = self.neighbours.resolve(ip, self.now) {
            let _full = self.mesh.try_say(worker, MeshMessage::Neighbour(ip, ether));
        }
    }

    /// Solicitations and announcements as time goes on. Worker 0 asks the link, the others ask worker 0.
    pub(crate) fn poll_host(&mut self) {
        let now = self.now;
        if self.neighbours.next_deadline() > now && (self.worker != 0 || self.host.next_announcement() > now)
        {
            return;
        }
        let mut room = [0u8; ANSWER_ROOM];
        while let Some(solicit) = self.neighbours.poll(now) {
            self.busy = true;
            if self.worker != 0 {
                let _full = self.mesh.try_say(0, MeshMessage::Resolve(solicit.ip));
            } else if let Some(len) = self.host.build_solicit(&solicit, &mut room) {
                self.send_bytes(&room[..len]);
            }
        }
        while self.worker == 0
            && let Some(len) = self.host.poll_announcement(now, &mut room)
        {
            self.busy = true;
            self.send_bytes(&room[..len]);
        }
        self.counters.unresolved_frames = self.neighbours.counts().unresolved_frames;
    }

    /// Sends a frame that is written already.
    fn send_bytes(&mut self, bytes: &[u8]) {
        let Some(mut frame) = self.answer_frame() else {
            return;
        };
        match frame.append(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.put(frame);
            }
            None => self.counters.answers_dropped += 1,
        }
    }

    /// A frame for a stateless answer, if there is a slot for it now.
    fn answer_frame(&mut self) -> Option<Q::Tx> {
        let frame = if self.tx.len() < TX_BACKLOG {
            self.queue.tx_frame()
        } else {
            None
        };
        if frame.is_none() {
            self.counters.answers_dropped += 1;
        }
        frame
    }
}
