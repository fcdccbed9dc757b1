//! The worker's side allocates nothing once its endpoints are attached.

use std::collections::VecDeque;

use allocation_counter::measure;
use fourtuple_nic::Queue;

use super::model::{House, LIMITS, WEB, tuple, web};
use crate::buffer::RxChunk;
use crate::handoff::testing::as_worker;
use crate::handoff::{Command, Event, Opened};

#[test]
fn a_worker_allocates_nothing() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.settle(&endpoint);
    let (id, index) = (stream.id(), house.workers[0].conn(stream.id()).owner);
    let worker = &mut house.workers[0];
    let mut unused = worker.handshake();
    worker.accept_queue.clear();
    let mut received: VecDeque<_> = (0..100)
        .map(|_| worker.queue.received(b"abc").map(RxChunk).unwrap())
        .collect();
    worker.queue.stock = (0..90).map(|_| worker.queue.blank().unwrap()).collect();
    let mut polled = 0;
    let mut lent = 0;
    for round in 0..50 {
        let counted = measure(|| {
            as_worker(|| {
                let mut left = usize::MAX;
                while let Some((endpoint, command)) =
                    worker.hub.poll_command(&mut left, |_, command| Some(command))
                {
                    polled += 1;
                    match command {
                        Command::Withdraw(listener, count) => {
                            worker.hub.on_withdraw(endpoint, listener, count);
                        }
                        Command::Credit(listener, count) => worker.hub.on_credit(endpoint, listener, count),
                        Command::Send { .. } if polled % 3 == 0 => worker.hub.hold(endpoint, command),
                        _ => {}
                    }
                }
                worker.hub.poll_returns(64);
                assert!(worker.hub.has_credit(WEB));
                if let Some(to) = worker.hub.take_credit(WEB, crate::AcceptPolicy::LeastLoaded) {
                    let opened = Opened::Accepted {
                        id: unused,
                        tuple: tuple(unused),
                        listener: WEB,
                        credit: 1,
                    };
                    assert!(worker.hub.try_opened(to, opened).is_ok());
                }
                for _ in 0..2 {
                    if let Some(chunk) = received.pop_front() {
                        match worker.hub.try_event(index, Event::Chunk(id, chunk, 0)) {
                            Ok(()) => lent += 1,
                            Err(Event::Chunk(_, chunk, _)) => received.push_front(chunk),
                            Err(_) => unreachable!(),
                        }
                    }
                }
                let _ = worker.hub.try_event(index, Event::Writable(id, 10));
                worker.hub.refill_blanks(&mut worker.queue);
                assert_eq!(worker.hub.poll_gone(), None);
                worker.hub.finish_turn();
                let _ = (worker.hub.has_work(), worker.hub.status());
            });
        });
        assert_eq!(counted.count_total, 0, "in round {round}");
        while let Ok(Some(chunk)) = stream.try_recv() {
            if round % 2 == 0 {
                let _ = stream.send_chunk(chunk, std::time::Duration::ZERO);
            }
        }
        let _ = stream.try_send(b"abc");
        if let Ok(accepted) = web().try_accept(&endpoint) {
            unused = accepted.id();
        }
        endpoint.step();
    }
    assert!(polled > 50 && lent > 50, "{polled} commands, {lent} chunks");
}
