//! Which endpoint gets the next connection of a listener: one that asked for it by a credit (D9).
//!
//! One number per endpoint and listener, and their sum per listener, so that "does anybody wait?" is one load.

use super::protocol::EndpointIndex;
use crate::listener::ListenerId;

/// The credits that a worker holds. Allocated once, for every endpoint and listener that there can be.
#[derive(Debug)]
pub(super) struct Credits {
    endpoints: usize,
    /// `listener * endpoints + endpoint`: those of a listener lie together.
    posted: Box<[u32]>,
    /// Per listener, all endpoints.
    sums: Box<[u32]>,
    /// Where the search among equals begins.
    next: usize,
}

impl Credits {
    pub(super) fn new(endpoints: usize, listeners: usize) -> Self {
        Self {
            endpoints,
            posted: vec![0; endpoints * listeners].into_boxed_slice(),
            sums: vec![0; listeners].into_boxed_slice(),
            next: 0,
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
        }
    }

    /// The listener is gone.
    pub(super) fn forget_listener(&mut self, listener: ListenerId) {
        for endpoint in 0..self.endpoints {
            self.withdraw(EndpointIndex(endpoint as u16), listener, u32::MAX);
        }
    }

    /// Some endpoint waits for a connection of this listener.
    pub(super) fn has(&self, listener: ListenerId) -> bool {
        self.sums.get(listener.index()).is_some_and(|&sum| sum > 0)
    }

    /// Takes a credit of the endpoint with the least load, of the first `among`; among equals, each in turn.
    pub(super) fn take(
        &mut self,
        listener: ListenerId,
        among: usize,
        load: impl Fn(EndpointIndex) -> u32,
    ) -> Option<EndpointIndex> {
        if !self.has(listener) {
            return None;
        }
        let first = listener.index() * self.endpoints;
        let posted = self.posted.get(first..first + among.min(self.endpoints))?;
        let (before, after) = posted.split_at(self.next.min(posted.len()));
        let turns = (before.len()..).zip(after).chain((0..).zip(before));
        let (best, _) = turns
            .filter(|(_, posted)| **posted > 0)
            .min_by_key(|(at, _)| load(EndpointIndex(*at as u16)))?;
        self.next = best + 1;
        let best = EndpointIndex(best as u16);
        self.withdraw(best, listener, 1);
        Some(best)
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

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: ListenerId = ListenerId(1);

    #[test]
    fn the_least_loaded_gets_the_connection_and_equals_take_turns() {
        let mut credits = Credits::new(3, 2);
        for endpoint in 0..3 {
            credits.post(EndpointIndex(endpoint), WEB, 2);
        }
        let loads = [5, 1, 5];
        let mut taken = Vec::new();
        while let Some(endpoint) = credits.take(WEB, 3, |at| loads[usize::from(at.0)]) {
            taken.push(endpoint.0);
        }
        assert_eq!(taken, [1, 1, 2, 0, 2, 0]);
        assert!(!credits.has(WEB));
    }

    #[test]
    fn credits_are_of_one_listener_and_one_endpoint() {
        let mut credits = Credits::new(2, 2);
        credits.post(EndpointIndex(0), ListenerId(0), 1);
        assert!(!credits.has(WEB));
        assert_eq!(credits.take(WEB, 2, |_| 0), None);
        credits.post(EndpointIndex(1), WEB, 3);
        credits.withdraw(EndpointIndex(0), WEB, 1);
        credits.withdraw(EndpointIndex(1), WEB, 2);
        assert_eq!(credits.take(WEB, 2, |_| 0), Some(EndpointIndex(1)));
        assert_eq!(credits.take(WEB, 2, |_| 0), None);
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
