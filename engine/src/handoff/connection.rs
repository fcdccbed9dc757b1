//! What an endpoint knows of one of its connections.

use std::collections::VecDeque;

use fourtuple_nic::Queue;
use fourtuple_wire::{FourTuple, Received};

use super::readiness::{News, Watch};
use crate::buffer::RxChunk;
use crate::error::ConnectionError;
use crate::handler::Trouble;

/// Received bytes that nobody has read yet.
pub(super) enum Piece<Q: Queue> {
    /// In the worker's buffer, which is lent.
    Lent(RxChunk<Q::Rx>),
    /// In memory of the endpoint's own; the buffer went home, its space is still charged to the window.
    Copied {
        /// The bytes.
        bytes: Vec<u8>,
        /// Those read already.
        read: usize,
        /// The buffer space to be released when all are.
        space: u32,
    },
}

impl<Q: Queue> Piece<Q> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lent(chunk) => chunk.bytes(),
            Self::Copied { bytes, read, .. } => bytes.get(*read..).unwrap_or_default(),
        }
    }

    pub(super) fn advance(&mut self, count: usize) {
        match self {
            Self::Lent(chunk) => chunk.trim_front(count),
            Self::Copied { bytes, read, .. } => *read = (*read + count).min(bytes.len()),
        }
    }
}

/// One connection, from the message that opened it until its stream is dropped.
pub(super) struct Connection<Q: Queue> {
    pub(super) tuple: FourTuple,
    /// Bytes that may be sent now. The last chunk may be charged more than there was: then it is below zero for a while.
    pub(super) credit: i64,
    /// All the credit there can be: what it had at first.
    pub(super) whole_credit: i64,
    /// Received and unread, in order.
    pub(super) unread: VecDeque<Piece<Q>>,
    /// Bytes received since it was opened, read or not.
    pub(super) delivered: u64,
    /// Those up to the last urgent one, as far as was told.
    pub(super) urgent_end: u64,
    /// What was told to be wrong, and not asked for yet.
    pub(super) trouble: Option<Trouble>,
    /// End of file, behind `unread`.
    pub(super) peer_closed: bool,
    /// It is gone on the worker.
    pub(super) ended: Option<Result<(), ConnectionError>>,
    /// This side said that it sends no more.
    pub(super) shut: bool,
    /// Buffer space that was given back and is not told yet.
    pub(super) released: u32,
    /// Stands in the list of those whose `released` is to be told.
    pub(super) listed: bool,
    /// Bytes that were handed out went unread.
    pub(super) discarded: bool,
    /// Who waits for it.
    pub(super) watch: Watch,
    /// A send found too little room, and whoever waits is to be told when there is more.
    pub(super) blocked: bool,
    /// It waits for what all connections of its worker share: blank buffers, or room for commands.
    pub(super) starved: bool,
    /// Its credit when it was last told that there is some of that: others may be faster.
    pub(super) fed_at: Option<i64>,
}

impl<Q: Queue> Connection<Q> {
    pub(super) fn new(tuple: FourTuple, credit: u32) -> Self {
        Self {
            tuple,
            credit: i64::from(credit),
            whole_credit: i64::from(credit),
            unread: VecDeque::new(),
            delivered: 0,
            urgent_end: 0,
            trouble: None,
            peer_closed: false,
            ended: None,
            shut: false,
            released: 0,
            listed: false,
            discarded: false,
            watch: Watch::default(),
            blocked: false,
            starved: false,
            fed_at: None,
        }
    }

    /// What of it could be told now. The worker is there unless `stopped`.
    pub(super) fn news(&self, stopped: bool) -> News {
        let ended = self.ended.is_some() || stopped;
        let readable = ended || self.peer_closed || !self.unread.is_empty();
        // Who may not send any more would be told so at once.
        let writable = ended || self.shut || self.credit > 0;
        News::of(readable, writable, ended)
    }

    /// Bytes up to the last urgent one that are not read, or not even here.
    pub(super) fn urgent_ahead(&self) -> Option<u64> {
        let unread: u64 = self.unread.iter().map(|piece| piece.bytes().len() as u64).sum();
        let ahead = self.urgent_end.saturating_sub(self.delivered - unread);
        (ahead > 0).then_some(ahead)
    }
}
