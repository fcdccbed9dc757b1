//! What endpoints want: sent, shut, closed, whatever else is full.

use std::time::Duration;

use fourtuple_nic::Queue;

use super::model::{Gone, HUB, House, LIMITS};
use crate::error::{ApiMisuse, ConnectError, ConnectionError};
use crate::handoff::testing::{ROOM, TestQueue, as_worker};
use crate::handoff::{EndpointLimits, HubLimits, Interest, Opened, Stream, StreamError, Token};
use crate::shard::ConnectOptions;

#[test]
fn commands_are_drained_while_the_event_ring_is_full() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits { events: 1, ..LIMITS });
    let stream = house.accepted(0, &endpoint);
    for byte in 0..5 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.turn();
    assert_eq!(stream.try_send(b"out"), Ok(3));
    house.turn();
    assert_eq!(house.workers[0].conn(stream.id()).sent, b"out");
    assert!(!house.workers[0].all_told(), "and the events still wait");
}

#[test]
fn close_and_abort_are_never_lost_when_the_command_ring_is_full() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        commands: 2,
        ..LIMITS
    });
    let streams: Vec<_> = (0..6).map(|_| house.accepted(0, &endpoint)).collect();
    let ids: Vec<_> = streams.iter().map(|stream| stream.id()).collect();
    house.settle(&endpoint);
    house.workers[0].order.clear();
    assert_eq!(streams[0].try_send(b"a"), Ok(1));
    assert_eq!(streams[0].try_send(b"b"), Ok(1));
    assert_eq!(
        streams[0].try_send(b"c"),
        Err(StreamError::NotYet),
        "the ring is full"
    );
    streams[0].shutdown();
    for (at, stream) in streams.into_iter().enumerate() {
        if at % 2 == 0 { drop(stream) } else { stream.abort() }
    }
    assert_eq!(endpoint.shared.with(|core| core.ends[0].urgent_len()), 7);
    house.settle(&endpoint);
    for (at, id) in ids.iter().enumerate() {
        let expected = if at % 2 == 0 {
            Gone::Closed { unread: false }
        } else {
            Gone::Aborted
        };
        assert_eq!(house.workers[0].conn(*id).gone, Some(expected));
    }
    let first: Vec<_> = house.workers[0].order[..4]
        .iter()
        .map(|word| word.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        first,
        ["send", "send", "shutdown", "Closed"],
        "in the order they were asked for"
    );
}

#[test]
fn what_was_not_read_makes_a_close_a_reset() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let (unread, read, on_its_way) = (
        house.accepted(0, &endpoint),
        house.accepted(0, &endpoint),
        house.accepted(0, &endpoint),
    );
    let ids = [unread.id(), read.id(), on_its_way.id()];
    house.workers[0].arrive(unread.id(), b"x");
    house.workers[0].arrive(read.id(), b"x");
    house.turn();
    endpoint.step();
    drop(read.try_recv());
    house.workers[0].arrive(on_its_way.id(), b"x");
    house.turn();
    drop((unread, read, on_its_way));
    house.settle(&endpoint);
    let gone = ids.map(|id| house.workers[0].conn(id).gone);
    let closed = |unread| Some(Gone::Closed { unread });
    // The last was in the event ring when its stream was dropped: nobody had seen it.
    assert_eq!(gone, [closed(true), closed(false), closed(true)]);
    house.check_pools(0);
}

#[test]
fn bytes_that_crossed_a_close_make_it_a_reset() {
    // proves: RFC 9293 §3.6.1 (new data received after CLOSE is called)
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    house.settle(&endpoint);
    drop(stream);
    // The worker has not seen the close when it tells these.
    house.workers[0].arrive(id, b"x");
    house.workers[0].arrive(id, b"y");
    as_worker(|| house.workers[0].deliver(2));
    house.turn();
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: false })
    );
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(id).gone, Some(Gone::Aborted));
    assert_eq!(
        house.workers[0]
            .order
            .iter()
            .filter(|word| word.starts_with("Aborted"))
            .count(),
        1
    );
    house.check_pools(0);
}

#[test]
fn a_held_command_comes_first_next_turn_and_stops_no_other_endpoint() {
    let mut house = House::new(1);
    let (one, other) = (house.endpoint(&LIMITS), house.endpoint(&LIMITS));
    let (held, free) = (house.accepted(0, &one), house.accepted(0, &other));
    let worker = &mut house.workers[0];
    worker.order.clear();
    worker.holds = [2].into();
    let (held_id, free_id) = (held.id(), free.id());
    assert_eq!(held.try_send(b"1"), Ok(1));
    house.turn();
    assert!(house.workers[0].hub.has_held(), "it is not forgotten over a nap");
    assert!(!house.workers[0].hub.has_work(), "nor keeps the worker awake");
    assert_eq!(held.try_send(b"2"), Ok(1));
    // Its turn at the hub came: the other endpoint's next.
    house.workers[0].holds = [0, 1].into();
    assert_eq!(free.try_send(b"3"), Ok(1));
    drop(free);
    house.turn();
    house.turn();
    let sent: Vec<_> = house.workers[0].order.clone();
    let of = |id| {
        sent.iter()
            .filter(|word| word.ends_with(&format!("{id:?}")))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of(held_id).len(), 2);
    assert_eq!(of(free_id).len(), 2);
    assert_eq!(house.workers[0].conn(held_id).sent, b"12");
    assert!(!house.workers[0].hub.has_work());
}

#[test]
fn endpoints_take_turns_at_a_budget() {
    let mut house = House::new(1);
    let (one, other) = (house.endpoint(&LIMITS), house.endpoint(&LIMITS));
    let (a, b) = (house.accepted(0, &one), house.accepted(0, &other));
    house.settle(&one);
    house.settle(&other);
    for _ in 0..6 {
        assert_eq!(a.try_send(b"."), Ok(1));
        assert_eq!(b.try_send(b"."), Ok(1));
    }
    as_worker(|| house.workers[0].take_commands(6));
    let sent = [a.id(), b.id()].map(|id| house.workers[0].conn(id).sent.len());
    assert_eq!(sent, [3, 3]);
}

#[test]
fn sending_stops_at_the_credit_and_goes_on_when_there_is_more() {
    let mut house = House::new(1);
    house.workers[0].credit = 100;
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let bytes: Vec<u8> = (0..250).collect();
    assert_eq!(stream.try_send(&bytes), Ok(100));
    assert_eq!(stream.try_send(&bytes[100..]), Err(StreamError::NotYet));
    let mut sent = 100;
    while sent < bytes.len() {
        house.turn();
        sent += stream.try_send(&bytes[sent..]).expect("credit came back");
    }
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).sent, bytes);
    assert_eq!(endpoint.tx_copied_bytes(), 250);
    assert_eq!(stream.try_send(&[]), Ok(0));
}

#[test]
fn sending_stops_when_blanks_run_out() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits { blanks: 2, ..LIMITS });
    let stream = house.accepted(0, &endpoint);
    assert_eq!(stream.try_send(&[7; 1000]), Ok(2 * ROOM));
    assert_eq!(stream.try_send(&[7; 1000]), Err(StreamError::NotYet));
    house.turn();
    assert_eq!(stream.try_send(&[7; 1000]), Ok(2 * ROOM));
}

#[test]
fn under_the_low_water_mark_an_endpoint_can_still_answer() {
    let mut house = House::with(
        1,
        HubLimits {
            low_water: 1000,
            ..HUB
        },
        200,
    );
    let endpoint = house.endpoint(&EndpointLimits { blanks: 16, ..LIMITS });
    let stream = house.accepted(0, &endpoint);
    assert_eq!(house.workers[0].hub.status().blanks, 2, "an eighth of the ring");
    assert_eq!(stream.try_send(&[7; 1000]), Ok(2 * ROOM));
    house.turn();
    assert_eq!(stream.try_send(&[7; 1]), Ok(1));
}

#[test]
fn endpoints_that_send_all_they_can_leave_the_last_buffers_to_handlers_and_take_turns() {
    let mut house = House::with(1, HubLimits { low_water: 32, ..HUB }, 40);
    let queue = &mut house.workers[0].queue;
    let mut in_flight: Vec<_> = (0..36).map(|_| queue.blank()).collect();
    let endpoints = [0, 1].map(|_| house.endpoint(&LIMITS));
    let streams = [&endpoints[0], &endpoints[1]].map(|endpoint| house.accepted(0, endpoint));
    let sends = |stream: &Stream<TestQueue>| u32::from(stream.try_send(&[7; 10]).is_ok());
    assert_eq!(streams.each_ref().map(sends), [0, 0], "four are left");
    // One comes back, and again whenever it was sent.
    as_worker(|| drop(in_flight.pop()));
    let mut sent = [0; 2];
    for _ in 0..8 {
        house.turn();
        for (sent, stream) in sent.iter_mut().zip(&streams) {
            *sent += sends(stream);
        }
    }
    assert_eq!(sent, [4, 4]);
    as_worker(|| drop(in_flight));
}

#[test]
fn a_chunk_is_sent_on_without_a_copy() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let (from, to) = (house.accepted(0, &endpoint), house.accepted(0, &endpoint));
    house.workers[0].arrive(from.id(), b"hello");
    house.turn();
    let mut chunk = from.try_recv().unwrap().unwrap();
    chunk.advance(1);
    to.send_chunk(chunk, Duration::ZERO).unwrap();
    assert_eq!(endpoint.tx_copied_bytes(), 0);
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(to.id()).sent, b"ello");
    assert_eq!(
        house.workers[0].conn(from.id()).charged,
        0,
        "from receive charge to send charge"
    );
    house.check_pools(0);
}

#[test]
fn a_chunk_of_another_worker_or_endpoint_is_copied_and_goes_home() {
    let mut house = House::new(2);
    let (one, other) = (house.endpoint(&LIMITS), house.endpoint(&LIMITS));
    let from = house.accepted(0, &one);
    let elsewhere = house.accepted(1, &one);
    let foreign = house.accepted(0, &other);
    for to in [&elsewhere, &foreign] {
        house.workers[0].arrive(from.id(), b"hello");
        house.turn();
        let chunk = from.try_recv().unwrap().unwrap();
        to.send_chunk(chunk, Duration::ZERO).unwrap();
    }
    assert_eq!((one.tx_copied_bytes(), other.tx_copied_bytes()), (5, 5));
    house.settle(&one);
    house.settle(&other);
    assert_eq!(house.workers[1].conn(elsewhere.id()).sent, b"hello");
    assert_eq!(house.workers[0].conn(foreign.id()).sent, b"hello");
    house.check_pools(0);
}

#[test]
fn a_chunk_that_can_not_be_sent_comes_back() {
    let mut house = House::new(1);
    house.workers[0].credit = 6;
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    for bytes in [&b"hello"[..], b"again", b"larger than the queue"] {
        house.workers[0].arrive(stream.id(), bytes);
    }
    house.turn();
    let next = || stream.try_recv().unwrap().unwrap();
    stream.send_chunk(next(), Duration::ZERO).unwrap();
    let unsent = stream.send_chunk(next(), Duration::ZERO).unwrap_err();
    assert_eq!(
        (unsent.why, &unsent.chunk[..]),
        (StreamError::NotYet, &b"again"[..])
    );
    house.turn();
    stream.send_chunk(unsent.chunk, Duration::ZERO).unwrap();
    // In pieces, by copy.
    let mut chunk = next();
    while let Err(unsent) = stream.send_chunk(chunk, Duration::ZERO) {
        chunk = unsent.chunk;
        house.turn();
    }
    house.settle(&endpoint);
    assert_eq!(
        house.workers[0].conn(stream.id()).sent,
        b"helloagainlarger than the queue"
    );
    stream.shutdown();
    stream.shutdown();
    house.workers[0].arrive(stream.id(), b"late");
    house.turn();
    let unsent = stream.send_chunk(next(), Duration::ZERO).unwrap_err();
    assert_eq!(unsent.why, StreamError::Misuse(ApiMisuse::SendClosed));
}

// proves: RFC 9293 MUST-12
#[test]
fn the_end_of_file_and_a_reset_are_told_apart() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let cases = [
        (true, None, Ok(true)),
        (true, Some(Ok(())), Ok(true)),
        (
            false,
            Some(Err(ConnectionError::Reset)),
            Err(StreamError::Connection(ConnectionError::Reset)),
        ),
        (
            true,
            Some(Err(ConnectionError::TimedOut)),
            Err(StreamError::Connection(ConnectionError::TimedOut)),
        ),
        (false, None, Err(StreamError::NotYet)),
    ];
    for (peer_closed, ended, expected) in cases {
        let stream = house.accepted(0, &endpoint);
        house.workers[0].arrive(stream.id(), b"last");
        let conn = house.workers[0].conn(stream.id());
        (conn.peer_closed, conn.ended) = (peer_closed, ended);
        house.settle(&endpoint);
        assert_eq!(
            &stream.try_recv().unwrap().unwrap()[..],
            b"last",
            "what came before stays readable"
        );
        let end = stream.try_recv().map(|chunk| chunk.is_none());
        assert_eq!(end, expected);
        // Once it has ended, nothing is to be closed.
        if ended.is_some() {
            assert!(stream.try_send(b"x").is_err());
            let id = stream.id();
            drop(stream);
            house.settle(&endpoint);
            assert_eq!(house.workers[0].conn(id).gone, None);
        }
    }
}

#[test]
fn the_io_traits_speak_std() {
    use std::io::{ErrorKind, Read, Write};
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let mut stream = house.accepted(0, &endpoint);
    stream.write_all(b"question").unwrap();
    house.workers[0].arrive(stream.id(), b"answer");
    house.workers[0].conn(stream.id()).peer_closed = true;
    house.turn();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
    house.workers[0].conn(stream.id()).ended = Some(Err(ConnectionError::Reset));
    house.settle(&endpoint);
    assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(
        std::io::Error::from(StreamError::NotYet).kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn marks_bound_what_is_queued_and_say_when_to_go_on() {
    let mut house = House::new(1);
    house.workers[0].credit = 100_000;
    let endpoint = house.endpoint(&EndpointLimits {
        commands: 256,
        blanks: 256,
        ..LIMITS
    });
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    house.settle(&endpoint);
    stream.set_marks(200, 1_000);
    let mut queued = 0;
    while let Ok(sent) = stream.try_send(&[1; 10]) {
        queued += sent;
    }
    assert!(
        (10..1_100).contains(&queued),
        "{queued} bytes under a mark of 1000"
    );
    stream.watch(Token(0), Interest::WRITABLE);
    let mut ready = Vec::new();
    // The peer acknowledges little by little: nothing is told before no more than 200 are queued.
    house.workers[0].take_commands(usize::MAX);
    let mut left = std::mem::take(&mut house.workers[0].conn(id).writable);
    let all = left;
    let owner = house.workers[0].conn(id).owner;
    while left > 0 {
        let some = left.min(100);
        left -= some;
        let told = crate::handoff::Event::Writable(id, some);
        assert!(house.workers[0].hub.try_event(owner, told).is_ok());
        let count = endpoint.poll(&mut ready, Duration::ZERO);
        assert!(count == 0 || left <= 200, "told at {left} of {all}");
        if count > 0 {
            break;
        }
    }
    assert!(left <= 200 && all > 200, "it was told at the mark, {left}");
    // Marks beyond the send buffer are the send buffer.
    stream.set_marks(u32::MAX, u32::MAX);
    assert!(stream.try_send(&[1; 10]).is_ok());
}

#[test]
fn info_is_asked_of_the_worker_and_comes_back() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    assert_eq!(stream.info(Duration::ZERO), Err(StreamError::NotYet));
    house.turn();
    // The model's workers know nothing: asked again, and never twice at a time.
    assert_eq!(stream.info(Duration::ZERO), Err(StreamError::NotYet));
    house.workers[0].conn(stream.id()).ended = Some(Err(ConnectionError::Reset));
    house.settle(&endpoint);
    assert_eq!(
        stream.info(Duration::ZERO),
        Err(StreamError::Connection(ConnectionError::Reset))
    );
}

#[test]
fn a_port_of_our_own_is_asked_for_at_each_worker_until_one_can_have_it() {
    let mut house = House::new(3);
    let endpoint = house.endpoint(&LIMITS);
    let options = ConnectOptions {
        local_port: Some(20),
        ..ConnectOptions::default()
    };
    let remote = ([10, 0, 0, 9], 80).into();
    for last in [ConnectError::AddressInUse, ConnectError::Limit] {
        let connecting = endpoint.start_connect_with(remote, &options).unwrap();
        let mut asked = Vec::new();
        for _ in 0..5 {
            house.turn();
            for worker in &mut house.workers {
                for (index, token, to) in std::mem::take(&mut worker.connects) {
                    assert_eq!(to, remote);
                    let why = if asked.len() == 1 && last != ConnectError::AddressInUse {
                        last
                    } else {
                        ConnectError::AddressInUse
                    };
                    asked.push(why);
                    let refused = Opened::ConnectRefused { token, why };
                    assert!(worker.hub.try_opened(index, refused).is_ok());
                }
            }
            endpoint.step();
        }
        let most = if last == ConnectError::AddressInUse { 3 } else { 2 };
        assert_eq!(asked.len(), most, "each once, as long as it may help");
        assert_eq!(connecting.try_finish().unwrap_err(), StreamError::Connect(last));
    }
    // Beside a connection is on its worker and nowhere else.
    let stream = house.accepted(2, &endpoint);
    let beside = ConnectOptions {
        beside: Some(stream.id()),
        ..options
    };
    let connecting = endpoint.start_connect_with(remote, &beside).unwrap();
    house.turn();
    let asked: Vec<_> = house.workers.iter().map(|worker| worker.connects.len()).collect();
    assert_eq!(asked, [0, 0, 1]);
    drop(connecting);
}

#[test]
fn parts_go_out_behind_one_another_and_a_cut_falls_where_it_was_told() {
    use std::io::IoSlice;
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits { blanks: 2, ..LIMITS });
    let stream = house.accepted(0, &endpoint);
    house.settle(&endpoint);
    let whole: Vec<u8> = (0..200).collect();
    let parts = [&whole[..3], &whole[3..3], &whole[3..100], &whole[100..]];
    let sent = stream
        .send_vectored(&parts.map(IoSlice::new), Duration::ZERO)
        .unwrap();
    assert_eq!(sent, 2 * ROOM, "both buffers are full");
    house.settle(&endpoint);
    assert_eq!(
        stream.send_vectored(&[IoSlice::new(&whole[sent..])], Duration::ZERO),
        Ok(whole.len() - sent)
    );
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).sent, whole);
    assert_eq!(stream.send_vectored(&[], Duration::ZERO), Ok(0));
}
