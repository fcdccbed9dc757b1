//! Stateless answers: RST, ACK of a TIME_WAIT record, ARP, neighbour discovery, ICMP.
//!
//! They need a transmit slot at once (D1); without one they are dropped and counted: whoever asked will ask again. An answer
//! goes back to the station that the question came from.

use std::net::IpAddr;

use fourtuple_nic::{Queue, RxBuf, TxFrame};
use fourtuple_wire::{
    DropReason, EmitChecksum, EtherAddr, FourTuple, Instant, IpFields, Packet, Sum, TcpFlags, TcpHeader,
    emit_tcp, tcp_frame_header_len,
};

use super::ports::PortNumber;
use super::work::Work;
use crate::host::{Learned, Origin, Resolution};
use crate::mesh::MeshMessage;

/// Largest frame that the host writes of its own: an echo reply of a full packet, 9000 bytes and their Ethernet header.
const ANSWER_ROOM: usize = 9216;

impl<Q: Queue> Work<Q> {
    /// Sends a bare segment back to where `packet` came from; `false` when there was no slot for it.
    pub(crate) fn answer_segment(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        tuple: &FourTuple,
        header: &TcpHeader,
    ) -> bool {
        let Some(mut frame) = self.answer_frame(port) else {
            return false;
        };
        let link = self.ports[port].host.link_to(packet.ether_source);
        let len = tcp_frame_header_len(tuple.family(), link.vlan, &header.options);
        let profile = &self.profiles[0];
        let ip = IpFields {
            ttl: profile.ttl,
            traffic_class: profile.dscp << 2,
            identification: 0,
        };
        let Some(room) = frame.append(len) else {
            self.counters.answers_dropped += 1;
            return false;
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
        self.put(port, frame);
        true
    }

    /// ARP, neighbour discovery, ICMP, UDP: what is not TCP. Worker 0 only, but for ICMP errors about a
    /// connection, which are its owner's (D8).
    pub(crate) fn answer_for_host(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        frame: &Q::Rx,
    ) -> Result<(), DropReason> {
        let mut room = [0u8; ANSWER_ROOM];
        let host = &mut self.ports[port].host;
        let answer = host.answer(packet, frame.bytes(), self.now, &mut room);
        if let Some(len) = answer.reply_len {
            self.send_bytes(port, &room[..len]);
            answer.count_reply(packet, &mut self.counters);
        }
        if let Some(learned) = answer.learned
            && self.ports[port].neighbours.learn(&learned, self.now)
        {
            self.send_resolved(port);
            for other in 1..self.workers {
                let _full = self
                    .mesh
                    .try_say(other, MeshMessage::Neighbour(port, learned.ip, learned.ether));
            }
        }
        match answer.icmp_error {
            Some(error) => self.path_error(&error),
            None => answer.verdict,
        }
    }

    /// Worker 0 learned where a neighbour is.
    pub(crate) fn learn_neighbour(&mut self, port: PortNumber, ip: IpAddr, ether: EtherAddr) {
        self.ports[port].neighbours.replicate(ip, ether, self.now);
        self.send_resolved(port);
    }

    /// A handshake is done: our SYN+ACK went to this station, and what it asked for came from there. So the station is known
    /// as one that asked for us by name is, and the first flight waits for no answer of the link.
    pub(crate) fn learn_from_handshake(&mut self, port: PortNumber, remote: IpAddr, ether: EtherAddr) {
        let now = self.now;
        let attached = &mut self.ports[port];
        if attached.host.addresses.next_hop(remote) != Some(remote) {
            return;
        }
        let learned = Learned {
            ip: remote,
            ether,
            origin: Origin::Request,
        };
        if attached.neighbours.learn(&learned, now) {
            self.send_resolved(port);
        }
    }

    /// Frames whose next hop became known leave.
    fn send_resolved(&mut self, port: PortNumber) {
        while let Some((ether, mut frame)) = self.ports[port].neighbours.poll_ready() {
            // The destination is the first field of an Ethernet header.
            if let Some(place) = frame.linear_mut().get_mut(..6) {
                place.copy_from_slice(&ether);
            }
            self.put(port, frame);
        }
    }

    /// Another worker waits for a neighbour: tell it, or find out.
    pub(crate) fn resolve_for(&mut self, worker: u16, port: PortNumber, ip: IpAddr) {
        if let Resolution::Known(ether, _) = self.ports[port].neighbours.resolve(ip, self.now) {
            let _full = self.mesh.try_say(worker, MeshMessage::Neighbour(port, ip, ether));
        }
    }

    /// Solicitations and announcements as time goes on. Worker 0 asks the link, the others ask worker 0.
    pub(crate) fn poll_host(&mut self) {
        for port in self.ports.numbers() {
            if self.host_deadline(port) <= self.now {
                self.poll_host_on(port);
            }
        }
    }

    /// When the link of a port is to be asked or told something.
    pub(crate) fn host_deadline(&self, port: PortNumber) -> Instant {
        let port = &self.ports[port];
        let deadline = port.neighbours.next_deadline();
        if self.worker == 0 {
            deadline.min(port.host.next_announcement())
        } else {
            deadline
        }
    }

    fn poll_host_on(&mut self, port: PortNumber) {
        let now = self.now;
        let mut room = [0u8; ANSWER_ROOM];
        while let Some(solicit) = self.ports[port].neighbours.poll(now) {
            self.busy = true;
            if self.worker != 0 {
                let _full = self.mesh.try_say(0, MeshMessage::Resolve(port, solicit.ip));
            } else if let Some(len) = self.ports[port].host.build_solicit(&solicit, &mut room) {
                self.send_bytes(port, &room[..len]);
            }
        }
        while self.worker == 0
            && let Some(len) = self.ports[port].host.poll_announcement(now, &mut room)
        {
            self.busy = true;
            self.send_bytes(port, &room[..len]);
        }
        let counts = self.ports.iter().map(|port| port.neighbours.counts());
        self.counters.unresolved_frames = counts.map(|counts| counts.unresolved_frames).sum();
    }

    /// Sends a frame that is written already.
    fn send_bytes(&mut self, port: PortNumber, bytes: &[u8]) {
        let Some(mut frame) = self.answer_frame(port) else {
            return;
        };
        match frame.append(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.put(port, frame);
            }
            None => self.counters.answers_dropped += 1,
        }
    }

    /// A frame for a stateless answer, if there is a slot for it now.
    fn answer_frame(&mut self, port: PortNumber) -> Option<Q::Tx> {
        let port = &mut self.ports[port];
        let frame = if port.is_backed_up() {
            None
        } else {
            port.queue.tx_frame()
        };
        if frame.is_none() {
            self.counters.answers_dropped += 1;
        }
        frame
    }
}
