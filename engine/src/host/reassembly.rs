//! IP packets put together from their fragments (RFC 791 §3.2, RFC 815, RFC 1122 §3.3.2, RFC 8200 §4.5), off the way of whole ones.
//!
//! ```text
//!   fragment ─► add ─┬─ kept           in a place of its packet, sorted; its frame stays as it came
//!                    ├─ refused        malformed, a copy, no room
//!                    └─ whole ───────► linearise (the one copy), then take_first … (the frames, in order)
//! ```
//! A fragment that overlaps another spoils its packet: all of it goes, and what still comes of it until its time is over
//! (RFC 5722, RFC 8200 §4.5); for IPv4 too, since nobody honest sends such ones (RFC 1858). An exact copy is only dropped.
//!
//! Bounds: packets, frames of all of them, frames of one, and a minute. When packets or frames are at their bound the oldest
//! packet goes: one whose fragments come together is done long before its turn, however many others never end. A source that has
//! its share is given room at the cost of its own packets alone, so that it can't push out those of others. Nothing is allocated
//! after the start.

use std::net::IpAddr;
use std::time::Duration;

use fourtuple_wire::{DropReason, FragmentKey, FragmentPacket, Instant, build_whole_head};

use crate::port_number::PortNumber;

/// Packets that are being put together.
pub(crate) struct Reassembler<F> {
    partials: Box<[Option<Partial>]>,
    pieces: Box<[Option<Piece<F>>]>,
    /// Vacant places of `pieces`.
    vacant: Vec<u16>,
    /// Nothing is over before.
    next: Instant,
    counts: ReassemblyCounts,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
struct Partial {
    key: FragmentKey,
    port: PortNumber,
    /// When it is given up.
    due: Instant,
    /// Its first piece by offset, or `NONE`.
    first: u16,
    pieces: u16,
    /// Octets of all pieces.
    octets: u32,
    /// Octets of the whole, once the last fragment has come.
    len: Option<u32>,
    /// Something overlapped: nothing of it is kept any more.
    spoiled: bool,
    /// A fragment was marked by a router, and one came from who knows no marks (RFC 3168 §5.3).
    marked: bool,
    not_capable: bool,
}

/// A fragment with its frame.
struct Piece<F> {
    fragment: FragmentPacket,
    frame: F,
    next: u16,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Others are missing.
    Kept,
    /// It is of no use.
    Refused(DropReason),
    /// It was the last one missing.
    Whole(PacketPlace),
}

/// The place of a packet of which everything has come; good until it is taken or discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketPlace(usize);

/// A packet that was given up, and its first fragment if that had come.
#[derive(Debug)]
pub(crate) struct Expired<F> {
    pub(crate) port: PortNumber,
    pub(crate) first: Option<(FragmentPacket, F)>,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ReassemblyCounts {
    /// Packets given up because fragments did not come in time.
    pub(crate) expired: u64,
    /// Packets given up for others.
    pub(crate) evicted: u64,
    /// Packets spoiled by fragments that overlap or contradict each other.
    pub(crate) spoiled: u64,
}

impl<F> Reassembler<F> {
    /// Room for so many frames, at most [`FRAMES`].
    pub(crate) fn new(frames: u32) -> Self {
        let frames = frames.clamp(1, FRAMES) as u16;
        Self {
            partials: (0..PACKETS).map(|_| None).collect(),
            pieces: (0..frames).map(|_| None).collect(),
            vacant: (0..frames).rev().collect(),
            next: Instant::FAR_FUTURE,
            counts: ReassemblyCounts::default(),
        }
    }

    /// Takes a fragment in; `bytes` gives those of a frame.
    pub(crate) fn add(
        &mut self,
        port: PortNumber,
        fragment: &FragmentPacket,
        frame: F,
        bytes: impl Fn(&F) -> &[u8],
        now: Instant,
    ) -> Added {
        let place = match self.place_of(port, &fragment.key) {
            Some(place) => place,
            None => self.begin(port, fragment.key, now),
        };
        let Some(partial) = self.partials[place] else {
            return Added::Refused(DropReason::NoRoom);
        };
        if partial.spoiled {
            return Added::Refused(DropReason::BadFragment);
        }
        let before = match self.fit(&partial, fragment, &frame, bytes) {
            Ok(before) => before,
            Err(DropReason::Duplicate) => return Added::Refused(DropReason::Duplicate),
            Err(reason) => {
                self.spoil(place);
                return Added::Refused(reason);
            }
        };
        self.make_room(place, fragment.key.source);
        let Some(at) = self.vacant.pop() else {
            // Its own are all there are.
            self.spoil(place);
            return Added::Refused(DropReason::NoRoom);
        };
        self.insert(place, before, at, fragment, frame);
        match self.partials[place] {
            Some(partial) if partial.len == Some(partial.octets) => self.whole(place, &partial),
            Some(_) | None => Added::Kept,
        }
    }

    /// RFC 3168 §5.3: a mark on any fragment is one on the packet; marks on what can't have them make it void.
    fn whole(&mut self, place: usize, partial: &Partial) -> Added {
        if partial.marked && partial.not_capable {
            self.spoil(place);
            return Added::Refused(DropReason::BadFragment);
        }
        Added::Whole(PacketPlace(place))
    }

    /// Behind which piece it belongs (`NONE`: in front), if it agrees with all that are there.
    fn fit(
        &self,
        partial: &Partial,
        fragment: &FragmentPacket,
        frame: &F,
        bytes: impl Fn(&F) -> &[u8],
    ) -> Result<u16, DropReason> {
        let (start, end) = range_of(fragment);
        let (mut before, mut next) = (NONE, partial.first);
        let mut last_end = 0;
        while let Some(piece) = self.piece(next) {
            let (left, right) = range_of(&piece.fragment);
            if (left, right, piece.fragment.more) == (start, end, fragment.more) {
                let same =
                    piece.fragment.payload.of(bytes(&piece.frame)) == fragment.payload.of(bytes(frame));
                return Err(if same {
                    DropReason::Duplicate
                } else {
                    DropReason::BadFragment
                });
            }
            if left < end && start < right {
                return Err(DropReason::BadFragment);
            }
            if left < start {
                before = next;
            }
            last_end = right;
            next = piece.next;
        }
        // Nothing may lie behind the end, and there is one end.
        let contradicts = match (partial.len, fragment.more) {
            (Some(len), true) => end >= len,
            (Some(_), false) => true,
            (None, false) => last_end > start,
            (None, true) => false,
        };
        if contradicts {
            return Err(DropReason::BadFragment);
        }
        if usize::from(partial.pieces) >= FRAMES_OF_A_PACKET {
            return Err(DropReason::NoRoom);
        }
        Ok(before)
    }

    fn insert(&mut self, place: usize, before: u16, at: u16, fragment: &FragmentPacket, frame: F) {
        let Some(partial) = self.partials[place].as_mut() else {
            return;
        };
        let next = match self.pieces.get_mut(usize::from(before)) {
            Some(Some(piece)) => std::mem::replace(&mut piece.next, at),
            Some(None) | None => std::mem::replace(&mut partial.first, at),
        };
        partial.pieces += 1;
        partial.octets += u32::from(fragment.payload.len);
        if !fragment.more {
            partial.len = Some(range_of(fragment).1);
        }
        match fragment.traffic_class & ECN {
            ECN => partial.marked = true,
            0 => partial.not_capable = true,
            _ => {}
        }
        self.pieces[usize::from(at)] = Some(Piece {
            fragment: *fragment,
            frame,
            next,
        });
    }

    fn piece(&self, at: u16) -> Option<&Piece<F>> {
        self.pieces.get(usize::from(at))?.as_ref()
    }

    fn place_of(&self, port: PortNumber, key: &FragmentKey) -> Option<usize> {
        self.partials.iter().position(|partial| {
            partial
                .as_ref()
                .is_some_and(|partial| partial.key == *key && partial.port == port)
        })
    }

    /// A place for a packet of which nothing was known.
    fn begin(&mut self, port: PortNumber, key: FragmentKey, now: Instant) -> usize {
        let vacant = |partials: &[Option<Partial>]| partials.iter().position(Option::is_none);
        if self.share_of(key.source).0 >= PACKETS_OF_A_SOURCE {
            self.evict_oldest(|_, partial| is_one_source(partial.key.source, key.source));
        }
        let place = match vacant(&self.partials) {
            Some(place) => place,
            None => {
                self.evict_oldest(|_, _| true);
                vacant(&self.partials).unwrap_or(0)
            }
        };
        let due = now + LIFETIME;
        self.next = self.next.min(due);
        self.partials[place] = Some(Partial {
            key,
            port,
            due,
            first: NONE,
            pieces: 0,
            octets: 0,
            len: None,
            spoiled: false,
            marked: false,
            not_capable: false,
        });
        place
    }

    /// Room for one more frame of the packet in `place`, if it can be had from others.
    fn make_room(&mut self, place: usize, source: IpAddr) {
        if self.share_of(source).1 >= self.pieces.len() / 2 {
            self.evict_oldest(|other, partial| {
                other != place && partial.pieces > 0 && is_one_source(partial.key.source, source)
            });
        }
        if self.vacant.is_empty() {
            self.evict_oldest(|other, partial| other != place && partial.pieces > 0);
        }
    }

    /// Packets that a source has under way, and frames of them.
    fn share_of(&self, source: IpAddr) -> (usize, usize) {
        let partials = self.partials.iter().flatten();
        partials
            .filter(|partial| is_one_source(partial.key.source, source))
            .fold((0, 0), |(packets, frames), partial| {
                (packets + 1, frames + usize::from(partial.pieces))
            })
    }

    /// The oldest of the packets that may go goes.
    fn evict_oldest(&mut self, may_go: impl Fn(usize, &Partial) -> bool) {
        let oldest = self
            .partials
            .iter()
            .enumerate()
            .filter_map(|(place, partial)| Some((place, partial.as_ref()?)))
            .filter(|(place, partial)| may_go(*place, partial))
            .min_by_key(|(_, partial)| partial.due)
            .map(|(place, _)| place);
        if let Some(place) = oldest {
            self.counts.evicted += 1;
            self.discard(PacketPlace(place));
        }
    }

    /// Gives the oldest packet's frames up, for buffers are scarce.
    pub(crate) fn give_way(&mut self) {
        self.evict_oldest(|_, partial| partial.pieces > 0);
    }

    /// Drops what is there of a packet, and what will still come of it.
    fn spoil(&mut self, place: usize) {
        self.counts.spoiled += 1;
        while self.take_first(PacketPlace(place)).is_some() {}
        if let Some(partial) = self.partials[place].as_mut() {
            partial.spoiled = true;
        }
    }

    /// Writes the packet as if it had come in one; returns where its fragmentable part starts, and its length. `None` when there
    /// is no such packet.
    pub(crate) fn linearise(
        &self,
        place: PacketPlace,
        bytes: impl Fn(&F) -> &[u8],
        out: &mut [u8],
    ) -> Option<(usize, usize)> {
        let partial = self.partials.get(place.0)?.as_ref()?;
        let first = self.piece(partial.first)?;
        let mark = if partial.marked { ECN } else { 0 };
        let traffic_class = first.fragment.traffic_class | mark;
        let len = partial.len? as usize;
        let head = build_whole_head(bytes(&first.frame), &first.fragment, len, traffic_class, out)?;
        let room = out.get_mut(head..head + len)?;
        let mut next = partial.first;
        while let Some(piece) = self.piece(next) {
            let at = piece.fragment.offset as usize;
            let payload = piece.fragment.payload.of(bytes(&piece.frame));
            room.get_mut(at..at + payload.len())?.copy_from_slice(payload);
            next = piece.next;
        }
        Some((head, head + len))
    }

    /// The first of a packet's frames that are left, with what it carries.
    pub(crate) fn take_first(&mut self, place: PacketPlace) -> Option<(FragmentPacket, F)> {
        let partial = self.partials.get_mut(place.0)?.as_mut()?;
        let at = partial.first;
        let piece = self.pieces.get_mut(usize::from(at))?.take()?;
        partial.first = piece.next;
        partial.pieces -= 1;
        self.vacant.push(at);
        Some((piece.fragment, piece.frame))
    }

    /// A packet goes with all that is left of it.
    pub(crate) fn discard(&mut self, place: PacketPlace) {
        while self.take_first(place).is_some() {}
        if let Some(partial) = self.partials.get_mut(place.0) {
            *partial = None;
        }
    }

    /// The next packet whose time is over. Call again until `None`.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<Expired<F>> {
        if self.next > now {
            return None;
        }
        let over = |partial: &Option<Partial>| partial.as_ref().is_some_and(|partial| partial.due <= now);
        while let Some(place) = self.partials.iter().position(over) {
            let Some(partial) = self.partials[place] else {
                break;
            };
            let first = self
                .take_first(PacketPlace(place))
                .filter(|(fragment, _)| fragment.offset == 0);
            self.discard(PacketPlace(place));
            if !partial.spoiled {
                self.counts.expired += 1;
                return Some(Expired {
                    port: partial.port,
                    first,
                });
            }
        }
        let dues = self.partials.iter().flatten().map(|partial| partial.due);
        self.next = dues.min().unwrap_or(Instant::FAR_FUTURE);
        None
    }

    /// When [`poll_expired`](Self::poll_expired) has something to do, at the earliest.
    pub(crate) fn next_deadline(&self) -> Instant {
        self.next
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> ReassemblyCounts {
        self.counts
    }

    /// Frames held now.
    pub(crate) fn held(&self) -> usize {
        self.pieces.len() - self.vacant.len()
    }
}

/// First octet of the fragmentable part that it carries, and the one behind its last.
fn range_of(fragment: &FragmentPacket) -> (u32, u32) {
    (fragment.offset, fragment.offset + u32::from(fragment.payload.len))
}

/// Whether two addresses are one host's for the purpose of shares. Who has one IPv6 address of a /64 has all (RFC 4291 §2.5.1).
fn is_one_source(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one == other,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// No piece.
const NONE: u16 = u16::MAX;
/// Both bits of ECN: congestion was experienced (RFC 3168 §5).
const ECN: u8 = 3;
/// Packets that are put together at a time: they are looked for one by one.
const PACKETS: usize = 64;
/// Of one source, most: a host has that many under way at once only when most of them never end.
const PACKETS_OF_A_SOURCE: usize = 16;
/// Frames that are held in all, most: each pins a receive buffer.
pub(crate) const FRAMES: u32 = 256;
/// Frames of one packet: 65535 octets in those of an MTU of 1280 are 54.
const FRAMES_OF_A_PACKET: usize = 64;
/// RFC 8200 §4.5: 60 s from the first that came; RFC 1122 §3.3.2: 60 s to 120 s.
const LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use fourtuple_wire::Span;

    /// Octet `at` of the packet's fragmentable part.
    fn octet(at: usize) -> u8 {
        (at * 7 + at / 256) as u8
    }

    /// A fragment of packet `identification`, its frame an IPv4 header of zeros and its payload.
    fn fragment(identification: u32, offset: usize, len: usize, more: bool) -> (FragmentPacket, Vec<u8>) {
        let mut frame = vec![0; 34];
        frame[14] = 0x45;
        frame.extend((offset..offset + len).map(octet));
        let key = FragmentKey {
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            destination: IpAddr::V4(Ipv4Addr::BROADCAST),
            identification,
            protocol: 17,
        };
        let fragment = FragmentPacket {
            key,
            offset: offset as u32,
            more,
            payload: Span {
                start: 34,
                len: len as u16,
            },
            ip: Span {
                start: 14,
                len: (len + 20) as u16,
            },
            head_len: 20,
            named_at: 0,
            next: 17,
            traffic_class: 0,
        };
        (fragment, frame)
    }

    fn add(
        into: &mut Reassembler<Vec<u8>>,
        (fragment, frame): (FragmentPacket, Vec<u8>),
        now: Instant,
    ) -> Added {
        into.add(PortNumber::FIRST, &fragment, frame, |frame| frame, now)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// The octets behind the header of a packet that is whole; it is gone then.
    fn take(from: &mut Reassembler<Vec<u8>>, place: PacketPlace) -> Vec<u8> {
        let mut room = vec![0; 70_000];
        let (head, len) = from.linearise(place, |frame| frame, &mut room).expect("a packet");
        assert_eq!(head, 34);
        assert_eq!(usize::from(u16::from_be_bytes([room[16], room[17]])), len - 14);
        from.discard(place);
        room[head..len].to_vec()
    }

    proptest! {
        // proves: RFC 815 §3
        #[test]
        fn any_order_of_any_pieces_makes_the_whole(
            cuts in prop::collection::btree_set(1..60usize, 0..20),
            last in 1..500usize,
            order in any::<u64>(),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut * 8).collect();
            cuts.insert(0, 0);
            let len = cuts[cuts.len() - 1] + last;
            let mut pieces: Vec<_> = (0..cuts.len())
                .map(|place| {
                    let end = cuts.get(place + 1).copied().unwrap_or(len);
                    fragment(1, cuts[place], end - cuts[place], end < len)
                })
                .collect();
            let mut seed = order;
            for place in (1..pieces.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pieces.swap(place, (seed >> 33) as usize % (place + 1));
            }
            if pieces.len() > 1 {
                let mut into = Reassembler::new(64);
                let copy = pieces[0].clone();
                let count = pieces.len();
                for (number, piece) in pieces.into_iter().enumerate() {
                    match add(&mut into, piece, at(1)) {
                        Added::Whole(place) => {
                            prop_assert_eq!(number, count - 1);
                            let whole = take(&mut into, place);
                            prop_assert_eq!(whole, (0..len).map(octet).collect::<Vec<_>>());
                        }
                        other => {
                            prop_assert_eq!(other, Added::Kept);
                            if number == 0 {
                                let again = add(&mut into, copy.clone(), at(1));
                                prop_assert_eq!(again, Added::Refused(DropReason::Duplicate));
                            }
                        }
                    }
                }
                prop_assert_eq!(into.held(), 0);
            }
        }
    }

    // proves: RFC 5722 §4, RFC 8200 §4.5
    #[test]
    fn an_overlap_spoils_its_packet_until_its_time_is_over() {
        let bad = Added::Refused(DropReason::BadFragment);
        for (what, second) in [
            ("teardrop: inside the first", fragment(1, 8, 8, false)),
            ("over the end of the first", fragment(1, 16, 16, true)),
            ("over its beginning", fragment(1, 0, 8, true)),
            ("the same place, another end", fragment(1, 0, 24, false)),
        ] {
            let mut into = Reassembler::new(64);
            assert_eq!(add(&mut into, fragment(1, 0, 24, true), at(1)), Added::Kept);
            assert_eq!(add(&mut into, second, at(1)), bad, "{what}");
            assert_eq!(into.held(), 0, "{what}");
            assert_eq!(add(&mut into, fragment(1, 0, 24, true), at(2)), bad, "{what}");
            assert_eq!(add(&mut into, fragment(1, 24, 8, false), at(60)), bad, "{what}");
            assert!(into.poll_expired(at(61)).is_none(), "nobody is told of it");
            assert_eq!(
                add(&mut into, fragment(1, 0, 24, true), at(62)),
                Added::Kept,
                "{what}"
            );
        }
    }

    #[test]
    fn other_octets_in_the_same_place_are_an_overlap() {
        let mut into = Reassembler::new(64);
        assert_eq!(add(&mut into, fragment(1, 0, 24, true), at(1)), Added::Kept);
        let (again, mut frame) = fragment(1, 0, 24, true);
        frame[40] ^= 1;
        assert_eq!(
            add(&mut into, (again, frame), at(1)),
            Added::Refused(DropReason::BadFragment)
        );
    }

    #[test]
    fn there_is_one_end_and_nothing_behind_it() {
        let bad = Added::Refused(DropReason::BadFragment);
        for (first, second) in [
            (fragment(1, 16, 8, false), fragment(1, 24, 8, true)),
            (fragment(1, 16, 8, false), fragment(1, 24, 8, false)),
            (fragment(1, 24, 8, true), fragment(1, 8, 8, false)),
            (fragment(1, 16, 8, true), fragment(1, 16, 8, false)),
        ] {
            let mut into = Reassembler::new(64);
            assert_eq!(add(&mut into, first, at(1)), Added::Kept);
            assert_eq!(add(&mut into, second, at(1)), bad);
        }
    }

    // proves: RFC 8200 §4.5 (60 s), RFC 1122 §3.3.2
    #[test]
    fn what_does_not_come_in_a_minute_is_given_up() {
        let mut into = Reassembler::new(64);
        add(&mut into, fragment(1, 0, 8, true), at(1));
        add(&mut into, fragment(2, 8, 8, false), at(2));
        assert_eq!(into.next_deadline(), at(61));
        assert!(into.poll_expired(at(60)).is_none());
        let expired = into.poll_expired(at(61)).expect("the first");
        assert!(
            expired
                .first
                .is_some_and(|(fragment, _)| fragment.key.identification == 1)
        );
        assert!(into.poll_expired(at(61)).is_none());
        let expired = into.poll_expired(at(62)).expect("the second");
        assert!(expired.first.is_none(), "there is nothing to quote");
        assert!(into.poll_expired(at(62)).is_none());
        assert_eq!((into.held(), into.next_deadline()), (0, Instant::FAR_FUTURE));
        assert_eq!(into.counts().expired, 2);
    }

    #[test]
    fn a_flood_of_packets_that_never_end_costs_no_packet_that_does() {
        let mut into = Reassembler::new(64);
        for number in 0..1_000 {
            add(&mut into, fragment(number, 8, 8, true), at(1));
            assert!(into.held() <= 64);
            if number % 50 == 0 {
                let honest = 10_000 + number;
                assert_eq!(add(&mut into, fragment(honest, 8, 8, false), at(1)), Added::Kept);
                let Added::Whole(place) = add(&mut into, fragment(honest, 0, 8, true), at(1)) else {
                    panic!("packet {number}");
                };
                assert_eq!(take(&mut into, place).len(), 16);
            }
        }
        assert!(into.counts().evicted > 900);
    }

    /// The same from another source.
    fn of(source: IpAddr, (mut fragment, frame): (FragmentPacket, Vec<u8>)) -> (FragmentPacket, Vec<u8>) {
        fragment.key.source = source;
        (fragment, frame)
    }

    #[test]
    fn a_source_pushes_out_its_own_packets_and_nobody_elses() {
        let honest = |number: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
        let v4 = |_| IpAddr::V4(Ipv4Addr::LOCALHOST);
        // A /64 is one source.
        let v6 = |number: u32| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 9, number as u16));
        for (what, flood) in [("IPv4", &v4 as &dyn Fn(u32) -> IpAddr), ("IPv6", &v6)] {
            let mut into = Reassembler::new(FRAMES);
            for number in 1..=40 {
                let first = of(honest(number), fragment(1, 0, 8, true));
                assert_eq!(add(&mut into, first, at(1)), Added::Kept);
            }
            for number in 0..2_000 {
                let part = of(
                    flood(number),
                    fragment(number / 40, number as usize % 40 * 8, 8, true),
                );
                add(&mut into, part, at(1));
            }
            assert!(into.held() <= 40 + FRAMES as usize / 2, "{what}: {}", into.held());
            for number in 1..=40 {
                let last = of(honest(number), fragment(1, 8, 8, false));
                let Added::Whole(place) = add(&mut into, last, at(1)) else {
                    panic!("{what}: packet of source {number}");
                };
                assert_eq!(take(&mut into, place).len(), 16);
            }
        }
    }

    #[test]
    fn a_source_with_its_share_can_still_make_one_packet_of_all_there_is() {
        let mut into = Reassembler::new(16);
        for number in 0..15 {
            assert_eq!(
                add(&mut into, fragment(1, number * 8, 8, true), at(1)),
                Added::Kept
            );
        }
        let Added::Whole(place) = add(&mut into, fragment(1, 120, 8, false), at(1)) else {
            panic!("a packet");
        };
        assert_eq!(take(&mut into, place).len(), 128);
    }

    #[test]
    fn one_packet_gets_only_so_many_frames() {
        for (frames, fits) in [(FRAMES, FRAMES_OF_A_PACKET), (16, 16)] {
            let mut into = Reassembler::new(frames);
            for number in 0..fits {
                assert_eq!(
                    add(&mut into, fragment(1, number * 8, 8, true), at(1)),
                    Added::Kept
                );
            }
            let beyond = add(&mut into, fragment(1, fits * 8, 8, true), at(1));
            assert_eq!(beyond, Added::Refused(DropReason::NoRoom));
            assert_eq!(into.held(), 0, "the packet can't be whole any more");
        }
    }

    // proves: RFC 3168 §5.3
    #[test]
    fn marks_of_congestion_are_kept_or_make_it_void() {
        for (classes, expected) in [
            ([0xb8, 0xb8], Some(0xb8)),
            ([0xba, 0xbb], Some(0xbb)),
            ([0xbb, 0xb8], None),
        ] {
            let mut into = Reassembler::new(64);
            let mut last = Added::Kept;
            for (number, class) in classes.into_iter().enumerate() {
                let (mut part, frame) = fragment(1, number * 8, 8, number == 0);
                part.traffic_class = class;
                last = add(&mut into, (part, frame), at(1));
            }
            let class = match last {
                Added::Whole(place) => {
                    let mut room = [0; 100];
                    into.linearise(place, |frame| frame, &mut room).map(|_| room[15])
                }
                Added::Kept | Added::Refused(_) => None,
            };
            assert_eq!(class, expected);
        }
    }

    #[test]
    fn ports_do_not_mix() {
        let mut into = Reassembler::new(64);
        add(&mut into, fragment(1, 0, 8, true), at(1));
        let (part, frame) = fragment(1, 8, 8, false);
        let other = into.add(PortNumber::SECOND, &part, frame, |frame| frame, at(1));
        assert_eq!(other, Added::Kept);
    }
}
