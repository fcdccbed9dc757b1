//! §3.5: establishing a connection, and the SYN record of the listening side.

use std::time::Duration;

use fourtuple_tcp::{Signals, State, SynArrival, SynDeadline};
use fourtuple_wire::{DropReason, SeqNum};

use crate::support::{ACK, FIN, RST, SYN, Seg, Setup, passive_record, seg};
use crate::{expect, expect_nothing, send};

/// The header of a segment to the SYN record of `setup`.
fn header(setup: &Setup, segment: &Seg) -> fourtuple_wire::TcpHeader {
    segment.header(SeqNum(setup.irs), SeqNum(setup.iss), setup.peer_window)
}

// proves: RFC 9293 SHLD-5, MAY-3
#[test]
fn an_active_open_is_syn_then_ack() {
    let mut end = Setup::default().connecting();
    assert_eq!(end.state(), State::SynSent);
    expect!(end, seg(SYN).seq(0).mss(1000));
    expect_nothing!(end);
    let arrival = send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000));
    assert_eq!((arrival.verdict, arrival.signals), (Ok(()), Signals::ESTABLISHED));
    expect!(end, seg(ACK).seq(1).ack(1));
    assert_eq!(end.state(), State::Established);
}

// proves: RFC 9293 SHLD-5, MAY-3
#[test]
fn a_passive_open_answers_with_syn_ack_and_is_established_by_the_ack() {
    let setup = Setup::default();
    let syn_ack = passive_record(&setup).syn_ack(&setup.profile, setup.start);
    assert_eq!(
        (syn_ack.seq, syn_ack.ack),
        (SeqNum(setup.iss), SeqNum(setup.irs) + 1)
    );
    assert_eq!((syn_ack.flags, syn_ack.options.mss), (SYN | ACK, Some(1000)));
    let mut end = setup.accepted();
    assert_eq!((end.state(), end.counters.passive_opens), (State::Established, 1));
    expect_nothing!(end);
    end.write(b"hello");
    expect!(end, seg(ACK).seq(1).ack(1).text(b"hello"));
}

#[test]
fn data_and_fin_with_the_ack_of_the_handshake_are_taken() {
    let setup = Setup::default();
    let record = passive_record(&setup);
    let mut end = setup.clone().accepted();
    // The same, but the handshake's ACK carries everything there is.
    let last = header(&setup, &seg(ACK | FIN).seq(1).ack(1));
    end.tcb = end.with(|_, env| record.establish(env));
    let arrival = end.arrives_raw(&last, b"all of it");
    assert!(
        arrival
            .signals
            .contains(Signals::ESTABLISHED | Signals::READABLE | Signals::PEER_CLOSED)
    );
    assert_eq!(end.state(), State::CloseWait);
    assert_eq!(end.read(), b"all of it");
    assert!(end.tcb.at_end());
    expect!(end, seg(ACK).seq(1).ack(11));
}

// proves: RFC 9293 MUST-10
#[test]
fn a_simultaneous_open_is_one_connection() {
    let mut end = Setup::default().syn_sent();
    send!(end, seg(SYN).seq(0).mss(1000)).verdict.unwrap();
    assert_eq!(end.state(), State::SynReceived);
    expect!(end, seg(SYN | ACK).seq(0).ack(1));
    let arrival = send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000));
    assert!(arrival.signals.contains(Signals::ESTABLISHED));
    assert_eq!(end.state(), State::Established);
}

#[test]
fn a_simultaneous_open_is_also_finished_by_a_bare_ack() {
    let mut end = Setup::default().syn_received();
    assert!(
        send!(end, seg(ACK).seq(1).ack(1))
            .signals
            .contains(Signals::ESTABLISHED)
    );
    assert_eq!(end.state(), State::Established);
}

#[test]
fn syn_ack_is_sent_again_for_a_syn_that_comes_again() {
    let mut end = Setup::default().syn_received();
    assert_eq!(send!(end, seg(SYN).seq(0)).verdict, Err(DropReason::Duplicate));
    expect!(end, seg(SYN | ACK).seq(0).ack(1));

    let setup = Setup::default();
    let mut record = passive_record(&setup);
    let syn = header(&setup, &seg(SYN).seq(0).mss(1000));
    assert_eq!(
        record.segment_arrives(&syn, 0, &setup.profile, setup.start),
        SynArrival::SynAck
    );
}

// proves: RFC 9293 MUST-11 (a passive open that is reset returns to LISTEN: its record goes)
#[test]
fn the_syn_record_follows_the_order_of_the_checks() {
    let setup = Setup::default();
    let table = [
        (seg(ACK).seq(1).ack(1), "establish"),
        (seg(ACK).seq(1).ack(1).octets(10), "establish"),
        (seg(RST).seq(1), "remove"),
        (seg(RST).seq(2), "ack"),
        (seg(RST).seq(0), "drop"),
        (seg(RST | ACK).seq(1).ack(1), "remove"),
        (seg(SYN).seq(0), "syn_ack"),
        (seg(SYN).seq(5), "ack"),
        (seg(SYN | ACK).seq(0).ack(1), "ack"),
        (seg(ACK).seq(1).ack(0), "rst"),
        (seg(ACK).seq(1).ack(2), "rst"),
        (seg(ACK).seq(0).ack(1), "ack"),
        (seg(FIN).seq(1), "drop"),
    ];
    for (segment, expected) in table {
        let mut record = passive_record(&setup);
        let payload = segment.payload.len();
        let got = record.segment_arrives(&header(&setup, &segment), payload, &setup.profile, setup.start);
        let got = match got {
            SynArrival::Establish => "establish",
            SynArrival::SynAck => "syn_ack",
            SynArrival::Reply(reply) if reply.flags.contains(RST) => {
                assert_eq!(reply.seq, SeqNum(setup.iss) + segment.ack.unwrap());
                "rst"
            }
            SynArrival::Reply(reply) => {
                assert_eq!(
                    (reply.flags, reply.seq, reply.ack),
                    (ACK, SeqNum(setup.iss) + 1, SeqNum(setup.irs) + 1)
                );
                "ack"
            }
            SynArrival::Remove => "remove",
            SynArrival::Drop(_) => "drop",
        };
        assert_eq!(got, expected, "{segment:?}");
    }
}

#[test]
fn the_syn_record_backs_off_and_is_given_up() {
    let setup = Setup::default();
    let mut record = passive_record(&setup);
    let mut waits = Vec::new();
    let mut now = setup.start;
    assert_eq!(record.on_deadline(&setup.profile, now), SynDeadline::NotYet);
    loop {
        waits.push(record.deadline(now).since(now).as_millis());
        now = record.deadline(now);
        match record.on_deadline(&setup.profile, now) {
            SynDeadline::Retransmit => {}
            SynDeadline::GiveUp => break,
            SynDeadline::NotYet => panic!("the deadline has come"),
        }
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 12_000]);
    assert_eq!(now.since(setup.start), Duration::from_secs(75));
}

// proves: RFC 9293 MUST-22, MUST-23
#[test]
fn a_syn_is_retransmitted_with_backoff_for_three_minutes() {
    let setup = Setup::default().profile(|profile| profile.connect_timeout = Duration::from_secs(1_000));
    let mut end = setup.syn_sent();
    let start = end.now;
    let mut sent = 1;
    let ended = loop {
        let arrival = end.fire();
        if arrival.ended.is_some() {
            break arrival.ended;
        }
        let again = expect!(end, seg(SYN).seq(0));
        assert!(again.retransmission);
        sent += 1;
    };
    assert_eq!(ended, Some(fourtuple_tcp::Ending::TimedOut));
    let lasted = end.now.since(start).as_secs();
    assert!((180..182).contains(&lasted), "{lasted} s");
    assert!(sent >= 7);
    expect_nothing!(end);
}

#[test]
fn connect_has_a_timeout_of_its_own() {
    let mut end = Setup::default().syn_sent();
    let start = end.now;
    let arrival = end.pass(100_000);
    assert_eq!(arrival.ended, Some(fourtuple_tcp::Ending::TimedOut));
    assert_eq!(end.now.since(start).as_millis(), 75_001);
    assert_eq!(end.state(), State::Closed);
}

#[test]
fn window_scale_and_sack_hold_only_when_both_offer() {
    let setup = || {
        Setup::default().profile(|profile| {
            profile.window_scaling = true;
            profile.receive_buffer = 1 << 20;
            profile.sack = true;
        })
    };
    let mut both = setup();
    both.peer_syn = seg(SYN).mss(1000).window_scale(7).sack_permitted();
    let mut end = both.syn_sent();
    send!(
        end,
        seg(SYN | ACK)
            .seq(0)
            .ack(1)
            .mss(1000)
            .window_scale(7)
            .sack_permitted()
            .window(100)
    )
    .verdict
    .unwrap();
    // The SYN's window is not scaled; ours is from here on: 2²⁰ >> 5.
    assert_eq!(end.tcb.status(&end.profile, end.now).send_window, 100);
    expect!(end, seg(ACK).seq(1).ack(1).window(32_768));
    send!(end, seg(ACK).seq(1).ack(1).window(100).octets(1))
        .verdict
        .unwrap();
    assert_eq!(end.tcb.status(&end.profile, end.now).send_window, 100 << 7);
    assert!(end.tcb.status(&end.profile, end.now).sack);

    let mut neither = setup().established();
    assert!(!neither.tcb.status(&neither.profile, neither.now).sack);
    send!(neither, seg(ACK).seq(1).ack(1).window(100).octets(1))
        .verdict
        .unwrap();
    assert_eq!(neither.tcb.status(&neither.profile, neither.now).send_window, 100);
}

// proves: RFC 7323 §2.2, RFC 2018 §2
#[test]
fn a_syn_ack_offers_what_the_syn_offered_and_no_more() {
    let mut setup = Setup::default().profile(|profile| {
        profile.window_scaling = true;
        profile.sack = true;
        profile.timestamps = true;
    });
    let bare = passive_record(&setup)
        .syn_ack(&setup.profile, setup.start)
        .options;
    assert_eq!(
        (bare.window_scale, bare.sack_permitted, bare.timestamps),
        (None, false, None)
    );
    setup.peer_syn = seg(SYN)
        .mss(1000)
        .window_scale(3)
        .sack_permitted()
        .timestamps(99, 0);
    let full = passive_record(&setup)
        .syn_ack(&setup.profile, setup.start)
        .options;
    assert!(full.window_scale.is_some() && full.sack_permitted);
    assert_eq!(full.timestamps.unwrap().echo, 99);
}

// proves: RFC 9293 SHLD-26, MUST-56
#[test]
fn an_unreachable_peer_refuses_an_active_open_and_nothing_else() {
    let mut end = Setup::default().syn_sent();
    let ended = end.with(|tcb, env| tcb.unreachable(env));
    assert_eq!(
        (ended, end.state()),
        (Some(fourtuple_tcp::Ending::Refused), State::Closed)
    );
    let mut end = Setup::default().established();
    assert_eq!(end.with(|tcb, env| tcb.unreachable(env)), None);
    assert_eq!(end.state(), State::Established);
}

// proves: RFC 5961 §7
#[test]
fn a_half_open_connection_challenges_twice_a_second() {
    let setup = Setup::default();
    let mut record = passive_record(&setup);
    let mut now = setup.start;
    let mut answers = 0;
    for _ in 0..1_000 {
        let header = seg(ACK)
            .seq(900_000)
            .ack(1)
            .header(SeqNum(setup.irs), SeqNum(setup.iss), 1_000);
        match record.segment_arrives(&header, 0, &setup.profile, now) {
            SynArrival::Reply(_) => answers += 1,
            other => assert_eq!(other, SynArrival::Drop(DropReason::RateLimited)),
        }
        now = now + Duration::from_millis(2);
    }
    assert_eq!(answers, 4);
}

#[test]
fn a_syn_offers_what_the_profile_has_and_nothing_else() {
    for (sack, window_scaling, timestamps) in
        [(false, false, false), (true, false, false), (false, true, true)]
    {
        let mut end = Setup::default()
            .profile(|profile| {
                profile.sack = sack;
                profile.window_scaling = window_scaling;
                profile.timestamps = timestamps;
            })
            .connecting();
        let options = end.poll().expect("a SYN").header.options;
        assert_eq!(
            (
                options.sack_permitted,
                options.window_scale.is_some(),
                options.timestamps.is_some()
            ),
            (sack, window_scaling, timestamps)
        );
        assert_eq!(options.mss, Some(1000));
    }
}

// proves: RFC 7323 §2.2, §3.2 (as every segment behind the SYN+ACK)
#[test]
fn the_challenge_of_a_half_open_connection_has_a_scaled_window_and_timestamps() {
    let mut setup = Setup::default().profile(|profile| {
        profile.window_scaling = true;
        profile.timestamps = true;
        profile.receive_buffer = 1 << 20;
    });
    setup.peer_syn = seg(SYN).mss(1000).window_scale(3).timestamps(99, 0);
    let mut record = passive_record(&setup);
    let syn_ack = record.syn_ack(&setup.profile, setup.start);
    assert_eq!(syn_ack.window, 65_504, "what units of 2⁵ can say");
    let doubtful = header(&setup, &seg(ACK).seq(200_000).ack(1).timestamps(99, 0));
    let SynArrival::Reply(ack) = record.segment_arrives(&doubtful, 0, &setup.profile, setup.start) else {
        panic!("a challenge")
    };
    assert_eq!(ack.window, 65_504 >> 5);
    assert_eq!(ack.options.timestamps, syn_ack.options.timestamps);
    assert_eq!(ack.options.timestamps.expect("agreed").echo, 99);
}

#[test]
fn the_syn_record_counts_fifteen_retransmissions_and_goes_on() {
    let setup = Setup::default().profile(|profile| {
        profile.initial_rto = Duration::from_millis(1);
        profile.max_rto = Duration::from_secs(1);
    });
    let mut record = passive_record(&setup);
    let mut sent = 0;
    let mut now = setup.start;
    loop {
        now = record.deadline(now);
        match record.on_deadline(&setup.profile, now) {
            SynDeadline::Retransmit => sent += 1,
            SynDeadline::GiveUp => break,
            SynDeadline::NotYet => panic!("the deadline has come"),
        }
    }
    // After 1, 2, 4 … 512 ms, and then one a second until 75 s are over.
    assert_eq!(now.since(setup.start), Duration::from_secs(75));
    assert_eq!(sent, 10 + 73);
}

// proves: RFC 7323 §3.2 (once agreed, a segment without the option is dropped, but for RST; a SYN is challenged)
#[test]
fn a_half_open_connection_that_agreed_on_timestamps_wants_them() {
    let mut setup = Setup::default().profile(|profile| profile.timestamps = true);
    setup.peer_syn = seg(SYN).mss(1000).timestamps(99, 0);
    let judged = |segment: &Seg| {
        let header = header(&setup, segment);
        passive_record(&setup).segment_arrives(&header, 0, &setup.profile, setup.start)
    };
    assert_eq!(
        judged(&seg(ACK).seq(1).ack(1)),
        SynArrival::Drop(DropReason::OldTimestamp)
    );
    assert_eq!(
        judged(&seg(ACK).seq(1).ack(1).timestamps(99, 0)),
        SynArrival::Establish
    );
    assert!(matches!(
        judged(&seg(ACK).seq(1).ack(1).timestamps(98, 0)),
        SynArrival::Reply(_)
    ));
    assert!(matches!(judged(&seg(SYN).seq(5)), SynArrival::Reply(_)));
    assert_eq!(judged(&seg(RST).seq(1)), SynArrival::Remove);
    assert_eq!(judged(&seg(RST).seq(1).timestamps(98, 0)), SynArrival::Remove);
}
