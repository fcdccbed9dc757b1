//! Payload lies where the port put it, from the frame that came to the frame that leaves (D3, D4): every copy is counted, and
//! none is.
//!
//! A copy needs a buffer of the payload pool, or room in a frame: the counters see the second, the pool the first.

use std::time::Duration;

use super::endpoints::{Echoing, endpoint, settle, world};
use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::handler::Handler;
use crate::handoff::EndpointLimits;
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::limits::COPY_UP_TO;
use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;

/// Full segments with timestamps.
const MSS: usize = 1448;

/// Payload bytes that the server copied, and buffers of its payload pool that are in use.
fn copies<H: Handler<MemQueue>, C: Handler<MemQueue>>(world: &World<H, C>) -> (u64, u32) {
    let work = &world.server.shards[0].work;
    let queue = &work.ports[PortNumber::FIRST].queue;
    let (capacity, free) = queue.payload_pool();
    let stats = queue.stats();
    assert_eq!((stats.rx_flattened, stats.tx_linearised), (0, 0), "by the port");
    (work.counters.tx_copied_bytes, capacity - free)
}

/// Echoes of so many bytes by a handler on the worker; what was copied of them.
fn echo_on_the_worker(bytes: usize) -> u64 {
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 4,
        bytes,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(60), |world| {
        assert_eq!(copies(world).1, 0, "buffers of copies");
        outcome.lock().unwrap().finished == 4
    });
    assert_eq!(outcome.lock().unwrap().received, 4 * bytes as u64);
    copies(&world).0
}

#[test]
fn a_handler_that_echoes_copies_no_payload_above_the_threshold() {
    assert_eq!(echo_on_the_worker(MSS * 40), 0);
}

#[test]
fn below_the_threshold_each_byte_is_copied_once_and_counted() {
    let bytes = COPY_UP_TO;
    assert_eq!(echo_on_the_worker(bytes), 4 * bytes as u64);
}

#[test]
fn an_endpoint_that_echoes_copies_no_payload_above_the_threshold() {
    let (mut world, outcome, listener) = world(&Plan::default(), 4, MSS * 40, &Listen::on(7).for_endpoints());
    // Blanks are buffers of the payload pool that wait to be filled: this endpoint has as few as there may be.
    const BLANKS: u32 = 1;
    let limits = EndpointLimits {
        blanks: BLANKS,
        ..EndpointLimits::default()
    };
    let mut endpoints = vec![endpoint(&mut world.server, &limits)];
    let mut streams: Vec<Echoing> = Vec::new();
    world.run_until(Duration::from_secs(60), |world| {
        let endpoint = &endpoints[0].0;
        endpoint.step();
        while let Ok(stream) = listener.try_accept(endpoint) {
            streams.push(Echoing::new(stream));
        }
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.is_done());
        assert!(copies(world).1 <= BLANKS, "buffers of copies");
        outcome.lock().unwrap().finished == 4
    });
    assert_eq!(copies(&world).0, 0, "by the worker");
    assert_eq!(endpoints[0].0.tx_copied_bytes(), 0, "by the endpoint");
    drop(streams);
    settle(&mut world, &mut endpoints);
}
