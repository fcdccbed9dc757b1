//! Listening ports of one worker: who may still come in, and who waits for an accept.
//!
//! A listener is the same on every worker. Its `backlog` and `syn_queue` are dealt to the workers; the sum of the shares is
//! never above them (D8). A worker without a share left asks the others, which give what they don't use.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use fourtuple_nic::Queue;
use fourtuple_tcp::COOKIE_LIFETIME;
use fourtuple_wire::Instant;

use crate::conn_id::ConnId;
use crate::listener::{AcceptPolicy, Delivery, ListenerId, SynCookies};
use crate::records::Records;
use crate::shard::fast_open::Pending;

/// A listener as one worker has it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) ports: RangeInclusive<u16>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) delivery: Delivery,
    pub(crate) policy: AcceptPolicy,
    /// Index of the interned options of its connections.
    pub(crate) profile: u16,
    /// Connections that may wait here for an accept.
    pub(crate) share: u32,
    /// Half-open connections that it may have here.
    pub(crate) syn_share: u32,
    pub(crate) half_open: u32,
    pub(crate) syn_cookies: SynCookies,
    /// TCP Fast Open: who came in by it and has not finished the handshake.
    pub(crate) fast_open: Pending,
    /// When a cookie was sent last: those of before are too old when it is.
    pub(crate) cookie_sent: Option<Instant>,
    /// Done with the handshake, waiting for an accept; oldest first. Names that went stale are skipped.
    pub(crate) accept_queue: VecDeque<ConnId>,
    /// How many of them are alive.
    pub(crate) waiting: u32,
    /// Until then the answer to a request for more share may come; behind it the request, or the answer, is lost.
    pub(crate) asked_until: Instant,
}

impl Listener {
    /// A handshake may finish now: there is room to wait in, or somebody waits for it.
    pub(crate) fn has_room(&self, endpoint_waits: bool) -> bool {
        match self.delivery {
            Delivery::Handler => true,
            Delivery::Endpoints => self.waiting < self.share || (endpoint_waits && self.waiting == 0),
        }
    }

    /// There is room for one more half-open connection.
    pub(crate) fn has_syn_room(&self) -> bool {
        self.half_open < self.syn_share
    }

    /// An ACK may be of a cookie that was sent here.
    pub(crate) fn cookies_are_about(&self, now: Instant) -> bool {
        self.cookie_sent
            .is_some_and(|sent| now.since(sent) <= COOKIE_LIFETIME)
    }

    /// A connection waits here from now on.
    pub(crate) fn queue<Q: Queue>(&mut self, name: ConnId, records: &Records<Q>) {
        // Those that went stale behind one that waits: peers that left would fill the memory. There is room for as many as
        // may wait once more, so that the look at all of them is paid for by as many that came.
        if self.accept_queue.len() == self.accept_queue.capacity() {
            self.accept_queue.retain(|name| records.waits_for_accept(*name));
        }
        self.accept_queue.push_back(name);
        self.waiting += 1;
    }

    /// Share that nobody uses.
    pub(crate) fn spare(&self) -> u32 {
        self.share.saturating_sub(self.waiting)
    }
}

/// What a worker is told of a new listener; every worker gets its own share.
#[derive(Debug)]
pub(crate) struct NewListener {
    pub(crate) id: ListenerId,
    pub(crate) listen: crate::listener::Listen,
    pub(crate) share: u32,
    pub(crate) syn_share: u32,
    pub(crate) fast_open_share: u32,
}

/// All listeners of a worker.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_port: BTreeMap<u16, Vec<u16>>,
    /// Those on several ports: few, and looked through when a single port is not found.
    on_several: Vec<u16>,
    all: Vec<Option<Listener>>,
    /// What was found last, and for which destination: nearly all SYNs ask for the same.
    found: Cell<Option<(IpAddr, u16, ListenerId)>>,
}

impl Listeners {
    /// Adds one; its number is its place.
    pub(crate) fn add(&mut self, new: &NewListener, profile: u16) {
        self.found.set(None);
        let place = new.id.index();
        if self.all.len() <= place {
            self.all.resize_with(place + 1, || None);
        }
        let ports = new.listen.ports();
        if ports.start() == ports.end() {
            self.by_port.entry(new.listen.port).or_default().push(new.id.0);
        } else {
            self.on_several.push(new.id.0);
        }
        self.all[place] = Some(Listener {
            id: new.id,
            ports,
            address: new.listen.address,
            delivery: new.listen.delivery,
            policy: new.listen.policy,
            profile,
            share: new.share,
            syn_share: new.syn_share,
            half_open: 0,
            syn_cookies: new.listen.syn_cookies,
            fast_open: Pending::new(new.fast_open_share),
            cookie_sent: None,
            accept_queue: VecDeque::with_capacity((new.listen.backlog.min(65_536) as usize + 1) * 2),
            waiting: 0,
            asked_until: Instant::ZERO,
        });
    }

    /// Takes one out; accepted connections stay.
    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        self.found.set(None);
        let listener = self.all.get_mut(id.index())?.take()?;
        if let Some(at_port) = self.by_port.get_mut(listener.ports.start()) {
            at_port.retain(|place| *place != id.0);
        }
        self.on_several.retain(|place| *place != id.0);
        Some(listener)
    }

    /// The listener for a destination: one for exactly this address goes before one for all.
    #[inline]
    pub(crate) fn find(&self, address: IpAddr, port: u16) -> Option<ListenerId> {
        match self.found.get() {
            Some((at, on, id)) if on == port && at == address => Some(id),
            Some(_) | None => {
                let found = self.look_for(address, port)?;
                self.found.set(Some((address, port, found)));
                Some(found)
            }
        }
    }

    #[inline(never)]
    fn look_for(&self, address: IpAddr, port: u16) -> Option<ListenerId> {
        let at_port = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        let mut of_all = None;
        for place in at_port.iter().chain(&self.on_several) {
            if let Some(Some(listener)) = self.all.get(usize::from(*place))
                && listener.ports.contains(&port)
            {
                match listener.address {
                    Some(own) if own == address => return Some(listener.id),
                    Some(_) => {}
                    None => of_all = of_all.or(Some(listener.id)),
                }
            }
        }
        of_all
    }

    /// A listener by its number.
    pub(crate) fn at(&self, id: ListenerId) -> Option<&Listener> {
        self.all.get(id.index())?.as_ref()
    }

    /// A listener by its number, for writing.
    pub(crate) fn at_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.all.get_mut(id.index())?.as_mut()
    }

    /// All numbers that were given out are below this.
    pub(crate) fn places(&self) -> u16 {
        self.all.len() as u16
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.all.iter().flatten()
    }
}

/// Deals `total` to `workers`: shares differ by at most one and their sum is `total`.
pub(crate) fn deal(total: u32, workers: u16, worker: u16) -> u32 {
    let (workers, worker) = (u32::from(workers.max(1)), u32::from(worker));
    total / workers + u32::from(worker < total % workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Listen;

    #[test]
    fn shares_sum_up_to_the_whole() {
        for total in [0, 1, 5, 128, 1023] {
            for workers in 1..8 {
                assert_eq!(
                    (0..workers)
                        .map(|worker| deal(total, workers, worker))
                        .sum::<u32>(),
                    total
                );
            }
        }
    }

    #[test]
    fn a_listener_for_one_address_goes_before_one_for_all() {
        let mut listeners = Listeners::default();
        let here: IpAddr = "10.0.0.1".parse().unwrap();
        let there: IpAddr = "10.0.0.2".parse().unwrap();
        for (id, address) in [(0, None), (1, Some(here))] {
            assert_eq!(listeners.find(here, 80).is_some(), id > 0);
            let listen = Listen {
                address,
                ..Listen::on(80)
            };
            listeners.add(
                &NewListener {
                    id: ListenerId(id),
                    listen,
                    share: 1,
                    syn_share: 1,
                    fast_open_share: 0,
                },
                0,
            );
        }
        // Each a second time by what was found last.
        for _ in 0..2 {
            for (address, found) in [(here, 1), (here, 1), (there, 0), (there, 0)] {
                assert_eq!(listeners.find(address, 80), Some(ListenerId(found)));
            }
            assert_eq!(listeners.find(here, 81), None);
        }
        listeners.remove(ListenerId(0));
        assert_eq!(listeners.find(there, 80), None);
        assert_eq!(listeners.find(here, 80), Some(ListenerId(1)));
        listeners.remove(ListenerId(1));
        assert_eq!(listeners.find(here, 80), None);
    }

    #[test]
    fn one_listener_has_all_ports_of_its_range() {
        let mut listeners = Listeners::default();
        let here: IpAddr = "10.0.0.1".parse().unwrap();
        let single = Listen {
            address: Some(here),
            ..Listen::on(7_500)
        };
        for (id, listen) in [(0, Listen::on_ports(7_000..=7_999)), (1, single)] {
            let new = NewListener {
                id: ListenerId(id),
                listen,
                share: 1,
                syn_share: 1,
                fast_open_share: 0,
            };
            listeners.add(&new, 0);
        }
        let there: IpAddr = "10.0.0.2".parse().unwrap();
        for (address, port, expected) in [
            (here, 6_999, None),
            (here, 7_000, Some(0)),
            (here, 7_999, Some(0)),
            (here, 8_000, None),
            (here, 7_500, Some(1)),
            (there, 7_500, Some(0)),
        ] {
            assert_eq!(
                listeners.find(address, port),
                expected.map(ListenerId),
                "{address}:{port}"
            );
        }
        listeners.remove(ListenerId(0));
        assert_eq!(listeners.find(here, 7_000), None);
        assert_eq!(listeners.find(here, 7_500), Some(ListenerId(1)));
    }
}
