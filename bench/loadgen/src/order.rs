//! Numbers in an order that looks random, each once before any comes again.
//!
//! The order is a walk through all numbers below a power of two, whose digits are mixed by steps that can be undone: nothing is
//! kept for a number, and none comes twice.

/// The numbers below `count`, each once before any comes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    count: u32,
    /// One less than the power of two.
    mask: u32,
    /// Half as many digits, at least one.
    shift: u32,
    seed: u32,
    at: u32,
}

impl Order {
    /// Of so many, one at least.
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        let count = count.max(1);
        let mask = u32::MAX.checked_shr((count - 1).leading_zeros()).unwrap_or(0);
        Self {
            count,
            mask,
            shift: mask.count_ones().div_ceil(2).max(1),
            seed: (seed ^ (seed >> 32)) as u32,
            at: 0,
        }
    }

    /// The next.
    pub(crate) fn draw(&mut self) -> u32 {
        loop {
            let number = self.mixed(self.at);
            self.at = self.at.wrapping_add(1) & self.mask;
            // At least every other is.
            if number < self.count {
                return number;
            }
        }
    }

    /// Adding, multiplying by an odd number and folding the upper digits into the lower can each be undone: no two numbers below
    /// the power of two become one.
    fn mixed(&self, number: u32) -> u32 {
        let mut mixed = number.wrapping_add(self.seed) & self.mask;
        for factor in [0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35_u32] {
            mixed = mixed.wrapping_mul(factor) & self.mask;
            mixed ^= mixed >> self.shift;
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_before_any_comes_again() {
        for count in [1, 2, 3, 64, 1_000, 4_096, 4_097] {
            let mut order = Order::new(count, 7);
            for _ in 0..2 {
                let mut seen: Vec<u32> = (0..count).map(|_| order.draw()).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..count), "{count}");
            }
        }
    }

    #[test]
    fn neighbours_do_not_come_one_after_another() {
        let mut order = Order::new(1 << 16, 1);
        let drawn: Vec<u32> = (0..1 << 12).map(|_| order.draw()).collect();
        let near = drawn.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 64);
        assert!(
            near.count() < 64,
            "of 4,096 steps some eight are so short by chance"
        );
        let low = drawn.iter().filter(|slot| **slot < 1 << 15).count();
        assert!((1_700..2_400).contains(&low), "{low}");
    }
}
