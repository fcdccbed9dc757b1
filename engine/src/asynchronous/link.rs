//! What both directions of a connection share.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;

use super::held::Held;
use crate::ConnId;
use crate::handoff::Stream;
use crate::options::ConnectionOption;

/// A connection, and what has to live as long; both halves hold it.
pub(super) struct Link<Q: Queue> {
    /// Dropped first: it closes the connection, and the endpoint has to be there.
    pub(super) stream: Stream<Q>,
    pub(super) _held: Arc<Held<Q>>,
}

impl<Q: Queue> Link<Q> {
    pub(super) fn id(&self) -> ConnId {
        self.stream.id()
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.stream.local()
    }

    pub(super) fn set(&self, option: ConnectionOption) -> io::Result<()> {
        Ok(self.stream.set(option, Duration::ZERO)?)
    }

    pub(super) async fn info(&self) -> io::Result<Status> {
        self.stream.begin_look();
        Ok(std::future::poll_fn(|cx| self.stream.poll_look(cx)).await?)
    }
}
