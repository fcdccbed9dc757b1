//! A connection as a handler sees it, for as long as one call lasts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fourtuple_nic::{Queue, RxBuf, Shared};
use fourtuple_tcp::{Env, Pools, Profile, SendRefused, State, Status};
use fourtuple_wire::{FourTuple, Instant, Payload, Received, TupleV4};

use super::limits::{PLENTY_PART, SCARCE_PART, SHARE_OF_FREE};
use super::ports::AttachedPort;
use super::work::Work;
use crate::ConnId;
use crate::attach::PortQueue;
use crate::buffer::{PortBuffers, RxChunk, TxChunk};
use crate::conn_id::SlotRef;
use crate::error::ApiMisuse;
use crate::handoff::{EndpointHandle, StreamError};
use crate::listener::ListenerId;
use crate::options::ConnectionOption;
use crate::port_number::PortNumber;
use crate::records::{Conn, Owner, Rare};
use crate::tick::tick_at_or_after;

/// How long a connection that found no buffer waits for the next try.
const STARVED_RETRY: Duration = Duration::from_millis(1);

/// The longest time that a timer is set for: what ticks of a millisecond can tell from the past.
const LONGEST_TIMER: Duration = Duration::from_secs(20 * 24 * 3600);

/// What no connection has.
const NOBODY: FourTuple = FourTuple::V4(TupleV4 {
    local: Ipv4Addr::UNSPECIFIED,
    remote: Ipv4Addr::UNSPECIFIED,
    local_port: 0,
    remote_port: 0,
});

/// A connection for the duration of one call of a [`Handler`](crate::Handler).
///
/// Nothing here blocks: `send` takes what there is room for, `receive` gives what has arrived.
///
/// ```no_run
/// use fourtuple::{Connection, Handler};
///
/// struct Greeting;
///
/// impl Handler for Greeting {
///     type State = ();
///
///     fn on_open(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
///         connection.set_timer(Some(std::time::Duration::from_secs(5)));
///         connection.send(format!("hello, {}\n", connection.peer()).as_bytes());
///     }
///
///     fn on_readable(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
///         while connection.receive().is_some() {}
///         connection.close();
///     }
///
///     fn on_timer(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
///         connection.abort();
///     }
/// }
/// ```
pub struct Connection<'a, Q: Queue = PortQueue> {
    pub(crate) work: &'a mut Work<Q>,
    pub(crate) slot: SlotRef,
}

impl<Q: Queue> std::fmt::Debug for Connection<'_, Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({:?}, {})", self.id(), self.four_tuple())
    }
}

/// Received bytes, owned for the duration of a call. Turn them into payload to send them on without a copy.
///
/// ```no_run
/// # fn echo(connection: &mut fourtuple::Connection<'_>) {
/// while let Some(received) = connection.receive() {
///     println!("{} bytes", received.bytes().len());
///     let _ = connection.send_shared(received.into_payload());
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ReceivedBytes<R: RxBuf>(RxChunk<R>);

impl<R: RxBuf> ReceivedBytes<R> {
    /// The bytes themselves, of one segment or a part of it.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The same bytes as payload to send, without a copy.
    pub fn into_payload(self) -> SharedBytes<R::Shared> {
        SharedBytes(self.0.into_payload())
    }
}

/// Bytes to send: shared, so that sending them again or to others copies nothing.
///
/// ```no_run
/// # fn twice(connection: &mut fourtuple::Connection<'_>) {
/// if let Some(received) = connection.receive() {
///     let bytes = received.into_payload();
///     let first = bytes.slice(0..1.min(bytes.len()));
///     let _ = connection.send_shared(bytes);
///     let _ = connection.send_shared(first);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SharedBytes<S: Shared>(pub(crate) TxChunk<S>);

impl<S: Shared> SharedBytes<S> {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of them that shares the same memory, cut to what there is.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self(self.0.slice(range))
    }
}

/// Bytes that `send_shared` would take now. Buffers that were received grow no send queue beyond its least: most are wanted to
/// receive with.
#[inline]
fn room_of<Q: Queue>(
    conn: &Conn<Q>,
    profile: &Profile,
    pools: &Pools<PortBuffers<Q>>,
    port: &AttachedPort<Q>,
) -> usize {
    let room = if port.shortage.is_plenty {
        conn.tcb.send_room(profile, pools)
    } else {
        conn.tcb.least_send_room(profile)
    };
    match port.shortage.share {
        Some(share) if conn.tcb.queued_bytes() > 0 => {
            room.min(share.saturating_sub(conn.tcb.pinned()) as usize)
        }
        Some(_) | None => room,
    }
}

impl<Q: Queue> Connection<'_, Q> {
    /// The connection's name, valid until it ends.
    pub fn id(&self) -> ConnId {
        self.work.name(self.slot)
    }

    /// Both ends.
    pub fn four_tuple(&self) -> FourTuple {
        // Records go between calls, never in one.
        self.work.records.tuple(self.slot).unwrap_or(NOBODY)
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.four_tuple().remote()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.four_tuple().local()
    }

    /// The listener that accepted it; `None` when it was opened from here.
    pub fn listener(&self) -> Option<ListenerId> {
        self.work.records.conn(self.slot)?.listener
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.work.now
    }

    /// TCP's state.
    #[inline]
    pub fn state(&self) -> State {
        self.work
            .records
            .conn(self.slot)
            .map_or(State::Closed, |conn| conn.tcb.state())
    }

    /// What TCP knows of the path: RTT, windows, queues.
    pub fn status(&mut self) -> Option<Status> {
        self.work
            .with_tcb(self.slot, |tcb, env| tcb.status(env.profile, env.now))
    }

    /// The next bytes in order, at most one segment's; `None` when nothing waits. Taking them opens the receive window.
    #[inline]
    pub fn receive(&mut self) -> Option<ReceivedBytes<Q::Rx>> {
        self.work.take_chunk(self.slot).map(ReceivedBytes)
    }

    /// The bytes in order that wait to be received, segment by segment, without taking them: to see who is to have the connection
    /// (by Host or SNI, say) before it is [handed off](Self::hand_off).
    ///
    /// ```
    /// # fn is_http(connection: &fourtuple::Connection<'_>) -> bool {
    /// let mut bytes = connection.peek().flatten();
    /// b"GET ".iter().all(|byte| bytes.next() == Some(byte))
    /// # }
    /// ```
    pub fn peek(&self) -> impl Iterator<Item = &[u8]> {
        let conn = self.work.records.conn(self.slot);
        let pools = &self.work.pools;
        conn.into_iter().flat_map(move |conn| conn.tcb.peek(pools))
    }

    /// Has [`on_timer`](crate::Handler::on_timer) called for this connection after so long, to the next millisecond; at most
    /// once, and not any more when `None` follows. A connection has one timer: the last time set counts.
    ///
    /// It goes with the connection, and when that is handed off. Setting it again later costs a few instructions.
    pub fn set_timer(&mut self, after: Option<Duration>) {
        let work = &mut *self.work;
        let Some(conn) = work
            .records
            .conn_mut(self.slot)
            .filter(|conn| conn.owner == Owner::Handler)
        else {
            return;
        };
        match after {
            Some(after) => {
                let due = tick_at_or_after(work.now + after.min(LONGEST_TIMER));
                work.alarms.set(self.slot, due, &mut work.records);
            }
            None => conn.set_timer(None),
        }
    }

    /// Gives this connection to an endpoint, which [takes](crate::Endpoint::take_handed) it with `mark`, a number for what the
    /// handler found out. What was not received here is received there, behind what was [peeked](Self::peek) at; what was sent here goes
    /// out before what is sent there.
    ///
    /// The handler hears nothing more of it, and its state is dropped; this is to be the last that it does with it.
    ///
    /// ```
    /// # struct Front { tls: fourtuple::EndpointHandle }
    /// impl fourtuple::Handler for Front {
    ///     type State = ();
    ///     fn on_readable(&mut self, connection: &mut fourtuple::Connection<'_>, _: &mut ()) {
    ///         // A TLS handshake goes to threads of its own; if they take no more, it ends.
    ///         if connection.peek().next().is_some_and(|bytes| bytes.starts_with(&[0x16]))
    ///             && connection.hand_off(&self.tls, 443).is_ok()
    ///         {
    ///             return;
    ///         }
    ///         connection.abort();
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when as many wait there as [may](crate::EndpointLimits::handed), [`StreamError::Misuse`] when the endpoint is
    /// gone or of another engine, or when this connection has ended or was closed here: it stays the handler's.
    pub fn hand_off(&mut self, to: &EndpointHandle<Q>, mark: u64) -> Result<(), StreamError> {
        self.work.hand_off(self.slot, to, mark)
    }

    /// Bytes that `send` and `send_shared` would take now.
    ///
    /// What is queued counts by the buffers that it pins: bytes that were received one by one take half a buffer each. While
    /// buffers are scarce a connection with something unacknowledged has no more than its share of them.
    #[inline]
    pub fn send_room(&self) -> usize {
        let Some(conn) = self.work.records.conn(self.slot) else {
            return 0;
        };
        let profile = self.work.profiles.get(conn.profile);
        profile.map_or(0, |profile| {
            room_of(conn, profile, &self.work.pools, &self.work.ports[conn.port])
        })
    }

    /// The handler has it still.
    pub(super) fn is_handlers(&self) -> bool {
        self.work.is_handlers(self.slot)
    }

    /// Bytes in order that wait to be received.
    #[inline]
    pub(super) fn unread(&self) -> usize {
        let conn = self.work.records.conn(self.slot);
        conn.map_or(0, |conn| conn.tcb.unread())
    }

    /// Room in the send queue, however scarce received buffers are: for copies, which are in others.
    ///
    /// While those are scarce a connection with something unacknowledged has no more than its share of them: peers that
    /// acknowledge nothing would hold them all, and nobody else could send until their time is over.
    fn own_room(&self) -> usize {
        let Some(conn) = self.work.records.conn(self.slot) else {
            return 0;
        };
        let profile = self.work.profiles.get(conn.profile);
        let Some(profile) = profile else { return 0 };
        let room = conn.tcb.least_send_room(profile);
        if conn.tcb.queued_bytes() == 0 {
            return room;
        }
        let queue = &self.work.ports[conn.port].queue;
        let (buffers, free) = queue.payload_pool();
        if free >= buffers / PLENTY_PART {
            return conn.tcb.send_room(profile, &self.work.pools);
        }
        if free >= buffers / SCARCE_PART {
            return room;
        }
        let share = free as usize / SHARE_OF_FREE as usize * queue.promises().buffer_room;
        room.min(share.saturating_sub(conn.tcb.queued_charge() as usize))
    }

    /// Copies bytes into buffers of the worker and queues them; returns how many there was room for. When it is fewer than all,
    /// [`on_writable`](crate::Handler::on_writable) tells when to go on.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.send_copies(bytes, false)
    }

    /// Sends bytes as [`send`](Self::send) does and announces those that were taken, with all before them, as urgent (RFC 9293
    /// §3.8.5; `MSG_OOB` of the socket interface). They go in line.
    pub fn send_urgent(&mut self, bytes: &[u8]) -> usize {
        self.send_copies(bytes, true)
    }

    /// Bytes from here to the end of what the peer announced as urgent; `None` when none are ahead.
    pub fn urgent_ahead(&self) -> Option<u32> {
        let conn = self.work.records.conn(self.slot)?;
        conn.tcb.urgent_ahead(&self.work.pools)
    }

    fn send_copies(&mut self, bytes: &[u8], urgent: bool) -> usize {
        let port = self.port();
        let room = self.work.ports[port].queue.promises().buffer_room;
        let mut sent = 0;
        while sent < bytes.len() {
            let len = (bytes.len() - sent).min(room).min(self.own_room());
            if len == 0 {
                break;
            }
            let Some(copy) = self.work.ports[port].queue.share_copy(&bytes[sent..sent + len]) else {
                break;
            };
            self.work.counters.tx_copied_bytes += len as u64;
            if self.queue(TxChunk(copy), urgent).is_err() {
                break;
            }
            sent += len;
        }
        if sent < bytes.len() {
            self.ask_for_room();
        }
        sent
    }

    /// Queues bytes without a copy.
    ///
    /// # Errors
    /// Gives them back when there is no room for all of them, or the sending side is closed;
    /// [`on_writable`](crate::Handler::on_writable) tells when to try again.
    #[inline]
    pub fn send_shared(&mut self, bytes: SharedBytes<Q::Shared>) -> Result<(), SharedBytes<Q::Shared>> {
        let (work, len) = (&mut *self.work, bytes.len());
        if let Some(conn) = work.records.conn_mut(self.slot)
            && let Some(profile) = work.profiles.get(conn.profile)
            && conn.tcb.takes_plain(len, profile)
            && work.ports[conn.port].shortage.share.is_none()
        {
            let env = Env {
                now: work.now,
                profile,
                pools: &mut work.pools,
                counters: &mut work.counters.tcp,
            };
            conn.tcb.queue_plain(bytes.0, len, &env);
            conn.flags.rare.note(Rare::SENDS_ON);
            // Whose handler is being called pays when that is done.
            if work.in_hand != Some(self.slot) && !std::mem::replace(&mut conn.flags.transmit, true) {
                work.ports[conn.port].transmit.push_back(self.slot);
            }
            return Ok(());
        }
        self.send_any(bytes)
    }

    /// The same where it is not plain text.
    fn send_any(&mut self, bytes: SharedBytes<Q::Shared>) -> Result<(), SharedBytes<Q::Shared>> {
        let mut back = Some(bytes.0);
        let refused = self.work.with_conn(self.slot, |conn, port, env| {
            let bytes = back.take()?;
            if bytes.len() > room_of(conn, env.profile, env.pools, port) {
                return Some(bytes);
            }
            conn.flags.rare.note(Rare::SENDS_ON);
            conn.tcb.send(bytes, env).err().map(SendRefused::into_payload)
        });
        match refused {
            Some(None) => Ok(()),
            Some(Some(bytes)) => {
                self.ask_for_room();
                Err(SharedBytes(bytes))
            }
            None => back.map_or(Ok(()), |bytes| Err(SharedBytes(bytes))),
        }
    }

    fn queue(&mut self, chunk: TxChunk<Q::Shared>, urgent: bool) -> Result<(), TxChunk<Q::Shared>> {
        let mut back = Some(chunk);
        let refused = self.work.with_tcb(self.slot, |tcb, env| {
            back.take().map(|chunk| {
                if urgent {
                    tcb.send_urgent(chunk, env)
                } else {
                    tcb.send(chunk, env)
                }
            })
        });
        match refused {
            Some(Some(Ok(()))) => Ok(()),
            Some(Some(Err(refused))) => {
                self.ask_for_room();
                Err(refused.into_payload())
            }
            Some(None) | None => back.map_or(Ok(()), Err),
        }
    }

    /// Bytes in a buffer of this worker, copied once, to be sent as often as one likes.
    pub fn share(&mut self, bytes: &[u8]) -> Option<SharedBytes<Q::Shared>> {
        let port = self.port();
        self.work.ports[port]
            .queue
            .share_copy(bytes)
            .map(|copy| SharedBytes(TxChunk(copy)))
    }

    /// Where its frames leave; its copies come from that port's pool.
    fn port(&self) -> PortNumber {
        let conn = self.work.records.conn(self.slot);
        conn.map_or(PortNumber::FIRST, |conn| conn.port)
    }

    /// Changes an option of this connection from now on.
    ///
    /// # Errors
    /// [`ApiMisuse::TooManyOptions`] when the connections of this worker have as many different sets of options as there may be.
    pub fn set(&mut self, option: ConnectionOption) -> Result<(), ApiMisuse> {
        self.work.set_option(self.slot, option.into())
    }

    /// Half-close: FIN behind everything queued; receiving goes on.
    pub fn shutdown(&mut self) {
        self.work.with_tcb(self.slot, |tcb, env| tcb.shutdown(env));
    }

    /// Closes both directions: what is queued is still sent. With unread bytes it is an abort (RFC 2525 §2.17).
    pub fn close(&mut self) {
        if let Some(conn) = self.work.records.conn_mut(self.slot) {
            conn.flags.let_go = true;
        }
        self.work.close(self.slot, false);
        self.work.count_orphan(self.slot);
    }

    /// RST at once; queued bytes are discarded.
    pub fn abort(&mut self) {
        if let Some(conn) = self.work.records.conn_mut(self.slot) {
            conn.flags.let_go = true;
        }
        self.work.close(self.slot, true);
    }

    /// The engine drains: no new connections come in, and this one is asked to finish.
    pub fn is_draining(&self) -> bool {
        self.work.draining
    }

    /// Asks for [`on_writable`](crate::Handler::on_writable) when an acknowledgment frees room, for who stops without having
    /// found a send refused.
    ///
    /// With nothing in flight no acknowledgment will come: then it is the worker that is short of buffers, and it tells when it
    /// may have some again.
    pub fn ask_for_room(&mut self) {
        let Some(conn) = self.work.records.conn_mut(self.slot) else {
            return;
        };
        conn.flags.wants_room = true;
        if conn.tcb.queued_bytes() == 0 && !conn.flags.starved {
            conn.flags.starved = true;
            // Counted from the first: those that come later must not put it off for ever.
            if self.work.starved.is_empty() {
                self.work.starved_until = self.work.now + STARVED_RETRY;
            }
            self.work.starved.push_back(self.slot);
        }
    }
}
