//! Run to completion: the services as a handler on each worker (`--mode handler`).

use std::collections::HashSet;
use std::sync::Arc;

use fourtuple::{Closed, ConnId, Connection, Handler, Queue, ReceivedBytes, SharedBytes, WorkerCalls};

use super::pipe::Pipe;
use super::{Kind, Kit, Session, Site};

/// All services on one worker. Listeners' numbers are indices into `kinds`.
pub(crate) struct Services<Q: Queue> {
    kinds: Arc<[Kind]>,
    kit: Kit<Prepared<Q>>,
    /// HTTP connections: when the engine drains, nobody else wakes those that are idle.
    http: HashSet<ConnId>,
    drained: bool,
}

impl<Q: Queue> Services<Q> {
    pub(crate) fn new(kinds: Arc<[Kind]>, site: Site) -> Self {
        Self {
            kinds,
            kit: Kit::new(site),
            http: HashSet::new(),
            drained: false,
        }
    }
}

impl<Q: Queue> Handler<Q> for Services<Q> {
    type State = Session<SharedBytes<Q::Shared>>;

    fn on_open(&mut self, connection: &mut Connection<'_, Q>, session: &mut Self::State) {
        let kind = connection
            .listener()
            .and_then(|listener| self.kinds.get(listener.index()).copied());
        let Some(kind) = kind else {
            connection.abort();
            return;
        };
        if kind == Kind::Http {
            self.http.insert(connection.id());
        }
        *session = Session::open(kind, connection, &mut self.kit);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, Q>, session: &mut Self::State) {
        session.on_readable(connection, &mut self.kit);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, Q>, session: &mut Self::State) {
        session.on_writable(connection, &mut self.kit);
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, Q>, session: &mut Self::State) {
        session.on_peer_closed(connection, &mut self.kit);
    }

    fn on_closed(&mut self, closed: Closed, session: &mut Self::State) {
        if let Session::Http(_) = session {
            self.http.remove(&closed.id);
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, Q, Self::State>) {
        if worker.is_draining() && !std::mem::replace(&mut self.drained, true) {
            for id in &self.http {
                // One that has just ended needs nothing.
                let _ = worker.with(*id, |connection, session| session.on_drain(connection));
            }
        }
    }
}

/// Bytes in buffers of this worker, and as they are for when there was no buffer.
pub(crate) struct Prepared<Q: Queue> {
    bytes: Vec<u8>,
    pieces: Vec<Option<SharedBytes<Q::Shared>>>,
}

/// Bytes of a piece: no more than any port's buffers hold, and what fits into most frames.
const PIECE: usize = 1_400;

impl<Q: Queue> Pipe for Connection<'_, Q> {
    type Received = ReceivedBytes<Q::Rx>;
    type Held = SharedBytes<Q::Shared>;
    type Prepared = Prepared<Q>;

    fn receive(&mut self) -> Option<Self::Received> {
        Connection::receive(self)
    }

    fn bytes(received: &Self::Received) -> &[u8] {
        received.bytes()
    }

    fn hold(received: Self::Received) -> Self::Held {
        received.into_payload()
    }

    fn send_held(&mut self, held: Self::Held) -> Result<(), Self::Held> {
        self.send_shared(held)
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        Connection::send(self, bytes)
    }

    fn prepare(&mut self, bytes: Vec<u8>) -> Prepared<Q> {
        let pieces = bytes.chunks(PIECE).map(|piece| self.share(piece)).collect();
        Prepared { bytes, pieces }
    }

    fn send_prepared(&mut self, prepared: &Prepared<Q>, from: usize, to: usize) -> usize {
        let mut at = from;
        while at < to {
            let (number, offset) = (at / PIECE, at % PIECE);
            let end = to.min((number + 1) * PIECE);
            let sent = match prepared.pieces.get(number) {
                Some(Some(piece)) => {
                    let part = piece.slice(offset..offset + (end - at));
                    self.send_shared(part).map_or(0, |()| end - at)
                }
                Some(None) | None => Connection::send(self, &prepared.bytes[at..end]),
            };
            if sent == 0 {
                break;
            }
            at += sent;
        }
        at - from
    }

    fn shutdown(&mut self) {
        Connection::shutdown(self);
    }

    fn close(&mut self) {
        Connection::close(self);
    }

    fn is_draining(&self) -> bool {
        Connection::is_draining(self)
    }

    fn now_ns(&self) -> u64 {
        self.now().as_nanos()
    }
}
