//! The options of a connection (interned by the engine, passed by reference to every call) and what its path carries.
//!
//! Nothing here is per connection. Durations are rounded down to milliseconds and cut to [`MAX_SPAN_MS`], so that
//! deadlines can be compared on a circle of 32 bits.

use std::time::Duration;

use crate::congestion::CongestionKind;
use crate::{Ecn, Pacing};

/// Options of a connection. There will be more of them: a set begins with the defaults, or with another set, and names what differs.
///
/// ```
/// use std::time::Duration;
/// use fourtuple_tcp::Profile;
/// let patient = Profile::default().with(|profile| {
///     profile.nodelay = true;
///     profile.connect_timeout = Duration::from_secs(180);
/// });
/// assert!(patient.nodelay && !Profile::default().nodelay);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Nagle's algorithm is off (RFC 9293 §3.7.4, MUST-17).
    pub nodelay: bool,
    /// How long an ACK may wait for company; below 500 ms (MUST-40), longer values are cut to 499 ms. Below
    /// a millisecond it doesn't wait: it leaves in the turn in which the segment came, with an answer if there is one by then.
    pub delayed_ack: Duration,
    /// Lower bound of the retransmission timeout.
    pub min_rto: Duration,
    /// Upper bound of the retransmission timeout with its backoff, and of the time between window probes.
    pub max_rto: Duration,
    /// Retransmission timeout before anything was measured (RFC 6298 §2.1).
    pub initial_rto: Duration,
    /// R1: retransmissions of one segment after which the application is told (RFC 9293 §3.8.3, SHLD-10).
    pub r1: u8,
    /// R2: time without progress after which the connection ends (SHLD-11: at least 100 s).
    pub r2: Duration,
    /// R2 for SYN segments (MUST-23: at least 3 minutes).
    pub syn_timeout: Duration,
    /// How long a SYN record of the listening side may live.
    pub syn_record_timeout: Duration,
    /// When the application gives up on an active open.
    pub connect_timeout: Duration,
    /// Maximum segment lifetime; TIME_WAIT lasts twice as long.
    pub msl: Duration,
    /// How long FIN_WAIT_2 lasts when the application has closed both ways.
    pub fin_wait_2_timeout: Duration,
    /// How long an orphan may be without progress.
    pub orphan_timeout: Duration,
    /// Keep-alive, off unless asked for (MUST-25).
    pub keepalive: Option<KeepAlive>,
    /// How long sent data may stay unacknowledged, in place of `r2` (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// Bytes of buffer space that received data may pin; what the advertised window is made of.
    pub receive_buffer: u32,
    /// Bytes that may be queued for sending and not yet be acknowledged, whatever the path.
    pub send_buffer: u32,
    /// To how many that grows with the congestion window, while memory is plenty; it does not with `send_buffer` or less.
    pub send_buffer_most: u32,
    /// Offer and use window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Offer and use timestamps and PAWS (RFC 7323 §3, §5).
    pub timestamps: bool,
    /// Offer and use selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Congestion control.
    pub congestion: CongestionKind,
    /// Explicit congestion notification (RFC 3168).
    pub ecn: Ecn,
    /// Whether segments leave at a rate instead of a window at once.
    pub pacing: Pacing,
    /// The most octets a second that may leave, headers not counted; it sets pacing going, whatever `pacing` says.
    pub max_pacing_rate: Option<u64>,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_window_segments: u8,
    /// Time to live or hop limit of what is sent (MUST-49); the engine puts it into the packet.
    pub ttl: u8,
    /// Differentiated services code point (MUST-48); the engine puts it into the packet.
    pub dscp: u8,
    /// Challenge ACKs that one connection may send in a second (RFC 5961 §7).
    pub challenge_acks_per_s: u8,
    /// Chunks that may wait out of order in one connection.
    pub reassembly_chunks: u16,
    /// The MSS that is announced and used at most, options included; the path's own when `None`.
    pub mss_clamp: Option<u16>,
    /// Segments that vanish get smaller, and it is tried how large they may be (RFC 4821).
    pub path_mtu_probing: bool,
    /// A new SYN may reopen a connection in TIME_WAIT (RFC 6191, MAY-2).
    pub time_wait_reopen: bool,
    /// Predicted segments take the short way. It changes no outcome; off, every segment takes the RFC's way.
    pub header_prediction: bool,
}

/// When an idle connection is probed and when it is given up (RFC 9293 §3.8.4).
///
/// ```
/// use std::time::Duration;
/// use fourtuple_tcp::KeepAlive;
/// let minute = KeepAlive::after(Duration::from_secs(60));
/// assert_eq!(minute, KeepAlive::new(Duration::from_secs(60), Duration::from_secs(75), 9));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection ends.
    pub count: u8,
}

impl KeepAlive {
    /// Probes after so much idle time, so far apart, and the end after so many without an answer.
    pub const fn new(idle: Duration, interval: Duration, count: u8) -> Self {
        Self {
            idle,
            interval,
            count,
        }
    }

    /// Probes after so much idle time; the rest as by default.
    pub fn after(idle: Duration) -> Self {
        Self {
            idle,
            ..Self::default()
        }
    }
}

impl Default for KeepAlive {
    /// Two hours, as MUST-28 wants; then nine probes, 75 s apart.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(7200),
            interval: Duration::from_secs(75),
            count: 9,
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            nodelay: false,
            delayed_ack: Duration::from_millis(40),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(60),
            initial_rto: Duration::from_secs(1),
            r1: 3,
            r2: Duration::from_secs(120),
            syn_timeout: Duration::from_secs(180),
            syn_record_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(75),
            msl: Duration::from_secs(30),
            fin_wait_2_timeout: Duration::from_secs(60),
            orphan_timeout: Duration::from_secs(60),
            keepalive: None,
            user_timeout: None,
            receive_buffer: 256 * 1024,
            send_buffer: 256 * 1024,
            send_buffer_most: 4 * 1024 * 1024,
            window_scaling: true,
            timestamps: true,
            sack: true,
            congestion: CongestionKind::Cubic,
            ecn: Ecn::Passive,
            pacing: Pacing::Auto,
            max_pacing_rate: None,
            initial_window_segments: 10,
            ttl: 64,
            dscp: 0,
            challenge_acks_per_s: 10,
            reassembly_chunks: 512,
            mss_clamp: None,
            path_mtu_probing: true,
            time_wait_reopen: true,
            header_prediction: true,
        }
    }
}

impl Profile {
    /// The same with what `change` makes different.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The shift that makes the receive buffer expressible in 16 bits (RFC 7323 §2.3: at most 14).
    pub(crate) fn window_shift(&self) -> u8 {
        let bits = 32 - self.receive_buffer.leading_zeros();
        bits.saturating_sub(16).min(14) as u8
    }

    /// The longest time that sent data may stay without an acknowledgment, in milliseconds.
    pub(crate) fn give_up_ms(&self) -> u32 {
        millis(self.user_timeout.unwrap_or(self.r2))
    }

    /// So many milliseconds, or that time when it is less.
    #[inline(always)]
    pub(crate) fn at_most_give_up_ms(&self, ms: u32) -> u32 {
        let most = self.user_timeout.as_ref().unwrap_or(&self.r2);
        // Far more, as it mostly is, needs no exact look: a second for each half.
        if most.as_secs() > u64::from(ms >> 9) {
            ms
        } else {
            ms.min(self.give_up_ms())
        }
    }
}

/// What the path of a connection carries, known before the first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The MSS we announce: from the MTU and MMS_R (MUST-67).
    pub receive_mss: u16,
    /// The largest segment our MTU allows to send, options included in its payload room.
    pub send_mss_limit: u16,
    /// What a peer that names no MSS takes: 536 over IPv4, 1220 over IPv6 (MUST-15).
    pub default_mss: u16,
}

impl Path {
    /// What is left of it under the clamp of the connection's options.
    pub(crate) fn clamped(&self, profile: &Profile) -> Self {
        let most = profile.mss_clamp.map_or(u16::MAX, |clamp| clamp.max(LEAST_CLAMP));
        Self {
            receive_mss: self.receive_mss.min(most),
            send_mss_limit: self.send_mss_limit.min(most),
            default_mss: self.default_mss,
        }
    }
}

/// No clamp goes below: Linux has the same bound (`TCP_MIN_MSS`); smaller segments would be little but headers.
pub(crate) const LEAST_CLAMP: u16 = 88;

/// Whole milliseconds of a span, cut to [`MAX_SPAN_MS`].
#[inline]
pub(crate) const fn millis(span: Duration) -> u32 {
    // The last whole second that fits: nothing overflows below it.
    const SECS: u64 = MAX_SPAN_MS as u64 / 1000;
    if span.as_secs() >= SECS {
        return if span.as_secs() == SECS && span.subsec_millis() < MAX_SPAN_MS % 1000 {
            SECS as u32 * 1000 + span.subsec_millis()
        } else {
            MAX_SPAN_MS
        };
    }
    span.as_secs() as u32 * 1000 + span.subsec_millis()
}

/// 2³⁰ ms, some twelve days: half of what circular comparison of 32 bits could tell apart.
pub(crate) const MAX_SPAN_MS: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 9293 MUST-25, MUST-28, SHLD-10, SHLD-11, MUST-23
    #[test]
    fn defaults_are_what_the_rfc_asks_for() {
        let profile = Profile::default();
        assert_eq!(profile.keepalive, None);
        assert!(KeepAlive::default().idle >= Duration::from_secs(7200));
        assert!(profile.r1 >= 3 && profile.r2 >= Duration::from_secs(100));
        assert!(profile.syn_timeout >= Duration::from_secs(180));
    }

    #[test]
    fn the_shift_makes_the_buffer_fit_sixteen_bits() {
        for (buffer, shift) in [
            (1, 0),
            (65_535, 0),
            (65_536, 1),
            (131_071, 1),
            (131_072, 2),
            (u32::MAX, 14),
        ] {
            let profile = Profile {
                receive_buffer: buffer,
                ..Profile::default()
            };
            assert_eq!(profile.window_shift(), shift, "{buffer}");
            assert!(shift == 14 || buffer >> shift <= 65_535);
        }
    }

    #[test]
    fn no_time_is_longer_than_that_after_which_it_is_given_up() {
        for give_up in [0, 1, 499, 511, 512, 999, 1000, 1001, 66_000, 120_000] {
            let longest = Duration::from_millis(give_up);
            let by_r2 = Profile::default().with(|profile| profile.r2 = longest);
            let by_user = Profile::default().with(|profile| profile.user_timeout = Some(longest));
            for ms in [
                0, 1, 200, 498, 499, 511, 512, 513, 999, 1000, 1023, 1024, 1025, 65_535, 119_999, 120_001,
            ] {
                let least = u64::from(ms).min(give_up) as u32;
                assert_eq!(by_r2.at_most_give_up_ms(ms), least, "{ms} of {give_up}");
                assert_eq!(by_user.at_most_give_up_ms(ms), least, "{ms} of {give_up}");
            }
        }
        let never = Profile::default().with(|profile| profile.user_timeout = Some(Duration::MAX));
        assert_eq!(never.at_most_give_up_ms(MAX_SPAN_MS), MAX_SPAN_MS);
    }

    #[test]
    fn spans_are_cut_to_half_the_circle() {
        assert_eq!(millis(Duration::from_micros(1999)), 1);
        assert_eq!(millis(Duration::MAX), MAX_SPAN_MS);
        let most = u64::from(MAX_SPAN_MS);
        for ms in [
            0,
            999,
            1000,
            most - 1824,
            most - 825,
            most - 824,
            most - 1,
            most,
            most + 1,
            most * 9,
        ] {
            let expected = ms.min(most) as u32;
            assert_eq!(millis(Duration::from_millis(ms)), expected, "{ms}");
        }
    }

    #[test]
    fn a_set_begins_with_another_and_names_what_differs() {
        let first = Profile::default().with(|profile| profile.r1 = 7);
        let second = first.clone().with(|profile| profile.nodelay = true);
        assert_eq!((first.r1, first.nodelay), (7, false));
        assert_eq!((second.r1, second.nodelay), (7, true));
    }

    // RFC 9293 §3.8.4, MUST-27: the interval may be set, and the rest stays.
    #[test]
    fn keep_alive_after_some_time_probes_as_by_default() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            KeepAlive::after(minute),
            KeepAlive::new(minute, Duration::from_secs(75), 9)
        );
    }
}
