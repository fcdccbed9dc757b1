//! Options of one connection that can change while it lives.

use std::time::Duration;

use fourtuple_tcp::{CongestionKind, KeepAlive, Pacing, Profile};

/// An option of one connection, for [`Connection::set`](crate::Connection::set) and [`Stream::set`](crate::Stream::set).
///
/// ```
/// use std::time::Duration;
/// use fourtuple::{ConnectionOption, KeepAlive};
/// let options = [
///     ConnectionOption::NoDelay(true),
///     ConnectionOption::UserTimeout(Some(Duration::from_secs(30))),
///     ConnectionOption::KeepAlive(Some(KeepAlive::after(Duration::from_secs(60)))),
/// ];
/// # assert_eq!(options.len(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionOption {
    /// Small segments don't wait for the acknowledgment of others: Nagle's algorithm is off (RFC 9293 §3.7.4). What it held
    /// back goes out.
    NoDelay(bool),
    /// Probes while the connection is idle, or none (RFC 9293 §3.8.4). The idle time begins now.
    KeepAlive(Option<KeepAlive>),
    /// How long sent data may stay unacknowledged (RFC 5482), in place of [`R2`](Self::R2). It is local: the peer is not told.
    UserTimeout(Option<Duration>),
    /// Retransmissions of a segment after which the next hop is doubted (RFC 9293 §3.8.3).
    R1(u8),
    /// Time without progress after which the connection ends (RFC 9293 §3.8.3).
    R2(Duration),
    /// Time to live or hop limit, at least 1.
    Ttl(u8),
    /// Differentiated services code point, 0–63 (RFC 9293 §3.9.1.9, SHLD-21; RFC 1122 §3.2.1.6).
    Dscp(u8),
    /// Segments get no larger than this, TCP options included. It holds from now on and is not taken back.
    MssClamp(u16),
    /// Bytes of buffer space that received data may pin: the limit of the receive window.
    ReceiveBuffer(u32),
    /// Congestion control: another algorithm begins with the window that is there. ECN stays as the handshake agreed on it.
    Congestion(CongestionKind),
    /// Whether segments leave at a rate instead of a window at once.
    Pacing(Pacing),
    /// The most octets a second that may leave, headers not counted; `None` for no limit.
    MaxPacingRate(Option<u64>),
    /// How long the connection may be without progress once this side has closed it; then it is reset. Set before the close.
    Linger(Duration),
}

/// The same in few bytes, as it crosses a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    NoDelay(bool),
    KeepAlive(Option<Probes>),
    UserTimeout(Option<Millis>),
    R1(u8),
    R2(Millis),
    Ttl(u8),
    Dscp(u8),
    MssClamp(u16),
    ReceiveBuffer(u32),
    Congestion(CongestionKind),
    Pacing(Pacing),
    /// `u64::MAX` for none.
    MaxPacingRate(u64),
    Linger(Millis),
}

/// Keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    idle: Millis,
    interval: Millis,
    count: u8,
}

/// A span of time, cut to some fifty days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(u32);

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(u64::from(span.0))
    }
}

impl From<ConnectionOption> for Change {
    fn from(option: ConnectionOption) -> Self {
        match option {
            ConnectionOption::NoDelay(on) => Self::NoDelay(on),
            ConnectionOption::KeepAlive(keepalive) => Self::KeepAlive(keepalive.map(|keepalive| Probes {
                idle: keepalive.idle.into(),
                interval: keepalive.interval.into(),
                count: keepalive.count,
            })),
            ConnectionOption::UserTimeout(span) => Self::UserTimeout(span.map(Into::into)),
            ConnectionOption::R1(times) => Self::R1(times),
            ConnectionOption::R2(span) => Self::R2(span.into()),
            ConnectionOption::Ttl(ttl) => Self::Ttl(ttl),
            ConnectionOption::Dscp(dscp) => Self::Dscp(dscp),
            ConnectionOption::MssClamp(mss) => Self::MssClamp(mss),
            ConnectionOption::ReceiveBuffer(bytes) => Self::ReceiveBuffer(bytes),
            ConnectionOption::Congestion(kind) => Self::Congestion(kind),
            ConnectionOption::Pacing(pacing) => Self::Pacing(pacing),
            ConnectionOption::MaxPacingRate(rate) => Self::MaxPacingRate(rate.unwrap_or(u64::MAX)),
            ConnectionOption::Linger(span) => Self::Linger(span.into()),
        }
    }
}

impl Change {
    /// Makes it in a set of options.
    pub(crate) fn apply(self, profile: &mut Profile) {
        match self {
            Self::NoDelay(on) => profile.nodelay = on,
            Self::KeepAlive(probes) => {
                profile.keepalive = probes
                    .map(|probes| KeepAlive::new(probes.idle.into(), probes.interval.into(), probes.count));
            }
            Self::UserTimeout(span) => profile.user_timeout = span.map(Into::into),
            Self::R1(times) => profile.r1 = times,
            Self::R2(span) => profile.r2 = span.into(),
            // RFC 1122 §3.2.1.7: never zero.
            Self::Ttl(ttl) => profile.ttl = ttl.max(1),
            Self::Dscp(dscp) => profile.dscp = dscp.min(MAX_DSCP),
            Self::MssClamp(mss) => profile.mss_clamp = Some(mss),
            Self::ReceiveBuffer(bytes) => profile.receive_buffer = bytes,
            Self::Congestion(kind) => profile.congestion = kind,
            Self::Pacing(pacing) => profile.pacing = pacing,
            Self::MaxPacingRate(rate) => profile.max_pacing_rate = (rate < u64::MAX).then_some(rate),
            Self::Linger(span) => profile.orphan_timeout = span.into(),
        }
    }
}

/// A set of options with these in place of its own.
pub(crate) fn changed(profile: &Profile, options: &[ConnectionOption]) -> Profile {
    let mut profile = profile.clone();
    for option in options {
        Change::from(*option).apply(&mut profile);
    }
    profile
}

/// It has six bits.
const MAX_DSCP: u8 = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_changes_its_own_field() {
        let keepalive = KeepAlive::new(Duration::from_millis(1), Duration::from_millis(2), 3);
        let span = Duration::from_millis(4);
        let mut profile = Profile::default();
        for option in [
            ConnectionOption::NoDelay(true),
            ConnectionOption::KeepAlive(Some(keepalive)),
            ConnectionOption::UserTimeout(Some(span)),
            ConnectionOption::R1(5),
            ConnectionOption::R2(Duration::MAX),
            ConnectionOption::Ttl(0),
            ConnectionOption::Dscp(255),
            ConnectionOption::MssClamp(1_000),
            ConnectionOption::ReceiveBuffer(7_000),
            ConnectionOption::Congestion(CongestionKind::Bbr),
            ConnectionOption::Pacing(Pacing::Off),
            ConnectionOption::MaxPacingRate(Some(8_000)),
            ConnectionOption::Linger(span),
        ] {
            Change::from(option).apply(&mut profile);
        }
        let expected = Profile::default().with(|profile| {
            profile.nodelay = true;
            profile.keepalive = Some(keepalive);
            profile.user_timeout = Some(span);
            profile.r1 = 5;
            profile.r2 = Duration::from_millis(u64::from(u32::MAX));
            profile.ttl = 1;
            profile.dscp = 63;
            profile.mss_clamp = Some(1_000);
            profile.receive_buffer = 7_000;
            profile.congestion = CongestionKind::Bbr;
            profile.pacing = Pacing::Off;
            profile.max_pacing_rate = Some(8_000);
            profile.orphan_timeout = span;
        });
        assert_eq!(profile, expected);
        Change::from(ConnectionOption::MaxPacingRate(None)).apply(&mut profile);
        assert_eq!(profile.max_pacing_rate, None);
    }
}
