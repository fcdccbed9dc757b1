//! The four-tuple, which *is* a connection's identity.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An IPv4 four-tuple as this end sees it. 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TupleV4 {
    /// Our address.
    pub local: Ipv4Addr,
    /// The peer's address.
    pub remote: Ipv4Addr,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

/// An IPv6 four-tuple as this end sees it. 36 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TupleV6 {
    /// Our address.
    pub local: Ipv6Addr,
    /// The peer's address.
    pub remote: Ipv6Addr,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

/// Either kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum FourTuple {
    /// IPv4.
    V4(TupleV4),
    /// IPv6.
    V6(TupleV6),
}

impl FourTuple {
    /// From addresses of one family; `None` when they are of two.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        let (local_port, remote_port) = (local.port(), remote.port());
        match (local.ip(), remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Some(Self::V4(TupleV4 {
                local,
                remote,
                local_port,
                remote_port,
            })),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Some(Self::V6(TupleV6 {
                local,
                remote,
                local_port,
                remote_port,
            })),
            _ => None,
        }
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        match self {
            Self::V4(_) => Family::V4,
            Self::V6(_) => Family::V6,
        }
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        match self {
            Self::V4(t) => SocketAddr::new(t.local.into(), t.local_port),
            Self::V6(t) => SocketAddr::new(t.local.into(), t.local_port),
        }
    }

    /// The peer's address and port.
    pub fn remote(&self) -> SocketAddr {
        match self {
            Self::V4(t) => SocketAddr::new(t.remote.into(), t.remote_port),
            Self::V6(t) => SocketAddr::new(t.remote.into(), t.remote_port),
        }
    }

    /// Our port.
    pub fn local_port(&self) -> u16 {
        match self {
            Self::V4(t) => t.local_port,
            Self::V6(t) => t.local_port,
        }
    }

    /// The peer's port.
    pub fn remote_port(&self) -> u16 {
        match self {
            Self::V4(t) => t.remote_port,
            Self::V6(t) => t.remote_port,
        }
    }

    /// The same connection as the peer sees it.
    pub fn reversed(&self) -> Self {
        match *self {
            Self::V4(TupleV4 {
                local,
                remote,
                local_port,
                remote_port,
            }) => Self::V4(TupleV4 {
                local: remote,
                remote: local,
                local_port: remote_port,
                remote_port: local_port,
            }),
            Self::V6(TupleV6 {
                local,
                remote,
                local_port,
                remote_port,
            }) => Self::V6(TupleV6 {
                local: remote,
                remote: local,
                local_port: remote_port,
                remote_port: local_port,
            }),
        }
    }
}

impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ↔ {}", self.local(), self.remote())
    }
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
