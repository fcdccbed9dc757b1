//! What an application hears, however connections end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::{SeqNum, TcpFlags};

use super::super::Plan;
use super::{Arena, Log, done};
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::{Connection, Control, WorkerCalls};

/// Reads nothing when told, everything at the end of a turn once it may.
struct Late {
    log: Log,
    may: Arc<Mutex<bool>>,
    open: Option<crate::ConnId>,
}

impl Handler<MemQueue> for Late {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.open = Some(connection.id());
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.log.lock().unwrap().push("end of file".into());
        connection.close();
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.open = None;
        self.log.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if let Some(id) = self.open
            && *self.may.lock().unwrap()
        {
            let _ = worker.with(id, |connection, ()| while connection.receive().is_some() {});
        }
    }
}

#[test]
fn who_reads_at_the_end_of_a_turn_hears_of_the_end_of_file() {
    let (log, may) = (Log::default(), Arc::new(Mutex::new(false)));
    let mut arena = Arena::new(&Plan::default(), |_| Late {
        log: Arc::clone(&log),
        may: Arc::clone(&may),
        open: None,
    });
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    arena.say(
        peer.port,
        TcpFlags::ACK | TcpFlags::FIN,
        peer.seq,
        peer.ack,
        b"bye",
    );
    for _ in 0..5 {
        arena.soon();
    }
    assert!(log.lock().unwrap().is_empty());
    *may.lock().unwrap() = true;
    for _ in 0..5 {
        arena.soon();
    }
    assert_eq!(*log.lock().unwrap(), ["end of file"]);
}

#[test]
fn who_is_reset_with_bytes_unread_is_not_told_of_the_end_of_file_before_them() {
    let (log, may) = (Log::default(), Arc::new(Mutex::new(false)));
    let mut arena = Arena::new(&Plan::default(), |_| Late {
        log: Arc::clone(&log),
        may: Arc::clone(&may),
        open: None,
    });
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    let fin = TcpFlags::ACK | TcpFlags::FIN;
    arena.say(peer.port, fin, peer.seq, peer.ack, b"bye");
    arena.soon();
    arena.say(peer.port, TcpFlags::RST, peer.seq + 4, peer.ack, &[]);
    for _ in 0..5 {
        arena.soon();
    }
    assert_eq!(*log.lock().unwrap(), ["Err(Reset)"]);
}

/// Panics in the last call of a turn over the first connection that it has.
struct Clumsy(Option<crate::ConnId>);

impl Handler<MemQueue> for Clumsy {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.0 = Some(connection.id());
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if let Some(id) = self.0.take() {
            let _ = worker.with(id, |_, ()| panic!("a handler that panics"));
        }
    }
}

#[test]
fn a_panic_in_the_last_call_of_a_turn_costs_the_connection_that_it_was_over() {
    let mut arena = Arena::new(&Plan::default(), |_| Clumsy(None));
    arena.world.server.listen(0, &Listen::on(7));
    arena.open(1_000).unwrap();
    for _ in 0..5 {
        arena.soon();
    }
    let counters = arena.world.server.shards[0].counters();
    assert_eq!((counters.handler_panics, counters.resets_sent), (1, 1));
    assert_eq!(counters.connections, 0);
}

/// Half-closes at the first bytes and reads one chunk a call.
#[derive(Default)]
struct Sip {
    log: Log,
    read: usize,
}

impl Handler<MemQueue> for Sip {
    type State = ();
    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.shutdown();
        self.read += connection.receive().map_or(0, |bytes| bytes.bytes().len());
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.log
            .lock()
            .unwrap()
            .push(format!("{:?} after {}", closed.outcome, self.read));
    }
}

#[test]
fn a_connection_that_has_ended_in_order_is_read_to_its_end() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Sip {
        log: Arc::clone(&log),
        read: 0,
    });
    arena.world.server.listen(0, &Listen::on(7));
    let mut peer = arena.open(1_000).unwrap();
    for n in 0..20 {
        let fin = if n == 19 {
            TcpFlags::FIN
        } else {
            TcpFlags::default()
        };
        arena.say(peer.port, TcpFlags::ACK | fin, peer.seq, peer.ack, &[7; 100]);
        peer.seq += 100;
    }
    arena.soon();
    let fin = arena
        .hear(peer.port)
        .into_iter()
        .find(|heard| heard.flags & 1 == 1)
        .expect("a FIN");
    arena.say(peer.port, TcpFlags::ACK, peer.seq + 1, fin.seq + 1, &[]);
    for _ in 0..40 {
        arena.soon();
    }
    assert_eq!(*log.lock().unwrap(), ["Ok(()) after 2000"]);
    arena.world.server.assert_as_at_start();
}

#[test]
fn what_a_drain_aborts_is_told() {
    let (log, may) = (Log::default(), Arc::new(Mutex::new(false)));
    let mut arena = Arena::new(&Plan::default(), |_| Late {
        log: Arc::clone(&log),
        may: Arc::clone(&may),
        open: None,
    });
    arena.world.server.listen(0, &Listen::on(7));
    arena.open(1_000).unwrap();
    arena.world.server.shards[0]
        .work
        .control(Control::AbortAll(done()));
    arena.soon();
    arena.soon();
    assert_eq!(*log.lock().unwrap(), ["Err(Aborted)"]);
    assert!(
        arena.hear(1_000).iter().any(|heard| heard.flags & 4 == 4),
        "and the peer gets a RST"
    );
    arena.world.server.assert_as_at_start();
}

/// Half-closes when the peer has, and reads nothing.
struct Stubborn(Log);

impl Handler<MemQueue> for Stubborn {
    type State = ();
    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.shutdown();
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn a_connection_that_has_ended_behind_unread_bytes_goes_as_well() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Stubborn(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    arena.say(
        peer.port,
        TcpFlags::ACK | TcpFlags::FIN,
        peer.seq,
        peer.ack,
        b"bye",
    );
    arena.soon();
    arena.say(peer.port, TcpFlags::ACK, peer.seq + 4, peer.ack + 1, &[]);
    for _ in 0..20 {
        arena.turn(Duration::from_millis(100));
    }
    assert_eq!(*log.lock().unwrap(), ["Ok(())"]);
    arena.world.server.assert_as_at_start();
}

/// Notes what it is told.
struct Witness(Log);

impl Handler<MemQueue> for Witness {
    type State = ();
    fn on_open(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.0.lock().unwrap().push("open".into());
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.0.lock().unwrap().push("readable".into());
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn of_a_connection_that_is_reset_in_its_first_burst_the_handler_hears_nothing() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Witness(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    let (port, seq) = (1_000, SeqNum(1_000));
    arena.say(port, TcpFlags::SYN, seq, SeqNum(0), &[]);
    arena.soon();
    arena.soon();
    let syn_ack = arena.hear(port)[0];
    arena.say(port, TcpFlags::ACK, seq + 1, syn_ack.seq + 1, b"hello");
    arena.say(port, TcpFlags::RST, seq + 6, syn_ack.seq + 1, &[]);
    for _ in 0..5 {
        arena.soon();
    }
    assert!(log.lock().unwrap().is_empty(), "{log:?}");
    arena.world.server.assert_as_at_start();
}
