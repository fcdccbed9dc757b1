//! What an endpoint knows of one of its connections.

use std::collections::VecDeque;

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;
use fourtuple_wire::{FourTuple, Received};

use super::protocol::{Command, Origin};
use super::readiness::{News, Watch};
use crate::ConnId;
use crate::buffer::{RxChunk, TxChunk};
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

/// How far a connection has come on its way to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moving {
    /// The worker was asked.
    Asked,
    /// The other endpoint is gone.
    Refused,
}

/// One connection, from the message that opened it until its stream is dropped.
pub(super) struct Connection<Q: Queue> {
    pub(super) tuple: FourTuple,
    /// Bytes that may be sent now. The last chunk may be charged more than there was: then it is below zero for a while.
    pub(super) credit: i64,
    /// All the credit there can be: what it had at first, or less when the application set a mark.
    pub(super) whole_credit: i64,
    /// What it had at first.
    pub(super) granted: i64,
    /// Who waits for room is told when no more than this is queued.
    pub(super) low_mark: i64,
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
    /// Buffer space of chunks in the application's hands.
    pub(super) out: u32,
    pub(super) moving: Option<Moving>,
    /// What its worker told last of it, if it was asked.
    pub(super) seen: Option<Status>,
    /// The worker was asked and has not answered.
    pub(super) looking: bool,
}

impl<Q: Queue> Connection<Q> {
    pub(super) fn new(tuple: FourTuple, credit: u32) -> Self {
        Self {
            tuple,
            credit: i64::from(credit),
            whole_credit: i64::from(credit),
            granted: i64::from(credit),
            low_mark: i64::MAX,
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
            out: 0,
            moving: None,
            seen: None,
            looking: false,
        }
    }

    /// At most `high` may be queued from now on; who waits for room is told at `low`.
    pub(super) fn set_marks(&mut self, low: u32, high: u32) {
        let high = i64::from(high).clamp(1, self.granted.max(1));
        // What is queued beyond it already makes the credit negative for a while.
        self.credit += high - self.whole_credit;
        self.whole_credit = high;
        self.low_mark = i64::from(low);
    }

    /// So much send credit more; `true` when whoever waits for it is to be told.
    pub(super) fn grant(&mut self, count: u32) -> bool {
        self.credit += i64::from(count);
        self.whole_credit = self.whole_credit.max(self.credit);
        self.granted = self.granted.max(self.credit);
        // Who waits for what all share is told when that is there.
        let told = self.blocked
            && !self.starved
            && self.credit > 0
            && self.whole_credit - self.credit <= self.low_mark;
        self.blocked &= !told;
        told
    }

    /// What has the worker send this, with the space that was given back since it was last told.
    pub(super) fn send(&mut self, id: ConnId, payload: TxChunk<Q::Shared>, origin: Origin) -> Command<Q> {
        Command::Send {
            id,
            payload,
            origin,
            released: std::mem::take(&mut self.released),
        }
    }

    /// As another endpoint gets it: nobody there waits for anything yet.
    pub(super) fn departing(self) -> Self {
        Self {
            watch: Watch::default(),
            blocked: false,
            starved: false,
            fed_at: None,
            listed: false,
            out: 0,
            moving: None,
            seen: None,
            looking: false,
            ..self
        }
    }

    /// Bytes of the endpoint's own memory that hold what is unread.
    pub(super) fn copied(&self) -> usize {
        let held = |piece: &Piece<Q>| match piece {
            Piece::Lent(_) => 0,
            Piece::Copied { bytes, .. } => bytes.len(),
        };
        self.unread.iter().map(held).sum()
    }

    /// What of it could be told now. The worker is there unless `stopped`.
    pub(super) fn news(&self, stopped: bool) -> News {
        let ended = self.ended.is_some() || stopped;
        let readable = ended || self.peer_closed || !self.unread.is_empty();
        // Who may not send any more would be told so at once.
        let writable = ended || self.shut || self.credit > 0;
        News::of(readable, writable, ended)
    }

    /// Bytes up to the last urgent one that are not read, or not even here; of those handed out, `held` are not read either.
    pub(super) fn urgent_ahead(&self, held: u64) -> Option<u64> {
        let unread: u64 = self.unread.iter().map(|piece| piece.bytes().len() as u64).sum();
        let ahead = self
            .urgent_end
            .saturating_sub((self.delivered - unread).saturating_sub(held));
        (ahead > 0).then_some(ahead)
    }
}
