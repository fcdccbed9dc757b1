//! Socket options: those that this TCP has.
//!
//! They are options of the connection's profile and hold from when they are set; what a handshake agrees on is taken from those
//! that stood then.
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::time::Duration;

use fourtuple::{CongestionKind, KeepAlive, Profile};
use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};

use crate::sockets::{Kind, Socket};
use crate::stack::{Answer, Stack};
use crate::tcp_info;

impl Stack {
    pub(crate) fn set_option(&self, fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Answer<()> {
        self.now(|state| {
            let socket = state.at(fd)?;
            set(socket, level, name, value)?;
            if let Kind::Stream(id) = socket.kind {
                let profile = socket.profile.clone();
                state.with(id, |connection| connection.set_profile(&profile));
            }
            Ok(())
        })
    }

    pub(crate) fn option(&self, fd: c_int, level: c_int, name: c_int) -> Answer<Vec<u8>> {
        self.now(|state| {
            let mtu = state.options.mtu;
            let socket = state.at(fd)?;
            let headers = if socket.v6 { 60 } else { 40 };
            let id = match socket.kind {
                Kind::Stream(id) => Some(id),
                Kind::Fresh | Kind::Listening { .. } => None,
            };
            match (level, name) {
                (SOL_SOCKET, libc::SO_ERROR) => {
                    let end = id.and_then(|id| state.ends.get_mut(&id));
                    Ok(int(end.and_then(|end| end.error.take()).unwrap_or(0)))
                }
                (IPPROTO_TCP, libc::TCP_INFO) => {
                    let status = id.and_then(|id| state.status(id)).ok_or(libc::ENOTCONN)?;
                    Ok(tcp_info::encode(&status, mtu.saturating_sub(headers)))
                }
                (IPPROTO_TCP, libc::TCP_MAXSEG) => {
                    let status = id.and_then(|id| state.status(id));
                    Ok(int(status.map_or(536, |status| c_int::from(status.mss))))
                }
                (SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                    Ok(int(c_int::from(matches!(socket.kind, Kind::Listening { .. }))))
                }
                _ => option(socket, level, name),
            }
        })
    }
}

fn set(socket: &mut Socket, level: c_int, name: c_int, value: &[u8]) -> Answer<()> {
    let profile = &mut socket.profile;
    match (level, name) {
        (SOL_SOCKET, libc::SO_LINGER) => {
            let on = first(value)? != 0;
            let seconds = u32::try_from(first(&value[4..])?).map_err(|_| libc::EINVAL)?;
            socket.linger = on.then_some(seconds);
        }
        (SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) | (IPPROTO_IPV6, libc::IPV6_V6ONLY) => {
            first(value)?;
        }
        (SOL_SOCKET, libc::SO_RCVBUF) => profile.receive_buffer = positive(value)?,
        (SOL_SOCKET, libc::SO_SNDBUF) => {
            profile.send_buffer = positive(value)?;
            // Who says a size gets that, as on Linux.
            profile.send_buffer_most = 0;
        }
        (SOL_SOCKET, libc::SO_KEEPALIVE) => {
            profile.keepalive = (first(value)? != 0).then(|| profile.keepalive.unwrap_or_default());
        }
        (IPPROTO_TCP, libc::TCP_NODELAY) => profile.nodelay = first(value)? != 0,
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => keep(profile).idle = seconds(value)?,
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => keep(profile).interval = seconds(value)?,
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => {
            keep(profile).count = u8::try_from(positive(value)?).map_err(|_| libc::EINVAL)?;
        }
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            let ms = u64::try_from(first(value)?).map_err(|_| libc::EINVAL)?;
            profile.user_timeout = (ms > 0).then(|| Duration::from_millis(ms));
        }
        (IPPROTO_TCP, libc::TCP_CONGESTION) => profile.congestion = congestion(value)?,
        (IPPROTO_TCP, libc::TCP_MAXSEG) => {
            profile.mss_clamp = Some(u16::try_from(positive(value)?).map_err(|_| libc::EINVAL)?);
        }
        (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP) => {
            profile.receive_buffer = profile.receive_buffer.min(positive(value)?);
        }
        (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
            profile.ttl = u8::try_from(positive(value)?).map_err(|_| libc::EINVAL)?;
        }
        (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            profile.dscp = u8::try_from(first(value)?).map_err(|_| libc::EINVAL)? >> 2;
        }
        _ => return Err(libc::ENOPROTOOPT),
    }
    Ok(())
}

fn option(socket: &Socket, level: c_int, name: c_int) -> Answer<Vec<u8>> {
    let profile = &socket.profile;
    let keep = profile.keepalive.unwrap_or_default();
    let seconds = |span: Duration| c_int::try_from(span.as_secs()).unwrap_or(c_int::MAX);
    let size = |octets: u32| c_int::try_from(octets).unwrap_or(c_int::MAX);
    Ok(int(match (level, name) {
        (SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (SOL_SOCKET, libc::SO_PROTOCOL) => IPPROTO_TCP,
        (SOL_SOCKET, libc::SO_DOMAIN) if socket.v6 => libc::AF_INET6,
        (SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_INET,
        (SOL_SOCKET, libc::SO_RCVBUF) => size(profile.receive_buffer),
        (SOL_SOCKET, libc::SO_SNDBUF) => size(profile.send_buffer),
        (SOL_SOCKET, libc::SO_KEEPALIVE) => c_int::from(profile.keepalive.is_some()),
        (SOL_SOCKET, libc::SO_LINGER) => {
            let mut octets = int(c_int::from(socket.linger.is_some()));
            octets.extend(socket.linger.unwrap_or(0).to_ne_bytes());
            return Ok(octets);
        }
        (IPPROTO_TCP, libc::TCP_NODELAY) => c_int::from(profile.nodelay),
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => seconds(keep.idle),
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => seconds(keep.interval),
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => c_int::from(keep.count),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            c_int::try_from(profile.user_timeout.map_or(0, |span| span.as_millis())).unwrap_or(c_int::MAX)
        }
        (IPPROTO_TCP, libc::TCP_CONGESTION) => return Ok(name_of(profile.congestion)),
        (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => c_int::from(profile.ttl),
        (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => c_int::from(profile.dscp) << 2,
        _ => return Err(libc::ENOPROTOOPT),
    }))
}

fn keep(profile: &mut Profile) -> &mut KeepAlive {
    profile.keepalive.get_or_insert_default()
}

fn first(value: &[u8]) -> Answer<c_int> {
    value
        .first_chunk()
        .map(|octets| c_int::from_ne_bytes(*octets))
        .ok_or(libc::EINVAL)
}

fn positive(value: &[u8]) -> Answer<u32> {
    u32::try_from(first(value)?)
        .ok()
        .filter(|value| *value > 0)
        .ok_or(libc::EINVAL)
}

fn seconds(value: &[u8]) -> Answer<Duration> {
    positive(value).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

fn int(value: c_int) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

/// The algorithm of this name; Linux calls NewReno reno.
fn congestion(value: &[u8]) -> Answer<CongestionKind> {
    let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
    match &value[..end] {
        RENO => Ok(CongestionKind::NewReno),
        name => std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or(libc::ENOENT),
    }
}

/// The name as Linux gives it back, with the zero behind it.
fn name_of(kind: CongestionKind) -> Vec<u8> {
    let name = match kind {
        CongestionKind::NewReno => RENO,
        other => other.name().as_bytes(),
    };
    let mut octets = name.to_vec();
    octets.resize(NAME_LEN, 0);
    octets
}

const RENO: &[u8] = b"reno";
/// TCP_CA_NAME_MAX.
const NAME_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_is_known_by_its_name_and_newreno_by_linuxs_as_well() {
        for kind in CongestionKind::ALL {
            assert_eq!(congestion(kind.name().as_bytes()), Ok(kind));
            assert_eq!(congestion(&name_of(kind)), Ok(kind), "with zeroes behind it");
        }
        assert_eq!(congestion(RENO), Ok(CongestionKind::NewReno));
        assert_eq!(congestion(b"vegas"), Err(libc::ENOENT));
    }
}
