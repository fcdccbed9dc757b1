//! What the calls mean that move bytes and tell whether they would.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{c_int, c_short};
use std::net::SocketAddr;
use std::time::Duration;

use fourtuple::{ConnId, ConnectionError, State as TcpState, Status};

use crate::sockets::Kind;
use crate::stack::{Answer, Limit, Stack, State};

/// What is known of a connection beside TCP's own state.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) peer: SocketAddr,
    /// It was established.
    pub(crate) open: bool,
    pub(crate) peer_closed: bool,
    pub(crate) closed: Option<Result<(), ConnectionError>>,
    /// `SO_ERROR`: told once.
    pub(crate) error: Option<c_int>,
    pub(crate) read_shut: bool,
    pub(crate) write_shut: bool,
    /// Bytes that left TCP and were not read: the rest of a segment that a call read in part, or only looked at.
    pub(crate) taken: VecDeque<u8>,
    /// The segments they came in: bytes left of each, and the space that goes back to the window with the last of them.
    charged: VecDeque<(usize, usize)>,
}

impl End {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            open: false,
            peer_closed: false,
            closed: None,
            error: None,
            read_shut: false,
            write_shut: false,
            taken: VecDeque::new(),
            charged: VecDeque::new(),
        }
    }

    fn keep(&mut self, bytes: Vec<u8>, space: usize) {
        self.charged.push_back((bytes.len(), space));
        self.taken.extend(bytes);
    }

    /// So many bytes are read: the space of the segments that are read to their end.
    fn read(&mut self, mut count: usize) -> usize {
        self.taken.drain(..count);
        let mut space = 0;
        while let Some((left, charge)) = self.charged.front_mut() {
            if *left > count {
                *left -= count;
                break;
            }
            count -= *left;
            space += *charge;
            self.charged.pop_front();
        }
        space
    }
}

impl Stack {
    pub(crate) fn read(&self, fd: c_int, into: &mut [u8], flags: c_int) -> Answer<usize> {
        if flags & !(libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_WAITALL | libc::MSG_NOSIGNAL) != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let limit = self.limit(fd, flags)?;
        let least = if flags & libc::MSG_WAITALL != 0 {
            into.len()
        } else {
            1
        };
        let peek = flags & libc::MSG_PEEK != 0;
        self.wait(limit, Err(libc::EAGAIN), |state| {
            state.try_read(fd, into, least, peek).transpose()
        })
    }

    pub(crate) fn write(&self, fd: c_int, bytes: &[u8], flags: c_int) -> Answer<usize> {
        if flags & !(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_MORE) != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let limit = self.limit(fd, flags)?;
        let mut written = 0;
        let answer = self.wait(limit, Err(libc::EAGAIN), |state| {
            match state.try_write(fd, &bytes[written..]) {
                Ok(count) => written += count,
                Err(why) => return Some(Err(why)),
            }
            (written == bytes.len()).then_some(Ok(written))
        });
        // What was taken counts, whatever happened then.
        if written > 0 { Ok(written) } else { answer }
    }

    /// What is ready among `wanted`, pairs of descriptor and events, in the same order.
    pub(crate) fn poll(&self, wanted: &[(c_int, c_short)], timeout_ms: c_int) -> Answer<Vec<c_short>> {
        let limit = match u64::try_from(timeout_ms) {
            Ok(0) => Limit::Now,
            Ok(ms) => Limit::For(Duration::from_millis(ms)),
            Err(_) => Limit::None,
        };
        self.wait(limit, Ok(vec![0; wanted.len()]), |state| {
            let ready: Vec<_> = wanted
                .iter()
                .map(|(fd, events)| state.ready(*fd, *events))
                .collect();
            ready.iter().any(|events| *events != 0).then_some(Ok(ready))
        })
    }

    /// `SIOCINQ` and `SIOCOUTQ`: bytes to read, bytes that were not acknowledged.
    pub(crate) fn queues(&self, fd: c_int) -> Answer<(usize, usize)> {
        self.now(|state| {
            let id = state.stream(fd)?;
            let taken = state.ends.get(&id).map_or(0, |end| end.taken.len());
            let status = state.status(id);
            Ok(status.map_or((taken, 0), |status| {
                (taken + status.unread as usize, status.send_queue as usize)
            }))
        })
    }
}

impl State {
    pub(crate) fn status(&mut self, id: ConnId) -> Option<Status> {
        self.with(id, |connection| connection.status()).flatten()
    }

    fn try_read(&mut self, fd: c_int, into: &mut [u8], least: usize, peek: bool) -> Answer<Option<usize>> {
        let id = self.stream(fd)?;
        while self.ends.get(&id).is_some_and(|end| end.taken.len() < into.len()) {
            let received = self.with(id, |connection| connection.receive_charged());
            let (Some(Some((bytes, space))), Some(end)) = (received, self.ends.get_mut(&id)) else {
                break;
            };
            end.keep(bytes, space);
        }
        // As Linux has it: after SHUT_RD what is there can be read, and then it is the end.
        let shut = self.ends.get(&id).is_some_and(|end| end.read_shut);
        let at_end = shut || self.at_end(id);
        let end = self.ends.get_mut(&id).ok_or(libc::ENOTCONN)?;
        let count = end.taken.len().min(into.len());
        if count >= least.min(into.len()) || (count > 0 && (at_end || end.error.is_some())) {
            for (to, from) in into.iter_mut().zip(&end.taken) {
                *to = *from;
            }
            if !peek {
                let space = end.read(count);
                self.with(id, |connection| connection.release(space));
            }
            return Ok(Some(count));
        }
        match end.error.take() {
            Some(why) => Err(why),
            None => Ok(at_end.then_some(0)),
        }
    }

    /// Nothing more will come.
    fn at_end(&mut self, id: ConnId) -> bool {
        let known = self
            .ends
            .get(&id)
            .is_none_or(|end| end.peer_closed || end.closed.is_some());
        known
            || self
                .with(id, |connection| connection.state())
                .is_none_or(|state| match state {
                    TcpState::CloseWait
                    | TcpState::LastAck
                    | TcpState::Closing
                    | TcpState::TimeWait
                    | TcpState::Closed => true,
                    TcpState::Listen
                    | TcpState::SynSent
                    | TcpState::SynReceived
                    | TcpState::Established
                    | TcpState::FinWait1
                    | TcpState::FinWait2 => false,
                })
    }

    fn try_write(&mut self, fd: c_int, bytes: &[u8]) -> Answer<usize> {
        let id = self.stream(fd)?;
        let end = self.ends.get_mut(&id).ok_or(libc::ENOTCONN)?;
        if let Some(why) = end.error.take() {
            return Err(why);
        }
        if end.write_shut || end.closed.is_some() {
            return Err(libc::EPIPE);
        }
        if !end.open {
            // Waits for the handshake.
            return Ok(0);
        }
        self.with(id, |connection| connection.send(bytes))
            .ok_or(libc::EPIPE)
    }

    fn ready(&mut self, fd: c_int, wanted: c_short) -> c_short {
        if fd < 0 {
            return 0;
        }
        let Ok(socket) = self.at(fd) else {
            return libc::POLLNVAL;
        };
        let id = match &socket.kind {
            Kind::Fresh => return libc::POLLHUP | wanted & libc::POLLOUT,
            Kind::Listening { queue, .. } => {
                return if queue.is_empty() {
                    0
                } else {
                    wanted & libc::POLLIN
                };
            }
            Kind::Stream(id) => *id,
        };
        let at_end = self.at_end(id);
        let status = self.status(id);
        let room = self.with(id, |connection| connection.send_room() > 0) == Some(true);
        let Some(end) = self.ends.get(&id) else {
            return libc::POLLNVAL;
        };
        let unread = !end.taken.is_empty() || status.is_some_and(|status| status.unread > 0);
        let mut ready = 0;
        if end.open && (unread || at_end || end.read_shut) || end.error.is_some() {
            ready |= libc::POLLIN | libc::POLLRDNORM;
        }
        if end.open && (room || end.closed.is_some()) || end.error.is_some() {
            ready |= libc::POLLOUT | libc::POLLWRNORM;
        }
        if end.open && (at_end || end.read_shut) {
            ready |= libc::POLLRDHUP;
        }
        ready &= wanted;
        if end.error.is_some() {
            ready |= libc::POLLERR;
        }
        if end.closed.is_some() || (end.open && at_end && end.write_shut) {
            ready |= libc::POLLHUP;
        }
        ready
    }
}

/// What the errors of a connection are called in POSIX.
pub(crate) fn errno(why: ConnectionError) -> c_int {
    match why {
        ConnectionError::Reset => libc::ECONNRESET,
        ConnectionError::Refused => libc::ECONNREFUSED,
        ConnectionError::TimedOut => libc::ETIMEDOUT,
        _ => libc::ECONNABORTED,
    }
}
