//! Fragments of IP packets, off the way of whole ones: put together, judged as if they had come in one, and handed to whoever
//! owns what they carry (D8).
//!
//! ```text
//!   fragment ─► worker 0 ─► whole? ─┬─ TCP, an ICMP error ─► its owner, fragment by fragment, and again from here there
//!                                   └─ echo, UDP          ─► the host's answer
//! ```
//! A fragment has no ports: worker 0, which answers for the host, puts packets together. Each fragment has one verdict: consumed
//! when it is kept, and the one that makes the packet whole has the packet's. The copy that is made for the checksum is the only
//! one: what TCP keeps are the frames, each with its part of the segment.

use std::hash::Hasher;

use fourtuple_nic::{Queue, RxBuf};
use fourtuple_wire::{
    ChecksumCheck, DropReason, Ends, Expect, FragmentPacket, Fragments, Icmpv6Message, Packet, PacketKind,
    Refusal, Span, TcpFlags, TcpPacket, parse,
};
use siphasher::sip::SipHasher13;

use super::receive::Verdict;
use super::work::Work;
use crate::conn_id::SlotKind;
use crate::host::{Added, PacketPlace, REASSEMBLED_FRAMES, Reassembler};
use crate::mesh::MeshMessage;
use crate::port_number::PortNumber;

/// What a worker needs to put packets together, and to cut its own.
pub(crate) struct Pieces<Q: Queue> {
    /// Fragments are put together; else they are dropped.
    enabled: bool,
    pub(super) reassembler: Reassembler<Q::Rx>,
    /// A packet as if it had come in one.
    whole: Vec<u8>,
    /// The answer to it.
    answer: Vec<u8>,
    /// Numbers of packets that are sent in fragments (RFC 7739: not to be guessed).
    numbers: (u64, u64),
    sent: u64,
}

impl<Q: Queue> Pieces<Q> {
    /// `buffers` is how many frames the smallest of the ports has; `numbers` is a secret.
    pub(crate) fn new(enabled: bool, buffers: u32, numbers: (u64, u64)) -> Self {
        let room = if enabled { ROOM } else { 0 };
        Self {
            enabled,
            reassembler: Reassembler::new((buffers / SHARE_OF_BUFFERS).min(REASSEMBLED_FRAMES)),
            whole: vec![0; room],
            answer: vec![0; room],
            numbers,
            sent: 0,
        }
    }

    fn next_number(&mut self) -> u32 {
        self.sent += 1;
        let mut hasher = SipHasher13::new_with_keys(self.numbers.0, self.numbers.1);
        hasher.write_u64(self.sent);
        hasher.finish() as u32
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.whole.capacity() + self.answer.capacity()
    }
}

/// A packet of which all has come.
struct Whole {
    port: PortNumber,
    place: PacketPlace,
    /// Octets before its fragmentable part, and all.
    head: usize,
    len: usize,
}

impl<Q: Queue> Work<Q> {
    /// A fragment that is for this worker.
    pub(super) fn fragment(
        &mut self,
        port: PortNumber,
        packet: &Packet,
        fragment: &FragmentPacket,
        frame: Q::Rx,
    ) -> Verdict {
        if !self.pieces.enabled {
            return Verdict::Dropped(DropReason::Fragment);
        }
        let key = &fragment.key;
        let addresses = &self.ports[port].host.addresses;
        if let Err(reason) = addresses.admit(packet.ether_destination, key.source, key.destination) {
            return Verdict::Dropped(reason);
        }
        if self.ports[port].shortage.short_of_buffers {
            self.pieces.reassembler.give_way();
            return Verdict::Dropped(DropReason::NoRoom);
        }
        let added = self
            .pieces
            .reassembler
            .add(port, fragment, frame, Q::Rx::bytes, self.now);
        match added {
            Added::Kept => Verdict::Consumed,
            Added::Refused(reason) => Verdict::Dropped(reason),
            Added::Whole(place) => {
                let mut room = std::mem::take(&mut self.pieces.whole);
                let verdict = self.whole_packet(port, place, &mut room);
                self.pieces.whole = room;
                self.pieces.reassembler.discard(place);
                verdict
            }
        }
    }

    /// Another worker put a packet of ours together, and hands it over: all but the last of its fragments come this way.
    pub(super) fn keep_piece(&mut self, port: PortNumber, frame: Q::Rx) {
        let parsed = self.ports[port].parse(&frame);
        if let Ok(packet) = &parsed
            && let PacketKind::Fragment(fragment) = &packet.kind
            && let Added::Whole(place) =
                self.pieces
                    .reassembler
                    .add(port, fragment, frame, Q::Rx::bytes, self.now)
        {
            // Left over from one that was handed over in part: what it says now is nobody's.
            self.pieces.reassembler.discard(place);
        }
    }

    /// The verdict of a packet of which all has come. Its place is discarded by the caller.
    fn whole_packet(&mut self, port: PortNumber, place: PacketPlace, room: &mut [u8]) -> Verdict {
        let linear = self.pieces.reassembler.linearise(place, Q::Rx::bytes, room);
        let Some((head, len)) = linear else {
            return Verdict::Dropped(DropReason::BadFragment);
        };
        let attached = &self.ports[port];
        let checksum = if attached.queue.promises().kernel_peer {
            ChecksumCheck::VerifyOrPartial
        } else {
            ChecksumCheck::Verify
        };
        let vlan = attached.host.vlan();
        let bytes = &room[..len];
        let packet = match parse(bytes, &Expect { checksum, vlan }) {
            Ok(packet) => packet,
            Err(reason) => {
                self.object(port, reason, bytes);
                return Verdict::Dropped(reason);
            }
        };
        // Worker 0 alone has it from the link; the others have what is theirs.
        let owner = if self.worker == 0 {
            self.owner_of(&packet)
        } else {
            self.worker
        };
        if owner != self.worker {
            return self.hand_over(owner, port, place);
        }
        self.counters.reassembled += 1;
        let whole = Whole {
            port,
            place,
            head,
            len,
        };
        match &packet.kind {
            PacketKind::Tcp(segment) => self.whole_segment(&whole, &packet, segment),
            // A fragment that is itself a packet of fragments.
            PacketKind::Fragment(_) => Verdict::Dropped(DropReason::BadFragment),
            PacketKind::Icmpv6(icmp) => match icmp.message {
                // RFC 6980 §5: neighbour discovery in fragments is ignored.
                Icmpv6Message::NeighbourSolicitation(_) | Icmpv6Message::NeighbourAdvertisement(_) => {
                    Verdict::Dropped(DropReason::BadNeighbourDiscovery)
                }
                Icmpv6Message::EchoRequest(_) | Icmpv6Message::EchoReply(_) | Icmpv6Message::Error(_) => {
                    self.answer_whole(&whole, &packet, bytes)
                }
            },
            PacketKind::Icmpv4(_) | PacketKind::Udp(_) | PacketKind::Arp(_) => {
                self.answer_whole(&whole, &packet, bytes)
            }
        }
    }

    fn answer_whole(&mut self, whole: &Whole, packet: &Packet, bytes: &[u8]) -> Verdict {
        let mut answer = std::mem::take(&mut self.pieces.answer);
        debug_assert!(whole.len <= answer.len());
        let verdict = self.answer_into(whole.port, packet, bytes, &mut answer);
        self.pieces.answer = answer;
        verdict.into()
    }

    /// The frames go to the owner of what they carry; the last one as the packet.
    fn hand_over(&mut self, owner: u16, port: PortNumber, place: PacketPlace) -> Verdict {
        let mut last = None;
        while let Some((_, frame)) = self.pieces.reassembler.take_first(place) {
            if let Some(earlier) = last.replace(frame)
                && self
                    .mesh
                    .try_say(owner, MeshMessage::Piece(port, earlier))
                    .is_err()
            {
                return Verdict::Dropped(DropReason::SteerRingFull);
            }
        }
        match last {
            Some(frame) => self.steer(owner, port, frame),
            None => Verdict::Dropped(DropReason::BadFragment),
        }
    }

    /// A segment: for whoever keeps its text, it is several, one in each frame.
    fn whole_segment(&mut self, whole: &Whole, packet: &Packet, segment: &TcpPacket) -> Verdict {
        let host = &self.ports[whole.port].host;
        let admitted = host
            .addresses
            .admit_segment(packet.ether_destination, &segment.tuple);
        if let Err(reason) = admitted {
            return Verdict::Dropped(reason);
        }
        self.counters.partial_checksums += u64::from(segment.partial_checksum);
        let slot = self.records.find(&segment.tuple);
        let record = slot.map(|slot| slot.kind());
        let local = segment.tuple.local();
        let keeps_text = match record {
            Some(SlotKind::Tcb | SlotKind::Syn) => !segment.header.flags.contains(TcpFlags::RST),
            Some(SlotKind::TimeWait) => false,
            None => self.listeners.find(local.ip(), local.port()).is_some(),
        };
        if keeps_text && segment.payload.len > 0 {
            return self.segment_in_pieces(whole, packet, segment);
        }
        let Some((_, frame)) = self.pieces.reassembler.take_first(whole.place) else {
            return Verdict::Dropped(DropReason::BadFragment);
        };
        let mut bare = segment.clone();
        // Its text is of no use to a connection (it is a RST), and lies in other frames.
        if record == Some(SlotKind::Tcb) {
            bare.payload.len = 0;
        }
        self.segment(slot, whole.port, packet, &bare, frame)
    }

    fn segment_in_pieces(&mut self, whole: &Whole, packet: &Packet, segment: &TcpPacket) -> Verdict {
        let start = usize::from(segment.payload.start).saturating_sub(whole.head);
        let end = start + usize::from(segment.payload.len);
        let mut outcome = Verdict::Consumed;
        while let Some((fragment, frame)) = self.pieces.reassembler.take_first(whole.place) {
            let offset = fragment.offset as usize;
            let from = start.max(offset);
            let to = end.min(offset + usize::from(fragment.payload.len));
            if from >= to {
                continue;
            }
            let text = Span {
                start: fragment.payload.start + (from - offset) as u16,
                len: (to - from) as u16,
            };
            let part = part_of(segment, (from - start) as u32, text, to == end);
            // The first may make the record that the others are for.
            let slot = self.records.find(&part.tuple);
            let verdict = self.segment(slot, whole.port, packet, &part, frame);
            if outcome == Verdict::Consumed {
                outcome = verdict;
            }
        }
        outcome
    }

    /// Packets whose fragments did not come in time.
    pub(super) fn expire_fragments(&mut self) {
        while let Some(expired) = self.pieces.reassembler.poll_expired(self.now) {
            self.busy = true;
            // RFC 8200 §4.5, RFC 1122 §3.3.2: told if there is something to quote.
            if let Some((fragment, frame)) = &expired.first {
                let bytes = frame.bytes();
                let ends = Ends {
                    source: fragment.key.source,
                    destination: fragment.key.destination,
                };
                let ip = fragment.ip.of(bytes);
                self.refuse_packet(expired.port, bytes, ends, Refusal::ReassemblyTimeout, ip);
            }
        }
    }

    /// Sends a frame that is written, in fragments, since its packet is larger than the link takes.
    pub(super) fn send_in_fragments(&mut self, port: PortNumber, bytes: &[u8], ip: usize) {
        let (mtu, number) = (self.ports[port].mtu, self.pieces.next_number());
        let Some(mut fragments) = Fragments::new(bytes, ip, mtu, number) else {
            self.counters.answers_dropped += 1;
            return;
        };
        let mut room = [0; LARGEST_FRAGMENT];
        while let Some(len) = fragments.build_next(&mut room) {
            if !self.send_bytes(port, &room[..len]) {
                return;
            }
            self.counters.fragments_sent += 1;
        }
    }
}

/// The part of a segment whose text lies in one frame: `advance` octets of text are before it.
fn part_of(segment: &TcpPacket, advance: u32, text: Span, last: bool) -> TcpPacket {
    let mut part = segment.clone();
    part.payload = text;
    let header = &mut part.header;
    let mut without = 0;
    if advance > 0 {
        // A SYN has a number of its own, before the text.
        header.seq = header.seq + advance + u32::from(header.flags.contains(TcpFlags::SYN));
        without |= TcpFlags::SYN.0;
    }
    if !last {
        without |= TcpFlags::FIN.0 | TcpFlags::PSH.0;
    }
    match u16::try_from(advance)
        .ok()
        .and_then(|advance| header.urgent.checked_sub(advance))
    {
        Some(urgent) => header.urgent = urgent,
        None => without |= TcpFlags::URG.0,
    }
    header.flags = TcpFlags(header.flags.0 & !without);
    part
}

/// The longest packet with its Ethernet header, VLAN tag and the IPv6 header that its length does not count.
const ROOM: usize = 65_535 + 40 + 18;
/// A fragment of the largest MTU with its Ethernet header.
const LARGEST_FRAGMENT: usize = 9_216;
/// One in so many receive buffers may be held for fragments.
const SHARE_OF_BUFFERS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_wire::{FourTuple, SeqNum, TcpHeader};

    #[test]
    fn parts_of_a_segment_are_the_segment() {
        let tuple = FourTuple::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
        let segment = TcpPacket {
            tuple,
            header: TcpHeader {
                seq: SeqNum(u32::MAX - 5),
                flags: TcpFlags::SYN | TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN | TcpFlags::URG,
                urgent: 12,
                ..TcpHeader::default()
            },
            payload: Span { start: 54, len: 30 },
            ttl: 64,
            traffic_class: 0,
            partial_checksum: false,
        };
        let text = |len| Span { start: 34, len };
        let first = part_of(&segment, 0, text(10), false).header;
        assert_eq!(first.flags, TcpFlags::SYN | TcpFlags::ACK | TcpFlags::URG);
        assert_eq!((first.seq, first.urgent), (SeqNum(u32::MAX - 5), 12));
        let second = part_of(&segment, 10, text(10), false).header;
        assert_eq!(second.flags, TcpFlags::ACK | TcpFlags::URG);
        assert_eq!((second.seq, second.urgent), (SeqNum(5), 2));
        let last = part_of(&segment, 20, text(10), true).header;
        assert_eq!(last.flags, TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN);
        assert_eq!(last.seq, SeqNum(15));
    }
}
