//! Which round a connection that came in belongs to.
//!
//! One port may be opened again while what came of an earlier SYN still waits to be accepted. What tells them apart is what tells
//! them apart on the wire: the sequence number that the opener began with. The acceptor's own tells which SYN it answered.

use std::collections::HashMap;
use std::net::SocketAddr;

use fourtuple_wire::{DropReason, Packet, PacketKind, SeqNum, TcpFlags};

use super::ledger::{ACCEPTOR, Ledger, OPENER, Over, Part, Stage};
use super::script::{Way, number_of};
use crate::ConnId;
use crate::shard::Refused;

/// Opener's address, acceptor's address, and one end's first sequence number.
type Begun = (SocketAddr, SocketAddr, u32);

/// What an application got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// This.
    As(Part),
    /// What was opened by a SYN that came with text, once more: RFC 7413 §2.1, §6.1.
    Twice,
    /// What nobody opened.
    OfNobody,
}

/// What is known of beginnings.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// By the opener's number: place and round.
    syns: HashMap<Begun, (usize, usize)>,
    /// By the acceptor's number: the opener's, as a SYN+ACK said.
    answers: HashMap<Begun, u32>,
    /// By host and name: the acceptor's number.
    names: HashMap<(usize, ConnId), SeqNum>,
    /// By host and name, of those that a cookie let in: the opener's number.
    fast: HashMap<(usize, ConnId), SeqNum>,
    /// By host and name: when it went, or came to be in TIME_WAIT.
    over: HashMap<(usize, ConnId), Over>,
}

impl Whose {
    /// Since when a host has no connection of this name any more, but for TIME_WAIT.
    pub(super) fn over_since(&self, host: usize, id: ConnId) -> Option<Over> {
        self.over.get(&(host, id)).copied()
    }
}

impl Ledger {
    /// A worker opened a connection, which begins with this number.
    pub(super) fn begins(&mut self, part: Part, ends: (SocketAddr, SocketAddr), iss: SeqNum) {
        self.note(part, || format!("{} > {} seq {}", ends.0, ends.1, iss.0));
        self.whose
            .syns
            .insert((ends.0, ends.1, iss.0), (part.place, part.round));
    }

    /// A segment left a port.
    pub(super) fn saw(&mut self, packet: &Packet) {
        if let PacketKind::Tcp(segment) = &packet.kind
            && segment.header.flags.contains(TcpFlags::SYN)
            && segment.header.flags.contains(TcpFlags::ACK)
        {
            // As its receiver reads it, the opener is the local one.
            let (opener, acceptor) = (segment.tuple.local(), segment.tuple.remote());
            let header = &segment.header;
            self.whose
                .answers
                .insert((opener, acceptor, header.seq.0), header.ack.back(1).0);
        }
    }

    /// A connection came in on a host, and its side of it began with this number.
    pub(super) fn came_in(&mut self, host: usize, id: ConnId, iss: SeqNum) {
        self.whose.names.insert((host, id), iss);
    }

    /// A connection of a host went, or is in TIME_WAIT.
    pub(super) fn went(&mut self, host: usize, id: ConnId) {
        let over = Over {
            clock: self.now + self.offsets[host],
            evicted: self.evicted[host],
        };
        self.whose.over.entry((host, id)).or_insert(over);
    }

    /// The names of a host that began anew are given again.
    pub(super) fn forget_names(&mut self, host: usize) {
        self.whose.names.retain(|(other, _), _| *other != host);
        self.whose.over.retain(|(other, _), _| *other != host);
        self.whose.fast.retain(|(other, _), _| *other != host);
    }

    /// A cookie let in a connection whose SYN had this number.
    pub(super) fn opened_fast(&mut self, host: usize, id: ConnId, irs: SeqNum) {
        self.whose.fast.insert((host, id), irs);
    }

    /// The number with which a host's side of a connection began.
    pub(super) fn began_with(&self, host: usize, id: ConnId) -> Option<SeqNum> {
        self.whose.names.get(&(host, id)).copied()
    }

    /// An application gets a connection of this name, whose own side began with `iss`: whose it is.
    pub(super) fn accepted(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        id: ConnId,
        iss: Option<SeqNum>,
    ) -> Came {
        let Some(place) = self.place_of(ends.1.port()) else {
            return Came::OfNobody;
        };
        let seats = self.conversations[place].seats;
        let fast = self.whose.fast.get(&(seats[ACCEPTOR].host, id)).copied();
        let round = match seats[OPENER].way {
            // It learns its port when it is connected, and has one round.
            Way::Endpoint(_) => Some(0).filter(|_| self.rounds[place].len() == 1),
            Way::Worker(_) => {
                let answered = iss.and_then(|iss| self.whose.answers.get(&(ends.0, ends.1, iss.0)).copied());
                let unseen = || iss.is_none().then(|| self.first_unheard(place, ends)).flatten();
                let irs = fast.map(|irs| irs.0).or(answered).or_else(unseen);
                irs.and_then(|irs| self.whose.syns.get(&(ends.0, ends.1, irs)))
                    .map(|(_, round)| *round)
            }
        };
        let Some(round) = round else {
            return Came::OfNobody;
        };
        let part = Part {
            place,
            round,
            side: ACCEPTOR,
        };
        let opened_fast = &mut self.rounds[place][round].opened_fast;
        *opened_fast |= fast.is_some();
        if *opened_fast && self.side(part).stage != Stage::NotYet {
            self.note(part, || "came once more".into());
            return Came::Twice;
        }
        self.open(part, id);
        Came::As(part)
    }

    /// The opener's number of the first round between these ends that was answered and not accepted: what came in, was handed out and
    /// was reset within one turn is gone before anybody sees its own number.
    fn first_unheard(&self, place: usize, ends: (SocketAddr, SocketAddr)) -> Option<u32> {
        let whose = &self.whose;
        let of_these = whose
            .answers
            .iter()
            .filter(|(begun, _)| (begun.0, begun.1) == ends);
        of_these
            .filter_map(|(_, irs)| Some((whose.syns.get(&(ends.0, ends.1, *irs))?.1, *irs)))
            .filter(|(round, _)| self.rounds[place][*round].sides[ACCEPTOR].stage == Stage::NotYet)
            .min()
            .map(|(_, irs)| irs)
    }

    /// A host counted that it ignored what would have made a connection.
    pub(super) fn refused(&mut self, refused: &Refused) {
        let Some(place) = self.place_of(refused.tuple.local().port()) else {
            return;
        };
        // Other reasons pass while the opener goes on asking.
        if refused.reason != DropReason::ConnectionLimit {
            return;
        }
        if !refused.was_full {
            let wrong = format!(
                "{} was refused for want of a place, and there was one",
                refused.tuple
            );
            self.wrong.get_or_insert(wrong);
        }
        let now = self.now;
        for round in &mut self.rounds[place] {
            let asks = matches!(round.sides[OPENER].stage, Stage::Opening | Stage::Open);
            if asks && round.sides[ACCEPTOR].stage == Stage::NotYet {
                round.refused_at = Some(now);
            }
        }
    }

    fn place_of(&self, port: u16) -> Option<usize> {
        let number = number_of(port);
        self.conversations
            .iter()
            .position(|conversation| conversation.number == number)
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::Family;

    use super::*;
    use crate::conn_id::{SlotKind, SlotRef};
    use crate::simulation::whole::script::{Conversation, port_of};

    #[test]
    fn what_is_accepted_late_is_of_the_round_whose_syn_it_came_of() {
        let mut ledger = Ledger::new(vec![Conversation::plain()], 0, vec![0, 0], false);
        let opener = "10.0.0.2:40000".parse().unwrap();
        let acceptor = SocketAddr::new(std::net::IpAddr::from([10, 0, 0, 1]), port_of(0));
        for number in [100, 200] {
            let part = ledger.opening(0);
            ledger.begins(part, (opener, acceptor), SeqNum(number));
            ledger
                .whose
                .answers
                .insert((opener, acceptor, number + 1), number);
        }
        for (iss, round) in [
            (Some(101), Some(0)),
            (Some(201), Some(1)),
            (Some(301), None),
            (None, None),
        ] {
            let id = ConnId::new(0, SlotRef::new(SlotKind::Tcb, Family::V4, 0), 1);
            let came = ledger.accepted((opener, acceptor), id, iss.map(SeqNum));
            let part = round.map(|round| Part {
                place: 0,
                round,
                side: ACCEPTOR,
            });
            assert_eq!(came, part.map_or(Came::OfNobody, Came::As), "{iss:?}");
        }
        assert_eq!(ledger.wrong, None);
    }
}
