//! §3.8.6: windows: zero, shrinking, silly.

use fourtuple_tcp::Signals;

use crate::support::{ACK, FIN, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 MUST-35, MUST-36, SHLD-29, SHLD-30
#[test]
fn a_zero_window_is_probed_with_one_octet_and_backoff() {
    let mut end = Setup::default().window(0).established();
    end.write(b"waiting");
    expect_nothing!(end);
    let mut waits = Vec::new();
    for _ in 0..9 {
        waits.push(end.next_deadline_ms());
        let _ = end.fire();
        expect!(end, seg(ACK).seq(1).text(b"w"));
        expect_nothing!(end);
        send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    }
    assert_eq!(
        waits,
        [201, 401, 801, 1_601, 3_201, 6_401, 12_801, 25_601, 51_201]
    );
    let arrival = send!(end, seg(ACK).seq(1).ack(1).window(100));
    assert_eq!(arrival.verdict, Ok(()));
    // The octet that the peer may have dropped, and what is new.
    expect!(end, seg(ACK).seq(1).text(b"w"));
    expect!(end, seg(ACK).seq(2).text(b"aiting"));
}

// proves: RFC 9293 MUST-37
#[test]
fn a_zero_window_is_probed_for_days_while_the_peer_answers() {
    let mut end = Setup::default().window(0).established();
    end.write(b"patience");
    let start = end.now;
    while end.now.since(start).as_secs() < 3 * 24 * 3600 {
        assert_eq!(end.fire().ended, None);
        assert_eq!(end.drain().len(), 1);
        send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    }
    send!(end, seg(ACK).seq(1).ack(1).window(100)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).text(b"p"));
    expect!(end, seg(ACK).seq(2).text(b"atience"));
}

#[test]
fn the_window_follows_text_that_is_sent_again_when_it_acknowledges_more() {
    let mut end = Setup::default().window(0).established();
    end.write(b"abcdef");
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).text(b"a"));
    // The peer has sent ten octets, which were lost, and acknowledges nothing yet.
    send!(end, seg(ACK).seq(11).ack(1).window(0)).verdict.unwrap();
    expect_nothing!(end);
    // It sends them again, and has taken the probe meanwhile: what stands on this is younger, though its SEG.SEQ is not.
    send!(end, seg(ACK).seq(1).ack(2).window(500).text(b"0123456789"))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(2).text(b"bcdef"));
    // What left before is older by both.
    send!(end, seg(ACK).seq(5).ack(1).window(0)).verdict.unwrap_err();
    end.write(b"gh");
    expect!(end, seg(ACK).seq(7).text(b"gh"));
}

#[test]
fn a_probe_that_is_taken_moves_on() {
    let mut end = Setup::default().window(0).established();
    end.write(b"abc");
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).text(b"a"));
    assert!(
        send!(end, seg(ACK).seq(1).ack(2).window(0))
            .signals
            .contains(Signals::WRITABLE)
    );
    expect_nothing!(end);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(2).text(b"b"));
    send!(end, seg(ACK).seq(1).ack(3).window(10)).verdict.unwrap();
    expect!(end, seg(ACK).seq(3).text(b"c"));
}

// proves: RFC 9293 SHLD-16, SHLD-17
#[test]
fn what_a_closing_window_caught_outstanding_is_probed_and_sent_again_when_it_opens() {
    let mut end = Setup::default().established();
    end.write_octets(1, 3_000);
    assert_eq!(end.drain().len(), 3);
    send!(end, seg(ACK).seq(1).ack(1_001).window(0)).verdict.unwrap();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1_001).len(1));
    expect_nothing!(end);
    let before = end.tcb.status(&end.profile, end.now).cwnd;
    send!(end, seg(ACK).seq(1).ack(1_001).window(60_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1_001).octets(1_000));
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
    assert!(
        end.tcb.status(&end.profile, end.now).cwnd >= before,
        "it was no loss of the path's"
    );
}

// proves: RFC 9293 SHLD-14
#[test]
fn the_right_edge_never_goes_back() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 10_000)
        .established();
    end.space = Some(3_000);
    send!(end, seg(ACK).seq(1).ack(1).octets(100)).verdict.unwrap();
    send!(end, seg(ACK).seq(200).ack(1).octets(100)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(101).window(9_900));
}

// proves: RFC 9293 MUST-39
#[test]
fn the_window_opens_in_steps_worth_telling() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 4_000)
        .established();
    for at in 0..4 {
        send!(end, seg(ACK).seq(1 + 1_000 * at).ack(1).octets(1_000))
            .verdict
            .unwrap();
    }
    assert_eq!(end.drain().last().unwrap().header.window, 0);
    // 400 octets are given back: less than a segment and than half of the buffer.
    end.with(|tcb, env| tcb.release(400, env));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(4_001).ack(1).octets(1)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(4_001).window(0));
    end.with(|tcb, env| tcb.release(700, env));
    expect!(end, seg(ACK).seq(1).ack(4_001).window(1_100));
}

// proves: RFC 9293 MUST-38, MUST-60
#[test]
fn a_sliver_of_window_is_left_until_the_override() {
    let mut end = Setup::default().window(10_000).established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1).window(50))
        .verdict
        .unwrap();
    end.write_octets(1, 500);
    assert!(end.drain().iter().all(|sent| sent.payload.is_empty()));
    let _ = end.pass(end.next_deadline_ms());
    end.drain();
    let _ = end.pass(1_000);
    expect!(end, seg(ACK).seq(1).octets(50));
}

#[test]
fn a_window_beyond_what_a_header_can_say_is_not_told_at_each_reading() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 256 * 1024)
        .established();
    for round in 0..3 {
        send!(end, seg(ACK).seq(1 + 5 * round).ack(1).octets(5))
            .verdict
            .unwrap();
        let _ = end.pass(50);
        end.drain();
        assert_eq!(end.read().len(), 5);
        expect_nothing!(end);
    }
}

#[test]
fn an_acknowledgment_lies_inside_a_window_that_has_shrunk() {
    let mut end = Setup::default().established();
    end.write(b"abcdef");
    expect!(end, seg(ACK).seq(1).text(b"abcdef"));
    // The peer has no memory left: it takes nothing more, though it had offered to. What it sends has to be acknowledged
    // where it listens, or both sides wait for ever.
    send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    // Out of order: acknowledged at once.
    send!(end, seg(ACK).seq(5).ack(1).window(0).text(b"x"))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
}

// proves: RFC 9293 MUST-1, REC-1, RFC 7323 §2.3
#[test]
fn a_window_is_unsigned_and_of_32_bits() {
    for (shift, field, window) in [
        (None, 0x7fff, 0x7fff),
        (None, 0x8000, 0x8000),
        (None, 0xffff, 0xffff),
        (Some(1), 0xffff, 0x1_fffe),
        (Some(14), 0xffff, 0x3fff_c000),
        // A shift beyond 14 counts as 14.
        (Some(15), 0xffff, 0x3fff_c000),
    ] {
        let mut setup = Setup::default().profile(|profile| profile.window_scaling = shift.is_some());
        setup.peer_syn.window_scale = shift;
        let mut end = setup.established();
        send!(end, seg(ACK).seq(1).ack(1).window(field).octets(1))
            .verdict
            .unwrap();
        let status = end.tcb.status(&end.profile, end.now);
        assert_eq!(status.send_window, window, "{field:#x} << {shift:?}");
    }
}

// proves: RFC 9293 MAY-8, MUST-39
#[test]
fn a_window_stays_closed_for_as_long_as_nobody_reads() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 1_000)
        .established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1_000)).verdict.unwrap();
    let _ = end.pass(500);
    expect!(end, seg(ACK).ack(1_001).window(0));
    // A probe a minute, for a day: each is answered, and none is taken.
    for _ in 0..24 * 60 {
        let _ = end.pass(60_000);
        send!(end, seg(ACK).seq(1_001).ack(1).text(b"?")).verdict.ok();
        expect!(end, seg(ACK).ack(1_001).window(0));
    }
    assert_eq!(end.read().len(), 1_000);
    expect!(end, seg(ACK).ack(1_001).window(1_000));
}

// proves: RFC 7323 §2.3, §2.4
#[test]
fn a_window_that_a_scaled_field_cannot_say_exactly_takes_nothing_back() {
    let mut setup = Setup::default().profile(|profile| {
        profile.window_scaling = true;
        profile.receive_buffer = 1 << 20;
    });
    setup.peer_syn.window_scale = Some(0);
    let mut end = setup.established();
    // 2²⁰ is told in units of 32.
    let (mut seq, mut edge) = (1, 65_504);
    for len in [1, 31, 33, 100, 7, 999, 1, 1, 1] {
        send!(end, seg(ACK).seq(seq).ack(1).octets(len)).verdict.unwrap();
        seq += len as u32;
        let _ = end.pass(500);
        let header = expect!(end, seg(ACK).seq(1).ack(seq)).header;
        let told = seq + (u32::from(header.window) << 5);
        assert!(told >= edge, "{told} after {edge}");
        edge = told;
    }
}

// proves: RFC 7323 §2.2
#[test]
fn the_window_of_a_syn_is_not_scaled_and_one_that_a_scaled_field_can_say() {
    let window_of = |buffer: u32, scaling: bool| {
        let mut end = Setup::default()
            .profile(|profile| {
                profile.receive_buffer = buffer;
                profile.window_scaling = scaling;
            })
            .connecting();
        let syn = end.poll().expect("a SYN").header;
        (syn.window, syn.options.window_scale)
    };
    assert_eq!(window_of(50_000, false), (50_000, None));
    assert_eq!(window_of(1_000_001, false), (65_535, None));
    assert_eq!(window_of(1_000_001, true), (65_520, Some(4)));
}

// proves: RFC 9293 MUST-39
#[test]
fn an_update_is_told_for_half_of_the_buffer_or_to_who_has_less_than_a_segment_left() {
    // Octets of ten thousand that came, how many of them are given back, and whether that is told at once.
    for (came, given_back, told) in [
        (5_000, 5_000, true),
        (5_000, 4_999, false),
        (4_999, 4_999, false),
        (6_000, 2_000, false),
        (6_000, 5_000, true),
        (9_000, 1_000, false),
        (9_001, 1_000, true),
        (9_001, 999, false),
    ] {
        let mut end = Setup::default()
            .profile(|profile| profile.receive_buffer = 10_000)
            .established();
        let mut at = 0;
        while at < came {
            let len = (came - at).min(1_000);
            send!(end, seg(ACK).seq(1 + at).ack(1).octets(len as usize))
                .verdict
                .unwrap();
            at += len;
        }
        let _ = end.pass(100);
        end.drain();
        end.with(|tcb, env| tcb.release(given_back, env));
        assert_eq!(end.drain().len(), usize::from(told), "{came} {given_back}");
    }
}

// proves: RFC 9293 SHLD-14
#[test]
fn the_acks_of_one_burst_take_nothing_back_from_each_other() {
    let mut setup = Setup::default().profile(|profile| {
        profile.window_scaling = true;
        profile.receive_buffer = 100_000;
    });
    setup.peer_syn = seg(SYN).mss(1000).window_scale(0);
    let mut end = setup.established();
    // Ten segments and an octet: two ACKs, an odd number of octets apart, with windows in units of two.
    for at in 0..10 {
        send!(end, seg(ACK).seq(1 + at * 999).ack(1).octets(999))
            .verdict
            .unwrap();
    }
    send!(end, seg(ACK).seq(9_991).ack(1).octets(1)).verdict.unwrap();
    let acks = end.drain();
    assert_eq!(acks.len(), 2);
    let edges: Vec<u32> = acks
        .iter()
        .map(|sent| sent.header.ack.distance_from(end.irs) + (u32::from(sent.header.window) << 1))
        .collect();
    // Each is rounded up, from what was told before.
    assert_eq!(edges, [100_003, 100_004]);
}

#[test]
fn a_fin_beyond_the_window_is_probed_with_until_it_is_acknowledged() {
    let mut end = Setup::default().window(0).established();
    end.shutdown();
    expect_nothing!(end);
    for times in 1..=3 {
        let _ = end.fire();
        expect!(end, seg(ACK | FIN).seq(1).ack(1));
        expect_nothing!(end);
        assert_eq!(end.counters.window_probes, times);
    }
}

#[test]
fn a_fin_does_not_go_beyond_the_window() {
    let mut end = Setup::default().window(10).established();
    end.write(b"0123456789");
    end.shutdown();
    expect!(end, seg(ACK).seq(1).text(b"0123456789"));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(11).window(10)).verdict.unwrap();
    expect!(end, seg(ACK | FIN).seq(11));
    let mut end = Setup::default().window(11).established();
    end.write(b"0123456789");
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(1).text(b"0123456789"));
}

// proves: RFC 9293 MUST-38
#[test]
fn more_text_behind_what_may_go_is_asked_about_again_where_a_segment_does_not_fit() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1).window(500))
        .verdict
        .unwrap();
    let _ = end.fire();
    end.drain();
    // All that is queued may go, however little it is; but then it is not all any more, and no segment, nor half of the window.
    end.write_octets(1, 100);
    assert!(end.tcb.owes());
    end.write_octets(101, 500);
    expect_nothing!(end);
}

#[test]
fn the_time_to_the_next_probe_runs_from_the_last() {
    let mut end = Setup::default().window(0).established();
    end.write(b"waiting");
    let _ = end.fire();
    // It leaves late: the slot is armed since it was owed.
    end.now = end.now + std::time::Duration::from_millis(10);
    expect!(end, seg(ACK).seq(1).text(b"w"));
    assert_eq!(end.next_deadline_ms(), 401 - 10);
}

// proves: RFC 6298 §5.1
#[test]
fn text_that_a_silly_window_held_back_has_a_timeout_of_its_own() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1).window(50))
        .verdict
        .unwrap();
    end.write_octets(1, 500);
    let _ = end.pass(150);
    end.drain();
    send!(end, seg(ACK).seq(2).ack(1).window(60_000)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).octets(500));
    assert_eq!(end.next_deadline_ms(), 201);
}
