//! The handler that keeps account of connections: what happens to them is noted, and bytes stay where they are until a call
//! takes them, so that the window is what a reader makes it.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use fourtuple::{Closed, ConnId, Connection, Handler, ListenerId, State};
use fourtuple_nic_mem::MemQueue;

/// What happened to a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is established, by way of this listener or opened from here.
    Opened {
        id: ConnId,
        listener: Option<ListenerId>,
        peer: SocketAddr,
    },
    /// The peer's FIN came and everything before it was read.
    PeerClosed(ConnId),
    /// It is over, and these bytes were not read.
    Rest(ConnId, Vec<u8>),
    /// Its name is void.
    Closed(Closed),
}

/// The application on the shard.
#[derive(Debug, Default)]
pub(crate) struct App {
    /// What happened since it was last asked, in order.
    pub(crate) events: Vec<Event>,
}

impl Handler<MemQueue> for App {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.events.push(Event::Opened {
            id: connection.id(),
            listener: connection.listener(),
            peer: connection.peer(),
        });
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        if connection.state() == State::Closed {
            let mut rest = Vec::new();
            while let Some(bytes) = connection.receive() {
                rest.extend_from_slice(bytes.bytes());
            }
            self.events.push(Event::Rest(connection.id(), rest));
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.events.push(Event::PeerClosed(connection.id()));
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.events.push(Event::Closed(closed));
    }
}
