//! How many buffers are out: per endpoint and in sum, with the bounds of D5.
//!
//! Counted on the worker alone: up when a chunk enters the event ring, down when it comes home or becomes payload to send.

/// The counts of one worker.
#[derive(Debug)]
pub(super) struct Lends {
    total: u32,
    bound: u32,
}

/// The count of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lent {
    count: u32,
    bound: u32,
}

impl Lent {
    pub(super) fn with_bound(bound: u32) -> Self {
        Self { count: 0, bound }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many more its own bound lets go out.
    pub(super) fn left(&self) -> usize {
        self.bound.saturating_sub(self.count) as usize
    }
}

impl Lends {
    /// At most `bound` buffers out, all endpoints together.
    pub(super) fn new(bound: u32) -> Self {
        Self { total: 0, bound }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// One more may go out, as far as the bound of all goes.
    #[inline]
    pub(super) fn has_left(&self) -> bool {
        self.total < self.bound
    }

    /// One more may go to this endpoint.
    #[inline]
    pub(super) fn may_lend(&self, lent: &Lent) -> bool {
        lent.left() > 0 && self.has_left()
    }

    /// One went out.
    #[inline]
    pub(super) fn lend(&mut self, lent: &mut Lent) {
        lent.count += 1;
        self.total += 1;
    }

    /// So many came home.
    #[inline]
    pub(super) fn come_home(&mut self, lent: &mut Lent, count: u32) {
        lent.count = lent.count.saturating_sub(count);
        self.total = self.total.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold() {
        let mut lends = Lends::new(3);
        let (mut a, mut b) = (Lent::with_bound(2), Lent::with_bound(2));
        lends.lend(&mut a);
        lends.lend(&mut a);
        assert!(!lends.may_lend(&a), "its own bound");
        assert!(lends.may_lend(&b));
        lends.lend(&mut b);
        assert!(!lends.may_lend(&b), "the bound of all");
        lends.come_home(&mut a, 1);
        assert!(lends.may_lend(&a) && lends.may_lend(&b));
        assert_eq!((lends.total(), a.count(), b.count()), (2, 1, 1));
    }
}
