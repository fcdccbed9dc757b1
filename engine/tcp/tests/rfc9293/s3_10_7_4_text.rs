//! §3.10.7.4, seventh: the segment text.

use fourtuple_tcp::{Ending, PoolSizes, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, End, FIN, POOLS, RST, Setup, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 SHLD-31, MUST-59
#[test]
fn text_out_of_order_waits_and_is_acknowledged_with_what_fills_the_hole() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
    send!(end, seg(ACK).seq(31).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
    assert!(!end.tcb.has_unread());
    let arrival = send!(end, seg(ACK).seq(1).ack(1).octets(10));
    assert!(arrival.signals.contains(Signals::READABLE));
    expect!(end, seg(ACK).seq(1).ack(21));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(21).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(41));
    assert_eq!(end.read(), (1..41u8).collect::<Vec<_>>());
    end.expect_pools_whole();
}

#[test]
fn a_fin_beyond_a_hole_waits_with_the_text() {
    let mut end = Setup::default().established();
    let arrival = send!(end, seg(ACK | FIN).seq(11).ack(1).octets(10));
    assert!(!arrival.signals.contains(Signals::PEER_CLOSED));
    let arrival = send!(end, seg(ACK).seq(1).ack(1).octets(10));
    assert!(arrival.signals.contains(Signals::PEER_CLOSED | Signals::READABLE));
    assert_eq!((end.read().len(), end.state()), (20, State::CloseWait));
}

#[test]
fn text_after_the_peers_fin_is_ignored() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.drain();
    assert!(send!(end, seg(ACK).seq(2).ack(1).octets(5)).verdict.is_err());
    assert!(!end.tcb.has_unread());
}

// proves: RFC 9293 SHLD-3
#[test]
fn text_for_an_application_that_is_gone_is_reset() {
    let mut end = Setup::default().established();
    end.close();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait2);
    let arrival = send!(end, seg(ACK).seq(1).ack(2).octets(5));
    End::expect_ended(&arrival, Ending::Aborted);
    assert_eq!(arrival.verdict, Err(DropReason::DataAfterClose));
    expect!(end, seg(RST | ACK).seq(2));
    assert!(end.tcb.is_closed());
}

#[test]
fn the_receive_window_is_charged_by_buffer_space() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 10_000)
        .established();
    end.space = Some(2_000);
    for at in 0..10u32 {
        let verdict = send!(end, seg(ACK).seq(1 + at).ack(1).octets(1)).verdict;
        assert_eq!(verdict, Ok(()), "twice the buffer is charged at most: {at}");
    }
    assert_eq!(
        send!(end, seg(ACK).seq(11).ack(1).octets(1)).verdict,
        Err(DropReason::ReassemblyFull)
    );
    end.drain();
    assert_eq!(end.read().len(), 10);
    assert_eq!(send!(end, seg(ACK).seq(11).ack(1).octets(1)).verdict, Ok(()));
}

#[test]
fn text_out_of_order_gives_way_to_text_in_order() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 10_000)
        .established();
    end.space = Some(2_500);
    for at in [2u32, 4, 6, 8] {
        send!(end, seg(ACK).seq(1 + at).ack(1).octets(1)).verdict.unwrap();
    }
    assert_eq!(
        send!(end, seg(ACK).seq(11).ack(1).octets(1)).verdict,
        Err(DropReason::ReassemblyFull)
    );
    end.space = Some(15_000);
    assert_eq!(send!(end, seg(ACK).seq(1).ack(1).octets(1)).verdict, Ok(()));
    assert_eq!(end.counters.reneged, 4);
    end.expect_pools_whole();
}

#[test]
fn the_reassembly_queue_is_bounded() {
    let mut end = Setup::default()
        .profile(|profile| profile.reassembly_chunks = 3)
        .established();
    for at in [2u32, 4, 6] {
        send!(end, seg(ACK).seq(1 + at).ack(1).octets(1)).verdict.unwrap();
    }
    assert_eq!(
        send!(end, seg(ACK).seq(9).ack(1).octets(1)).verdict,
        Err(DropReason::ReassemblyFull)
    );
}

#[test]
fn an_empty_pool_refuses_text_and_the_connection_goes_on() {
    let pools = PoolSizes {
        receive_chunks: 1,
        reassemblies: 0,
        ..POOLS
    };
    let mut end = Setup {
        pools,
        ..Setup::default()
    }
    .established();
    assert_eq!(
        send!(end, seg(ACK).seq(11).ack(1).octets(1)).verdict,
        Err(DropReason::NoRoom)
    );
    send!(end, seg(ACK).seq(1).ack(1).octets(5)).verdict.unwrap();
    assert_eq!(
        send!(end, seg(ACK).seq(6).ack(1).octets(5)).verdict,
        Err(DropReason::NoRoom)
    );
    end.drain();
    assert_eq!(end.read().len(), 5);
    assert_eq!(send!(end, seg(ACK).seq(6).ack(1).octets(5)).verdict, Ok(()));
}

/// Charged by what a segment pins: twice the buffer exactly is within the bound, and a lone one may be larger.
#[test]
fn the_bound_of_buffer_space_holds_on_every_way() {
    for header_prediction in [true, false] {
        let mut end = Setup::default()
            .profile(|profile| {
                profile.receive_buffer = 10_000;
                profile.header_prediction = header_prediction;
            })
            .established();
        end.space = Some(5_000);
        for (seq, verdict) in [
            (1, Ok(())),
            (2, Ok(())),
            (3, Ok(())),
            (4, Ok(())),
            (5, Err(DropReason::ReassemblyFull)),
        ] {
            assert_eq!(
                send!(end, seg(ACK).seq(seq).ack(1).octets(1)).verdict,
                verdict,
                "{seq}"
            );
        }
        assert_eq!(end.read().len(), 4);
        end.space = Some(20_001);
        assert_eq!(send!(end, seg(ACK).seq(5).ack(1).octets(1)).verdict, Ok(()));
    }
}

#[test]
fn what_waited_and_came_again_before_its_turn_leaves_no_chunk() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    send!(end, seg(ACK).seq(1).ack(1).octets(30)).verdict.unwrap();
    assert_eq!(end.pools.in_use().receive_chunks, 1);
    assert_eq!(end.tcb.status(&end.profile, end.now).charged, 30);
    assert_eq!(end.tcb.peek(&end.pools).count(), 1);
    assert_eq!(end.read(), (1..31u8).collect::<Vec<_>>());
}
