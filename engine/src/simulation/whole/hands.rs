//! Connections that change hands: which endpoints there are, and what is under way to which.
//!
//! A connection is in nobody's hands between two owners. An endpoint that is dropped then closes what was given to it and not taken;
//! what was only asked for may stay where it is.

use std::net::SocketAddr;

use fourtuple_nic_mem::MemQueue;

use super::ledger::{Ledger, Part, Stage};
use crate::ConnId;
use crate::handoff::EndpointHandle;

/// An endpoint, each of a world by another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointName(u64);

/// The addresses of both ends, as one of them has it.
type Ends = (SocketAddr, SocketAddr);

/// What is known of endpoints and of what is under way to them.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// Those that are there, with the host of each.
    there: Vec<(usize, EndpointName, EndpointHandle<MemQueue>)>,
    named: u64,
    under_way: Vec<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    to: EndpointName,
    part: Part,
    ends: Ends,
    /// It is out of the hands of who gave it.
    given: bool,
}

/// A part as a number that goes with a connection.
pub(super) fn mark_of(part: Part) -> u64 {
    (part.place as u64) << 32 | (part.round as u64) << 8 | part.side as u64
}

fn part_of(mark: u64) -> Part {
    Part {
        place: (mark >> 32) as usize,
        round: (mark >> 8 & 0xff_ffff) as usize,
        side: (mark & 1) as usize,
    }
}

impl Ledger {
    /// An endpoint of a host is there.
    pub(super) fn endpoint_came(&mut self, host: usize, handle: EndpointHandle<MemQueue>) -> EndpointName {
        self.hands.named += 1;
        let name = EndpointName(self.hands.named);
        self.hands.there.push((host, name, handle));
        name
    }

    /// An endpoint is dropped, with what was given to it and not taken.
    pub(super) fn endpoint_went(&mut self, name: EndpointName, why: &'static str) {
        self.hands.there.retain(|(_, other, _)| *other != name);
        let (lost, kept) = std::mem::take(&mut self.hands.under_way)
            .into_iter()
            .partition::<Vec<_>, _>(|under_way| under_way.to == name && under_way.given);
        self.hands.under_way = kept;
        for part in self.asked_for(name) {
            self.cause(part, why);
        }
        for under_way in lost {
            self.lose_part(under_way.part, why);
        }
    }

    /// A side's application is gone, and its connection closed.
    pub(super) fn lose_part(&mut self, part: Part, why: &'static str) {
        self.cause(part, why);
        self.close(part);
        self.let_go(part);
    }

    fn asked_for(&self, name: EndpointName) -> Vec<Part> {
        let under_way = self.hands.under_way.iter();
        under_way
            .filter(|under_way| under_way.to == name)
            .map(|under_way| under_way.part)
            .collect()
    }

    /// All endpoints of a host are gone, and all that was under way there.
    pub(super) fn forget_endpoints(&mut self, host: usize) {
        self.hands.there.retain(|(other, ..)| *other != host);
        let Self {
            hands, conversations, ..
        } = self;
        hands.under_way.retain(|under_way| {
            let part = under_way.part;
            conversations[part.place].seats[part.side].host != host
        });
    }

    /// The endpoint to which a connection goes next; not always another.
    pub(super) fn next_owner(&self, part: Part) -> Option<(EndpointName, EndpointHandle<MemQueue>)> {
        let host = self.conversations[part.place].seats[part.side].host;
        let there = || self.hands.there.iter().filter(|(other, ..)| *other == host);
        let turn = self.side(part).handed as usize + part.round + part.place;
        let (_, name, handle) = there().nth(turn % there().count().max(1))?;
        Some((*name, handle.clone()))
    }

    /// A connection is to go to an endpoint; with `given` it went.
    pub(super) fn hand_over(&mut self, part: Part, to: EndpointName, ends: Ends, given: bool) {
        self.note(part, || format!("goes to {to:?}, {given}"));
        self.round_mut(part).sides[part.side].handed += u32::from(given);
        self.hands.under_way.push(UnderWay {
            to,
            part,
            ends,
            given,
        });
    }

    /// What was asked for was done.
    pub(super) fn handed_over(&mut self, part: Part) {
        let mut under_way = self.hands.under_way.iter();
        // Else it was taken already.
        let Some(at) = under_way.position(|under_way| under_way.part == part && !under_way.given) else {
            return;
        };
        self.round_mut(part).sides[part.side].handed += 1;
        let to = self.hands.under_way[at].to;
        if self.hands.there.iter().any(|(_, name, _)| *name == to) {
            self.hands.under_way[at].given = true;
        } else {
            self.hands.under_way.remove(at);
            self.lose_part(part, "the endpoint that it went to is gone");
        }
    }

    /// It stays where it is.
    pub(super) fn not_handed_over(&mut self, part: Part) {
        self.hands
            .under_way
            .retain(|under_way| under_way.part != part || under_way.given);
    }

    /// An endpoint takes a connection that was handed over: whose it is, when somebody is to play on it.
    pub(super) fn taken(&mut self, by: EndpointName, mark: u64, id: ConnId, ends: Ends) -> Option<Part> {
        let part = part_of(mark);
        let mut under_way = self.hands.under_way.iter();
        let at = under_way.position(|under_way| under_way.part == part && under_way.to == by);
        let Some(at) = at else {
            // Who gave it was dropped before it heard that it went.
            if self.side(part).stage != Stage::LetGo {
                self.fail(part, || format!("{by:?} took what nobody gave"));
            }
            return None;
        };
        let under_way = self.hands.under_way.remove(at);
        self.note(part, || format!("is taken by {by:?}"));
        if !under_way.given {
            self.round_mut(part).sides[part.side].handed += 1;
        }
        if under_way.ends != ends || self.side(part).id != Some(id) {
            self.fail(part, || {
                format!("{:?} was given and {ends:?} taken", under_way.ends)
            });
        }
        Some(part)
    }
}
