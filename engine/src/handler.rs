//! Run to completion: the application's code on the worker, between receiving and sending (mode 1 of DESIGN).
//!
//! A [`Handler`] is called in the turn's `deliver` stage with a [`Connection`] for as long as the call lasts. Nothing
//! crosses a core, nothing is boxed; each connection has a `State` in an arena of its worker.

use fourtuple_nic::Queue;

use crate::attach::PortQueue;
use crate::error::ConnectionError;
use crate::shard::{Connection, WorkerCalls};

/// An application that runs on the worker. One value a worker; calls never overlap.
///
/// Calls must not block: a handler that waits stops its worker. A panic, in a call or in dropping a state, aborts that connection,
/// is counted, and the worker lives (D12).
///
/// A server that greets, answers line by line, and gives up on who says nothing for ten seconds:
///
/// ```
/// use std::time::Duration;
/// use fourtuple::{Connection, Handler};
///
/// struct Greeter;
///
/// impl Handler for Greeter {
///     /// How many lines came. Made new for each connection, in place; dropped with it.
///     type State = u32;
///
///     fn on_open(&mut self, connection: &mut Connection<'_>, _: &mut u32) {
///         connection.send(b"hello\r\n");
///         connection.set_timer(Some(Duration::from_secs(10)));
///     }
///
///     fn on_readable(&mut self, connection: &mut Connection<'_>, lines: &mut u32) {
///         while let Some(bytes) = connection.receive() {
///             *lines += bytes.bytes().iter().filter(|byte| **byte == b'\n').count() as u32;
///         }
///         connection.set_timer(Some(Duration::from_secs(10)));
///         connection.send(format!("{lines} lines\r\n").as_bytes());
///     }
///
///     fn on_timer(&mut self, connection: &mut Connection<'_>, _: &mut u32) {
///         connection.close();
///     }
/// }
/// ```
pub trait Handler<Q: Queue = PortQueue>: Send + 'static {
    /// What the application keeps for each connection, in place.
    type State: Default + Send + 'static;

    /// A connection is established: accepted by a listener, or opened by [`WorkerCalls::connect`].
    fn on_open(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State) {
        let _ = (connection, state);
    }

    /// In-order bytes wait to be received: more of them came, or the connection has opened, has ended, or has room again that
    /// was asked for.
    ///
    /// Called again next turn when a call took some and left some. When it took none it is called for the next such event
    /// only; bytes that are still there when the connection ends are told once.
    ///
    /// What the call sends may leave as soon as it returns. So who sends an answer in parts, the last of them from another call,
    /// has Nagle's algorithm keep that one until the first is acknowledged (RFC 9293 §3.7.4), unless
    /// [`ConnectionOption::NoDelay`](crate::ConnectionOption::NoDelay) is set.
    fn on_readable(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State);

    /// The peer announced urgent data (RFC 9293 §3.8.5), or more of it: [`Connection::urgent_ahead`] tells how far it reaches.
    /// It comes in line, as all data does.
    fn on_urgent(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State) {
        let _ = (connection, state);
    }

    /// Something may be wrong that ends nothing (RFC 9293 §3.9.1.8): told once until the peer acknowledges something. Who does
    /// not ask for it is not bothered (SHLD-20).
    fn on_trouble(&mut self, connection: &mut Connection<'_, Q>, trouble: Trouble, state: &mut Self::State) {
        let _ = (connection, trouble, state);
    }

    /// The time has come that [`Connection::set_timer`] set; it is not set any more.
    fn on_timer(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State) {
        let _ = (connection, state);
    }

    /// The send queue has room again after a call found it full, or everything sent was acknowledged.
    fn on_writable(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State) {
        let _ = (connection, state);
    }

    /// The peer's FIN: end of file. Everything before it was delivered. By default closes this side too.
    fn on_peer_closed(&mut self, connection: &mut Connection<'_, Q>, state: &mut Self::State) {
        let _ = state;
        connection.close();
    }

    /// The connection has ended and its name is void: `Ok` after an orderly close.
    ///
    /// A connection that could not be opened is told here too, without `on_open`. One that a listener accepted is told by both
    /// or, when it was reset before the handler heard of it, by neither. One that was [handed off](Connection::hand_off) is its new
    /// owner's to hear of.
    fn on_closed(&mut self, closed: Closed, state: &mut Self::State) {
        let _ = (closed, state);
    }

    /// Once a turn in which something happened, after all other calls, and at the latest at the time asked for by
    /// [`WorkerCalls::wake_at`]: the place to open connections.
    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, Q, Self::State>) {
        let _ = worker;
    }
}

/// What may be wrong with a connection, and ends nothing.
///
/// ```no_run
/// # fn ask(stream: &fourtuple::Stream) {
/// if let Some(trouble) = stream.trouble() {
///     eprintln!("{}: {trouble:?}, it goes on all the same", stream.peer());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Nothing came back for R1 retransmissions of a segment.
    NoAnswer,
    /// An ICMP error said that the peer can't be reached just now.
    Unreachable,
}

/// What is told of a connection that ended.
///
/// ```no_run
/// use fourtuple::{Closed, Handler};
/// struct Telling;
/// impl Handler for Telling {
///     type State = ();
///     fn on_readable(&mut self, connection: &mut fourtuple::Connection<'_>, (): &mut ()) {
///         while connection.receive().is_some() {}
///     }
///     fn on_closed(&mut self, closed: Closed, (): &mut ()) {
///         match closed.outcome {
///             Ok(()) => eprintln!("{:?} is done", closed.id),
///             Err(why) => eprintln!("{:?}: {why}", closed.id),
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Its name, void from now on.
    pub id: crate::ConnId,
    /// Orderly, or why not.
    pub outcome: Result<(), ConnectionError>,
}

/// No application on the worker: all connections go to endpoints.
///
/// ```no_run
/// use fourtuple::{Config, Engine, NoHandler};
/// # fn start(config: Config) -> Result<Engine, fourtuple::StartError> {
/// Engine::start_with(config, |_worker| NoHandler)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHandler;

impl<Q: Queue> Handler<Q> for NoHandler {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, Q>, (): &mut ()) {
        connection.abort();
    }
}
