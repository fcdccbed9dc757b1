use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::host::waiting::{EACH, IN_ALL};

const A: EtherAddr = [2, 0, 0, 0, 0, 0xa];
const B: EtherAddr = [2, 0, 0, 0, 0, 0xb];

fn station(last: u8) -> EtherAddr {
    [2, 0, 0, 0, 1, last]
}

fn table(capacity: u16) -> Neighbours<u32> {
    Neighbours::new(capacity, &[7; 16])
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn told(ip: IpAddr, ether: EtherAddr, origin: Origin) -> Learned {
    Learned { ip, ether, origin }
}

fn ether_of(resolution: Resolution) -> Option<EtherAddr> {
    match resolution {
        Resolution::Known(ether, _) => Some(ether),
        Resolution::Pending | Resolution::Failed | Resolution::Full => None,
    }
}

fn known(table: &mut Neighbours<u32>, ip: IpAddr, ether: EtherAddr, now: Instant) -> Hop {
    table.resolve(ip, now);
    assert!(table.learn(&told(ip, ether, Origin::Reply), now));
    match table.resolve(ip, now) {
        Resolution::Known(found, hop) if found == ether => hop,
        other => panic!("{ip}: {other:?}"),
    }
}

#[test]
fn the_hop_of_an_address_is_its_own_whoever_was_asked_for_last() {
    let mut table = table(2);
    let hops = [1, 2].map(|last| known(&mut table, ip(last), [2, 0, 0, 0, 0, last], at(0)));
    for last in [1, 1, 2, 2, 1] {
        assert_eq!(
            table.hop_of(ip(last)),
            Some(hops[usize::from(last) - 1]),
            "{last}"
        );
        assert_eq!(table.hop_of(ip(9)), None);
    }
    // Another comes to the place of the first, which was asked for last.
    table.ether(hops[1], at(60_000));
    assert_eq!(table.hop_of(ip(1)), Some(hops[0]));
    let third = known(&mut table, ip(3), [2, 0, 0, 0, 0, 3], at(60_001));
    assert_eq!((table.hop_of(ip(3)), table.hop_of(ip(1))), (Some(third), None));
}

// proves: RFC 1122 §2.3.2.1, RFC 4861 §7.2.2
#[test]
fn a_hop_is_asked_for_once_a_second_three_times_and_then_left_alone() {
    let mut table = table(8);
    assert_eq!(table.resolve(ip(1), at(0)), Resolution::Pending);
    table.try_wait(ip(1), 7).unwrap();
    for second in 0..3 {
        assert_eq!(table.next_deadline(), at(second * 1000));
        assert_eq!(table.poll(at(second * 1000)), Some(Solicit::to_all(ip(1))));
        assert_eq!(
            table.poll(at(second * 1000 + 999)),
            None,
            "RFC 1122 §2.3.2.1: at most one a second"
        );
    }
    assert_eq!(table.resolve(ip(1), at(2_999)), Resolution::Pending);
    assert_eq!(table.poll(at(3_000)), None);
    assert_eq!(
        (
            table.counts().failed,
            table.counts().unresolved_frames,
            table.waiting()
        ),
        (1, 1, 0)
    );
    assert_eq!(table.resolve(ip(1), at(5_999)), Resolution::Failed);
    assert_eq!(table.poll(at(5_999)), None);
    assert_eq!(
        table.try_wait(ip(1), 8),
        Err(8),
        "nothing waits for what is not asked for"
    );
    assert_eq!(
        table.resolve(ip(1), at(6_000)),
        Resolution::Pending,
        "asked again"
    );
    assert!(table.poll(at(6_000)).is_some());
    assert_eq!(table.poll_ready(), None);
}

// proves: RFC 1122 §2.3.2.2
#[test]
fn frames_that_waited_leave_in_order_and_only_a_few_wait() {
    let mut table = table(64);
    table.resolve(ip(1), at(0));
    for frame in 0..5 {
        table.try_wait(ip(1), frame).unwrap();
    }
    assert_eq!(
        table.counts().unresolved_frames,
        5 - EACH as u64,
        "the oldest gave way"
    );
    for other in 2..40 {
        table.resolve(ip(other), at(0));
        for frame in 0..2 {
            let _ = table.try_wait(ip(other), frame);
        }
    }
    assert_eq!(table.waiting(), IN_ALL);
    assert!(table.learn(&told(ip(1), A, Origin::Reply), at(1)));
    for frame in 2..5 {
        assert_eq!(table.poll_ready(), Some((A, frame)));
    }
    assert_eq!(table.poll_ready(), None);
}

#[test]
fn what_is_believed_depends_on_what_is_known() {
    use Origin::*;
    // For a station A and a claim of B: is it believed, and is A asked whether it is still there?
    let cases = [
        ("nothing known", None, Request, true, false),
        ("nothing known", None, Reply, false, false),
        ("nothing known", None, WeakReply, false, false),
        ("nothing known", None, Confirmation, false, false),
        ("nothing known", None, Announcement, false, false),
        ("pending", Some("pending"), Request, true, false),
        ("pending", Some("pending"), Reply, true, false),
        ("pending", Some("pending"), WeakReply, true, false),
        ("pending", Some("pending"), Confirmation, false, false),
        ("pending", Some("pending"), Announcement, false, false),
        ("A is known", Some("known"), Request, false, true),
        ("A is known", Some("known"), Reply, false, true),
        ("A is known", Some("known"), WeakReply, false, true),
        ("A is known", Some("known"), Confirmation, false, true),
        ("A is known", Some("known"), Announcement, false, true),
        ("A is probed", Some("probed"), Request, false, true),
        ("A is probed", Some("probed"), Reply, false, true),
        ("A is probed", Some("probed"), WeakReply, false, true),
        ("A is probed", Some("probed"), Confirmation, false, true),
        ("A is probed", Some("probed"), Announcement, false, true),
    ];
    for (name, before, origin, believed, asked) in cases {
        let mut table = table(8);
        match before {
            Some("pending") => {
                table.resolve(ip(1), at(0));
            }
            Some(state) => {
                known(&mut table, ip(1), A, at(0));
                if state == "probed" {
                    table.on_doubt(ip(1), at(2_000));
                }
            }
            None => {}
        }
        assert_eq!(
            table.learn(&told(ip(1), B, origin), at(2_010)),
            believed,
            "{name}: {origin:?}"
        );
        let expected = Solicit {
            ip: ip(1),
            station: Some(A),
            claimed: true,
        };
        assert_eq!(
            table.poll(at(2_010)) == Some(expected),
            asked,
            "{name}: {origin:?} asks A"
        );
        if believed {
            assert_eq!(
                ether_of(table.resolve(ip(1), at(2_011))),
                Some(B),
                "{name}: {origin:?}"
            );
        } else if before.is_some_and(|state| state != "pending") {
            assert_eq!(
                ether_of(table.resolve(ip(1), at(2_011))),
                Some(A),
                "{name}: {origin:?}"
            );
            assert_eq!(table.counts().disbelieved, 1, "{name}: {origin:?}");
        }
    }
}

#[test]
fn the_station_that_is_known_confirms_itself() {
    use Origin::*;
    for (origin, news) in [
        (Request, true),
        (Reply, true),
        (WeakReply, true),
        (Confirmation, true),
        (Announcement, false),
    ] {
        let mut table = table(8);
        known(&mut table, ip(1), A, at(0));
        table.on_doubt(ip(1), at(2_000));
        assert_eq!(
            table.learn(&told(ip(1), A, origin), at(2_010)),
            news,
            "{origin:?}"
        );
        assert_eq!(table.poll(at(2_010)).is_none(), news, "{origin:?}: asked no more");
    }
}

#[test]
fn a_station_that_is_doubted_is_asked_three_times_and_then_all_are() {
    let mut table = table(8);
    let hop = known(&mut table, ip(1), A, at(0));
    table.on_doubt(ip(1), at(2_000));
    for second in 0..3 {
        assert_eq!(
            table.poll(at(2_000 + second * 1000)),
            Some(Solicit {
                ip: ip(1),
                station: Some(A),
                claimed: false,
            })
        );
        assert_eq!(
            table.ether(hop, at(2_000 + second * 1000)),
            Some(A),
            "used while it is asked"
        );
    }
    assert_eq!(
        table.poll(at(5_000)),
        Some(Solicit::to_all(ip(1))),
        "A is silent: all are asked"
    );
    assert_eq!(table.ether(hop, at(5_000)), None);
    assert!(table.learn(&told(ip(1), B, Origin::Reply), at(5_001)));
    assert_eq!(table.ether(hop, at(5_001)), Some(B), "the hop is the same");
}

/// One address of each family.
fn both_families() -> [IpAddr; 2] {
    [ip(1), IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1))]
}

#[test]
fn a_station_that_took_over_is_found_in_less_than_half_a_second_though_nobody_believes_it() {
    for (ip, origin) in both_families()
        .into_iter()
        .flat_map(|ip| [Origin::Announcement, Origin::Request].map(|origin| (ip, origin)))
    {
        let mut table = table(8);
        let hop = known(&mut table, ip, A, at(0));
        // A moment ago it was there, and shook hands: that puts nothing off.
        assert!(!table.learn(&told(ip, A, Origin::Request), at(1_999)));
        assert!(!table.learn(&told(ip, B, origin), at(2_000)));
        let ask = |station: Option<EtherAddr>| {
            Some(Solicit {
                ip,
                station,
                claimed: station.is_some(),
            })
        };
        assert_eq!(table.poll(at(2_000)), ask(Some(A)));
        assert!(!table.learn(&told(ip, B, origin), at(2_100)), "claimed again");
        assert_eq!(table.poll(at(2_199)), None);
        assert_eq!(table.poll(at(2_200)), ask(Some(A)), "the first may be lost");
        assert_eq!(table.ether(hop, at(2_399)), Some(A), "used while it is asked");
        assert_eq!(table.poll(at(2_399)), None);
        assert_eq!(table.poll(at(2_400)), ask(None), "A is silent: all are asked");
        assert_eq!(table.ether(hop, at(2_400)), None);
        assert!(
            !table.learn(&told(ip, B, Origin::Announcement), at(2_400)),
            "no answer"
        );
        assert!(table.learn(&told(ip, B, Origin::Reply), at(2_401)));
        assert_eq!(table.ether(hop, at(2_401)), Some(B), "the hop is the same");
        // The old one is back, and has lost: the new one is asked, and answers.
        assert!(!table.learn(&told(ip, A, Origin::Reply), at(2_500)));
        assert_eq!(table.poll(at(3_199)), None);
        assert_eq!(table.poll(at(3_200)), ask(Some(B)));
        assert!(table.learn(&told(ip, B, Origin::Reply), at(3_201)));
    }
}

#[test]
fn a_station_that_answers_in_time_stays_whoever_claims_its_address() {
    for ip in both_families() {
        for answered_at in [2_001, 2_199, 2_399] {
            let mut table = table(8);
            let hop = known(&mut table, ip, A, at(0));
            assert!(!table.learn(&told(ip, B, Origin::Announcement), at(2_000)));
            while table.poll(at(answered_at)).is_some() {}
            assert!(!table.learn(&told(ip, B, Origin::Reply), at(answered_at)));
            assert!(table.learn(&told(ip, A, Origin::Reply), at(answered_at)));
            assert!(!table.learn(&told(ip, B, Origin::Reply), at(answered_at)));
            assert_eq!(table.ether(hop, at(2_500)), Some(A));
            assert_eq!(table.poll(at(2_900)), None, "not asked again in the same second");
            assert_eq!(table.ether(hop, at(2_900)), Some(A));
        }
    }
}

#[test]
fn a_claim_makes_a_doubt_urgent() {
    let mut table = table(8);
    known(&mut table, ip(1), A, at(0));
    table.on_doubt(ip(1), at(2_000));
    assert!(table.poll(at(2_000)).is_some());
    assert!(!table.learn(&told(ip(1), B, Origin::Announcement), at(2_100)));
    let asked: Vec<u64> = (2_100..5_000)
        .filter(|millis| table.poll(at(*millis)).is_some())
        .collect();
    assert_eq!(
        asked[..3],
        [3_000, 3_200, 3_400],
        "{asked:?}: still not twice in the same second"
    );
}

#[test]
fn no_claims_have_a_station_asked_more_than_once_a_second() {
    let mut table = table(8);
    known(&mut table, ip(1), A, at(0));
    let mut asked = Vec::new();
    for millis in (10..10_000).step_by(10) {
        for origin in [Origin::Announcement, Origin::Reply] {
            assert!(
                !table.learn(&told(ip(1), B, origin), at(millis)),
                "B is not believed"
            );
        }
        if let Some(solicit) = table.poll(at(millis)) {
            assert_eq!(solicit.station, Some(A));
            asked.push(millis);
            assert!(table.learn(&told(ip(1), A, Origin::Reply), at(millis + 1)));
        }
        assert_eq!(ether_of(table.resolve(ip(1), at(millis + 1))), Some(A));
    }
    assert!((8..=10).contains(&asked.len()), "{asked:?}");
}

#[test]
fn an_old_entry_is_asked_again_when_it_is_used() {
    let mut table = table(8);
    let hop = known(&mut table, ip(1), A, at(0));
    let old = Instant::ZERO + REACHABLE_FOR;
    assert_eq!(table.poll(old), None, "not used, not asked");
    assert_eq!(table.ether(hop, old), Some(A), "still good");
    assert_eq!(
        table.poll(old),
        Some(Solicit {
            ip: ip(1),
            station: Some(A),
            claimed: false,
        })
    );
    assert!(table.learn(&told(ip(1), A, Origin::Reply), old));
    assert_eq!(table.poll(old + ASK_INTERVAL), None);
    // A request of the neighbour refreshes as well, without a question.
    let later = old + REACHABLE_FOR;
    assert!(!table.learn(&told(ip(1), A, Origin::Request), later));
    assert_eq!(table.ether(hop, later), Some(A));
    assert_eq!(table.poll(later), None);
}

#[test]
fn a_stale_hop_is_refused() {
    let mut table = table(1);
    let hop = known(&mut table, ip(1), A, at(0));
    let idle = at(0) + IDLE_AFTER;
    known(&mut table, ip(2), B, idle);
    assert_eq!(table.ether(hop, idle), None);
    assert_eq!(table.counts().evicted, 1);
}

#[test]
fn a_full_table_gives_up_what_rested_longest_and_never_what_is_in_use() {
    let mut table = table(3);
    for (last, station) in [(1, A), (2, B), (3, station(3))] {
        known(&mut table, ip(last), station, at(u64::from(last) * 10));
    }
    assert_eq!(
        table.resolve(ip(4), at(100)),
        Resolution::Full,
        "all were used within the second"
    );
    table.resolve(ip(1), at(1_100));
    assert_eq!(table.resolve(ip(4), at(1_200)), Resolution::Pending);
    assert_eq!(
        ether_of(table.resolve(ip(1), at(1_200))),
        Some(A),
        "used a moment ago"
    );
    assert_eq!(
        ether_of(table.resolve(ip(3), at(1_200))),
        Some(station(3)),
        "used later than the second"
    );
    assert_eq!(
        table.resolve(ip(2), at(1_200)),
        Resolution::Full,
        "it gave way, and 4 is being asked for"
    );
}

#[test]
fn requests_of_strangers_push_out_only_each_other() {
    let mut table = table(4);
    known(&mut table, ip(1), A, at(0));
    for (step, last) in (2..=250).enumerate() {
        assert!(table.learn(&told(ip(last), B, Origin::Request), at(10_000 + step as u64)));
        assert!(table.len() <= 4);
    }
    assert_eq!(ether_of(table.resolve(ip(1), at(20_000))), Some(A));
    let mut table = self::table(1);
    known(&mut table, ip(1), A, at(0));
    assert!(!table.learn(&told(ip(2), B, Origin::Request), at(10_000)));
    assert!(
        table.learn(
            &told(ip(2), B, Origin::Request),
            Instant::ZERO + REACHABLE_FOR * 2
        ),
        "nobody wanted 1 for long"
    );
}

#[test]
fn a_station_that_shakes_hands_from_a_thousand_addresses_pushes_out_its_own() {
    let mut table = table(64);
    // Spoken to once, and resting ever since.
    for last in 1..=24 {
        known(&mut table, ip(last), station(last), at(0));
    }
    let mut now = at(2_000);
    for number in 0..1_000u16 {
        let [high, low] = number.to_be_bytes();
        let its_own = IpAddr::V4(Ipv4Addr::new(10, 0, 1 + high, low));
        // Our answers go there at once, so that nothing of it ever rests.
        assert!(table.learn(&told(its_own, B, Origin::Request), now));
        assert_eq!(ether_of(table.resolve(its_own, now)), Some(B));
        now = now + Duration::from_micros(500);
    }
    // Somebody else who comes now finds a place, too, in both ways.
    assert!(table.learn(&told(ip(100), A, Origin::Request), now));
    assert_eq!(table.resolve(ip(101), now), Resolution::Pending);
    for last in 1..=24 {
        assert_eq!(ether_of(table.resolve(ip(last), now)), Some(station(last)));
    }
}

#[test]
fn no_more_than_a_quarter_of_the_places_makes_a_crowd() {
    for (of_one, pushed_out) in [(16, false), (17, true)] {
        let mut table = table(64);
        for last in 1..=64 {
            let ether = if last > 64 - of_one { B } else { station(last) };
            known(&mut table, ip(last), ether, at(u64::from(last)));
        }
        // All were used this second.
        let found = table.resolve(ip(100), at(500)) == Resolution::Pending;
        assert_eq!(found, pushed_out, "{of_one}");
        if pushed_out {
            assert_eq!(
                table.hop_of(ip(65 - of_one)),
                None,
                "of its own the one unused for longest"
            );
        }
    }
}

#[test]
fn nobody_pushes_out_a_gateway() {
    let mut table = table(4);
    table.keep([Some(ip(1)), None]);
    known(&mut table, ip(1), A, at(0));
    for last in 2..=250 {
        // Spoken to, each of them, a second and more after the one before.
        let now = at(2_000 * u64::from(last));
        known(&mut table, ip(last), B, now);
    }
    assert_eq!(ether_of(table.resolve(ip(1), at(600_000))), Some(A));
    // Nor does it make way as one of many addresses of its station.
    for last in 2..=200 {
        known(&mut table, ip(last), A, at(600_001));
    }
    assert_eq!(ether_of(table.resolve(ip(1), at(600_002))), Some(A));
}

#[test]
fn another_workers_table_takes_over_what_worker_0_learned() {
    let mut replica = table(8);
    replica.resolve(ip(1), at(0));
    replica.try_wait(ip(1), 5).unwrap();
    assert_eq!(
        replica.poll(at(0)),
        Some(Solicit::to_all(ip(1))),
        "goes to worker 0 as a message"
    );
    replica.replicate(ip(1), A, at(1));
    assert_eq!(replica.poll_ready(), Some((A, 5)));
    replica.replicate(ip(2), B, at(1));
    assert_eq!(replica.len(), 1, "nobody asked for 2 here");
}

#[test]
fn worker_0_hears_of_what_others_use_and_keeps_it_from_strangers() {
    let (mut zero, mut replica) = (table(4), table(4));
    assert!(zero.learn(&told(ip(1), A, Origin::Request), at(0)));
    assert!(!zero.is_wanted(ip(1)), "told to nobody");
    assert_eq!(replica.resolve(ip(1), at(2)), Resolution::Pending);
    let question = replica.poll(at(2)).expect("a question to worker 0");
    assert_eq!(ether_of(zero.resolve(question.ip, at(2))), Some(A));
    assert!(zero.is_wanted(ip(1)));
    for last in 2..=250 {
        zero.learn(&told(ip(last), B, Origin::Request), at(1_000 + u64::from(last)));
    }
    assert!(
        !zero.learn(&told(ip(1), B, Origin::Request), at(2_000)),
        "it is known still"
    );
}

#[test]
fn strangers_that_contradict_each_other_have_nobody_asked_before_one_is_spoken_to() {
    let mut table = table(4);
    assert!(table.learn(&told(ip(1), A, Origin::Request), at(0)));
    for millis in 1..3_000 {
        assert!(!table.learn(&told(ip(1), B, Origin::Request), at(millis)));
        assert_eq!(table.poll(at(millis)), None);
    }
    assert_eq!(ether_of(table.resolve(ip(1), at(3_000))), Some(A));
    let asked = table.poll(at(3_000)).map(|solicit| (solicit.ip, solicit.station));
    assert_eq!(asked, Some((ip(1), Some(A))));
}

#[test]
fn the_doubts_of_other_workers_reach_the_link() {
    let mut zero = table(4);
    known(&mut zero, ip(1), A, at(0));
    zero.on_word(ip(1), A, false, at(2_000));
    let asked = Some(Solicit {
        ip: ip(1),
        station: Some(A),
        claimed: false,
    });
    assert_eq!(zero.poll(at(2_000)), asked);
    assert_eq!(
        ether_of(zero.resolve(ip(1), at(2_001))),
        Some(A),
        "believed until it is silent"
    );
}

#[test]
fn a_claim_that_another_worker_hears_is_as_urgent_as_one_that_worker_0_hears() {
    for ip in both_families() {
        let (mut zero, mut other) = (table(4), table(4));
        let hop = known(&mut other, ip, A, at(0));
        known(&mut zero, ip, A, at(0));
        // Who shakes hands there says to be at B.
        assert!(!other.learn(&told(ip, B, Origin::Request), at(2_000)));
        let mut asked = Vec::new();
        for millis in 2_000..2_600 {
            let now = at(millis);
            while let Some(Solicit { ip, station, claimed }) = other.poll(now) {
                if let Some(ether) = station {
                    zero.on_word(ip, ether, claimed, now);
                }
                if let Resolution::Known(ether, _) = zero.resolve(ip, now) {
                    other.replicate(ip, ether, now);
                }
            }
            while let Some(solicit) = zero.poll(now) {
                asked.push((millis, solicit.station));
                if solicit.station.is_none() {
                    assert!(zero.learn(&told(ip, B, Origin::Reply), now));
                    other.replicate(ip, B, now);
                }
            }
        }
        assert_eq!(
            asked,
            [(2_000, Some(A)), (2_200, Some(A)), (2_400, None)],
            "A is silent"
        );
        assert_eq!(other.ether(hop, at(2_600)), Some(B));
    }
}

#[test]
fn claims_that_other_workers_hear_have_a_station_asked_no_more_than_once_a_second() {
    let mut zero = table(4);
    known(&mut zero, ip(1), A, at(0));
    let mut asked = 0;
    for millis in 2_000..12_000 {
        zero.on_word(ip(1), A, true, at(millis));
        while let Some(solicit) = zero.poll(at(millis)) {
            assert_eq!(solicit.station, Some(A));
            asked += 1;
            assert!(zero.learn(&told(ip(1), A, Origin::Reply), at(millis)));
        }
    }
    assert_eq!(asked, 10);
    // What worker 0 has elsewhere by now is in doubt, and not claimed.
    let mut zero = table(4);
    known(&mut zero, ip(2), B, at(12_000));
    zero.on_word(ip(2), A, true, at(14_000));
    let asked = zero
        .poll(at(14_000))
        .map(|solicit| (solicit.station, solicit.claimed));
    assert_eq!(asked, Some((Some(B), false)));
}

#[test]
fn what_worker_0_lost_another_worker_knows_better_than_a_stranger() {
    let asked = Some(Solicit {
        ip: ip(1),
        station: Some(A),
        claimed: false,
    });
    for stranger in [false, true] {
        let mut zero = table(4);
        if stranger {
            assert!(zero.learn(&told(ip(1), B, Origin::Request), at(0)));
        }
        zero.on_word(ip(1), A, false, at(10));
        assert_eq!(ether_of(zero.resolve(ip(1), at(10))), Some(A), "{stranger}");
        assert_eq!(zero.poll(at(10)), asked, "{stranger}");
        assert!(!zero.learn(&told(ip(1), B, Origin::Reply), at(11)), "{stranger}");
        assert!(zero.learn(&told(ip(1), A, Origin::Reply), at(12)), "{stranger}");
    }
    // What was asked for here is not given up for another worker's word.
    let mut zero = table(4);
    known(&mut zero, ip(1), B, at(0));
    zero.on_word(ip(1), A, false, at(2_000));
    assert_eq!(ether_of(zero.resolve(ip(1), at(2_000))), Some(B));
    assert_eq!(zero.poll(at(2_000)).and_then(|solicit| solicit.station), Some(B));
    zero.resolve(ip(3), at(2_000));
    zero.on_word(ip(3), A, false, at(2_000));
    assert_eq!(
        zero.resolve(ip(3), at(2_000)),
        Resolution::Pending,
        "everybody is being asked"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Resolve(u8),
    Wait(u8),
    Learn(u8, EtherAddr, Origin),
    Replicate(u8),
    Word(u8, EtherAddr, bool),
    Doubt(u8),
    Pass(u64),
    Poll,
    Ready,
}

fn step() -> impl Strategy<Value = Step> {
    use Origin::*;
    let origin = prop::sample::select(vec![Request, Reply, WeakReply, Confirmation, Announcement]);
    prop_oneof![
        any::<u8>().prop_map(Step::Resolve),
        any::<u8>().prop_map(Step::Wait),
        (any::<u8>(), prop::sample::select(vec![A, B]), origin).prop_map(|(n, e, o)| Step::Learn(n, e, o)),
        any::<u8>().prop_map(Step::Replicate),
        (any::<u8>(), prop::sample::select(vec![A, B]), any::<bool>())
            .prop_map(|(n, e, c)| Step::Word(n, e, c)),
        any::<u8>().prop_map(Step::Doubt),
        (0u64..2_000).prop_map(Step::Pass),
        Just(Step::Pass(REACHABLE_FOR.as_millis() as u64)),
        Just(Step::Poll),
        Just(Step::Ready),
    ]
}

/// Both families, few enough to meet again.
fn any_ip(n: u8) -> IpAddr {
    if n.is_multiple_of(2) {
        ip(n / 8)
    } else {
        IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, u16::from(n / 8)))
    }
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_bounds(steps in prop::collection::vec(step(), 1..400)) {
        let mut table = table(6);
        let mut now = at(0);
        let (mut waits, mut left) = (0u64, 0u64);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Resolve(n) => {
                    if let Resolution::Known(ether, hop) = table.resolve(any_ip(n), now) {
                        prop_assert_eq!(table.ether(hop, now), Some(ether));
                    }
                }
                Step::Wait(n) => match table.try_wait(any_ip(n), number as u32) {
                    Ok(()) => waits += 1,
                    Err(frame) => prop_assert_eq!(frame, number as u32),
                },
                Step::Learn(n, ether, origin) => {
                    let ip = any_ip(n);
                    let news = table.learn(&told(ip, ether, origin), now);
                    if news {
                        prop_assert_eq!(ether_of(table.resolve(ip, now)), Some(ether));
                    }
                }
                Step::Replicate(n) => table.replicate(any_ip(n), A, now),
                Step::Word(n, ether, claimed) => table.on_word(any_ip(n), ether, claimed, now),
                Step::Doubt(n) => table.on_doubt(any_ip(n), now),
                Step::Pass(millis) => now = now + Duration::from_millis(millis),
                Step::Poll => {
                    let mut asked = 0;
                    while table.poll(now).is_some() {
                        asked += 1;
                    }
                    prop_assert!(asked <= 6, "one question an entry");
                    prop_assert!(table.next_deadline() > now);
                }
                Step::Ready => left += u64::from(table.poll_ready().is_some()),
            }
            prop_assert!(table.len() <= 6);
            prop_assert!(table.waiting() <= IN_ALL);
        }
        while table.poll_ready().is_some() {
            left += 1;
        }
        // Every frame that was let wait has left, waits still, or was counted.
        prop_assert!(waits <= left + table.waiting() as u64 + table.counts().unresolved_frames);
    }
}
