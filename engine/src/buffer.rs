//! The port's buffers as TCP sees them: newtypes, so that `fourtuple-tcp` knows no NIC (D4).

use std::marker::PhantomData;
use std::ops::Range;

use fourtuple_nic::{Queue, RxBuf, Shared};
use fourtuple_tcp::Buffers;
use fourtuple_wire::{Payload, Received};

/// Which buffers the TCBs of a shard hold: those of its port.
#[derive(Debug)]
pub(crate) struct PortBuffers<Q>(PhantomData<fn() -> Q>);

impl<Q: Queue> Buffers for PortBuffers<Q> {
    type Rx = RxChunk<Q::Rx>;
    type Tx = TxChunk<Q::Shared>;
}

/// Received payload: one port buffer, trimmed to what is the application's.
#[derive(Debug)]
pub(crate) struct RxChunk<R>(pub(crate) R);

impl<R: RxBuf> RxChunk<R> {
    /// Turns received payload into payload to send, without a copy.
    pub(crate) fn into_payload(self) -> TxChunk<R::Shared> {
        TxChunk(self.0.into_shared())
    }
}

impl<R: RxBuf> Received for RxChunk<R> {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn trim_front(&mut self, count: usize) {
        self.0.trim_front(count);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn space(&self) -> usize {
        self.0.space()
    }
}

/// Payload to send, kept until it is acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct TxChunk<S>(pub(crate) S);

impl<S: Shared> Payload for TxChunk<S> {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.slice(range))
    }

    fn space(&self) -> usize {
        self.0.space()
    }
}
