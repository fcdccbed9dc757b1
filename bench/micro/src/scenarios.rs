//! What is measured: the parts of a turn by themselves, and whole turns of a server with so many connections.
//!
//! Everything is warm, payload and tables alike, but where many connections are asked in random order. What the client does, and
//! the way between the ends, lies outside of what is measured.

use std::hint::black_box;

use fourtuple::staged::Timers;
use fourtuple_wire::{ChecksumCheck, DropReason, Expect, FourTuple, Sum, TupleV4, parse_into};

use crate::ends::{Ends, Service};
use crate::measured;
use crate::meter::Meter;

/// Frames of a burst, which is what a turn takes at most.
pub(crate) const BURST: usize = 32;

/// Octets of a request.
pub(crate) const REQUEST: [u8; 64] = [0x55; 64];

/// Bursts that are measured.
pub(crate) const ROUNDS: usize = 64;

/// How large the largest table is, and how often a thing is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// A million connections too: not under callgrind, where opening them takes minutes.
    pub(crate) million: bool,
    /// Times as many rounds: for clocks, which counts don't need.
    pub(crate) rounds: usize,
}

/// The scenarios, by names for who wants one of them alone.
pub(crate) const NAMES: [&str; 9] = [
    "frames",
    "timers",
    "stages",
    "exchanges",
    "bulk",
    "crr",
    "time-wait",
    "hand-off",
    "two-workers",
];

/// Runs one of them.
pub(crate) fn run(name: &str, meter: &mut Meter, size: Size) -> std::io::Result<()> {
    match name {
        "frames" => frames(meter, size),
        "timers" => {
            timers(meter, size);
            Ok(())
        }
        "stages" => stages(meter, size),
        "exchanges" => exchanges(meter, size),
        "bulk" => bulk_in(meter, size).and_then(|()| bulk_out(meter, size)),
        "crr" => connections(meter, size, false),
        "time-wait" => connections(meter, size, true),
        "hand-off" => crate::hand_off::exchanges(meter, size),
        "two-workers" => crate::two_workers::exchanges(meter, size),
        _ => Err(std::io::Error::other(format!(
            "no scenario is called {name}: {}",
            NAMES.join(", ")
        ))),
    }
}

/// Parsing and checksums, of frames as a client sends them.
fn frames(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let mut ends = Ends::new(Service::Echo, BURST as u32)?;
    let count = ends.establish(BURST as u32);
    let all: Vec<usize> = (0..count).collect();
    ends.ask(&all, &REQUEST);
    ends.client_turns();
    let frames = ends.client.queue().sent_octets();
    let verified = Expect::default();
    let trusted = Expect {
        checksum: ChecksumCheck::Trust,
        vlan: None,
    };
    let segments = [vec![0x5a_u8; 64], vec![0x5a_u8; 1448]];
    // One place for all of them, as a burst has one for each.
    let mut place = Err(DropReason::Truncated);
    parse_into(&frames[0], &verified, &mut place);
    for _ in 0..ROUNDS * size.rounds {
        measured!(meter, measured_parse_64, frames.len(), {
            for frame in &frames {
                parse_into(black_box(frame), &verified, black_box(&mut place));
            }
        });
        measured!(meter, measured_parse_64_trusted, frames.len(), {
            for frame in &frames {
                parse_into(black_box(frame), &trusted, black_box(&mut place));
            }
        });
        measured!(meter, measured_checksum_64, BURST, {
            for _ in 0..BURST {
                black_box(Sum::of(black_box(&segments[0])).checksum());
            }
        });
        measured!(meter, measured_checksum_1448, BURST, {
            for _ in 0..BURST {
                black_box(Sum::of(black_box(&segments[1])).checksum());
            }
        });
    }
    Ok(())
}

/// Arming and expiry of the wheel, with deadlines as retransmission has them.
fn timers(meter: &mut Meter, size: Size) {
    const ENTRIES: u32 = 8192;
    let mut wheel = Timers::new(ENTRIES as usize);
    let mut due = Vec::with_capacity(BURST);
    let mut now = 0;
    for _ in 0..2 * size.rounds {
        measured!(meter, measured_timer_arm, ENTRIES as usize, {
            for name in 0..ENTRIES {
                black_box(wheel.arm(name, now + 200 + name % 32));
            }
        });
        let mut left = ENTRIES as usize;
        while left > 0 {
            now += 1;
            loop {
                measured!(meter, measured_timer_expire, due.len(), {
                    wheel.advance(now, BURST, &mut due);
                });
                left -= due.len();
                if due.is_empty() {
                    break;
                }
                due.clear();
            }
        }
    }
}

/// The stages of the turn that answers 64-byte requests on 64 connections.
fn stages(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let (mut ends, mut order) = asked(64)?;
    for round in 0..ROUNDS * (size.rounds + 1) {
        ends.ask(order.next(BURST), &REQUEST);
        ends.client_turns();
        let frames = ends.carry_to_server();
        if round < ROUNDS {
            ends.server.turn(ends.now);
        } else {
            let now = ends.now;
            let server = &mut ends.server;
            measured!(meter, measured_receive_64, frames, server.receive(now));
            measured!(meter, measured_deadlines, frames, server.timers());
            measured!(meter, measured_deliver_64, frames, server.deliver());
            measured!(meter, measured_transmit_64, frames, server.transmit());
            measured!(meter, measured_rest_of_turn, frames, server.finish());
        }
        ends.carry_to_client();
    }
    Ok(())
}

/// Whole turns and look-ups at several numbers of connections.
fn exchanges(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    for connections in [64, 10_000, 1_000_000] {
        if connections == 1_000_000 && !size.million {
            continue;
        }
        let (mut ends, mut order) = asked(connections)?;
        let mut hashes = Vec::with_capacity(BURST);
        let tuples = tuples(&mut ends);
        let rounds = ROUNDS * size.rounds;
        // Each has been asked once before: what a connection finds out with its first exchange is known.
        let warm = open_rounds(connections).max(ROUNDS);
        for round in 0..warm + rounds {
            let which = order.next(BURST);
            let burst: Vec<FourTuple> = which.iter().map(|place| tuples[*place]).collect();
            ends.ask(which, &REQUEST);
            ends.client_turns();
            let frames = ends.carry_to_server();
            let now = ends.now;
            let server = &mut ends.server;
            match connections {
                _ if round < warm => {
                    server.turn(now);
                }
                64 => {
                    measured!(
                        meter,
                        measured_look_up_64,
                        burst.len(),
                        server.look_up(&burst, &mut hashes)
                    );
                    measured!(meter, measured_exchange_64, frames, server.turn(now));
                }
                10_000 => {
                    measured!(meter, measured_exchange_64_of_10k, frames, server.turn(now));
                }
                _ => {
                    measured!(meter, measured_exchange_64_of_1m, frames, server.turn(now));
                }
            }
            ends.carry_to_client();
        }
        // By themselves, for an exchange finds warm what was looked up before it.
        for _ in 0..rounds {
            let burst: Vec<FourTuple> = order.next(BURST).iter().map(|place| tuples[*place]).collect();
            let server = &mut ends.server;
            match connections {
                64 => {}
                10_000 => {
                    measured!(
                        meter,
                        measured_look_up_10k,
                        burst.len(),
                        server.look_up(&burst, &mut hashes)
                    );
                }
                _ => {
                    measured!(
                        meter,
                        measured_look_up_1m,
                        burst.len(),
                        server.look_up(&burst, &mut hashes)
                    );
                }
            }
        }
    }
    Ok(())
}

/// Full segments that are received and read.
fn bulk_in(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let mut ends = Ends::new(Service::Discard, 64)?;
    ends.establish(1);
    let octets = vec![0x33; 16 * 1448];
    for round in 0..ROUNDS * (size.rounds + 1) {
        ends.ask(&[0], &octets);
        ends.client_turns();
        ends.carry_to_server();
        while ends.server.queue().waiting() > 0 {
            let frames = ends.server.queue().waiting().min(BURST);
            let now = ends.now;
            let server = &mut ends.server;
            if round < ROUNDS {
                server.turn(now);
            } else {
                measured!(meter, measured_bulk_segment_in, frames, server.turn(now));
            }
        }
        ends.carry_to_client();
    }
    Ok(())
}

/// Full segments that are sent, and the acknowledgments that come for them.
fn bulk_out(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let mut ends = Ends::new(Service::Chargen, 64)?;
    ends.open(1);
    ends.client_turns();
    for round in 0..ROUNDS * 4 * (size.rounds + 1) {
        let acknowledgments = ends.carry_to_server();
        let now = ends.now;
        let server = &mut ends.server;
        if round < ROUNDS * 4 {
            server.turn(now);
        } else if round % 2 == 0 {
            measured!(
                meter,
                measured_bulk_segment_out,
                server.queue().unsent(),
                server.turn(now)
            );
        } else {
            measured!(meter, measured_receive_ack, acknowledgments, server.receive(now));
            server.timers();
            server.deliver();
            server.transmit();
            server.finish();
        }
        ends.carry_to_client();
    }
    Ok(())
}

/// Connect, one exchange, close; the client closes first, or the server does and keeps the TIME_WAIT record.
fn connections(meter: &mut Meter, size: Size, server_first: bool) -> std::io::Result<()> {
    let service = if server_first {
        Service::EchoAndClose
    } else {
        Service::Echo
    };
    let mut ends = Ends::new(service, 1024)?;
    ends.greet(&REQUEST, !server_first);
    for round in 0..ROUNDS * 2 {
        let warm = round >= ROUNDS * 2 - (ROUNDS / 2) * size.rounds.min(2);
        ends.open(BURST as u32);
        ends.client_turns();
        let mut phase = 0;
        loop {
            ends.carry_to_server();
            if ends.server.queue().waiting() == 0 {
                break;
            }
            let mut operations = BURST;
            while ends.server.queue().waiting() > 0 {
                let now = ends.now;
                let server = &mut ends.server;
                match (phase, server_first) {
                    _ if !warm => {
                        server.turn(now);
                    }
                    (0, false) => {
                        measured!(meter, measured_syn, operations, server.turn(now));
                    }
                    (1, false) => {
                        measured!(meter, measured_accept_and_answer, operations, server.turn(now));
                    }
                    (2, false) => {
                        measured!(meter, measured_peer_closes, operations, server.turn(now));
                    }
                    (_, false) => {
                        measured!(meter, measured_last_ack, operations, server.turn(now));
                    }
                    (0, true) => {
                        server.turn(now);
                    }
                    (1, true) => {
                        measured!(meter, measured_accept_answer_close, operations, server.turn(now));
                    }
                    (_, true) => {
                        measured!(meter, measured_time_wait, operations, server.turn(now));
                    }
                }
                // A phase that takes more turns than one is still one of each connection.
                operations = 0;
            }
            ends.carry_to_client();
            phase += 1;
        }
    }
    Ok(())
}

/// An echo server with so many connections, and the order in which they are asked.
pub(crate) fn asked(connections: u32) -> std::io::Result<(Ends, Order)> {
    let mut ends = Ends::new(Service::Echo, connections)?;
    let open = ends.establish(connections);
    if open != connections as usize {
        let why = format!("{open} of {connections} connections were opened");
        return Err(std::io::Error::other(why));
    }
    Ok((ends, Order::of(open)))
}

/// Bursts in which each connection comes once.
fn open_rounds(connections: u32) -> usize {
    (connections as usize).div_ceil(BURST)
}

/// The four-tuples of the client's connections, as the server has them.
fn tuples(ends: &mut Ends) -> Vec<FourTuple> {
    ends.client.call(|client, worker| {
        let ids = client.open.clone();
        let tuple = ids
            .iter()
            .filter_map(|id| worker.with(*id, |connection, ()| connection.four_tuple()).ok());
        tuple.map(|tuple| turned_round(&tuple)).collect()
    })
}

pub(crate) fn turned_round(tuple: &FourTuple) -> FourTuple {
    match tuple {
        FourTuple::V4(tuple) => FourTuple::V4(TupleV4 {
            local: tuple.remote,
            remote: tuple.local,
            local_port: tuple.remote_port,
            remote_port: tuple.local_port,
        }),
        FourTuple::V6(_) => *tuple,
    }
}

/// All places, each once in random order, and again.
pub(crate) struct Order {
    places: Vec<usize>,
    at: usize,
}

impl Order {
    pub(crate) fn of(count: usize) -> Self {
        let mut places: Vec<usize> = (0..count).collect();
        // Fisher and Yates, by a fixed linear congruential sequence: every run asks in the same order.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for place in (1..count).rev() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            places.swap(place, ((random >> 33) % (place as u64 + 1)) as usize);
        }
        Self { places, at: 0 }
    }

    pub(crate) fn next(&mut self, count: usize) -> &[usize] {
        if self.at + count > self.places.len() {
            self.at = 0;
        }
        self.at += count;
        &self.places[self.at - count..self.at]
    }
}
