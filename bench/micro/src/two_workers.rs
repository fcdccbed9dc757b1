//! Two workers of one engine: what an exchange takes of its owner, with nothing shared but the few rings between them.
//!
//! Frames come to their owner, as a port with RSS gives them; each worker has as many in a burst as one alone has.

use fourtuple::staged::Staged;
use fourtuple_nic::OrdinaryPages;
use fourtuple_wire::{Expect, FourTuple, PacketKind, parse};

use crate::ends::{Client, Ends, Server, Service};
use crate::lean::LeanQueue;
use crate::measured;
use crate::meter::Meter;
use crate::scenarios::{BURST, Order, REQUEST, ROUNDS, Size, turned_round};

/// Connections of each worker that ask in turn.
const OF_EACH: usize = 64;

/// Connections that are opened, so that each worker has that many.
const OPENED: u32 = 256;

/// A server of two workers, and its client.
struct Both {
    workers: Vec<Staged<LeanQueue, Server>>,
    client: Staged<LeanQueue, Client>,
    now: fourtuple::Instant,
}

impl Both {
    fn new() -> std::io::Result<Self> {
        let workers = [1, 1].map(|number| (LeanQueue::new(number), Server::of(Service::Echo)));
        let mut workers = Staged::group(&Ends::server_options(OPENED * 2), workers.into(), &OrdinaryPages)?;
        for worker in &mut workers {
            worker.listen(0, &Ends::listen());
        }
        let client = Staged::new(
            &Ends::client_options(OPENED * 2, 1),
            LeanQueue::new(2),
            Client::of(1),
            &OrdinaryPages,
        )?;
        Ok(Self {
            workers,
            client,
            now: fourtuple::Instant::from_millis(1_000),
        })
    }

    /// Each frame of the client's comes to its owner.
    fn carry_to_workers(&mut self) {
        self.now = fourtuple::Instant::from_nanos(self.now.as_nanos() + 500);
        for frame in self.client.queue().take_sent() {
            let parsed = parse(frame.octets(), &Expect::default());
            let owner = match parsed.map(|packet| packet.kind) {
                Ok(PacketKind::Tcp(segment)) => usize::from(self.workers[0].owner(&segment.tuple)),
                Ok(_) | Err(_) => 0,
            };
            self.workers[owner].queue().arrive(frame);
        }
    }

    fn carry_to_client(&mut self) -> usize {
        let mut frames = 0;
        for worker in &mut self.workers {
            for frame in worker.queue().take_sent() {
                self.client.queue().arrive(frame);
                frames += 1;
            }
        }
        self.client_turns();
        frames
    }

    fn client_turns(&mut self) {
        self.client.turn(self.now);
        while self.client.queue().waiting() > 0 {
            self.client.turn(self.now);
        }
    }

    fn settle(&mut self) {
        self.client_turns();
        loop {
            let mut moved = self.client.queue().unsent();
            self.carry_to_workers();
            // What one says to the other is heard in the turn behind.
            for _ in 0..2 {
                for worker in &mut self.workers {
                    worker.turn(self.now);
                    while worker.queue().waiting() > 0 {
                        worker.turn(self.now);
                    }
                }
            }
            moved += self.carry_to_client();
            if moved == 0 {
                return;
            }
        }
    }

    /// Places of the client's connections, by the worker that owns their other end.
    fn owned(&mut self) -> [Vec<usize>; 2] {
        let tuples: Vec<FourTuple> = self.client.call(|client, worker| {
            let tuple = client
                .open
                .iter()
                .filter_map(|id| worker.with(*id, |connection, ()| connection.four_tuple()).ok());
            tuple.map(|tuple| turned_round(&tuple)).collect()
        });
        let mut owned = [Vec::new(), Vec::new()];
        for (place, tuple) in tuples.iter().enumerate() {
            owned[usize::from(self.workers[0].owner(tuple)) % 2].push(place);
        }
        owned
    }
}

/// Exchanges of 64 octets at both workers.
pub(crate) fn exchanges(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let mut both = Both::new()?;
    for some in [1, OPENED - 1] {
        both.client.call(|client, _| client.to_open = some);
        both.settle();
    }
    let owned = both.owned();
    if owned.iter().any(|places| places.len() < OF_EACH) {
        let why = format!(
            "workers own {} and {} connections",
            owned[0].len(),
            owned[1].len()
        );
        return Err(std::io::Error::other(why));
    }
    let mut orders = [0, 1].map(|_| Order::of(OF_EACH));
    for round in 0..ROUNDS * (size.rounds + 1) {
        for (places, order) in owned.iter().zip(&mut orders) {
            let which: Vec<usize> = order.next(BURST).iter().map(|at| places[*at]).collect();
            both.client.call(|client, worker| {
                for place in which {
                    let _ = worker.with(client.open[place], |connection, ()| connection.send(&REQUEST));
                }
            });
        }
        both.client_turns();
        both.carry_to_workers();
        for worker in &mut both.workers {
            let frames = worker.queue().waiting();
            if round < ROUNDS {
                worker.turn(both.now);
            } else {
                measured!(
                    meter,
                    measured_exchange_64_of_two_workers,
                    frames,
                    worker.turn(both.now)
                );
            }
        }
        both.carry_to_client();
    }
    Ok(())
}
