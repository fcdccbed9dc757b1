//! Chunks out and home again; what happens when somebody is slow.

use bytes::Bytes;
use fourtuple_nic::Queue;

use super::model::{HUB, House, LIMITS, ModelWorker};
use crate::ConnId;
use crate::buffer::RxChunk;
use crate::handoff::testing::{SPACE, TestQueue, as_worker};
use crate::handoff::{Chunk, EndpointLimits, Event, HubLimits, StreamError};

fn received(chunk: Result<Option<Chunk<TestQueue>>, StreamError>) -> Chunk<TestQueue> {
    chunk.expect("something is there").expect("and not the end")
}

#[test]
fn a_full_event_ring_loses_nothing() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        events: 2,
        lent: 100,
        ..LIMITS
    });
    let stream = house.accepted(0, &endpoint);
    for byte in 0..7 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.workers[0].conn(stream.id()).peer_closed = true;
    house.turn();
    assert_eq!(
        house.workers[0].conn(stream.id()).inbound.len(),
        5,
        "owed while the ring is full"
    );
    assert!(house.workers[0].hub.status().ring_full > 0);

    let mut bytes = Vec::new();
    loop {
        match stream.try_recv() {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error, StreamError::NotYet);
                house.turn();
            }
        }
    }
    assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6]);
    house.settle(&endpoint);
    assert_eq!(
        house.workers[0].conn(stream.id()).charged,
        0,
        "all space was released"
    );
    house.check_pools(0);
}

#[test]
fn a_slow_consumer_is_lent_no_more_than_its_bound() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    for byte in 0..20 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.settle(&endpoint);
    assert_eq!(house.workers[0].hub.status().lent, LIMITS.lent);
    assert_eq!(
        house.workers[0].conn(stream.id()).inbound.len(),
        12,
        "the rest fills the window"
    );

    // Held chunks count until they are dropped, not until they are read.
    let held: Vec<_> = (0..8).map(|_| received(stream.try_recv())).collect();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).inbound.len(), 12);
    assert_eq!(house.workers[0].conn(stream.id()).charged, 8 * SPACE);
    drop(held);
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).inbound.len(), 4);
}

#[test]
fn the_bound_of_all_endpoints_holds_and_a_chunk_beyond_it_comes_back() {
    let mut house = House::with(1, HubLimits { lent: 10, ..HUB }, 200);
    let (one, other) = (house.endpoint(&LIMITS), house.endpoint(&LIMITS));
    let streams = [house.accepted(0, &one), house.accepted(0, &other)];
    for stream in &streams {
        for byte in 0..8 {
            house.workers[0].arrive(stream.id(), &[byte]);
        }
    }
    house.turn();
    let status = house.workers[0].hub.status();
    assert_eq!((status.lent, status.lent_bound), (10, 10));
    // The shard need not ask first.
    let endpoint = house.workers[0].conn(streams[1].id()).owner;
    let worker = &mut house.workers[0];
    let chunk = worker
        .queue
        .blank()
        .map(crate::buffer::RxChunk)
        .expect("the pool is not empty");
    let event = crate::handoff::Event::Chunk(streams[1].id(), chunk, 0);
    crate::handoff::testing::as_worker(|| assert!(worker.hub.try_event(endpoint, event).is_err()));
    assert_eq!(worker.hub.status().lend_refused, 1);
}

#[test]
fn a_chunk_comes_home_from_any_thread() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let streams = [house.accepted(0, &endpoint), house.accepted(1, &endpoint)];
    for (worker, stream) in streams.iter().enumerate() {
        for byte in 0..4 {
            house.workers[worker].arrive(stream.id(), &[byte]);
        }
    }
    house.turn();
    let threads: Vec<_> = streams
        .iter()
        .flat_map(|stream| (0..4).map(|_| received(stream.try_recv())).collect::<Vec<_>>())
        .map(|chunk| std::thread::spawn(move || drop(chunk)))
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    house.check_pools(8);
    house.settle(&endpoint);
    house.check_pools(0);
    for (worker, stream) in streams.iter().enumerate() {
        assert_eq!(house.workers[worker].conn(stream.id()).charged, 0);
    }
}

#[test]
fn connections_that_nobody_reads_are_copied_and_do_not_starve_the_others() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        copied_bytes: 1000,
        events: 64,
        ..LIMITS
    });
    let (silent, busy) = (house.accepted(0, &endpoint), house.accepted(0, &endpoint));
    for byte in 0..20 {
        house.workers[0].arrive(silent.id(), &[byte, byte]);
    }
    house.settle(&endpoint);
    assert!(
        house.workers[0].hub.status().lent < LIMITS.lent,
        "there is room for others"
    );
    assert_eq!(
        house.workers[0].conn(silent.id()).charged,
        20 * SPACE,
        "its window stays charged"
    );
    house.workers[0].arrive(busy.id(), b"now");
    house.settle(&endpoint);
    assert_eq!(&received(busy.try_recv())[..], b"now");

    let mut bytes = Vec::new();
    let mut into = [0; 3];
    while let Ok(count) = silent.recv_into(&mut into, std::time::Duration::ZERO) {
        bytes.extend_from_slice(&into[..count]);
    }
    assert_eq!(bytes, (0..20).flat_map(|byte| [byte, byte]).collect::<Vec<_>>());
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(silent.id()).charged, 0);
    house.check_pools(0);
}

#[test]
fn copies_stop_at_their_budget() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        copied_bytes: 10,
        events: 64,
        ..LIMITS
    });
    let silent = house.accepted(0, &endpoint);
    for byte in 0..40 {
        house.workers[0].arrive(silent.id(), &[byte, byte]);
    }
    house.settle(&endpoint);
    assert_eq!(endpoint.shared.with(|core| core.unread()), (10, LIMITS.lent));
    assert_eq!(house.workers[0].conn(silent.id()).inbound.len(), 40 - 8 - 5);
}

#[test]
fn a_chunk_is_read_in_parts() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"abcdef");
    house.turn();
    let mut into = [0; 2];
    assert_eq!(stream.recv_into(&mut into, std::time::Duration::ZERO), Ok(2));
    let mut chunk = received(stream.try_recv());
    assert_eq!(&chunk[..], b"cdef");
    chunk.advance(1);
    chunk.truncate(2);
    assert_eq!(&chunk[..], b"de");
    chunk.advance(99);
    assert!(chunk.is_empty());
}

#[test]
fn parts_of_a_chunk_share_its_buffer_which_goes_home_behind_the_last() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let from = house.accepted(0, &endpoint);
    let [one, other] = [0, 1].map(|worker| house.accepted(worker, &endpoint));
    house.workers[0].arrive(from.id(), b"abcdefgh");
    house.turn();
    let mut chunk = received(from.try_recv());
    let mut tail = chunk.split_off(6);
    let head = chunk.split_to(2);
    assert_eq!(
        (&head[..], &chunk[..], &tail[..]),
        (&b"ab"[..], &b"cdef"[..], &b"gh"[..])
    );
    chunk.advance(1);
    chunk.truncate(2);
    tail.advance(9);
    assert_eq!((&chunk[..], &tail[..]), (&b"de"[..], &b""[..]));
    assert!(tail.split_off(5).is_empty());
    let mut middle = chunk.split_off(1);
    assert_eq!((&chunk[..], &middle.split_to(9)[..]), (&b"d"[..], &b"e"[..]));
    // One goes on to a connection of the same worker, as it is; one to another worker's, whose hands it must not end in.
    one.send_chunk(head, std::time::Duration::ZERO).unwrap();
    assert_eq!(endpoint.tx_copied_bytes(), 0);
    other.send_chunk(chunk, std::time::Duration::ZERO).unwrap();
    assert_eq!(endpoint.tx_copied_bytes(), 1);
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(one.id()).sent, b"ab");
    assert_eq!(house.workers[1].conn(other.id()).sent, b"d");
    assert_eq!(
        house.workers[0].conn(from.id()).charged,
        SPACE,
        "two parts are held"
    );
    house.check_pools(1);
    std::thread::spawn(move || drop(middle)).join().unwrap();
    house.settle(&endpoint);
    house.check_pools(1);
    drop(tail);
    house.settle(&endpoint);
    house.check_pools(0);
    assert_eq!(house.workers[0].conn(from.id()).charged, 0);
}

#[test]
fn parts_outlive_their_endpoint() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"abcd");
    house.turn();
    let mut chunk = received(stream.try_recv());
    let head = chunk.split_to(2);
    drop((stream, endpoint));
    let mut estate = house.estates.try_recv().expect("a chunk is out");
    assert_eq!((&head[..], &chunk[..]), (&b"ab"[..], &b"cd"[..]));
    drop(head);
    house.turn();
    assert!(!estate.step());
    house.check_pools(1);
    drop(chunk);
    estate.step();
    house.turn();
    house.check_pools(0);
}

#[test]
fn a_copy_is_split_too() {
    let mut chunk = Chunk::<TestQueue>::copied(b"-abcd".to_vec(), 1);
    let tail = chunk.split_off(3);
    assert_eq!((&chunk[..], &tail[..]), (&b"abc"[..], &b"d"[..]));
    assert_eq!(&chunk.split_to(1)[..], b"a");
    assert_eq!(&chunk[..], b"bc");
    assert!(chunk.split_off(7).is_empty());
}

#[test]
fn received_chunks_are_bytes_without_a_copy_and_go_home_behind_the_last_of_them() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"head body");
    house.turn();
    let chunk = received(stream.try_recv());
    let place = chunk.as_ptr();
    let mut head = Bytes::from(chunk);
    assert_eq!(head.as_ptr(), place, "where it was received");
    let body = head.split_off(5);
    let other = std::thread::spawn(move || (body.clone(), body)).join().unwrap();
    assert_eq!((&head[..], &other.0[..]), (&b"head "[..], &b"body"[..]));
    drop((stream, head));
    house.settle(&endpoint);
    house.check_pools(1);
    drop(endpoint);
    let mut estate = house.estates.try_recv().expect("a chunk is out");
    assert_eq!(&other.1[..], b"body", "it outlives stream and endpoint");
    std::thread::spawn(move || drop(other)).join().unwrap();
    estate.step();
    house.turn();
    house.check_pools(0);
}

#[test]
fn bytes_are_copied_once_and_counted_and_what_was_not_taken_stays() {
    let now = std::time::Duration::ZERO;
    let mut house = House::new(1);
    house.workers[0].credit = 100;
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let all: Vec<u8> = (0..150).collect();
    let mut bytes = Bytes::from(all.clone());
    assert_eq!(stream.send_bytes(&mut bytes, now), Ok(100));
    assert_eq!(bytes, all[100..]);
    assert_eq!(stream.send_bytes(&mut bytes, now), Err(StreamError::NotYet));
    assert_eq!(bytes, all[100..], "nothing was taken");
    house.settle(&endpoint);
    assert_eq!(stream.send_bytes(&mut bytes, now), Ok(50));
    assert!(bytes.is_empty());
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).sent, all);
    assert_eq!(house.workers[0].hub.take_copied(), 150, "by the worker");
    // What is filled in place or was received is not.
    stream
        .send_chunk(stream.tx_buffer(now).unwrap().into_chunk(), now)
        .unwrap();
    let mut buffer = stream.tx_buffer(now).unwrap();
    std::io::Write::write_all(&mut buffer, b"here").unwrap();
    stream.send_chunk(buffer.into_chunk(), now).unwrap();
    house.workers[0].arrive(stream.id(), b"there");
    house.settle(&endpoint);
    stream.send_chunk(received(stream.try_recv()), now).unwrap();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).sent.len(), 159);
    assert_eq!(house.workers[0].hub.take_copied(), 0);
}

#[test]
fn a_buffer_is_filled_by_any_means() {
    use bytes::BufMut;
    let now = std::time::Duration::ZERO;
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.settle(&endpoint);
    let mut buffer = stream.tx_buffer(now).unwrap();
    let room = buffer.spare_mut().len();
    assert_eq!(room, 64);
    buffer.spare_mut()[..2].copy_from_slice(b"no");
    assert!(buffer.is_empty(), "not before it is taken in");
    let mut spare = buffer.spare_mut();
    spare.put_u16(0);
    spare.put_slice(b"framed");
    let written = room - spare.len();
    buffer.commit(written);
    buffer[..2].copy_from_slice(&6_u16.to_be_bytes());
    assert_eq!(&buffer[..], b"\0\x06framed");
    stream.send_chunk(buffer.into_chunk(), now).unwrap();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).sent, b"\0\x06framed");
    let mut full = stream.tx_buffer(now).unwrap();
    full.spare_mut().fill(7);
    full.commit(usize::MAX);
    assert_eq!((full.len(), full.spare_mut().len()), (64, 0), "all there is");
}

#[test]
fn a_buffer_is_filled_in_place_and_sent_without_a_copy() {
    use std::io::Write;
    let now = std::time::Duration::ZERO;
    let mut house = House::new(2);
    let endpoint = house.endpoint(&EndpointLimits { blanks: 2, ..LIMITS });
    let streams = [0, 0, 1].map(|worker| house.accepted(worker, &endpoint));
    house.settle(&endpoint);
    let mut buffer = streams[0].tx_buffer(now).unwrap();
    write!(buffer, "answer {}", 42).unwrap();
    assert_eq!(&buffer[..], b"answer 42");
    let mut unused = streams[0].tx_buffer(now).unwrap();
    assert!(unused.write_all(&[7; 65]).is_err(), "more than it holds");
    assert_eq!(unused.len(), 64);
    assert_eq!(streams[0].tx_buffer(now).unwrap_err(), StreamError::NotYet);
    let mut chunk = buffer.into_chunk();
    let tail = chunk.split_off(8);
    assert_eq!((&chunk[..], &tail[..]), (&b"answer 4"[..], &b"2"[..]));
    streams[1].send_chunk(chunk, now).unwrap();
    assert_eq!(endpoint.tx_copied_bytes(), 0);
    std::thread::spawn(move || drop(unused)).join().unwrap();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(streams[1].id()).sent, b"answer 4");
    // To another worker's connection it is copied, and goes home.
    let mut buffer = streams[0].tx_buffer(now).unwrap();
    buffer.write_all(b"there").unwrap();
    streams[2].send_chunk(buffer.into_chunk(), now).unwrap();
    assert_eq!(endpoint.tx_copied_bytes(), 5);
    house.settle(&endpoint);
    assert_eq!(house.workers[1].conn(streams[2].id()).sent, b"there");
    house.check_pools(0);
    let blanks: u32 = house
        .workers
        .iter()
        .map(|worker| worker.hub.status().blanks)
        .sum();
    assert!(blanks <= 4, "none got lost on the way: {blanks}");
    for _ in 0..10 {
        drop(streams[0].tx_buffer(now).unwrap());
        house.settle(&endpoint);
    }
}

/// Lends as many chunks as the hub takes, and so many at most; how many that were.
fn lend(worker: &mut ModelWorker, id: ConnId, most: u8) -> u8 {
    let owner = worker.conn(id).owner;
    let mut count = 0;
    as_worker(|| {
        while let Some(mut lender) = worker.hub.lender(owner).filter(|_| count < most)
            && lender.takes_one()
        {
            let chunk = worker.queue.received(&[count]).expect("the pool is not empty");
            lender.lend(id, RxChunk(chunk), 0);
            count += 1;
        }
    });
    worker.conn(id).charged += usize::from(count) * SPACE;
    count
}

#[test]
fn what_is_lent_in_one_turn_is_told_together_and_before_whatever_is_told_next() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        events: 4,
        lent: 8,
        ..LIMITS
    });
    let stream = house.accepted(0, &endpoint);
    house.settle(&endpoint);
    let id = stream.id();
    let worker = &mut house.workers[0];
    let owner = worker.conn(id).owner;
    assert_eq!(lend(worker, id, 8), 4, "as many as the ring takes");
    let end = Event::PeerClosed(id);
    assert!(
        as_worker(|| worker.hub.try_event(owner, end)).is_err(),
        "it is full"
    );
    let chunks = [0; 4].map(|_| received(stream.try_recv()));
    assert_eq!(chunks.each_ref().map(|chunk| chunk[0]), [0, 1, 2, 3]);
    drop(chunks);
    house.settle(&endpoint);
    let worker = &mut house.workers[0];
    assert_eq!(worker.hub.status().lent, 0, "all of them came home");
    assert_eq!(lend(worker, id, 4), 4);
    assert_eq!(
        stream.try_recv().unwrap_err(),
        StreamError::NotYet,
        "not told yet"
    );
    as_worker(|| worker.hub.finish_turn());
    for byte in 0..4 {
        assert_eq!(received(stream.try_recv())[..], [byte]);
    }
    house.settle(&endpoint);
    house.check_pools(0);
}
