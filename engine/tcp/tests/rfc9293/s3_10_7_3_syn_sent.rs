//! §3.10.7.3: SEGMENT ARRIVES in SYN_SENT.

use fourtuple_tcp::{Ending, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, FIN, Frame, RST, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

#[test]
fn an_ack_of_something_else_is_answered_with_a_reset() {
    for ack in [0, 2, 100, u32::MAX] {
        for flags in [ACK, SYN | ACK] {
            let mut end = Setup::default().syn_sent();
            let arrival = send!(end, seg(flags).seq(0).ack(ack));
            let reply = arrival.reply.expect("a RST");
            assert_eq!((reply.flags, reply.seq), (RST, end.iss + ack));
            assert_eq!(
                (arrival.verdict, end.state()),
                (Err(DropReason::BadAck), State::SynSent)
            );
            expect_nothing!(end);
        }
    }
}

// proves: RFC 9293 §3.10.7.3
#[test]
fn a_reset_that_acknowledges_the_syn_refuses() {
    let mut end = Setup::default().syn_sent();
    let arrival = send!(end, seg(RST | ACK).seq(0).ack(1));
    assert_eq!(
        (arrival.ended, end.state()),
        (Some(Ending::Refused), State::Closed)
    );
    expect_nothing!(end);
    assert!(end.tcb.is_closed());
}

#[test]
fn any_other_reset_is_dropped() {
    for reset in [seg(RST).seq(0), seg(RST | ACK).seq(0).ack(2)] {
        let mut end = Setup::default().syn_sent();
        let arrival = send!(end, reset);
        assert!(arrival.verdict.is_err() && arrival.reply.is_none() && arrival.ended.is_none());
        assert_eq!(end.state(), State::SynSent);
    }
}

#[test]
fn a_segment_without_syn_is_dropped() {
    let mut end = Setup::default().syn_sent();
    assert_eq!(
        send!(end, seg(ACK).seq(0).ack(1)).verdict,
        Err(DropReason::BadAck)
    );
    assert_eq!(send!(end, seg(FIN).seq(0)).verdict, Err(DropReason::NoAck));
    assert_eq!(end.state(), State::SynSent);
    expect_nothing!(end);
}

#[test]
fn data_and_fin_with_the_syn_ack_are_taken() {
    let mut end = Setup::default().syn_sent();
    let arrival = send!(end, seg(SYN | ACK | FIN).seq(0).ack(1).mss(1000).text(b"hi"));
    assert!(
        arrival
            .signals
            .contains(Signals::ESTABLISHED | Signals::READABLE | Signals::PEER_CLOSED)
    );
    expect!(end, seg(ACK).seq(1).ack(4));
    assert_eq!((end.read(), end.state()), (b"hi".to_vec(), State::CloseWait));
}

#[test]
fn data_queued_before_goes_out_with_the_ack() {
    let mut end = Setup::default().connecting();
    end.write(b"early");
    expect!(end, seg(SYN).seq(0));
    expect_nothing!(end);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(1).text(b"early"));
    expect_nothing!(end);
}

// proves: RFC 9293 §3.10.7.3
#[test]
fn what_comes_with_a_syn_waits_for_established() {
    for (what, last, delivered, told) in [
        ("a bare ACK", seg(ACK).seq(6).ack(1), &b"early"[..], 6),
        ("an ACK at RCV.NXT", seg(ACK).seq(1).ack(1), b"early", 6),
        (
            "the text once more",
            seg(ACK).seq(1).ack(1).text(b"early"),
            b"early",
            6,
        ),
        (
            "more text",
            seg(ACK).seq(6).ack(1).text(b", later"),
            b"early, later",
            13,
        ),
        (
            "the SYN+ACK of a simultaneous open",
            seg(SYN | ACK).seq(0).ack(1).mss(1000).text(b"early"),
            b"early",
            6,
        ),
    ] {
        let mut end = Setup::default().syn_sent();
        send!(end, seg(SYN).seq(0).mss(1000).text(b"early"))
            .verdict
            .unwrap();
        expect!(end, seg(SYN | ACK).seq(0).ack(1));
        assert_eq!(end.read(), b"", "{what}: not before");
        let arrival = send!(end, last);
        assert!(
            arrival.signals.contains(Signals::ESTABLISHED | Signals::READABLE),
            "{what}: {arrival:?}"
        );
        let _ = end.pass(500);
        let acks = end.drain();
        assert_eq!(
            acks.last().map(|sent| sent.header.ack),
            Some(end.irs + told),
            "{what}"
        );
        assert_eq!(
            (end.read(), end.state()),
            (delivered.to_vec(), State::Established)
        );
        end.expect_pools_whole();
    }
}

#[test]
fn a_fin_that_comes_with_a_syn_waits_for_established_too() {
    for text in [&b""[..], b"all"] {
        let mut end = Setup::default().syn_sent();
        let syn = seg(SYN | FIN).seq(0).mss(1000).text(text);
        send!(end, syn).verdict.unwrap();
        expect!(end, seg(SYN | ACK).seq(0).ack(1));
        let last = 2 + text.len() as u32;
        let arrival = send!(end, seg(ACK).seq(last).ack(1));
        assert!(
            arrival
                .signals
                .contains(Signals::ESTABLISHED | Signals::PEER_CLOSED)
        );
        expect!(end, seg(ACK).seq(1).ack(last));
        assert_eq!((end.read(), end.state()), (text.to_vec(), State::CloseWait));
        assert!(end.tcb.at_end());
    }
}

#[test]
fn what_a_syn_brings_beyond_the_window_or_without_room_comes_again() {
    let mut tiny = Setup::default()
        .profile(|profile| profile.receive_buffer = 3)
        .syn_sent();
    tiny.space = Some(3);
    let mut full = Setup::default();
    full.pools.reassemblies = 0;
    for (mut end, kept) in [(tiny, &b"ear"[..]), (full.syn_sent(), b"")] {
        send!(end, seg(SYN | FIN).seq(0).mss(1000).text(b"early"))
            .verdict
            .unwrap();
        expect!(end, seg(SYN | ACK).seq(0).ack(1));
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
        assert_eq!((end.read(), end.state()), (kept.to_vec(), State::Established));
        end.expect_pools_whole();
    }
}

#[test]
fn a_fin_that_fits_the_window_with_the_text_before_it_is_taken() {
    for (buffer, state) in [(3, State::CloseWait), (2, State::Established)] {
        let mut end = Setup::default()
            .profile(|profile| profile.receive_buffer = buffer)
            .syn_sent();
        send!(end, seg(SYN | ACK | FIN).seq(0).ack(1).mss(1000).text(b"hi"))
            .verdict
            .unwrap();
        assert_eq!((end.read(), end.state()), (b"hi".to_vec(), state), "{buffer}");
    }
}

#[test]
fn a_payload_of_nothing_hides_no_fin() {
    let mut end = Setup::default().syn_sent();
    let syn = seg(SYN | FIN).seq(0).mss(1000).header(end.irs, end.iss, 60_000);
    let empty = Some(Frame::new(b"", 64));
    end.with(|tcb, env| tcb.segment_arrives(&syn, empty, env))
        .verdict
        .unwrap();
    expect!(end, seg(SYN | ACK).seq(0).ack(1));
    send!(end, seg(ACK).seq(2).ack(1)).verdict.unwrap();
    assert_eq!(end.state(), State::CloseWait);
}

// proves: RFC 7323 §2.2, RFC 5961 §5.2 (MAX.SND.WND)
#[test]
fn the_window_of_a_syn_bounds_how_old_an_ack_may_be() {
    let mut setup = Setup::default().profile(|profile| profile.window_scaling = true);
    setup.peer_syn = seg(SYN).mss(1000).window_scale(14);
    // 60,000 is said in a SYN, which scaled fields say as 3 · 2¹⁴ = 49,152.
    for (old, verdict) in [(49_152, Ok(())), (49_153, Err(DropReason::BadAck))] {
        let mut end = setup.clone().established();
        let ack = 1u32.wrapping_sub(old);
        let arrival = send!(end, seg(ACK).seq(1).ack(ack).window(0).octets(5));
        assert_eq!(arrival.verdict, verdict, "{old}");
    }
}
