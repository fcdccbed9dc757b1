//! Which endpoint gets the next connection of a listener: one that asked for it by a credit (D9).
//!
//! One number per endpoint and listener, and their sum per listener, so that "does anybody wait?" is one load.

use super::protocol::EndpointIndex;
use crate::listener::{AcceptPolicy, ListenerId};

/// The credits that a worker holds. Allocated once, for every endpoint and listener that there can be.
#[derive(Debug)]
pub(super) struct Credits {
    endpoints: usize,
    /// `listener * endpoints + endpoint`: those of a listener lie together.
    posted: Box<[u32]>,
    /// Per listener, all endpoints.
    sums: Box<[u32]>,
    /// Per listener: where the next search begins, so that equals take turns.
    next: Box<[u16]>,
    /// Per listener, a bit an endpoint: it has asked for connections.
    accept: Box<[u64]>,
}

impl Credits {
    pub(super) fn new(endpoints: usize, listeners: usize) -> Self {
        Self {
            endpoints,
            posted: vec![0; endpoints * listeners].into_boxed_slice(),
            sums: vec![0; listeners].into_boxed_slice(),
            next: vec![0; listeners].into_boxed_slice(),
            accept: vec![0; listeners].into_boxed_slice(),
        }
    }

    /// An endpoint posts credits. A listener beyond the bound is none of ours: ignored.
    pub(super) fn post(&mut self, endpoint: EndpointIndex, listener: ListenerId, count: u32) {
        let Some((posted, sum)) = self.entry(usize::from(endpoint.0), listener) else {
            return;
        };
        // Both by the same amount, whatever an endpoint asks for.
        let count = count.min(u32::MAX - *sum);
        *posted += count;
        *sum += count;
        if let Some(accept) = self.accept.get_mut(listener.index()) {
            *accept |= bit(endpoint);
        }
    }

    /// An endpoint takes back credits, as many as are unused.
    pub(super) fn withdraw(&mut self, endpoint: EndpointIndex, listener: ListenerId, count: u32) {
        let Some((posted, sum)) = self.entry(usize::from(endpoint.0), listener) else {
            return;
        };
        let count = count.min(*posted);
        *posted -= count;
        *sum -= count;
    }

    /// The endpoint is gone.
    pub(super) fn forget(&mut self, endpoint: EndpointIndex) {
        for listener in 0..self.sums.len() {
            // Few have any, and their sums lie close together.
            if self.sums[listener] == 0 {
                continue;
            }
            self.withdraw(endpoint, ListenerId(listener as u16), u32::MAX);
            self.accept[listener] &= !bit(endpoint);
        }
    }

    /// The listener is gone.
    pub(super) fn forget_listener(&mut self, listener: ListenerId) {
        for endpoint in 0..self.endpoints {
            self.withdraw(EndpointIndex(endpoint as u16), listener, u32::MAX);
        }
        if let Some(accept) = self.accept.get_mut(listener.index()) {
            *accept = 0;
        }
    }

    /// Some endpoint waits for a connection of this listener.
    pub(super) fn has(&self, listener: ListenerId) -> bool {
        self.sums.get(listener.index()).is_some_and(|&sum| sum > 0)
    }

    /// Takes a credit of one of the first `among` endpoints, as the policy of the listener has it; `worker` is the one that asks.
    pub(super) fn take(
        &mut self,
        listener: ListenerId,
        policy: AcceptPolicy,
        worker: u16,
        among: usize,
        load: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        if !self.has(listener) {
            return None;
        }
        let best = match policy {
            AcceptPolicy::LeastLoaded => self.in_turn(listener, among)?.min_by_key(|at| load(*at))?,
            AcceptPolicy::RoundRobin => self.in_turn(listener, among)?.next()?,
            AcceptPolicy::Pinned => self.pinned(listener, worker)?,
        };
        if let Some(next) = self.next.get_mut(listener.index()) {
            *next = best.0 + 1;
        }
        self.withdraw(best, listener, 1);
        Some(best)
    }

    /// Those that have credit, in turn.
    fn in_turn(&self, listener: ListenerId, among: usize) -> Option<impl Iterator<Item = EndpointIndex>> {
        let first = listener.index() * self.endpoints;
        let posted = self.posted.get(first..first + among.min(self.endpoints))?;
        let next = usize::from(*self.next.get(listener.index())?);
        let (before, after) = posted.split_at(next.min(posted.len()));
        let turns = (before.len()..).zip(after).chain((0..).zip(before));
        Some(
            turns
                .filter(|(_, posted)| **posted > 0)
                .map(|(at, _)| EndpointIndex(at as u16)),
        )
    }

    /// That of this worker, if it has credit.
    fn pinned(&self, listener: ListenerId, worker: u16) -> Option<EndpointIndex> {
        let mut accept = *self.accept.get(listener.index())?;
        for _ in 0..u32::from(worker).checked_rem(accept.count_ones())? {
            // The lowest bit goes.
            accept &= accept - 1;
        }
        let at = accept.trailing_zeros() as usize;
        let posted = self.posted.get(listener.index() * self.endpoints + at)?;
        (*posted > 0).then_some(EndpointIndex(at as u16))
    }

    fn entry(&mut self, endpoint: usize, listener: ListenerId) -> Option<(&mut u32, &mut u32)> {
        if endpoint >= self.endpoints {
            return None;
        }
        let sum = self.sums.get_mut(listener.index())?;
        let posted = self
            .posted
            .get_mut(listener.index() * self.endpoints + endpoint)?;
        Some((posted, sum))
    }
}

/// An endpoint in a set of them. There are no more than fit ([`HubLimits::for_pools`](super::HubLimits::for_pools)).
fn bit(endpoint: EndpointIndex) -> u64 {
    1u64.checked_shl(u32::from(endpoint.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AcceptPolicy::{LeastLoaded, Pinned, RoundRobin};

    const WEB: ListenerId = ListenerId(1);

    #[test]
    fn the_least_loaded_gets_the_connection_and_equals_take_turns() {
        let mut credits = Credits::new(3, 2);
        for endpoint in 0..3 {
            credits.post(EndpointIndex(endpoint), WEB, 2);
        }
        let loads = [5, 1, 5];
        let mut taken = Vec::new();
        while let Some(endpoint) = credits.take(WEB, LeastLoaded, 0, 3, |at| loads[usize::from(at.0)]) {
            taken.push(endpoint.0);
        }
        assert_eq!(taken, [1, 1, 2, 0, 2, 0]);
        assert!(!credits.has(WEB));
    }

    #[test]
    fn round_robin_goes_by_turns_whatever_the_loads() {
        let mut credits = Credits::new(3, 2);
        for (endpoint, count) in [(0, 1), (1, 3), (2, 2)] {
            credits.post(EndpointIndex(endpoint), WEB, count);
            credits.post(EndpointIndex(endpoint), ListenerId(0), 9);
        }
        let mut taken = Vec::new();
        while let Some(endpoint) = credits.take(WEB, RoundRobin, 0, 3, |at| u32::from(at.0)) {
            taken.push(endpoint.0);
            // Another listener's turns are its own.
            credits.take(ListenerId(0), RoundRobin, 0, 3, |_| 0);
        }
        assert_eq!(taken, [0, 1, 2, 1, 2, 1]);
    }

    #[test]
    fn a_worker_is_pinned_to_one_of_those_that_accept() {
        let mut credits = Credits::new(4, 2);
        for endpoint in [0, 2, 3] {
            credits.post(EndpointIndex(endpoint), WEB, 2);
        }
        let take = |credits: &mut Credits, worker| {
            let taken = credits.take(WEB, Pinned, worker, 4, |_| 0);
            taken.map(|endpoint| endpoint.0)
        };
        for (worker, endpoint) in [(0, 0), (1, 2), (2, 3), (3, 0), (4, 2)] {
            assert_eq!(take(&mut credits, worker), Some(endpoint), "worker {worker}");
        }
        assert_eq!(take(&mut credits, 0), None, "it has no credit left, others have");
        assert!(credits.has(WEB));
        credits.forget(EndpointIndex(0));
        assert_eq!(take(&mut credits, 1), Some(3), "two are left");
        credits.forget_listener(WEB);
        assert_eq!(take(&mut credits, 1), None);
    }

    #[test]
    fn credits_are_of_one_listener_and_one_endpoint() {
        let mut credits = Credits::new(2, 2);
        credits.post(EndpointIndex(0), ListenerId(0), 1);
        assert!(!credits.has(WEB));
        assert_eq!(credits.take(WEB, LeastLoaded, 0, 2, |_| 0), None);
        credits.post(EndpointIndex(1), WEB, 3);
        credits.withdraw(EndpointIndex(0), WEB, 1);
        credits.withdraw(EndpointIndex(1), WEB, 2);
        assert_eq!(
            credits.take(WEB, LeastLoaded, 0, 2, |_| 0),
            Some(EndpointIndex(1))
        );
        assert_eq!(credits.take(WEB, LeastLoaded, 0, 2, |_| 0), None);
        credits.forget(EndpointIndex(0));
        assert!(!credits.has(ListenerId(0)));
    }

    #[test]
    fn numbers_that_nobody_has_and_floods_of_credits_do_no_harm() {
        let mut credits = Credits::new(1, 1);
        credits.post(EndpointIndex(0), ListenerId(7), 1);
        credits.post(EndpointIndex(9), ListenerId(0), 1);
        credits.post(EndpointIndex(0), ListenerId(0), u32::MAX);
        credits.post(EndpointIndex(0), ListenerId(0), u32::MAX);
        credits.withdraw(EndpointIndex(0), ListenerId(0), u32::MAX);
        assert!(!credits.has(ListenerId(0)) && !credits.has(ListenerId(7)));
    }
}
