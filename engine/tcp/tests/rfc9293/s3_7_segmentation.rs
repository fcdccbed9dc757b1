//! §3.7: segments, their size, and Nagle's algorithm.

use fourtuple_tcp::Path;

use crate::support::{ACK, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

/// Octets of a full segment to a peer that answers with `mss`, over a path that allows `limit`.
fn full_segment(mss: Option<u16>, path: Path, timestamps: bool) -> usize {
    let mut setup = Setup {
        path,
        ..Setup::default()
    };
    setup.profile.timestamps = timestamps;
    setup.peer_syn = seg(SYN);
    setup.peer_syn.mss = mss;
    if timestamps {
        setup.peer_syn = setup.peer_syn.timestamps(1, 0);
    }
    let mut end = setup.established();
    end.write_octets(1, 5_000);
    end.poll().unwrap().payload.len()
}

// proves: RFC 9293 MUST-14, MUST-15, MUST-16, SHLD-28
#[test]
fn the_effective_segment_size_is_the_least_of_both_ends_less_options() {
    let v4 = Path {
        receive_mss: 1460,
        send_mss_limit: 1460,
        default_mss: 536,
    };
    let v6 = Path {
        receive_mss: 1440,
        send_mss_limit: 1440,
        default_mss: 1220,
    };
    assert_eq!(full_segment(None, v4, false), 536);
    assert_eq!(full_segment(None, v6, false), 1220);
    assert_eq!(full_segment(Some(1000), v4, false), 1000);
    assert_eq!(full_segment(Some(9000), v4, false), 1460);
    assert_eq!(full_segment(Some(1000), v4, true), 988);
    assert_eq!(
        full_segment(Some(0), v4, false),
        48,
        "a silly MSS is not taken at its word"
    );
}

// proves: RFC 9293 MUST-65
#[test]
fn only_syns_have_an_mss_option() {
    let mut end = Setup::default().connecting();
    assert_eq!(end.poll().unwrap().header.options.mss, Some(1000));
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    assert_eq!(end.poll().unwrap().header.options.mss, None);
}

// proves: RFC 9293 SHLD-7
#[test]
fn nagle_holds_small_segments_while_something_is_outstanding() {
    let mut end = Setup::default()
        .profile(|profile| profile.nodelay = false)
        .established();
    end.write(b"a");
    expect!(end, seg(ACK).seq(1).text(b"a"));
    end.write(b"b");
    end.write(b"c");
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    expect!(end, seg(ACK).seq(2).text(b"bc"));
}

// proves: RFC 9293 MUST-17
#[test]
fn nagle_can_be_switched_off() {
    let mut end = Setup::default().established();
    end.write(b"a");
    expect!(end, seg(ACK).seq(1).text(b"a"));
    end.write(b"b");
    expect!(end, seg(ACK).seq(2).text(b"b"));
}

// proves: RFC 9293 MUST-61, SHLD-27
#[test]
fn the_last_segment_of_what_is_queued_is_pushed() {
    let mut end = Setup::default().established();
    end.write_octets(1, 1_500);
    assert!(
        !expect!(end, seg(ACK).len(1_000))
            .header
            .flags
            .contains(crate::support::PSH)
    );
    assert!(
        expect!(end, seg(ACK).len(500))
            .header
            .flags
            .contains(crate::support::PSH)
    );
}

// proves: RFC 9293 MAY-16
#[test]
fn small_writes_share_segments() {
    let mut end = Setup::default()
        .profile(|profile| profile.nodelay = false)
        .established();
    for at in 0..30 {
        end.write_octets(1 + 100 * at, 100);
    }
    expect!(end, seg(ACK).seq(1).octets(1_000));
    expect!(end, seg(ACK).seq(1_001).octets(1_000));
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
    expect_nothing!(end);
}

// proves: RFC 9293 MUST-16, SHLD-28
#[test]
fn a_hole_in_what_comes_takes_room_of_what_goes_only_where_sack_tells_of_it() {
    for (sack, len) in [(false, 1_000), (true, 1_000 - 12)] {
        let mut setup = Setup::default().profile(|profile| profile.sack = true);
        setup.peer_syn = seg(SYN).mss(1000);
        setup.peer_syn.sack_permitted = sack;
        let mut end = setup.established();
        send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
        expect!(end, seg(ACK).ack(1));
        end.write_octets(1, 1_000);
        expect!(end, seg(ACK).seq(1).ack(1).len(len));
    }
}
