//! RFC 7413: data in a SYN, on both sides.

use fourtuple_tcp::{Ending, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, End, FIN, Frame, PSH, RST, SYN, Setup, passive_record, seg};
use crate::{expect, expect_nothing, send};

/// The connection of a SYN that was believed, with this text.
fn opened(setup: &Setup, text: &[u8]) -> End {
    let record = passive_record(setup);
    let mut end = setup.clone().accepted();
    let payload = (!text.is_empty()).then(|| Frame::new(text, text.len()));
    let (tcb, arrival) = end.with(|_, env| record.open_fast(payload, env));
    end.tcb = tcb;
    assert!(arrival.signals.contains(Signals::ESTABLISHED));
    assert_eq!(arrival.signals.contains(Signals::READABLE), !text.is_empty());
    end
}

// proves: RFC 7413 §4.2.2
#[test]
fn the_text_of_a_syn_is_answered_before_the_handshake_ends() {
    let mut end = opened(&Setup::default(), b"request");
    assert_eq!(end.read(), b"request");
    end.write(b"answer");
    expect!(end, seg(SYN | ACK).seq(0).ack(8).mss(1000));
    expect!(end, seg(ACK).seq(1).ack(8).text(b"answer"));
    expect_nothing!(end);
    assert!(end.tcb.awaits_handshake());
    let arrival = send!(end, seg(ACK).seq(8).ack(7));
    assert_eq!(arrival.verdict, Ok(()));
    assert!(arrival.signals.contains(Signals::HANDSHAKE_DONE));
    assert!(!end.tcb.awaits_handshake());
    let arrival = send!(end, seg(ACK).seq(8).ack(7).text(b"more"));
    assert!(!arrival.signals.contains(Signals::HANDSHAKE_DONE), "told once");
    assert_eq!(end.read(), b"more");
    assert_eq!(end.tcb.status(&end.profile, end.now).send_queue, 0);
}

#[test]
fn without_text_the_server_may_speak_first() {
    let mut end = opened(&Setup::default(), b"");
    end.write(b"220 ready");
    expect!(end, seg(SYN | ACK).seq(0).ack(1));
    expect!(end, seg(ACK).seq(1).ack(1).text(b"220 ready"));
    assert!(
        send!(end, seg(ACK).seq(1).ack(1))
            .signals
            .contains(Signals::HANDSHAKE_DONE)
    );
}

#[test]
fn a_lost_syn_ack_comes_again_and_text_after_it() {
    let mut end = opened(&Setup::default(), b"request");
    end.write(b"answer");
    end.drain();
    let _ = end.pass(1_100);
    expect!(end, seg(SYN | ACK).seq(0).ack(8));
    expect_nothing!(end);
    assert!(
        send!(end, seg(SYN).seq(0).mss(1000)).verdict.is_err(),
        "the SYN again"
    );
    expect!(end, seg(SYN | ACK).seq(0).ack(8));
    // It never got the text.
    send!(end, seg(ACK).seq(8).ack(1)).verdict.unwrap();
    assert!(!end.tcb.awaits_handshake());
    let _ = end.pass(4_000);
    expect!(end, seg(ACK).seq(1).ack(8).text(b"answer"));
}

#[test]
fn an_ack_of_nothing_of_ours_is_no_handshake() {
    let mut end = opened(&Setup::default(), b"request");
    end.drain();
    for ack in [0, 2, 1_000_000] {
        let _ = send!(end, seg(ACK).seq(8).ack(ack));
        assert!(end.tcb.awaits_handshake(), "{ack}");
    }
    let _ = send!(end, seg(ACK).seq(8).ack(1));
    assert!(!end.tcb.awaits_handshake());
}

#[test]
fn a_reset_ends_it_and_so_does_silence() {
    let mut end = opened(&Setup::default(), b"request");
    end.drain();
    assert_eq!(send!(end, seg(RST).seq(8)).ended, Some(Ending::Reset));
    let mut end = opened(&Setup::default(), b"request");
    end.drain();
    let mut ended = None;
    for _ in 0..200 {
        ended = ended.or(end.pass(1_000).ended);
        end.drain();
    }
    assert_eq!(ended, Some(Ending::TimedOut));
}

/// An active open whose SYN may carry text, with this text queued.
fn opening(setup: Setup, text: &[u8]) -> End {
    let mut end = setup.connecting();
    end.tcb.ask_fast_open(true);
    end.write(text);
    end
}

// proves: RFC 7413 §4.2.2
#[test]
fn a_syn_carries_the_text_and_the_server_takes_all_some_or_none() {
    for (taken, rest) in [(7, &b""[..]), (3, b"uest"), (0, b"request")] {
        let mut end = opening(Setup::default(), b"request");
        expect!(end, seg(SYN).seq(0).text(b"request"));
        expect_nothing!(end);
        let arrival = send!(end, seg(SYN | ACK).seq(0).ack(1 + taken).mss(1000));
        assert_eq!(arrival.verdict, Ok(()));
        assert_eq!(end.state(), State::Established);
        // What was not taken is sent at once, with the ACK.
        expect!(end, seg(ACK).seq(1 + taken).ack(1).text(rest));
        expect_nothing!(end);
        let _ = send!(end, seg(ACK).seq(1).ack(8));
        let status = end.tcb.status(&end.profile, end.now);
        assert_eq!((status.send_queue, status.in_flight), (0, 0));
    }
}

#[test]
fn an_ack_beyond_the_text_is_refused() {
    let mut end = opening(Setup::default(), b"request");
    end.drain();
    for ack in [0, 9, 1_000] {
        let arrival = send!(end, seg(SYN | ACK).seq(0).ack(ack).mss(1000));
        assert!(arrival.verdict.is_err() && arrival.reply.is_some(), "{ack}");
        assert_eq!(end.state(), State::SynSent);
    }
}

#[test]
fn a_syn_that_comes_again_comes_without_and_an_answer_to_the_first_is_taken() {
    for taken in [0, 7] {
        let mut end = opening(Setup::default(), b"request");
        expect!(end, seg(SYN).seq(0).text(b"request"));
        let _ = end.pass(1_100);
        expect!(end, seg(SYN).seq(0).text(b""));
        send!(end, seg(SYN | ACK).seq(0).ack(1 + taken).mss(1000))
            .verdict
            .unwrap();
        let rest = if taken == 0 { &b"request"[..] } else { b"" };
        expect!(end, seg(ACK).seq(1 + taken).ack(1).text(rest));
    }
}

#[test]
fn no_more_than_the_least_segment_holds_beside_its_options_goes_with_the_syn() {
    let text = [7; 2_000];
    let mut end = opening(Setup::default(), &text);
    let sent = expect!(end, seg(SYN).seq(0).len(536 - 40));
    assert_eq!(sent.payload, text[..496]);
    send!(end, seg(SYN | ACK).seq(0).ack(497).mss(1000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(497).ack(1).len(1000));
    expect!(end, seg(ACK).seq(1497).ack(1).len(504));
}

#[test]
fn a_simultaneous_open_falls_back() {
    let mut end = opening(Setup::default(), b"request");
    end.drain();
    send!(end, seg(SYN).seq(0).mss(1000)).verdict.unwrap();
    expect!(end, seg(SYN | ACK).seq(0).ack(1).text(b""));
    send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    assert_eq!(end.state(), State::Established);
    expect!(end, seg(ACK).seq(1).ack(1).text(b"request"));
}

#[test]
fn a_connection_that_was_not_asked_to_sends_no_text_with_its_syn() {
    let mut end = Setup::default().connecting();
    end.write(b"request");
    expect!(end, seg(SYN).seq(0).text(b""));
}

#[test]
fn the_syn_ack_offers_the_window_of_any() {
    let mut end = opened(&Setup::default(), b"request");
    expect!(end, seg(SYN | ACK).seq(0).ack(8).window(60_000));
}

#[test]
fn an_opener_tells_whether_its_syn_asks_and_what_answers_it() {
    let answers = |end: &End| {
        let syn_ack = |ack| {
            seg(SYN | ACK)
                .seq(0)
                .ack(ack)
                .header(end.irs, end.iss, end.peer_window)
        };
        [0, 1, 6, 7].map(|ack| end.tcb.is_acceptable_syn_ack(&syn_ack(ack)))
    };
    let mut end = Setup::default().connecting();
    assert!(!end.tcb.asks_fast_open());
    end.tcb.ask_fast_open(true);
    end.write(b"hello");
    assert_eq!(end.drain()[0].payload, b"hello");
    assert!(end.tcb.asks_fast_open());
    assert_eq!(answers(&end), [false, true, true, false]);
    let mut without = Setup::default().connecting();
    without.tcb.ask_fast_open(false);
    assert!(without.tcb.asks_fast_open());
    without.tcb.forgo_fast_open();
    assert!(!without.tcb.asks_fast_open());
    send!(end, seg(SYN | ACK).seq(0).ack(6).mss(1000))
        .verdict
        .unwrap();
    assert_eq!(end.state(), State::Established);
    assert!(!end.tcb.asks_fast_open(), "there is no SYN any more");
    assert_eq!(answers(&end), [false; 4]);
}

#[test]
fn only_the_syn_alone_is_answered_by_the_syn_ack_once_more() {
    for other in [
        seg(SYN | ACK).seq(0).ack(1).mss(1000),
        seg(SYN | FIN).seq(0).mss(1000),
        seg(SYN | RST).seq(0).mss(1000),
    ] {
        let mut end = opened(&Setup::default(), b"request");
        end.drain();
        assert!(send!(end, other.clone()).verdict.is_err());
        assert!(
            end.drain().iter().all(|sent| !sent.header.flags.contains(SYN)),
            "{other:?}"
        );
    }
    // Nor is text without ACK, which nothing answers.
    let mut end = opened(&Setup::default(), b"request");
    end.drain();
    let arrival = send!(end, seg(PSH).seq(8).octets(5));
    assert_eq!(arrival.verdict, Err(DropReason::NoAck));
    expect_nothing!(end);
}

/// RFC 6298 §2.2: from the SYN+ACK to the ACK that acknowledges it alone.
#[test]
fn the_handshake_is_measured_though_the_syn_counted_as_acknowledged() {
    let mut end = opened(&Setup::default(), b"request");
    expect!(end, seg(SYN | ACK).seq(0).ack(8));
    let _ = end.pass(100);
    send!(end, seg(ACK).seq(8).ack(1)).verdict.unwrap();
    let srtt = end.tcb.status(&end.profile, end.now).srtt;
    assert_eq!(srtt.as_millis(), 100);
}
