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
    /// The next bytes in order, lent until they come home by the return ring.
    Chunk(ConnId, RxChunk<Q::Rx>),
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
    /// Send this; it was paid for with send credit.
    Send(ConnId, TxChunk<Q::Shared>),
    /// The same, and everything up to its end is urgent.
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
        remote: std::net::SocketAddr,
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
}
