//! §3.10.1–§3.10.6: the calls, state by state.

use fourtuple_tcp::{SendRefused, State};

use crate::support::{ACK, End, FIN, POOLS, RST, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

fn in_close_wait() -> End {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.drain();
    end
}

// proves: RFC 9293 §3.10.2
#[test]
fn send_is_refused_once_this_direction_is_closed() {
    let mut end = Setup::default().established();
    end.shutdown();
    assert_eq!(end.try_write(b"x"), Err(SendRefused::Closed(())));
    let mut end = in_close_wait();
    assert_eq!(end.try_write(b"x"), Ok(()));
    end.shutdown();
    assert_eq!(end.try_write(b"x"), Err(SendRefused::Closed(())));
    end.abort();
    assert_eq!(end.try_write(b"x"), Err(SendRefused::Closed(())));
}

#[test]
fn send_is_refused_when_pool_or_buffer_is_full_and_nothing_is_lost() {
    let pools = fourtuple_tcp::PoolSizes {
        send_chunks: 1,
        ..POOLS
    };
    let mut end = Setup {
        pools,
        ..Setup::default()
    }
    .established();
    end.write(b"a");
    end.write(b"b");
    assert_eq!(end.try_write(b"c"), Err(SendRefused::Full(())));
    assert_eq!(end.counters.pool_empty, 1);
    expect!(end, seg(ACK).seq(1).text(b"ab"));
    send!(end, seg(ACK).seq(1).ack(3)).verdict.unwrap();
    assert_eq!(end.try_write(b"c"), Ok(()));
}

#[test]
fn shutdown_before_established_takes_effect_after_it() {
    let mut end = Setup::default().syn_sent();
    end.write(b"all");
    end.shutdown();
    assert_eq!(end.try_write(b"more"), Err(SendRefused::Closed(())));
    assert_eq!(end.state(), State::SynSent);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    assert_eq!(end.state(), State::FinWait1);
    expect!(end, seg(ACK | FIN).seq(1).ack(1).text(b"all"));
}

// proves: RFC 9293 §3.10.4
#[test]
fn close_in_syn_sent_deletes_the_connection() {
    let mut end = Setup::default().syn_sent();
    end.close();
    assert!(end.tcb.is_closed());
    expect_nothing!(end);
}

#[test]
fn close_in_syn_sent_with_data_queued_delivers_it_first() {
    let mut end = Setup::default().syn_sent();
    end.write(b"all");
    end.close();
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK | FIN).seq(1).ack(1).text(b"all"));
}

// proves: RFC 9293 §3.10.5
#[test]
fn abort_sends_a_reset_where_the_peer_waits_for_something() {
    let mut end = Setup::default().established();
    end.write(b"unsent");
    end.abort();
    expect!(end, seg(RST | ACK).seq(1).ack(1));
    expect_nothing!(end);
    assert!(end.tcb.is_closed());
    assert_eq!(end.pools.in_use(), fourtuple_tcp::PoolsInUse::default());

    let mut end = Setup::default().syn_received();
    end.abort();
    expect!(end, seg(RST | ACK).seq(1).ack(1));

    let mut end = in_close_wait();
    end.abort();
    expect!(end, seg(RST | ACK).seq(1).ack(2));

    let mut end = Setup::default().syn_sent();
    end.abort();
    expect_nothing!(end);
    assert!(end.tcb.is_closed());
}

#[test]
fn abort_is_believed_by_a_peer_whose_window_is_closed() {
    let mut end = Setup::default().established();
    end.write(b"abc");
    expect!(end, seg(ACK).seq(1).text(b"abc"));
    send!(end, seg(ACK).seq(1).ack(4).window(0)).verdict.unwrap();
    end.write(b"more");
    let _ = end.fire();
    // A probe was sent, and not acknowledged: the peer has no place for it.
    assert!(!end.drain().is_empty());
    end.abort();
    expect!(end, seg(RST | ACK).seq(4).ack(1));
}

// RFC 9293 §3.10.5: <SEQ=SND.NXT><CTL=RST>; the SYN was acknowledged by whoever waits for ours, though it has no room.
#[test]
fn abort_in_syn_received_resets_behind_our_syn_whatever_the_window() {
    let mut end = Setup::default().window(0).syn_received();
    end.abort();
    expect!(end, seg(RST | ACK).seq(1).ack(1));
}

#[test]
fn what_a_connection_holds_is_told() {
    let mut end = Setup::default().established();
    end.space = Some(2048);
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    send!(end, seg(ACK).seq(11).ack(1).octets(5)).verdict.unwrap();
    assert_eq!((end.tcb.unread(), end.tcb.pinned()), (15, 4096));
    let peeked: Vec<u8> = end.tcb.peek(&end.pools).flatten().copied().collect();
    end.write(&[7; 100]);
    assert_eq!((end.tcb.queued_bytes(), end.tcb.queued_charge()), (100, 100));
    assert_eq!(end.tcb.pinned(), 4096 + 200);
    assert_eq!(peeked, end.read());
    assert_eq!((end.tcb.unread(), end.tcb.pinned()), (0, 200));
    assert_eq!(end.tcb.peek(&end.pools).count(), 0);
}

/// Where buffers are scarce, who reads and asks for nothing may always have what is next.
#[test]
fn a_share_is_for_who_holds_less_and_for_what_is_next_of_who_holds_nothing() {
    let mut end = Setup::default().established();
    end.space = Some(2048);
    let (before, next, beyond) = (end.irs, end.irs + 1, end.irs + 2);
    let has = |end: &End, share| [before, next, beyond].map(|seq| end.tcb.has_share(seq, share, true));
    assert_eq!((has(&end, 0), has(&end, 1)), ([true, true, false], [true; 3]));
    end.write(&[7; 100]);
    assert_eq!(
        (has(&end, 200), has(&end, 201)),
        ([false; 3], [true; 3]),
        "something is unacknowledged"
    );
    let own = [before, next, beyond].map(|seq| end.tcb.has_share(seq, 200, false));
    assert_eq!(own, [true, true, false], "it is no received buffer");
    end.drain();
    send!(end, seg(ACK).seq(1).ack(101)).verdict.unwrap();
    assert_eq!(has(&end, 0), [true, true, false]);
    send!(end, seg(ACK).seq(1).ack(101).octets(10)).verdict.unwrap();
    assert_eq!(
        (has(&end, 2048), has(&end, 2049)),
        ([false; 3], [true; 3]),
        "something is unread"
    );
}

#[test]
fn abort_is_silent_when_only_the_last_ack_is_missing() {
    let mut end = in_close_wait();
    end.shutdown();
    end.drain();
    assert_eq!(end.state(), State::LastAck);
    end.abort();
    expect_nothing!(end);

    let mut end = in_close_wait();
    end.write(b"unacknowledged");
    end.shutdown();
    end.drain();
    end.abort();
    expect!(end, seg(RST | ACK));
}

#[test]
fn free_is_idempotent() {
    let mut end = Setup::default().established();
    end.write(b"a");
    end.write(b"b");
    send!(end, seg(ACK).seq(1).ack(1).octets(5)).verdict.unwrap();
    send!(end, seg(ACK).seq(10).ack(1).octets(5)).verdict.unwrap();
    end.expect_pools_whole();
    end.expect_pools_whole();
}

// proves: RFC 9293 §3.10.6
#[test]
fn status_tells_states_windows_and_queues() {
    let mut end = Setup::default().window(5_000).established();
    end.write(&[1; 700]);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(1).text(b"unread"))
        .verdict
        .unwrap();
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.state, State::Established);
    assert_eq!(
        (status.in_flight, status.send_queue, status.send_window),
        (700, 700, 5_000)
    );
    assert_eq!((status.unread, status.receive_window), (6, 60_000 - 6));
    end.shutdown();
    assert_eq!(end.tcb.status(&end.profile, end.now).state, State::FinWait1);
}

#[test]
fn what_is_unread_can_be_looked_at_and_stays() {
    let mut end = Setup::default().established();
    assert_eq!(end.tcb.peek(&end.pools).count(), 0);
    for seq in [1, 11] {
        send!(end, seg(ACK).seq(seq).ack(1).octets(10)).verdict.unwrap();
    }
    let seen: Vec<u8> = end.tcb.peek(&end.pools).flatten().copied().collect();
    assert_eq!(seen, (1..21).collect::<Vec<u8>>());
    assert_eq!(end.read(), seen);
    assert_eq!(end.tcb.peek(&end.pools).count(), 0);
}

#[test]
fn the_send_buffer_follows_the_congestion_window_and_twice_as_far_in_recovery() {
    let mut end = Setup::default()
        .profile(|profile| profile.send_buffer = 20_000)
        .established();
    let room = |end: &End| end.tcb.send_room(&end.profile, &end.pools);
    let window = |end: &End| end.tcb.status(&end.profile, end.now).cwnd as usize;
    assert_eq!(
        (window(&end), room(&end)),
        (10_000, 20_000),
        "the initial window says nothing"
    );
    let mut at = 1;
    while window(&end) < 30_000 {
        // All of the window is used, or it would not grow.
        let segments = window(&end) / 1_000;
        end.write_octets(at as usize, 1_000 * segments);
        assert_eq!(end.drain().len(), segments);
        for _ in 0..segments {
            at += 1_000;
            send!(end, seg(ACK).seq(1).ack(at)).verdict.unwrap();
        }
    }
    // What is outstanding, and as much again that is written meanwhile.
    assert_eq!(room(&end), 2 * window(&end));
    end.write_octets(at as usize, 30_000);
    assert_eq!(end.drain().len(), 30);
    for _ in 0..3 {
        send!(end, seg(ACK).seq(1).ack(at)).verdict.unwrap();
    }
    assert_eq!(end.counters.fast_recoveries, 1);
    assert_eq!(room(&end), 4 * window(&end) - 30_000);
}

// proves: RFC 9293 §3.10.6
#[test]
fn status_tells_how_long_nothing_was_acknowledged_while_something_is_outstanding() {
    let mut end = Setup::default().established();
    let stalled = |end: &End| end.tcb.status(&end.profile, end.now).stalled_ms;
    let _ = end.pass(300);
    assert_eq!(stalled(&end), 0);
    end.write_octets(1, 10);
    end.drain();
    let _ = end.pass(100);
    assert_eq!(stalled(&end), 100);
    send!(end, seg(ACK).seq(1).ack(11)).verdict.unwrap();
    let _ = end.pass(100);
    assert_eq!(stalled(&end), 0);
}
