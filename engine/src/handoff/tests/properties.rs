//! Any interleaving of workers and endpoints moves the same bytes, loses no buffer and drops none off its worker.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{Gone, House, LIMITS, web};
use crate::ConnId;
use crate::handoff::testing::{ROOM, SPACE, TestQueue, as_worker};
use crate::handoff::{Chunk, Endpoint, EndpointLimits, Estate, Stream};

#[derive(Clone, Copy, Debug)]
enum Act {
    Handshake { worker: usize },
    Arrive { worker: usize, conn: usize, len: usize },
    PeerCloses { worker: usize, conn: usize },
    Ends { worker: usize, conn: usize, reset: bool },
    Turn { worker: usize, budget: usize },
    Hold { worker: usize },
    Step { endpoint: usize },
    Accept { endpoint: usize },
    Receive { stream: usize, keep: bool },
    ReadInto { stream: usize, len: usize },
    Send { stream: usize, len: usize },
    Forward { stream: usize, chunk: usize },
    DropChunk { chunk: usize },
    Shutdown { stream: usize },
    Close { stream: usize },
    Abort { stream: usize },
    Leave { endpoint: usize },
    Estate,
}

fn act() -> impl Strategy<Value = Act> {
    let (worker, endpoint, at) = (0..2usize, 0..2usize, 0..64usize);
    prop_oneof![
        4 => worker.clone().prop_map(|worker| Act::Handshake { worker }),
        12 => (worker.clone(), at.clone(), 1..=ROOM).prop_map(|(worker, conn, len)| Act::Arrive { worker, conn, len }),
        1 => (worker.clone(), at.clone()).prop_map(|(worker, conn)| Act::PeerCloses { worker, conn }),
        1 => (worker.clone(), at.clone(), any::<bool>())
            .prop_map(|(worker, conn, reset)| Act::Ends { worker, conn, reset }),
        16 => (worker.clone(), 0..6usize).prop_map(|(worker, budget)| Act::Turn { worker, budget }),
        1 => worker.prop_map(|worker| Act::Hold { worker }),
        8 => endpoint.clone().prop_map(|endpoint| Act::Step { endpoint }),
        4 => endpoint.clone().prop_map(|endpoint| Act::Accept { endpoint }),
        10 => (at.clone(), any::<bool>()).prop_map(|(stream, keep)| Act::Receive { stream, keep }),
        4 => (at.clone(), 0..100usize).prop_map(|(stream, len)| Act::ReadInto { stream, len }),
        8 => (at.clone(), 0..200usize).prop_map(|(stream, len)| Act::Send { stream, len }),
        6 => (at.clone(), at.clone()).prop_map(|(stream, chunk)| Act::Forward { stream, chunk }),
        6 => at.clone().prop_map(|chunk| Act::DropChunk { chunk }),
        1 => at.clone().prop_map(|stream| Act::Shutdown { stream }),
        1 => at.clone().prop_map(|stream| Act::Close { stream }),
        1 => at.prop_map(|stream| Act::Abort { stream }),
        1 => endpoint.prop_map(|endpoint| Act::Leave { endpoint }),
        2 => Just(Act::Estate),
    ]
}

/// What the application did with a connection.
#[derive(Default)]
struct Seen {
    received: Vec<u8>,
    sent: Vec<u8>,
}

struct Play {
    house: House,
    limits: EndpointLimits,
    endpoints: Vec<Option<Endpoint<TestQueue>>>,
    streams: Vec<Stream<TestQueue>>,
    chunks: Vec<Chunk<TestQueue>>,
    estates: Vec<Estate<TestQueue>>,
    seen: HashMap<ConnId, Seen>,
    byte: u8,
}

impl Play {
    fn new(limits: EndpointLimits) -> Self {
        let mut house = House::new(2);
        house.workers.iter_mut().for_each(|worker| worker.credit = 150);
        let endpoints = (0..2).map(|_| Some(house.endpoint(&limits))).collect();
        Self {
            house,
            limits,
            endpoints,
            streams: Vec::new(),
            chunks: Vec::new(),
            estates: Vec::new(),
            seen: HashMap::new(),
            byte: 0,
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let start = self.byte;
        self.byte = start.wrapping_add(len as u8).wrapping_add(1);
        (0..len).map(|at| start.wrapping_add(at as u8)).collect()
    }

    fn conn(&self, worker: usize, at: usize) -> Option<ConnId> {
        let conns = &self.house.workers[worker].conns;
        conns.keys().nth(at % conns.len().max(1)).copied()
    }

    fn stream(&self, at: usize) -> Option<&Stream<TestQueue>> {
        self.streams.get(at % self.streams.len().max(1))
    }

    fn seen(&mut self, id: ConnId) -> &mut Seen {
        self.seen.entry(id).or_default()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Handshake { worker } => {
                self.house.workers[worker].handshake();
            }
            Act::Arrive { worker, conn, len } => {
                let Some(id) = self.conn(worker, conn) else { return };
                let bytes = self.bytes(len);
                let worker = &mut self.house.workers[worker];
                let open = {
                    let conn = worker.conn(id);
                    !conn.peer_closed && conn.ended.is_none() && conn.gone.is_none()
                };
                // A window of ten buffers.
                if open && worker.conn(id).charged + worker.conn(id).inbound.len() * SPACE < 10 * SPACE {
                    worker.arrive(id, &bytes);
                }
            }
            Act::PeerCloses { worker, conn } => {
                if let Some(id) = self.conn(worker, conn) {
                    self.house.workers[worker].conn(id).peer_closed = true;
                }
            }
            Act::Ends { worker, conn, reset } => {
                if let Some(id) = self.conn(worker, conn) {
                    let conn = self.house.workers[worker].conn(id);
                    let outcome = if reset {
                        Err(crate::error::ConnectionError::Reset)
                    } else {
                        Ok(())
                    };
                    conn.ended = conn.ended.or(Some(outcome));
                }
            }
            Act::Turn { worker, budget } => {
                let worker = &mut self.house.workers[worker];
                as_worker(|| {
                    worker.take_commands(budget);
                    worker.hub.poll_returns(budget);
                    worker.drop_gone();
                    worker.open();
                    worker.deliver(budget);
                    worker.hub.refill_blanks(&mut worker.queue);
                    worker.hub.finish_turn();
                });
            }
            Act::Hold { worker } => self.house.workers[worker].holds.push_back(2),
            Act::Step { endpoint } => {
                if let Some(endpoint) = &self.endpoints[endpoint] {
                    endpoint.step();
                }
            }
            Act::Accept { endpoint } => {
                if let Some(Ok(stream)) = self.endpoints[endpoint].as_ref().map(|e| web().try_accept(e)) {
                    self.streams.push(stream);
                }
            }
            Act::Receive { stream, keep } => {
                let Some((id, Ok(Some(chunk)))) = self.stream(stream).map(|s| (s.id(), s.try_recv())) else {
                    return;
                };
                self.seen(id).received.extend_from_slice(&chunk);
                if keep {
                    self.chunks.push(chunk);
                }
            }
            Act::ReadInto { stream, len } => {
                let mut into = vec![0; len];
                let Some(stream) = self.stream(stream) else { return };
                let (id, count) = (
                    stream.id(),
                    stream.recv_into(&mut into, std::time::Duration::ZERO),
                );
                self.seen(id)
                    .received
                    .extend_from_slice(&into[..count.unwrap_or(0)]);
            }
            Act::Send { stream, len } => {
                let bytes = self.bytes(len);
                let Some(stream) = self.stream(stream) else { return };
                let (id, count) = (stream.id(), stream.try_send(&bytes));
                self.seen(id).sent.extend_from_slice(&bytes[..count.unwrap_or(0)]);
            }
            Act::Forward { stream, chunk } => self.forward(stream, chunk),
            Act::DropChunk { chunk } => {
                if !self.chunks.is_empty() {
                    let chunk = self.chunks.swap_remove(chunk % self.chunks.len());
                    drop(chunk);
                }
            }
            Act::Shutdown { stream } => {
                if let Some(stream) = self.stream(stream) {
                    stream.shutdown();
                }
            }
            Act::Close { stream } => {
                if !self.streams.is_empty() {
                    self.streams.swap_remove(stream % self.streams.len()).close();
                }
            }
            Act::Abort { stream } => {
                if !self.streams.is_empty() {
                    self.streams.swap_remove(stream % self.streams.len()).abort();
                }
            }
            Act::Leave { endpoint } => {
                self.endpoints[endpoint] = None;
                self.estates.extend(self.house.estates.try_iter());
            }
            Act::Estate => self.step_estates(),
        }
    }

    fn forward(&mut self, stream: usize, chunk: usize) {
        if self.chunks.is_empty() || self.streams.is_empty() {
            return;
        }
        let chunk = self.chunks.swap_remove(chunk % self.chunks.len());
        let bytes = chunk.to_vec();
        let stream = &self.streams[stream % self.streams.len()];
        let (id, rest) = (
            stream.id(),
            stream.send_chunk(chunk, std::time::Duration::ZERO).err(),
        );
        let sent = bytes.len() - rest.as_ref().map_or(0, |unsent| unsent.chunk.len());
        self.chunks.extend(rest.map(|unsent| unsent.chunk));
        self.seen(id).sent.extend_from_slice(&bytes[..sent]);
    }

    fn step_estates(&mut self) {
        self.estates.retain_mut(|estate| !estate.step());
    }

    /// Lets everything come to rest: what was told is read, what was wanted is done.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.house
                .workers
                .iter_mut()
                .for_each(|worker| worker.holds.clear());
            self.house.turn();
            for endpoint in 0..self.endpoints.len() {
                self.act(Act::Step { endpoint });
                self.act(Act::Accept { endpoint });
            }
            for stream in 0..self.streams.len() {
                self.act(Act::Receive { stream, keep: false });
            }
            self.step_estates();
        }
    }

    fn check(&mut self) {
        self.chunks.clear();
        self.settle();
        assert!(
            self.house
                .workers
                .iter()
                .all(|worker| worker.all_told() && worker.unopened.is_empty())
        );
        for worker in &self.house.workers {
            let mut inbound = 0;
            for (id, conn) in &worker.conns {
                inbound += conn.inbound.len() as u32;
                let Some(seen) = self.seen.get(id) else { continue };
                assert_eq!(seen.sent, conn.sent, "what was sent arrives, {id:?}");
                assert!(
                    conn.told.starts_with(&seen.received),
                    "what is received was told, in order, {id:?}"
                );
                let alive = self.streams.iter().any(|stream| stream.id() == *id)
                    && self.endpoints[usize::from(conn.owner.0)].is_some();
                if alive {
                    assert_eq!(
                        seen.received, conn.told,
                        "everything that was told is received, {id:?}"
                    );
                    assert!(
                        conn.charged == 0 || conn.told_ended,
                        "the window is open again, {id:?}"
                    );
                }
                if conn.gone == Some(Gone::Closed { unread: false }) {
                    assert!(seen.received.len() <= conn.told.len());
                }
            }
            let status = worker.hub.status();
            assert_eq!((status.lent, status.leaving), (0, 0));
            assert_eq!(
                worker.queue.pool.strays(),
                0,
                "buffers are dropped by workers only"
            );
            assert_eq!(
                worker.queue.pool.used(),
                inbound + status.blanks,
                "no buffer is lost"
            );
        }
    }

    /// Nothing is left when all have gone.
    fn end(mut self) {
        self.streams.clear();
        for endpoint in 0..self.endpoints.len() {
            self.act(Act::Leave { endpoint });
        }
        self.settle();
        assert!(self.estates.is_empty(), "every estate is settled");
        for worker in &self.house.workers {
            let inbound: usize = worker.conns.values().map(|conn| conn.inbound.len()).sum();
            assert_eq!(
                (worker.queue.pool.used(), worker.queue.pool.strays()),
                (inbound as u32, 0)
            );
            assert_eq!(worker.hub.status().leaving + worker.hub.status().endpoints, 0);
            for conn in worker.conns.values().filter(|conn| conn.owner.0 != u16::MAX) {
                assert!(
                    conn.gone.is_some() || conn.told_ended,
                    "no connection is left without an owner"
                );
            }
        }
        let _ = self.limits;
    }
}

proptest! {
    #[test]
    fn any_interleaving_moves_the_same_bytes_and_loses_no_buffer(
        acts in vec(act(), 1..400),
        events in 1..12u32,
        commands in 1..12u32,
        lent in 1..12u32,
        blanks in 1..6u32,
        copied_bytes in prop_oneof![Just(0usize), Just(500)],
    ) {
        let mut play = Play::new(EndpointLimits { events, commands, lent, blanks, copied_bytes, ..LIMITS });
        for act in acts {
            play.act(act);
        }
        play.check();
        play.end();
    }
}
