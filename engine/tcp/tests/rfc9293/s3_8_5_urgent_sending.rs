//! §3.8.5, §3.10.2: urgent data as sent.

use fourtuple_tcp::{PoolSizes, SendRefused};

use crate::support::{ACK, Bytes, End, POOLS, PSH, SYN, Setup, URG, seg};
use crate::{expect, expect_nothing, send};

#[track_caller]
fn write_urgent(end: &mut End, bytes: &[u8]) {
    let payload = Bytes::new(bytes);
    let sent = end.with(|tcb, env| tcb.send_urgent(payload, env).is_ok());
    assert!(sent);
}

// proves: RFC 9293 MUST-30, MUST-62
#[test]
fn the_pointer_names_the_octet_behind_the_urgent_ones() {
    let mut end = Setup::default().established();
    end.write_octets(1, 10);
    let sent = expect!(end, seg(ACK).seq(1).len(10));
    assert_eq!(sent.header.urgent, 0, "it was sent before anything was urgent");
    write_urgent(&mut end, b"!");
    let sent = expect!(end, seg(ACK | URG | PSH).seq(11).text(b"!"));
    assert_eq!(sent.header.urgent, 1);
    end.write_octets(12, 5);
    let sent = expect!(end, seg(ACK).seq(12).len(5));
    assert_eq!(sent.header.urgent, 0, "what begins behind it is not urgent");
}

// proves: RFC 9293 MUST-31
#[test]
fn a_sequence_of_any_length_is_announced_on_each_of_its_segments() {
    let mut setup = Setup::default();
    setup.profile.send_buffer = 1 << 20;
    let mut end = setup.established();
    write_urgent(&mut end, &[7; 2_500]);
    let pointers: Vec<_> = end.drain().iter().map(|sent| sent.header.urgent).collect();
    assert_eq!(pointers, [2_500, 1_500, 500]);
    // Retransmissions say it again, each from where it begins.
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    let _ = end.fire();
    let sent = expect!(end, seg(ACK | URG).seq(1_001).len(1_000));
    assert_eq!(sent.header.urgent, 1_500);
    // Longer than a pointer reaches: as far as it can.
    write_urgent(&mut end, &[7; 100_000]);
    let sent = end.drain();
    assert!(sent.iter().all(|sent| sent.header.urgent == u16::MAX), "{sent:?}");
}

#[test]
fn what_is_acknowledged_is_urgent_no_more() {
    let mut end = Setup::default().established();
    write_urgent(&mut end, b"!");
    expect!(end, seg(ACK | URG).seq(1).len(1));
    assert_eq!(end.pools.in_use().asides, 1);
    send!(end, seg(ACK).seq(1).ack(2).octets(3)).verdict.unwrap();
    let _ = end.pass(100);
    expect!(end, seg(ACK).seq(2).ack(4));
    assert_eq!(end.pools.in_use().asides, 0);
}

// proves: RFC 9293 MUST-17 (urgent data passes Nagle's algorithm)
#[test]
fn nagle_does_not_hold_it_back() {
    let mut end = Setup::default()
        .profile(|profile| profile.nodelay = false)
        .established();
    end.write_octets(1, 10);
    expect!(end, seg(ACK).seq(1).len(10));
    end.write_octets(11, 10);
    expect_nothing!(end);
    write_urgent(&mut end, b"!");
    expect!(end, seg(ACK | URG).seq(11).len(11));
}

#[test]
fn a_closed_window_lets_the_pointer_through() {
    let mut end = Setup::default().window(0).established();
    write_urgent(&mut end, b"!");
    let sent = expect!(end, seg(ACK | URG).seq(1));
    assert_eq!(sent.header.urgent, 1);
    expect_nothing!(end);
}

#[test]
fn it_may_be_queued_before_the_handshake_is_done() {
    let mut end = Setup::default().syn_sent();
    write_urgent(&mut end, b"!");
    // The pointer waits with its octet: nothing but a SYN goes before the handshake.
    expect_nothing!(end);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    let sent = expect!(end, seg(ACK | URG).seq(1).ack(1).len(1));
    assert_eq!(sent.header.urgent, 1);
}

#[test]
fn without_room_to_remember_it_goes_as_any_data() {
    let mut end = Setup {
        pools: PoolSizes { asides: 0, ..POOLS },
        ..Setup::default()
    }
    .established();
    write_urgent(&mut end, b"!");
    expect!(end, seg(ACK).seq(1).len(1));
    assert_eq!(end.counters.pool_empty, 1);
    end.shutdown();
    let refused = end.with(|tcb, env| tcb.send_urgent(Bytes::new(b"?"), env));
    assert!(matches!(refused, Err(SendRefused::Closed(_))));
}
