//! Stateless answers: RST, ACK of a TIME_WAIT record, ARP, neighbour discovery, ICMP.
//!
//! They need a transmit slot at once (D1); without one they are dropped and counted: whoever asked will ask again. An answer
//! goes back to the station that the question came from.

use std::net::IpAddr;

use fourtuple_nic::{Queue, RxBuf, TxFrame};
use fourtuple_wire::{
    ChecksumCheck, DropReason, EmitChecksum, Ends, EtherAddr, Expect, FourTuple, Instant, IpFields, Packet,
    Refusal, Sum, TcpFlags, TcpHeader, emit_tcp, objection, tcp_frame_header_len,
};

use super::work::Work;
use crate::host::{Hop, Learned, Origin, Refused, Resolution, Solicit, may_ask_for_an_error};
use crate::mesh::MeshMessage;
use crate::port_number::PortNumber;

/// Largest frame that the host writes of its own: an echo reply of a full packet, 9000 bytes and their Ethernet header.
const ANSWER_ROOM: usize = 9216;

/// Largest ICMP error: 1280 octets behind an Ethernet header with its tag.
const ERROR_ROOM: usize = 1280 + 18;

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
        self.answer_into(port, packet, frame.bytes(), &mut [0; ANSWER_ROOM])
    }

    /// The same for a packet that was parsed from `bytes`; the answer is written into `room`.
    pub(super) fn answer_into(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        bytes: &[u8],
        room: &mut [u8],
    ) -> Result<(), DropReason> {
        let host = &mut self.ports[port].host;
        let answer = host.answer(packet, bytes, self.now, room);
        if let Some(len) = answer.reply_len {
            self.send_whole(port, &room[..len]);
            answer.count_reply(packet, &mut self.counters);
        }
        if let Some(learned) = answer.learned
            && self.ports[port].neighbours.learn(&learned, self.now)
        {
            self.send_resolved(port);
            self.tell_of_neighbour(port, &learned);
        }
        match answer.icmp_error {
            Some(error) => self.path_error(&error),
            None => answer.verdict,
        }
    }

    /// Tells the other workers where a neighbour is that somebody here speaks to.
    fn tell_of_neighbour(&mut self, port: PortNumber, learned: &Learned) {
        if self.ports[port].neighbours.is_wanted(learned.ip) {
            for other in 1..self.workers {
                let _full = self
                    .mesh
                    .try_say(other, MeshMessage::Neighbour(port, learned.ip, learned.ether));
            }
        }
    }

    /// Worker 0 learned where a neighbour is; or worker 0 hears with whom another worker shook hands, and says where it knows it.
    pub(crate) fn learn_neighbour(&mut self, from: u16, port: PortNumber, ip: IpAddr, ether: EtherAddr) {
        let neighbours = &mut self.ports[port].neighbours;
        if self.worker == 0 {
            let learned = Learned {
                ip,
                ether,
                origin: Origin::Request,
            };
            if neighbours.learn(&learned, self.now) {
                self.tell_of_neighbour(port, &learned);
            }
            self.resolve_for(from, port, &Solicit::to_all(ip));
        } else {
            neighbours.replicate(ip, ether, self.now);
        }
        self.send_resolved(port);
    }

    /// A handshake is done: our SYN+ACK went to this station, and what it asked for came from there. So the station is known
    /// as one that asked for us by name is, and the first flight waits for no answer of the link. Tells where the connection's next hop stands in the table.
    pub(crate) fn learn_from_handshake(
        &mut self,
        port: PortNumber,
        remote: IpAddr,
        ether: EtherAddr,
    ) -> Option<Hop> {
        let now = self.now;
        let attached = &mut self.ports[port];
        // Who stands there was found to be on the link when it was entered.
        if let Some(hop) = attached.neighbours.confirm_recent(remote, ether, now) {
            return Some(hop);
        }
        let next = attached.host.addresses.next_hop(remote)?;
        if next != remote {
            return attached.neighbours.hop_of(next);
        }
        let learned = Learned {
            ip: remote,
            ether,
            origin: Origin::Request,
        };
        if attached.neighbours.learn(&learned, now) {
            self.send_resolved(port);
            // Worker 0 may know better, and it keeps who is spoken to from strangers; what it learns itself others may wait for.
            if self.worker == 0 {
                self.tell_of_neighbour(port, &learned);
            } else {
                let _full = self.mesh.try_say(0, MeshMessage::Neighbour(port, remote, ether));
            }
        }
        self.ports[port].neighbours.hop_of(remote)
    }

    /// A neighbour is at this station, as if it had asked for us.
    #[cfg(test)]
    pub(crate) fn introduce(&mut self, port: PortNumber, ip: IpAddr, ether: EtherAddr) {
        let learned = Learned {
            ip,
            ether,
            origin: Origin::Request,
        };
        self.ports[port].neighbours.learn(&learned, self.now);
        self.send_resolved(port);
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

    /// Another worker waits for a neighbour, or doubts that it is still at this station: tell it, or find out.
    pub(crate) fn resolve_for(&mut self, worker: u16, port: PortNumber, solicit: &Solicit) {
        let Solicit { ip, station, claimed } = *solicit;
        let neighbours = &mut self.ports[port].neighbours;
        if let Some(ether) = station {
            neighbours.on_word(ip, ether, claimed, self.now);
        }
        if let Resolution::Known(ether, _) = neighbours.resolve(ip, self.now) {
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
                let _full = self.mesh.try_say(0, MeshMessage::Resolve(port, solicit));
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

    /// A frame that could not be read to its end is dropped; its sender is told where it has to be.
    #[cold]
    pub(super) fn object(&mut self, port: PortNumber, reason: DropReason, bytes: &[u8]) {
        if !may_ask_for_an_error(reason) {
            return;
        }
        let vlan = self.ports[port].host.vlan();
        let expect = Expect {
            checksum: ChecksumCheck::Verify,
            vlan,
        };
        if let Some(objection) = objection(bytes, &expect) {
            let ip = objection.ip.of(bytes);
            self.refuse_packet(port, bytes, objection.ends, objection.refusal, ip);
        }
    }

    /// Sends an ICMP error about a packet, part `ip` of a frame, if there is to be one.
    pub(super) fn refuse_packet(
        &mut self,
        port: PortNumber,
        frame: &[u8],
        ends: Ends<IpAddr>,
        refusal: Refusal,
        ip: &[u8],
    ) {
        let (Some(destination), Some(source)) = (
            frame.first_chunk::<6>(),
            frame.get(6..).and_then(<[u8]>::first_chunk::<6>),
        ) else {
            return;
        };
        let refused = Refused {
            ether: Ends {
                source: *source,
                destination: *destination,
            },
            ends,
            refusal,
            ip,
        };
        let mut room = [0; ERROR_ROOM];
        let host = &mut self.ports[port].host;
        if let Some(len) = host.build_refusal(&refused, self.now, &mut room)
            && self.send_bytes(port, &room[..len])
        {
            self.counters.icmp_errors_sent += 1;
        }
    }

    /// Sends a frame that is written already, in fragments if the link asks for it.
    fn send_whole(&mut self, port: PortNumber, bytes: &[u8]) {
        let attached = &self.ports[port];
        let ip = if attached.host.vlan().is_some() { 18 } else { 14 };
        if bytes.len() > ip + usize::from(attached.mtu) {
            self.send_in_fragments(port, bytes, ip);
        } else {
            self.send_bytes(port, bytes);
        }
    }

    /// Sends a frame that is written already; `false` when there is no room for it.
    pub(super) fn send_bytes(&mut self, port: PortNumber, bytes: &[u8]) -> bool {
        let Some(mut frame) = self.answer_frame(port) else {
            return false;
        };
        match frame.append(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.put(port, frame);
                true
            }
            None => {
                self.counters.answers_dropped += 1;
                false
            }
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
