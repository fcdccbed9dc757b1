//! What crosses between a worker and an endpoint (D9, D10): messages of at most 32 bytes over SPSC rings.
//!
//! ```text
//!            events  ──────────────►   chunks, changes, ends          (full: the connection stays on the owed list)
//!            opened  ──────────────►   accepted and opened connections (only where the endpoint posted a credit)
//!            blanks  ──────────────►   empty registered buffers to fill
//!   worker                                                                endpoint
//!            ◄──────────────  commands   send, shutdown, close, credit …  (drained with a budget a turn)
//!            ◄──────────────  returns    lent chunks that come home: room for every chunk that can be lent
//! ```

use std::net::{IpAddr, SocketAddr};

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;
use fourtuple_wire::FourTuple;

use crate::ConnId;
use crate::buffer::{RxChunk, TxChunk};
use crate::error::{ConnectError, ConnectionError};
use crate::handler::Trouble;
use crate::listener::ListenerId;
use crate::options::Change;
use crate::shard::ConnectOptions;

/// An endpoint as one worker numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EndpointIndex(pub(crate) u16);

/// An endpoint as all workers know it: no other of this process has or had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EndpointNumber(pub(crate) u64);

/// From the worker: something happened to a connection of this endpoint.
#[derive(Debug)]
pub(crate) enum Event<Q: Queue> {
    /// The next bytes in order, lent until they come home by the return ring; and so many bytes of send credit, as in `Writable`,
    /// that are free again: where requests are answered an acknowledgment comes with the next request.
    Chunk(ConnId, RxChunk<Q::Rx>, u32),
    /// So many bytes of send credit are free again. Credit is what payload is charged: see `Payload::charge`.
    Writable(ConnId, u32),
    /// The peer announced urgent data: it reaches so many bytes beyond the chunks sent so far.
    Urgent(ConnId, u32),
    /// Something may be wrong that ends nothing.
    Trouble(ConnId, Trouble),
    /// End of file: the peer's FIN, behind all chunks.
    PeerClosed(ConnId),
    /// The connection is gone and its name void. Chunks that were lent stay readable.
    Ended(ConnId, Result<(), ConnectionError>),
    /// The answer to `Move`. `true`: nothing more comes of this connection, it is another endpoint's. `false`: that is not there.
    Moved(ConnId, bool),
    /// The answer to `Look`, in the memory that came with it.
    Seen(ConnId, Box<Option<Status>>),
}

/// From the worker: a connection that belongs to this endpoint from now on.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A listener accepted it. `credit`: bytes that may be sent before the first `Writable`.
    Accepted {
        id: ConnId,
        tuple: FourTuple,
        listener: ListenerId,
        credit: u32,
    },
    /// The handler gave it away, with a number.
    Handed {
        id: ConnId,
        tuple: FourTuple,
        mark: u64,
        credit: u32,
    },
    /// The connect with this token succeeded.
    Connected {
        id: ConnId,
        tuple: FourTuple,
        token: u32,
        credit: u32,
    },
    /// It failed before there was a connection.
    ConnectRefused { token: u32, why: ConnectError },
    /// It failed on the way.
    ConnectFailed { token: u32, why: ConnectionError },
}

/// From the endpoint.
#[derive(Debug)]
pub(crate) enum Command<Q: Queue> {
    /// Send this; it was paid for with send credit. And so many bytes of buffer space were given back, as in `Release`.
    Send {
        id: ConnId,
        payload: TxChunk<Q::Shared>,
        origin: Origin,
        released: u32,
    },
    /// Send this, and everything up to its end is urgent. It was copied, into a buffer that was blank.
    SendUrgent(ConnId, TxChunk<Q::Shared>),
    /// So many bytes of buffer space of this connection's chunks were given back: the window may open.
    Release(ConnId, u32),
    /// Half-close: FIN behind all that was sent.
    Shutdown(ConnId),
    /// Both directions. `unread`: the endpoint still held bytes that nobody read: a RST instead of a FIN.
    Close { id: ConnId, unread: bool },
    /// RST at once.
    Abort(ConnId),
    /// Change an option of it.
    Set(ConnId, Change),
    /// Open a connection to here; answered by `Opened` with the same token.
    Connect {
        token: u32,
        remote: Remote,
        /// The defaults when `None`.
        options: Option<Box<ConnectOptions>>,
    },
    /// Give this connection to that endpoint; answered by `Moved`.
    Move { id: ConnId, to: EndpointNumber },
    /// What there is to know of a connection that moved is here: go on.
    Take(ConnId),
    /// What TCP knows of it; answered by `Seen`.
    Look(ConnId, Box<Option<Status>>),
    /// So many more connections of this listener may be delivered to this endpoint.
    Credit(ListenerId, u32),
    /// Takes back so many credits, as far as they are unused.
    Withdraw(ListenerId, u32),
}

/// Whose buffer the payload of a `Send` is in: what the worker counts when it takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was blank, and bytes were copied into it.
    Copied,
    /// It was blank, and the application filled it.
    Filled,
    /// It was lent, and is payload from now on.
    Lent,
    /// A part of one that is lent: the whole comes home by itself.
    Part,
}

impl Origin {
    /// It is a buffer that a frame came in.
    pub(crate) const fn is_received(self) -> bool {
        matches!(self, Self::Lent | Self::Part)
    }
}

/// Where to connect to, in as few bytes as that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    ip: IpAddr,
    /// In network order: as octets it needs no alignment.
    port: [u8; 2],
}

impl From<SocketAddr> for Remote {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip(),
            port: address.port().to_be_bytes(),
        }
    }
}

impl From<Remote> for SocketAddr {
    fn from(remote: Remote) -> Self {
        Self::new(remote.ip, u16::from_be_bytes(remote.port))
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic_mem::MemQueue;

    use super::*;

    /// What the test port's buffers take beyond the 16 bytes of a real one.
    const EXTRA: usize = size_of::<RxChunk<<MemQueue as Queue>::Rx>>() - 16;
    const EXTRA_SENT: usize = size_of::<TxChunk<<MemQueue as Queue>::Shared>>() - 16;

    // A place of a ring is half a cache line: messages are moved in four words.
    const _: () = assert!(size_of::<Event<MemQueue>>() - EXTRA <= 32);
    const _: () = assert!(size_of::<Command<MemQueue>>() - EXTRA_SENT <= 32);

    #[test]
    fn an_address_survives_the_ring() {
        for text in ["10.0.0.1:80", "[fd99::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(Remote::from(address)), address);
        }
    }
}
