//! RFC 4987 §3.6: a handshake that was remembered by nobody is as good as one with a record, as far as a cookie can tell.

use std::time::Duration;

use fourtuple_tcp::{CookieCheck, CookieTime, Profile, Seeds, SynRecord, check_cookie, period};
use fourtuple_wire::{Family, Instant, SeqNum, TcpHeader, Timestamps};

use crate::support::{ACK, End, FIN, SYN, Seg, Setup, TcpFlags, passive_record, seg};
use crate::{expect, send};

/// What `passive_record` has.
const OFFSET: u32 = 7;

fn hash(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb) >> 7
}

fn time(now: Instant) -> CookieTime {
    CookieTime {
        period: period(now.since(Instant::ZERO)),
        now,
    }
}

/// Everything on, and a path that carries what Ethernet does.
fn setup(peer_syn: Seg) -> Setup {
    let mut setup = Setup {
        peer_syn,
        profile: Profile::default().with(|profile| {
            profile.nodelay = true;
            profile.receive_buffer = 1 << 20;
        }),
        ..Setup::default()
    };
    setup.path.receive_mss = 1460;
    setup.path.send_mss_limit = 1460;
    setup
}

fn full_syn() -> Seg {
    seg(SYN)
        .mss(1460)
        .window_scale(9)
        .sack_permitted()
        .timestamps(5_000, 0)
}

/// The SYN+ACK that a cookie makes of the peer's SYN.
fn cookie(setup: &Setup) -> TcpHeader {
    passive_record(setup)
        .into_cookie(Family::V4, &setup.profile, time(setup.start), hash)
        .expect("an MSS of some size")
}

/// The peer's ACK of a SYN+ACK.
fn ack_of(syn_ack: &TcpHeader) -> TcpHeader {
    let mut ack = TcpHeader {
        seq: syn_ack.ack,
        ack: syn_ack.seq + 1,
        flags: ACK,
        window: 501,
        ..TcpHeader::default()
    };
    ack.options.timestamps = syn_ack.options.timestamps.map(|stamps| Timestamps {
        value: 5_020,
        echo: stamps.value,
    });
    ack
}

/// The connection that an ACK brings back, and what the first segment did.
fn accepted(setup: &Setup, ack: &TcpHeader, payload: &[u8], now: Instant) -> Option<End> {
    let found = check_cookie(
        ack.ack.back(1),
        ack.seq.back(1),
        Family::V4,
        time(now).period,
        hash,
    );
    let CookieCheck::Ours { mss } = found else {
        return None;
    };
    let seeds = Seeds {
        iss: SeqNum(0),
        timestamp_offset: OFFSET,
    };
    let record = SynRecord::from_cookie(ack, mss, seeds, &setup.path, &setup.profile, now);
    let mut end = setup.clone().accepted();
    end.now = now;
    end.tcb = end.with(|_, env| record.establish(env));
    (end.iss, end.irs) = (ack.ack.back(1), ack.seq.back(1));
    let mut first = ack.clone();
    if let Some(stamps) = &mut first.options.timestamps {
        stamps.echo = 0;
    }
    end.arrives_raw(&first, payload).verdict.unwrap();
    Some(end)
}

// proves: RFC 4987 §3.6
#[test]
fn with_timestamps_scale_and_sack_are_kept() {
    let setup = setup(full_syn());
    let syn_ack = cookie(&setup);
    let with_record = passive_record(&setup).syn_ack(&setup.profile, setup.start);
    assert_eq!(
        (syn_ack.ack, syn_ack.flags, syn_ack.window),
        (with_record.ack, with_record.flags, with_record.window)
    );
    assert_eq!(
        (
            syn_ack.options.mss,
            syn_ack.options.window_scale,
            syn_ack.options.sack_permitted
        ),
        (Some(1460), with_record.options.window_scale, true)
    );
    let later = setup.start + Duration::from_millis(20);
    let end = accepted(&setup, &ack_of(&syn_ack), b"", later).expect("our cookie");
    let status = end.tcb.status(&setup.profile, later);
    assert!(status.sack && status.timestamps);
    assert_eq!(
        (status.mss, status.send_window),
        (1460 - 12, 501 << 9),
        "the peer's shift is known"
    );
    assert!(status.receive_window > 60_000);
}

#[test]
fn without_timestamps_the_mss_alone_is_kept_and_nothing_else_is_offered() {
    let mut syn = full_syn();
    syn.timestamps = None;
    let setup = setup(syn);
    let syn_ack = cookie(&setup);
    let options = &syn_ack.options;
    assert_eq!(
        (options.mss, options.window_scale, options.sack_permitted),
        (Some(1460), None, false)
    );
    assert_eq!(options.timestamps, None);
    let end = accepted(&setup, &ack_of(&syn_ack), b"", setup.start).expect("our cookie");
    let status = end.tcb.status(&setup.profile, setup.start);
    assert!(!status.sack && !status.timestamps);
    assert_eq!((status.mss, status.send_window), (1460, 501));
}

#[test]
fn what_the_listener_does_not_use_is_not_kept() {
    let full = setup(full_syn());
    for (timestamps, sack, window_scaling) in [(false, true, true), (true, false, true), (true, true, false)]
    {
        let setup = full.clone().profile(|profile| {
            profile.timestamps = timestamps;
            profile.sack = sack;
            profile.window_scaling = window_scaling;
        });
        let syn_ack = cookie(&setup);
        let end = accepted(&setup, &ack_of(&syn_ack), b"", setup.start).expect("our cookie");
        let status = end.tcb.status(&setup.profile, setup.start);
        assert_eq!((status.timestamps, status.sack), (timestamps, timestamps && sack));
        let shift = if timestamps && window_scaling { 9 } else { 0 };
        assert_eq!(status.send_window, 501 << shift);
    }
}

#[test]
fn ecn_is_kept_with_timestamps_and_not_agreed_to_without() {
    for (asks, stamps) in [(true, true), (true, false), (false, true)] {
        let mut syn = full_syn();
        if asks {
            syn.flags |= TcpFlags::ECE | TcpFlags::CWR;
        }
        syn.timestamps = syn.timestamps.filter(|_| stamps);
        let setup = setup(syn);
        let syn_ack = cookie(&setup);
        let agreed = asks && stamps;
        assert_eq!(syn_ack.flags.contains(TcpFlags::ECE), agreed);
        let mut end = accepted(&setup, &ack_of(&syn_ack), b"", setup.start).expect("our cookie");
        end.write(b"x");
        let outgoing = end.with(|tcb, env| tcb.poll_transmit(env)).expect("text");
        assert_eq!(outgoing.ect, agreed);
    }
}

#[test]
fn the_timestamp_of_a_cookie_is_never_ahead_of_the_clock_and_hardly_behind() {
    for start in 0..200 {
        for (shift, sack) in [(0, false), (14, true), (7, true), (7, false)] {
            let mut syn = full_syn().window_scale(shift);
            syn.sack_permitted = sack;
            let mut setup = setup(syn);
            setup.start = Instant::from_millis(u64::from(u32::MAX) - 107 + start);
            let value = cookie(&setup).options.timestamps.unwrap().value;
            let clock = (setup.start.as_millis() as u32).wrapping_add(OFFSET);
            assert!(clock.wrapping_sub(value) < 64, "{clock} {value}");
        }
    }
}

#[test]
fn an_echo_that_our_clock_never_showed_says_nothing() {
    let setup = setup(full_syn());
    let mut ack = ack_of(&cookie(&setup));
    for echo in [0, 0x1234_5678, u32::MAX] {
        ack.options.timestamps.as_mut().unwrap().echo = echo;
        let end = accepted(&setup, &ack, b"", setup.start).expect("our cookie");
        let status = end.tcb.status(&setup.profile, setup.start);
        assert!(!status.sack && !status.timestamps && status.send_window == 501);
    }
}

#[test]
fn data_and_fin_in_the_ack_of_the_handshake_are_kept() {
    let setup = setup(full_syn());
    let mut ack = ack_of(&cookie(&setup));
    ack.flags |= FIN;
    let mut end = accepted(&setup, &ack, b"all of it", setup.start).expect("our cookie");
    assert_eq!(end.read(), b"all of it");
    assert!(end.tcb.at_end());
    expect!(end, seg(ACK).seq(1).ack(11));
}

#[test]
fn the_low_bits_of_an_echo_are_no_round_trip_time() {
    let setup = setup(full_syn());
    let later = setup.start + Duration::from_millis(20);
    let mut end = accepted(&setup, &ack_of(&cookie(&setup)), b"", later).expect("our cookie");
    assert_eq!(end.tcb.status(&setup.profile, later).srtt, Duration::ZERO);
    end.write(b"x");
    let sent = expect!(end, seg(ACK).seq(1).ack(1).text(b"x"));
    end.now = later + Duration::from_millis(30);
    let echo = sent.header.options.timestamps.unwrap().value;
    send!(end, seg(ACK).seq(1).ack(2).timestamps(5_050, echo))
        .verdict
        .unwrap();
    let srtt = end.tcb.status(&setup.profile, end.now).srtt;
    assert_eq!(srtt, Duration::from_millis(30), "the first data is measured");
}

#[test]
fn a_cookie_ends_with_the_period_behind_its_own() {
    let setup = setup(full_syn());
    let ack = ack_of(&cookie(&setup));
    let after = |seconds| accepted(&setup, &ack, b"", setup.start + Duration::from_secs(seconds)).is_some();
    assert!(after(0) && after(63));
    assert!(!after(128) && !after(192) && !after(1_000));
}

#[test]
fn a_peer_of_tiny_segments_gets_no_cookie() {
    let setup = setup(seg(SYN).mss(64));
    let record = passive_record(&setup);
    let made = record.into_cookie(Family::V4, &setup.profile, time(setup.start), hash);
    assert_eq!(made, None);
}

#[test]
fn what_both_offered_comes_back_at_any_moment_of_the_clock() {
    for start in 0..64 {
        for (shift, sack) in [(0, false), (3, true), (14, true), (7, false)] {
            let mut syn = full_syn().window_scale(shift);
            syn.sack_permitted = sack;
            let mut setup = setup(syn);
            setup.start = Instant::from_millis(u64::from(u32::MAX) - 107 + start);
            let end = accepted(&setup, &ack_of(&cookie(&setup)), b"", setup.start).expect("our cookie");
            let status = end.tcb.status(&setup.profile, setup.start);
            assert_eq!(
                (status.sack, status.timestamps, status.send_window),
                (sack, true, 501 << shift),
                "{start} {shift} {sack}"
            );
        }
    }
}

#[test]
fn an_echo_is_believed_as_long_as_a_cookie_lives_and_its_marks_take_off_it() {
    let mut setup = setup(full_syn());
    setup.start = Instant::from_millis(128_000_000);
    let mut ack = ack_of(&cookie(&setup));
    let clock = (setup.start.as_millis() as u32).wrapping_add(OFFSET);
    for (age, believed) in [(0, true), (128_063, true), (128_064, false), (1_000_000, false)] {
        ack.options.timestamps.as_mut().unwrap().echo = clock.wrapping_sub(age);
        let end = accepted(&setup, &ack, b"", setup.start).expect("our cookie");
        let status = end.tcb.status(&setup.profile, setup.start);
        assert_eq!(status.timestamps, believed, "{age} ms");
    }
}
