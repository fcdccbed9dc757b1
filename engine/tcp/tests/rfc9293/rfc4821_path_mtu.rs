//! RFC 4821: the path's MTU is found out where no ICMP tells it.

use std::time::Duration;

use fourtuple_tcp::{Path, PathError, PoolSizes};
use fourtuple_wire::DropReason;

use crate::support::{ACK, End, POOLS, Setup, seg};
use crate::{expect, expect_nothing, send};

const PATH: Path = Path {
    receive_mss: 1460,
    send_mss_limit: 1460,
    default_mss: 536,
};

fn setup() -> Setup {
    let mut setup = Setup {
        path: PATH,
        ..Setup::default()
    };
    setup.peer_syn = setup.peer_syn.mss(1460);
    setup.profile.send_buffer = 1 << 20;
    setup.profile.path_mtu_probing = true;
    setup
}

/// An end whose segments of 1460 octets vanish: two timeouts, and a smaller one goes out.
fn suspicious() -> End {
    let mut end = setup().established();
    end.write_octets(1, 20_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(1460));
    let _ = end.fire();
    assert_eq!(end.counters.path_mtu_suspected, 1);
    expect!(end, seg(ACK).seq(1).octets(730));
    end
}

/// Acknowledges all that goes out but segments larger than `widest`, for which the holes are named; until `until` is reached.
fn carry(end: &mut End, mut next: u32, widest: usize, until: u32) -> u32 {
    let mut held: Vec<(u32, u32)> = Vec::new();
    for _ in 0..10_000 {
        if next >= until {
            return next;
        }
        let sent = end.drain();
        if sent.is_empty() {
            let _ = end.fire();
            continue;
        }
        for sent in sent {
            if sent.payload.len() > widest {
                continue;
            }
            let left = sent.header.seq.distance_from(end.iss);
            let right = left + sent.payload.len() as u32;
            if left <= next {
                next = next.max(right);
                held.sort_unstable();
                for (left, right) in &held {
                    if *left <= next {
                        next = next.max(*right);
                    }
                }
                held.retain(|(_, right)| *right > next);
            } else {
                held.push((left, right));
            }
            end.now = end.now + Duration::from_millis(1);
            let _ = send!(end, seg(ACK).seq(1).ack(next));
        }
    }
    panic!("no progress beyond {next}");
}

// proves: RFC 4821 §7.7
#[test]
fn two_timeouts_with_full_segments_make_them_smaller_and_two_more_the_least() {
    let mut end = suspicious();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(730));
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(536));
    assert_eq!(end.counters.path_mtu_suspected, 2);
    for _ in 0..2 {
        let _ = end.fire();
        expect!(end, seg(ACK).seq(1).octets(536));
    }
    assert_eq!(end.counters.path_mtu_suspected, 2, "nothing is smaller");
}

#[test]
fn small_segments_that_vanish_are_no_sign_of_it() {
    let mut end = setup().established();
    end.write_octets(1, 500);
    end.drain();
    for _ in 0..4 {
        let _ = end.fire();
        expect!(end, seg(ACK).seq(1).octets(500));
    }
    assert_eq!(end.counters.path_mtu_suspected, 0);
    let mut end = setup()
        .profile(|profile| profile.path_mtu_probing = false)
        .established();
    end.write_octets(1, 5_000);
    end.drain();
    for _ in 0..4 {
        let _ = end.fire();
        expect!(end, seg(ACK).seq(1).octets(1460));
    }
}

// proves: RFC 4821 §7.3, §7.6
#[test]
fn the_size_that_the_path_carries_is_found_and_kept() {
    let mut end = suspicious();
    let mut next = carry(&mut end, 1, 1_300, 20_001);
    for _ in 0..15 {
        end.now = end.now + Duration::from_secs(2);
        end.write_octets(next as usize, 40_000);
        let to = next + 40_000;
        next = carry(&mut end, next, 1_300, to);
    }
    let mss = end.tcb.status(&end.profile, end.now).mss;
    assert!((1_285..=1_300).contains(&mss), "{mss}: {:?}", end.counters);
    let probes = end.counters.path_mtu_probes;
    assert_eq!(
        probes,
        end.counters.path_mtu_probes_lost + end.counters.path_mtu_raised
    );
    assert!(probes < 12, "{probes}");
    // Nothing is tried for ten minutes; then what segments were before.
    end.now = end.now + Duration::from_secs(500);
    end.write_octets(next as usize, 40_000);
    let to = next + 40_000;
    next = carry(&mut end, next, 1_300, to);
    assert_eq!(end.counters.path_mtu_probes, probes);
    end.now = end.now + Duration::from_secs(101);
    end.write_octets(next as usize, 40_000);
    let to = next + 40_000;
    carry(&mut end, next, 1_460, to);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 1_460);
    assert_eq!(end.pools.in_use().asides, 0, "there is nothing left to find out");
}

#[test]
fn a_blackout_that_had_another_reason_costs_a_single_probe() {
    let mut end = suspicious();
    let next = carry(&mut end, 1, 1_460, 20_001);
    end.now = end.now + Duration::from_secs(2);
    end.write_octets(next as usize, 40_000);
    carry(&mut end, next, 1_460, next + 40_000);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 1_460);
    assert_eq!(
        (end.counters.path_mtu_probes, end.counters.path_mtu_raised),
        (1, 1)
    );
}

// proves: RFC 4821 §7.4
#[test]
fn too_little_data_is_no_probe() {
    let mut end = suspicious();
    let next = carry(&mut end, 1, 1_460, 20_001);
    end.now = end.now + Duration::from_secs(2);
    end.write_octets(next as usize, 3_000);
    carry(&mut end, next, 1_460, next + 3_000);
    assert_eq!(end.counters.path_mtu_probes, 0);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 730);
}

#[test]
fn icmp_about_a_probe_tells_how_far_to_go() {
    let mut end = suspicious();
    let next = carry(&mut end, 1, 1_460, 20_001);
    end.now = end.now + Duration::from_secs(2);
    end.write_octets(next as usize, 40_000);
    let probe = end.drain().into_iter().find(|sent| sent.payload.len() == 1_460);
    let seq = probe.expect("a probe goes out").header.seq;
    let arrival = end.with(|tcb, env| tcb.path_error(PathError::TooBig(1_000), seq, 536, env));
    assert_eq!(arrival.verdict, Ok(()));
    end.now = end.now + Duration::from_secs(2);
    let next = carry(&mut end, next, 1_000, next + 40_000);
    end.write_octets(next as usize, 40_000);
    carry(&mut end, next, 1_000, next + 40_000);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 1_000);
    assert_eq!(end.counters.path_mtu_probes_lost, 0);
}

// proves: RFC 1191 §6.3, RFC 8201 §5.3
#[test]
fn what_icmp_made_smaller_is_tried_again_after_ten_minutes() {
    let mut end = setup().established();
    end.write_octets(1, 20_000);
    end.drain();
    let seq = end.iss + 1;
    let arrival = end.with(|tcb, env| tcb.path_error(PathError::TooBig(1_000), seq, 536, env));
    assert_eq!(arrival.verdict, Ok(()));
    let next = carry(&mut end, 1, 1_460, 20_001);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 1_000);
    end.now = end.now + Duration::from_secs(601);
    end.write_octets(next as usize, 40_000);
    carry(&mut end, next, 1_460, next + 40_000);
    assert_eq!(end.tcb.status(&end.profile, end.now).mss, 1_460);
}

#[test]
fn without_room_to_remember_segments_stay_small() {
    let mut end = Setup {
        pools: PoolSizes { asides: 0, ..POOLS },
        ..setup()
    }
    .established();
    end.write_octets(1, 20_000);
    end.drain();
    let _ = end.fire();
    end.drain();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(730));
    let seq = end.iss + 1;
    let arrival = end.with(|tcb, env| tcb.path_error(PathError::TooBig(1_000), seq, 536, env));
    assert_eq!(arrival.verdict, Err(DropReason::IgnoredIcmp));
    carry(&mut end, 1, 1_000, 20_001);
    expect_nothing!(end);
}
