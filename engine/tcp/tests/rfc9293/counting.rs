//! What TCP counts: each event once, and under its own name. Operators read these numbers, and simulations hold what they find
//! against them.

use fourtuple_tcp::{Ending, KeepAlive, PathError, PoolSizes, Pools, State};

use crate::support::{ACK, End, FIN, POOLS, RST, SYN, Setup, TestBuffers, seg};
use crate::{expect, send};

fn with_sack() -> Setup {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    setup
}

fn with_timestamps() -> Setup {
    let mut setup = Setup::default().profile(|profile| profile.timestamps = true);
    setup.peer_syn = seg(SYN).mss(1000).timestamps(1_000, 0);
    setup
}

#[test]
fn both_ways_to_open_are_counted_and_how_they_came_out() {
    let opened = Setup::default().established().counters;
    assert_eq!(
        (opened.active_opens, opened.passive_opens, opened.established),
        (1, 0, 1)
    );
    let accepted = Setup::default().accepted().counters;
    assert_eq!(
        (
            accepted.active_opens,
            accepted.passive_opens,
            accepted.established
        ),
        (0, 1, 1)
    );
    let mut refused = Setup::default().syn_sent();
    let arrival = send!(refused, seg(RST | ACK).seq(0).ack(1));
    End::expect_ended(&arrival, Ending::Refused);
    assert_eq!((refused.counters.resets_in, refused.counters.established), (1, 0));
    let mut again = Setup::default().syn_sent();
    for times in 1..=2 {
        let _ = again.fire();
        expect!(again, seg(SYN).seq(0));
        assert_eq!(again.counters.retransmits_syn, times);
    }
}

#[test]
fn the_ends_of_connections_are_counted() {
    let mut reset = Setup::default().established();
    End::expect_ended(&send!(reset, seg(RST).seq(1)), Ending::Reset);
    assert_eq!((reset.counters.resets_in, reset.counters.resets_out), (1, 0));

    let mut aborted = Setup::default().established();
    aborted.abort();
    expect!(aborted, seg(RST | ACK).seq(1).ack(1));
    assert_eq!((aborted.counters.resets_in, aborted.counters.resets_out), (0, 1));

    let mut closed = Setup::default().established();
    closed.close();
    expect!(closed, seg(ACK | FIN).seq(1).ack(1));
    send!(closed, seg(ACK | FIN).seq(1).ack(2)).verdict.unwrap();
    assert_eq!((closed.state(), closed.counters.time_waits), (State::TimeWait, 1));

    let mut unread = Setup::default().established();
    unread.close();
    expect!(unread, seg(ACK | FIN).seq(1).ack(1));
    let arrival = send!(unread, seg(ACK).seq(1).ack(2).octets(5));
    End::expect_ended(&arrival, Ending::Aborted);
    assert_eq!(unread.counters.unread_aborts, 1);

    let mut silent = Setup::default().established();
    silent.write_octets(1, 100);
    while {
        silent.drain();
        silent.fire().ended.is_none()
    } {}
    assert_eq!(silent.counters.timeouts, 1);
}

#[test]
fn each_segment_that_leaves_is_counted_with_its_octets() {
    // Alone, behind one another as a train, and as plain text with timestamps.
    for mut end in [Setup::default().established(), with_timestamps().established()] {
        let before = end.counters.clone();
        end.write_octets(1, 300);
        let mut left = end.drain();
        end.write_octets(301, 3_500);
        left.extend(end.drain());
        let octets: usize = left.iter().map(|sent| sent.payload.len()).sum();
        assert_eq!(octets, 3_800);
        assert_eq!(end.counters.segments_out - before.segments_out, left.len() as u64);
        assert_eq!(end.counters.bytes_out - before.bytes_out, 3_800);
        assert_eq!(end.counters.pure_acks_out, before.pure_acks_out);
    }
}

#[test]
fn acknowledgments_without_text_are_counted() {
    let mut end = Setup::default().established();
    let before = end.counters.clone();
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
    assert_eq!(end.counters.segments_out, before.segments_out + 1);
    assert_eq!(end.counters.pure_acks_out, before.pure_acks_out + 1);
}

#[test]
fn probes_are_counted() {
    let mut end = Setup::default().window(0).established();
    end.write_octets(1, 100);
    for times in 1..=2 {
        let _ = end.fire();
        assert_eq!(end.drain().len(), 1);
        assert_eq!(end.counters.window_probes, times);
        send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    }
    let mut idle = Setup::default()
        .profile(|profile| {
            profile.keepalive = Some(KeepAlive::default());
        })
        .established();
    for times in 1..=3 {
        let _ = idle.fire();
        expect!(idle, seg(ACK).seq(0).ack(1));
        assert_eq!(idle.counters.keepalive_probes, times);
    }
}

#[test]
fn text_that_arrives_is_counted_by_what_became_of_it() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    assert_eq!((end.counters.out_of_order_in, end.counters.bytes_in), (1, 0));
    assert!(send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.is_err());
    assert_eq!((end.counters.out_of_order_in, end.counters.duplicates_in), (1, 1));
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    assert_eq!(end.counters.bytes_in, 20, "with what waited behind the hole");
    assert!(send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.is_err());
    assert_eq!(end.counters.duplicates_in, 2);
    assert_eq!(end.counters.predicted, 0);
    send!(end, seg(ACK).seq(21).ack(1).octets(10)).verdict.unwrap();
    assert_eq!(end.counters.predicted, 1);
}

#[test]
fn text_that_finds_no_room_is_counted_by_what_is_missing() {
    let small = |profile: &mut fourtuple_tcp::Profile| profile.receive_buffer = 10_000;
    let mut end = Setup::default().profile(small).established();
    end.space = Some(20_000);
    send!(end, seg(ACK).seq(1).ack(1).octets(1)).verdict.unwrap();
    assert!(send!(end, seg(ACK).seq(2).ack(1).octets(1)).verdict.is_err());
    assert_eq!(end.counters.reassembly_full, 1, "in order");
    assert!(send!(end, seg(ACK).seq(12).ack(1).octets(1)).verdict.is_err());
    assert_eq!(end.counters.reassembly_full, 2, "behind a hole");

    let pools = |receive_chunks, reassemblies| Setup {
        pools: PoolSizes {
            receive_chunks,
            reassemblies,
            ..POOLS
        },
        ..Setup::default()
    };
    let mut end = pools(1, 1).established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1)).verdict.unwrap();
    assert!(send!(end, seg(ACK).seq(2).ack(1).octets(1)).verdict.is_err());
    assert_eq!(end.counters.pool_empty, 1, "no chunk");
    let mut end = pools(8, 0).established();
    assert!(send!(end, seg(ACK).seq(12).ack(1).octets(1)).verdict.is_err());
    assert_eq!(end.counters.pool_empty, 1, "no record");
}

#[test]
fn what_acknowledgments_say_is_counted() {
    let mut end = with_sack().established();
    end.write_octets(1, 4_000);
    end.drain();
    for (times, right) in [(1, 2_001), (2, 3_001)] {
        let ack = seg(ACK).seq(1).ack(1).sack(&[(1_001, right)]);
        send!(end, ack).verdict.unwrap();
        assert_eq!(
            (end.counters.sack_blocks_in, end.counters.duplicate_acks_in),
            (times, times)
        );
    }
    let mut end = Setup::default().established();
    end.write_octets(1, 2_000);
    end.drain();
    for times in 1..=2 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
        assert_eq!(end.counters.duplicate_acks_in, times);
    }
}

#[test]
fn segments_without_the_agreed_timestamps_are_counted() {
    let mut end = with_timestamps().established();
    assert!(send!(end, seg(ACK).seq(1).ack(1).octets(5)).verdict.is_err());
    assert_eq!(end.counters.paws_drops, 1);
}

#[test]
fn errors_of_the_path_are_counted_by_what_they_did() {
    let told = |end: &mut End, what, seq| {
        let seq = end.iss + seq;
        end.with(|tcb, env| tcb.path_error(what, seq, 536, env))
    };
    let mut end = Setup::default().syn_sent();
    let _ = told(&mut end, PathError::Hard, 7);
    assert_eq!(
        (end.counters.icmp_errors_refused, end.counters.icmp_errors_hard),
        (1, 0)
    );
    let _ = told(&mut end, PathError::Hard, 0);
    assert_eq!(
        (end.counters.icmp_errors_refused, end.counters.icmp_errors_hard),
        (1, 1)
    );

    let mut end = Setup::default().established();
    end.write_octets(1, 2_000);
    end.drain();
    let _ = told(&mut end, PathError::Hard, 1);
    assert_eq!(
        (end.counters.icmp_errors_hard, end.counters.icmp_errors_soft),
        (0, 1),
        "it ends no connection that is open"
    );
    let _ = told(&mut end, PathError::TooBig(1_500), 1);
    assert_eq!(
        (end.counters.icmp_errors_refused, end.counters.path_mtu_reduced),
        (1, 0)
    );
    let _ = told(&mut end, PathError::TooBig(600), 1);
    assert_eq!(
        (end.counters.icmp_errors_refused, end.counters.path_mtu_reduced),
        (1, 1)
    );
}

#[test]
fn what_was_reserved_is_the_sum_of_all_pools() {
    let none = PoolSizes {
        send_chunks: 0,
        receive_chunks: 0,
        reassemblies: 0,
        flights: 0,
        long_scoreboards: 0,
        asides: 0,
    };
    let bytes = |sizes: &PoolSizes| Pools::<TestBuffers>::new(sizes).reserved_bytes();
    let chunks = PoolSizes {
        send_chunks: 64,
        receive_chunks: 64,
        ..none
    };
    let each = [
        bytes(&PoolSizes {
            receive_chunks: 0,
            ..chunks
        }),
        bytes(&PoolSizes {
            send_chunks: 0,
            ..chunks
        }),
    ];
    assert!(each.iter().all(|bytes| *bytes > 64));
    assert_eq!((bytes(&none), bytes(&chunks)), (0, each.iter().sum()));
    // Those of connections are made ready as far as there are chunks for them.
    let of_connections = [
        PoolSizes {
            reassemblies: 8,
            ..chunks
        },
        PoolSizes { flights: 8, ..chunks },
        PoolSizes {
            long_scoreboards: 8,
            ..chunks
        },
        PoolSizes { asides: 8, ..chunks },
    ];
    let beyond = of_connections.map(|sizes| bytes(&sizes) - bytes(&chunks));
    assert!(beyond.iter().all(|bytes| *bytes > 8));
    // Some hundred ranges of a dozen octets and more, each.
    assert!(beyond[2] > 8 * 100 * 12, "{beyond:?}");
    let all = PoolSizes {
        reassemblies: 8,
        flights: 8,
        long_scoreboards: 8,
        asides: 8,
        ..chunks
    };
    assert_eq!(bytes(&all), bytes(&chunks) + beyond.iter().sum::<usize>());
}

#[test]
fn what_is_sent_again_is_counted_by_why() {
    // A tail loss probe is one of its own.
    let mut end = with_sack().established_after(40);
    end.write_octets(1, 4_000);
    end.drain();
    let _ = end.fire();
    assert!(end.poll().expect("the last segment once more").retransmission);
    assert_eq!((end.counters.tlp_probes, end.counters.retransmits_rto), (1, 0));
    // A probe of a closed window is sent by the timer, whether for the first time or once more.
    let mut end = Setup::default().established();
    end.write_octets(1, 1_000);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    let _ = end.fire();
    assert!(expect!(end, seg(ACK).seq(1).len(1)).retransmission);
    assert_eq!((end.counters.window_probes, end.counters.retransmits_rto), (1, 1));
}

#[test]
fn limited_transmits_are_those_that_a_duplicate_ack_lets_go() {
    let mut end = Setup::default().established();
    end.write_octets(1, 12_000);
    assert_eq!(end.drain().len(), 10);
    assert_eq!(end.counters.limited_transmits, 0);
    for times in 1..=2 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
        assert_eq!(end.drain().len(), 1);
        assert_eq!(end.counters.limited_transmits, times);
    }
}
