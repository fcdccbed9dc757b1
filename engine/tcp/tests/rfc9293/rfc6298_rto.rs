//! RFC 6298: the retransmission timer.

use std::time::Duration;

use fourtuple_tcp::{SynArrival, SynDeadline, SynRecord};
use fourtuple_wire::SeqNum;

use crate::support::{ACK, End, SYN, Setup, passive_record, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 MUST-19 (exponential backoff), RFC 6298 §5.1, §5.4, §5.5
#[test]
fn the_timer_backs_off_and_the_first_segment_is_sent_again() {
    let mut end = Setup::default().established();
    end.write_octets(1, 3_000);
    assert_eq!(end.drain().len(), 3);
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(end.next_deadline_ms());
        let _ = end.fire();
        let again = expect!(end, seg(ACK).seq(1).octets(1_000));
        assert!(again.retransmission);
        expect_nothing!(end);
    }
    assert_eq!(waits, [201, 401, 801, 1_601]);
}

// proves: RFC 9293 MUST-18, RFC 6298 §5.2, §5.3
#[test]
fn new_acknowledgment_restarts_the_timer_and_the_backoff_lasts_until_a_sample() {
    let mut end = Setup::default().established();
    end.write_octets(1, 3_000);
    end.drain();
    let _ = end.fire();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    assert_eq!(end.next_deadline_ms(), 401, "it may be the ACK of either sending");
    end.drain();
    send!(end, seg(ACK).seq(1).ack(3_001)).verdict.unwrap();
    assert_eq!(
        end.tcb.deadline(end.now),
        fourtuple_wire::Instant::FAR_FUTURE,
        "§5.2: all is acknowledged"
    );
    end.write_octets(3_001, 1_000);
    end.drain();
    assert_eq!(end.next_deadline_ms(), 401);
    send!(end, seg(ACK).seq(1).ack(4_001)).verdict.unwrap();
    end.write_octets(4_001, 1_000);
    end.drain();
    assert_eq!(end.next_deadline_ms(), 201);
}

#[test]
fn after_a_timeout_everything_outstanding_is_sent_again_in_slow_start() {
    let mut end = Setup::default().established();
    end.write_octets(1, 6_000);
    assert_eq!(end.drain().len(), 6);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(1_000));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1_001).octets(1_000));
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
    expect_nothing!(end);
}

// proves: RFC 9293 MUST-18, RFC 6298 §3
#[test]
fn karn_an_ack_of_a_retransmitted_segment_is_no_sample() {
    let mut end = Setup::default().established();
    let before = end.tcb.status(&end.profile, end.now).srtt;
    end.write(b"x");
    end.drain();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).text(b"x"));
    let _ = end.pass(150);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    assert_eq!(end.tcb.status(&end.profile, end.now).srtt, before);
}

#[test]
fn an_ack_of_a_fresh_segment_is_a_sample() {
    let mut end = Setup::default().syn_sent();
    let _ = end.pass(80);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.srtt.as_millis(), 80);
    assert_eq!(status.rto.as_millis(), 240);
}

// proves: RFC 6298 §5.7
#[test]
fn a_lost_syn_means_three_seconds_for_the_first_data_and_one_segment() {
    let mut end = Setup::default().syn_sent();
    let _ = end.fire();
    expect!(end, seg(SYN).seq(0));
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    end.drain();
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.rto.as_secs(), status.cwnd), (3, 1_000));
}

/// A passive open whose handshake's ACK comes so long after the SYN, and what the record went through before.
fn accepted_after(ms: u64, before: impl FnOnce(&mut SynRecord, &Setup)) -> End {
    let setup = Setup::default();
    let mut record = passive_record(&setup);
    before(&mut record, &setup);
    let mut end = Setup::default().accepted();
    end.now = setup.start + Duration::from_millis(ms);
    end.tcb = end.with(|_, env| record.establish(env));
    send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    end
}

// proves: RFC 6298 §2.2
#[test]
fn the_handshake_is_the_first_sample_of_a_passive_open() {
    let end = accepted_after(80, |_, _| ());
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.srtt.as_millis(), 80);
    assert_eq!(status.rto.as_millis(), 240);
}

// proves: RFC 9293 MUST-18
#[test]
fn karn_a_syn_ack_that_went_out_twice_is_no_sample() {
    let end = accepted_after(80, |record, setup| {
        let syn =
            setup
                .peer_syn
                .clone()
                .seq(0)
                .header(SeqNum(setup.irs), SeqNum(setup.iss), setup.peer_window);
        let again = record.segment_arrives(&syn, 0, &setup.profile, setup.start);
        assert_eq!(again, SynArrival::SynAck);
    });
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.srtt.as_millis(), status.rto.as_millis()), (0, 1_000));
}

// proves: RFC 6298 §5.7
#[test]
fn a_lost_syn_ack_means_three_seconds_for_the_first_data() {
    let end = accepted_after(1_080, |record, setup| {
        let due = record.deadline(setup.start);
        assert_eq!(record.on_deadline(&setup.profile, due), SynDeadline::Retransmit);
    });
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.srtt.as_millis(), status.rto.as_secs()), (0, 3));
}
