//! Proportional rate reduction (RFC 9937, which takes the place of RFC 6937): the window in recovery with SACK.
//!
//! While more is in the network than the threshold, sending shrinks in proportion to what arrives; below the threshold it
//! grows towards it, a segment for each that is delivered, and one more while no further loss shows.

/// The state of an episode.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prr {
    /// Octets delivered since it began.
    delivered: u64,
    /// Octets sent since.
    out: u64,
    /// RecoverFS: what was outstanding when it began.
    flight: u32,
}

/// What an ACK in recovery says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// DeliveredData: octets that it reports for the first time.
    pub(crate) delivered: u32,
    /// Octets in the network now.
    pub(crate) pipe: u32,
    /// It advanced SND.UNA and no further loss showed: SafeACK.
    pub(crate) safe: bool,
    pub(crate) threshold: u32,
    pub(crate) mss: u32,
}

impl Prr {
    /// An episode begins, with `flight` octets outstanding and not SACKed before this ACK (RFC 9937 §6.1), or with as many as were
    /// `used` of the window before the burst of ACKs of which it is one: what the others told of was delivered, too.
    pub(crate) const fn begin(flight: u32, used: u32) -> Self {
        let before = used.saturating_sub(flight);
        Self {
            delivered: before as u64,
            out: 0,
            flight: flight + before,
        }
    }

    /// Octets went out (RFC 9937 §6.3).
    pub(crate) fn on_sent(&mut self, octets: u32) {
        self.out += u64::from(octets);
    }

    /// The window after this ACK: what is in the network and SndCnt (RFC 9937 §6.2).
    pub(crate) fn window(&mut self, progress: &Progress) -> u32 {
        let Progress {
            delivered,
            pipe,
            safe,
            threshold,
            mss,
        } = *progress;
        self.delivered += u64::from(delivered);
        let mut count = if pipe > threshold {
            let due = (self.delivered * u64::from(threshold)).div_ceil(u64::from(self.flight.max(1)));
            due.saturating_sub(self.out)
        } else {
            let conservative = self.delivered.saturating_sub(self.out).max(u64::from(delivered));
            let count = conservative + if safe { u64::from(mss) } else { 0 };
            count.min(u64::from(threshold - pipe))
        };
        if self.out == 0 {
            // The first retransmission goes out in any case, whole.
            count = count.max(u64::from(mss));
        }
        pipe.saturating_add(count.min(u64::from(u32::MAX)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ack(delivered: u32, pipe: u32, safe: bool) -> Progress {
        Progress {
            delivered,
            pipe,
            safe,
            threshold: 10 * MSS,
            mss: MSS,
        }
    }

    // proves: RFC 9937 §6.1, RFC 9937 §6.2, RFC 9937 §6.3
    #[test]
    fn above_the_threshold_one_goes_out_for_two_that_arrive() {
        let mut prr = Prr::begin(20 * MSS, 0);
        let mut pipe = 19 * MSS;
        let mut sent = 0;
        for _ in 0..16 {
            pipe -= MSS;
            let window = prr.window(&ack(MSS, pipe, false));
            while pipe + MSS <= window {
                prr.on_sent(MSS);
                (pipe, sent) = (pipe + MSS, sent + 1);
            }
        }
        assert_eq!((sent, pipe), (7, 10 * MSS));
    }

    #[test]
    fn above_the_threshold_what_went_out_is_half_of_what_arrived_all_the_time() {
        let mut prr = Prr::begin(20 * MSS, 0);
        let (mut pipe, mut sent) = (19 * MSS, 0);
        for arrived in 1..=8u32 {
            pipe -= MSS;
            let window = prr.window(&ack(MSS, pipe, false));
            while pipe + MSS <= window {
                prr.on_sent(MSS);
                (pipe, sent) = (pipe + MSS, sent + 1);
            }
            assert_eq!(sent, (arrived / 2).max(1), "the first in any case: {arrived}");
        }
    }

    #[test]
    fn the_first_retransmission_is_forced_once() {
        let mut prr = Prr::begin(20 * MSS, 0);
        assert_eq!(prr.window(&ack(0, 18 * MSS, false)), 19 * MSS);
        prr.on_sent(MSS);
        assert_eq!(prr.window(&ack(MSS, 18 * MSS, false)), 18 * MSS);
    }

    // proves: RFC 9937 §6.2 (conservative and slow-start reduction bound)
    #[test]
    fn below_the_threshold_it_grows_back_and_not_beyond() {
        let mut prr = Prr::begin(20 * MSS, 0);
        // Fifteen were lost: three are in the network, one arrives.
        assert_eq!(prr.window(&ack(MSS, 3 * MSS, false)), 4 * MSS);
        prr.on_sent(MSS);
        assert_eq!(prr.window(&ack(MSS, 3 * MSS, true)), 5 * MSS);
        prr.on_sent(2 * MSS);
        assert_eq!(prr.window(&ack(9 * MSS, 6 * MSS, true)), 10 * MSS);
    }

    #[test]
    fn nothing_overflows() {
        let mut prr = Prr::begin(0, 0);
        let progress = Progress {
            delivered: u32::MAX,
            pipe: u32::MAX,
            safe: true,
            threshold: u32::MAX,
            mss: u32::MAX,
        };
        for _ in 0..4 {
            prr.on_sent(u32::MAX);
            assert_eq!(prr.window(&progress), u32::MAX);
        }
    }

    // proves: RFC 9937 §6.1, RFC 9937 §6.2
    #[test]
    fn what_left_by_the_acks_of_a_burst_was_delivered_in_the_episode() {
        // Twenty segments of the window were used, five are outstanding: fifteen were delivered, and half of them may go.
        let mut prr = Prr::begin(5 * MSS, 20 * MSS);
        assert_eq!(prr.window(&ack(0, 18 * MSS, false)), 18 * MSS + 7_500);
        prr.on_sent(7_500);
        // Two more, of which one may go; ten are the threshold of twenty.
        assert_eq!(prr.window(&ack(2 * MSS, 18 * MSS, false)), 19 * MSS);
        let mut prr = Prr::begin(20 * MSS, 5 * MSS);
        prr.on_sent(MSS);
        assert_eq!(prr.window(&ack(4 * MSS, 15 * MSS, false)), 16 * MSS);
    }
}
