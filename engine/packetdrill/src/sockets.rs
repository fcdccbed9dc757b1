//! What the calls mean that make, name and end sockets.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::c_int;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use fourtuple::{ConnId, ConnectError, ConnectOptions, Listen, ListenerId, Profile};

use crate::app::Event;
use crate::stack::{Answer, Limit, Stack, State};
use crate::streams::{End, errno};

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) v6: bool,
    pub(crate) nonblocking: bool,
    pub(crate) bound: Option<SocketAddr>,
    /// Options of its connections.
    pub(crate) profile: Profile,
    /// `SO_LINGER`, in seconds.
    pub(crate) linger: Option<u32>,
    pub(crate) kind: Kind,
}

/// What became of a socket.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Neither listens nor connected.
    Fresh,
    /// Listens.
    Listening {
        id: ListenerId,
        /// Connections that wait for an accept.
        queue: VecDeque<ConnId>,
    },
    /// Connected, or connecting, or over.
    Stream(ConnId),
}

impl Stack {
    pub(crate) fn socket(&self, domain: c_int, kind: c_int, protocol: c_int) -> Answer<c_int> {
        if kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM
            || !matches!(protocol, 0 | libc::IPPROTO_TCP)
        {
            return Err(libc::EPROTONOSUPPORT);
        }
        if !matches!(domain, libc::AF_INET | libc::AF_INET6) {
            return Err(libc::EAFNOSUPPORT);
        }
        self.now(|state| {
            let socket = Socket {
                v6: domain == libc::AF_INET6,
                nonblocking: kind & libc::SOCK_NONBLOCK != 0,
                bound: None,
                profile: state.options.profile.clone(),
                linger: None,
                kind: Kind::Fresh,
            };
            state.enter(socket)
        })
    }

    pub(crate) fn bind(&self, fd: c_int, address: SocketAddr) -> Answer<()> {
        self.now(|state| {
            let ip = address.ip();
            let ours = state.options.addresses.iter().any(|net| net.addr() == ip);
            let socket = state.at(fd)?;
            if socket.bound.is_some() || !matches!(socket.kind, Kind::Fresh) {
                return Err(libc::EINVAL);
            }
            if !ip.is_unspecified() && !ours {
                return Err(libc::EADDRNOTAVAIL);
            }
            socket.bound = Some(address);
            Ok(())
        })
    }

    pub(crate) fn listen(&self, fd: c_int, backlog: c_int) -> Answer<()> {
        self.now(|state| {
            let number = state.listeners;
            let socket = state.at(fd)?;
            let address = match (&socket.kind, socket.bound) {
                (Kind::Listening { .. }, _) => return Ok(()),
                (Kind::Fresh, Some(address)) if address.port() != 0 => address,
                (Kind::Fresh | Kind::Stream(_), _) => return Err(libc::EINVAL),
            };
            let mut listen = Listen::on(address.port())
                .with_backlog(u32::try_from(backlog).unwrap_or(0).max(1))
                .with_profile(socket.profile.clone());
            listen.address = Some(address.ip()).filter(|ip| !ip.is_unspecified());
            state.listeners += 1;
            let id = state.stepped.listen(number, &listen);
            let queue = VecDeque::new();
            state.at(fd)?.kind = Kind::Listening { id, queue };
            Ok(())
        })
    }

    /// The new descriptor, and the peer's address in the form of the socket's family.
    pub(crate) fn accept(&self, fd: c_int) -> Answer<(c_int, SocketAddr, bool)> {
        let limit = self.limit(fd, 0)?;
        self.wait(limit, Err(libc::EAGAIN), |state| state.try_accept(fd).transpose())
    }

    pub(crate) fn connect(&self, fd: c_int, peer: SocketAddr) -> Answer<()> {
        let limit = self.limit(fd, 0)?;
        let mut begun = false;
        self.wait(limit, Err(libc::EINPROGRESS), |state| {
            if !std::mem::replace(&mut begun, true) {
                match state.begin_connect(fd, peer) {
                    Ok(()) => state.settle(),
                    Err(why) => return Some(Err(why)),
                }
            }
            state.connected(fd)
        })
    }

    pub(crate) fn shutdown(&self, fd: c_int, how: c_int) -> Answer<()> {
        self.now(|state| {
            let id = state.stream(fd)?;
            if !state
                .ends
                .get(&id)
                .is_some_and(|end| end.open && end.closed.is_none())
            {
                return Err(libc::ENOTCONN);
            }
            if !matches!(how, libc::SHUT_RD | libc::SHUT_WR | libc::SHUT_RDWR) {
                return Err(libc::EINVAL);
            }
            if how != libc::SHUT_RD {
                state.with(id, |connection| connection.shutdown());
            }
            if let Some(end) = state.ends.get_mut(&id) {
                end.read_shut |= how != libc::SHUT_WR;
                end.write_shut |= how != libc::SHUT_RD;
            }
            Ok(())
        })
    }

    pub(crate) fn close(&self, fd: c_int) -> Answer<()> {
        let (id, linger) = self.now(|state| state.close(fd))?;
        // SO_LINGER with a time: close waits until all was acknowledged, or the time is up.
        if let (Some(id), Some(seconds @ 1..)) = (id, linger) {
            let limit = Limit::For(Duration::from_secs(u64::from(seconds)));
            return self.wait(limit, Ok(()), |state| {
                let left = state.with(id, |connection| connection.status());
                (left.flatten().is_none_or(|status| status.send_queue == 0)).then_some(Ok(()))
            });
        }
        Ok(())
    }

    /// Whether calls on this socket wait.
    pub(crate) fn limit(&self, fd: c_int, flags: c_int) -> Answer<Limit> {
        self.now(|state| {
            let nonblocking = state.at(fd)?.nonblocking || flags & libc::MSG_DONTWAIT != 0;
            Ok(if nonblocking { Limit::Now } else { Limit::None })
        })
    }
}

impl State {
    /// The socket of a descriptor.
    pub(crate) fn at(&mut self, fd: c_int) -> Answer<&mut Socket> {
        self.sockets.get_mut(&fd).ok_or(libc::EBADF)
    }

    /// The connection of a descriptor.
    pub(crate) fn stream(&mut self, fd: c_int) -> Answer<ConnId> {
        match self.at(fd)?.kind {
            Kind::Stream(id) => Ok(id),
            Kind::Fresh | Kind::Listening { .. } => Err(libc::ENOTCONN),
        }
    }

    /// Its descriptor is one of the kernel's that nothing is behind: packetdrill closes those that its script left open by
    /// itself.
    fn enter(&mut self, socket: Socket) -> Answer<c_int> {
        let nothing =
            File::open("/dev/null").map_err(|error| error.raw_os_error().unwrap_or(libc::EMFILE))?;
        let fd = nothing.into_raw_fd();
        self.sockets.insert(fd, socket);
        Ok(fd)
    }

    fn try_accept(&mut self, fd: c_int) -> Answer<Option<(c_int, SocketAddr, bool)>> {
        let socket = self.at(fd)?;
        let Kind::Listening { queue, .. } = &mut socket.kind else {
            return Err(libc::EINVAL);
        };
        let Some(id) = queue.pop_front() else {
            return Ok(None);
        };
        let accepted = Socket {
            v6: socket.v6,
            nonblocking: false,
            bound: socket.bound,
            profile: socket.profile.clone(),
            linger: socket.linger,
            kind: Kind::Stream(id),
        };
        let v6 = accepted.v6;
        let peer = self.ends.get(&id).map(|end| end.peer).ok_or(libc::ECONNABORTED)?;
        Ok(Some((self.enter(accepted)?, peer, v6)))
    }

    fn begin_connect(&mut self, fd: c_int, peer: SocketAddr) -> Answer<()> {
        let socket = self.at(fd)?;
        let (bound, profile) = (socket.bound, socket.profile.clone());
        match socket.kind {
            Kind::Fresh => {}
            Kind::Listening { .. } => return Err(libc::EISCONN),
            Kind::Stream(id) => match self.ends.get_mut(&id) {
                Some(end) if end.error.is_some() => return Err(end.error.take().unwrap_or(libc::EINVAL)),
                Some(end) if end.open && end.closed.is_none() => return Err(libc::EISCONN),
                Some(end) if end.closed.is_none() => return Err(libc::EALREADY),
                // What it was is over: it may try again.
                Some(_) | None => {}
            },
        }
        let mut options = ConnectOptions::new().with_profile(profile);
        options.local = bound.map(|bound| bound.ip()).filter(|ip| !ip.is_unspecified());
        options.local_port = bound.map(|bound| bound.port()).filter(|port| *port != 0);
        let id = self
            .stepped
            .call(self.now, |_, worker| worker.connect(peer, &options))
            .map_err(refused)?;
        self.ends.insert(id, End::new(peer));
        self.at(fd)?.kind = Kind::Stream(id);
        Ok(())
    }

    fn connected(&mut self, fd: c_int) -> Option<Answer<()>> {
        let id = match self.stream(fd) {
            Ok(id) => id,
            Err(why) => return Some(Err(why)),
        };
        let end = self.ends.get_mut(&id)?;
        if let Some(why) = end.error.take() {
            return Some(Err(why));
        }
        end.open.then_some(Ok(()))
    }

    /// The connection that was closed, and how long to linger over it.
    fn close(&mut self, fd: c_int) -> Answer<(Option<ConnId>, Option<u32>)> {
        let socket = self.sockets.remove(&fd).ok_or(libc::EBADF)?;
        match socket.kind {
            Kind::Fresh => Ok((None, None)),
            Kind::Listening { id, queue } => {
                self.stepped.unlisten(id);
                for id in queue {
                    self.let_go(id, true);
                }
                Ok((None, None))
            }
            Kind::Stream(id) => {
                self.let_go(id, socket.linger == Some(0));
                Ok((Some(id), socket.linger))
            }
        }
    }

    fn let_go(&mut self, id: ConnId, abort: bool) {
        // Bytes that a call looked at and left, or that came too late for one, are unread for RFC 2525 §2.17.
        let unread = self.ends.remove(&id).is_some_and(|end| !end.taken.is_empty());
        self.with(id, |connection| {
            if abort || unread {
                connection.abort();
            } else {
                connection.close();
            }
        });
    }

    /// Takes note of what happened to a connection.
    pub(crate) fn note(&mut self, event: Event) {
        match event {
            Event::Opened { id, listener, peer } => {
                self.ends.entry(id).or_insert_with(|| End::new(peer)).open = true;
                let Some(listener) = listener else { return };
                let waiting = self
                    .sockets
                    .values_mut()
                    .find_map(|socket| match &mut socket.kind {
                        Kind::Listening { id, queue } if *id == listener => Some(queue),
                        Kind::Fresh | Kind::Listening { .. } | Kind::Stream(_) => None,
                    });
                match waiting {
                    Some(queue) => queue.push_back(id),
                    None => self.let_go(id, true),
                }
            }
            Event::PeerClosed(id) => {
                if let Some(end) = self.ends.get_mut(&id) {
                    end.peer_closed = true;
                }
            }
            Event::Rest(id, bytes) => {
                if let Some(end) = self.ends.get_mut(&id) {
                    end.taken.extend(bytes);
                }
            }
            Event::Closed(closed) => {
                if let Some(end) = self.ends.get_mut(&closed.id) {
                    end.error = closed.outcome.err().map(errno);
                    end.closed = Some(closed.outcome);
                }
            }
        }
    }
}

fn refused(why: ConnectError) -> c_int {
    match why {
        ConnectError::BadAddress(IpAddr::V4(_) | IpAddr::V6(_)) => libc::ENETUNREACH,
        ConnectError::AddressInUse | ConnectError::NoPortLeft(_) => libc::EADDRNOTAVAIL,
        ConnectError::Limit => libc::ENOBUFS,
        _ => libc::EINVAL,
    }
}
