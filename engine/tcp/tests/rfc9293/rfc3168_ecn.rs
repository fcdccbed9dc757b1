//! RFC 3168: explicit congestion notification, of both ends.

use fourtuple_tcp::{CongestionKind, Ecn, State, SynArrival};
use fourtuple_wire::{SeqNum, TcpFlags};

use crate::support::{ACK, End, FIN, RST, SYN, Seg, Setup, passive_record, seg};
use crate::{expect, expect_nothing, send};

const ECE: TcpFlags = TcpFlags::ECE;
const CWR: TcpFlags = TcpFlags::CWR;

fn setup(ecn: Ecn) -> Setup {
    Setup::default().profile(|profile| profile.ecn = ecn)
}

fn syn_ack(flags: TcpFlags) -> Seg {
    seg(SYN | ACK | flags).seq(0).ack(1).mss(1000)
}

/// ESTABLISHED by an active open that asked, and was agreed to.
fn asked() -> End {
    let mut end = setup(Ecn::On).connecting();
    expect!(end, seg(SYN | ECE | CWR).seq(0));
    send!(end, syn_ack(ECE)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
    assert!(end.tcb.status(&end.profile, end.now).ecn);
    end
}

/// ESTABLISHED by a passive open whose peer asked.
fn agreed(setup: Setup) -> End {
    let end = Setup {
        peer_syn: seg(SYN | ECE | CWR).mss(1000),
        ..setup
    }
    .accepted();
    assert!(end.tcb.status(&end.profile, end.now).ecn);
    end
}

// proves: RFC 3168 §6.1.1 (ECN-setup SYN)
#[test]
fn who_asks_does_so_with_both_bits_and_dctcp_asks_by_itself() {
    let both = ECE | CWR;
    for (ecn, kind, bits) in [
        (Ecn::Off, CongestionKind::Cubic, TcpFlags::default()),
        (Ecn::Passive, CongestionKind::Cubic, TcpFlags::default()),
        (Ecn::On, CongestionKind::Cubic, both),
        (Ecn::Passive, CongestionKind::Dctcp, both),
        (Ecn::Off, CongestionKind::Dctcp, TcpFlags::default()),
    ] {
        let mut end = setup(ecn)
            .profile(|profile| profile.congestion = kind)
            .connecting();
        let sent = expect!(end, seg(SYN | bits).seq(0));
        assert!(!sent.ect, "a SYN is not for the network to mark");
    }
}

// proves: RFC 3168 §6.1.1 (ECN-setup SYN-ACK)
#[test]
fn a_syn_that_asks_is_agreed_to_with_ece_alone() {
    for (ecn, asks, answer) in [
        (Ecn::Passive, ECE | CWR, ECE),
        (Ecn::On, ECE | CWR, ECE),
        (Ecn::Off, ECE | CWR, TcpFlags::default()),
        (Ecn::Passive, TcpFlags::default(), TcpFlags::default()),
        (Ecn::Passive, ECE, TcpFlags::default()),
        (Ecn::Passive, CWR, TcpFlags::default()),
    ] {
        let setup = Setup {
            peer_syn: seg(SYN | asks).mss(1000),
            ..setup(ecn)
        };
        let record = passive_record(&setup);
        let header = record.syn_ack(&setup.profile, setup.start);
        assert_eq!(header.flags, SYN | ACK | answer, "{ecn:?} {asks:?}");
        let end = setup.accepted();
        assert_eq!(end.tcb.status(&end.profile, end.now).ecn, answer == ECE);
    }
}

// proves: RFC 3168 §6.1.1 (a SYN-ACK that reflects both bits is none of ECN)
#[test]
fn an_answer_without_ece_or_with_both_bits_leaves_ecn_off() {
    for (answer, agreed) in [
        (ECE, true),
        (ECE | CWR, false),
        (CWR, false),
        (TcpFlags::default(), false),
    ] {
        let mut end = setup(Ecn::On).connecting();
        expect!(end, seg(SYN | ECE | CWR).seq(0));
        send!(end, syn_ack(answer)).verdict.unwrap();
        expect!(end, seg(ACK).seq(1).ack(1));
        end.write_octets(1, 1_000);
        let sent = expect!(end, seg(ACK).seq(1).octets(1_000));
        assert_eq!(sent.ect, agreed, "{answer:?}");
    }
}

// proves: RFC 3168 §6.1.1.1 (fall-back)
#[test]
fn a_syn_that_went_unanswered_is_sent_again_without_asking() {
    let mut end = setup(Ecn::On).connecting();
    expect!(end, seg(SYN | ECE | CWR).seq(0));
    let _ = end.fire();
    expect!(end, seg(SYN).seq(0));
    // Even an answer that agrees (to the first) comes too late: a SYN that did not ask went out.
    send!(end, syn_ack(ECE)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(1));
    end.write_octets(1, 1_000);
    assert!(!expect!(end, seg(ACK).seq(1).octets(1_000)).ect);
}

// proves: RFC 3168 §6.1.1 (a peer that gave up asking)
#[test]
fn a_syn_that_comes_again_without_asking_takes_the_agreement_back() {
    let setup = Setup {
        peer_syn: seg(SYN | ECE | CWR).mss(1000),
        ..setup(Ecn::Passive)
    };
    let mut record = passive_record(&setup);
    let plain = seg(SYN)
        .seq(0)
        .mss(1000)
        .header(SeqNum(setup.irs), SeqNum(setup.iss), 60_000);
    let arrival = record.segment_arrives(&plain, 0, &setup.profile, setup.start);
    assert_eq!(arrival, SynArrival::SynAck);
    assert_eq!(record.syn_ack(&setup.profile, setup.start).flags, SYN | ACK);
}

// proves: RFC 3168 §6.1.5 (a retransmission is never ECT)
#[test]
fn new_data_is_ect_and_nothing_else() {
    let mut end = asked();
    end.write_octets(1, 2_000);
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).ect);
    assert!(expect!(end, seg(ACK).seq(1_001).octets(1_000)).ect);
    let _ = end.fire();
    assert!(!expect!(end, seg(ACK).seq(1).octets(1_000)).ect);
}

// proves: RFC 3168 §6.1.4, §6.1.6 (what is never ECT)
#[test]
fn a_pure_ack_a_probe_a_fin_and_a_reset_are_not_ect() {
    let mut end = asked();
    send!(end, seg(ACK).seq(1).ack(1).octets(1_000)).verdict.unwrap();
    send!(end, seg(ACK).seq(1_001).ack(1).octets(1_000))
        .verdict
        .unwrap();
    assert!(!expect!(end, seg(ACK).ack(2_001)).ect);
    // The window closes: only a probe goes out.
    send!(end, seg(ACK).seq(2_001).ack(1).window(0)).verdict.unwrap();
    end.write_octets(1, 1_000);
    expect_nothing!(end);
    let _ = end.fire();
    assert!(!expect!(end, seg(ACK).seq(1).len(1)).ect);
    send!(end, seg(ACK).seq(2_001).ack(2)).verdict.unwrap();
    assert!(expect!(end, seg(ACK).seq(2).octets(999)).ect);
    send!(end, seg(ACK).seq(2_001).ack(1_001)).verdict.unwrap();
    end.shutdown();
    assert!(!expect!(end, seg(ACK | FIN).seq(1_001)).ect);
    end.abort();
    assert!(!expect!(end, seg(RST | ACK)).ect);
}

// proves: RFC 3168 §6.1.3 (ECE in every ACK until CWR)
#[test]
fn a_mark_is_echoed_until_the_peer_says_that_its_window_came_down() {
    let mut end = agreed(setup(Ecn::Passive));
    end.arrives_marked(&seg(ACK).seq(1).ack(1).octets(1_000))
        .verdict
        .unwrap();
    // At once, and in what follows: pure ACKs and data.
    expect!(end, seg(ACK | ECE).ack(1_001));
    send!(end, seg(ACK).seq(1_001).ack(1).octets(1_000))
        .verdict
        .unwrap();
    end.write_octets(1, 500);
    expect!(end, seg(ACK | ECE).ack(2_001).octets(500));
    send!(end, seg(ACK | CWR).seq(2_001).ack(501).octets(1_000))
        .verdict
        .unwrap();
    send!(end, seg(ACK).seq(3_001).ack(501).octets(1_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).ack(4_001));
    // A mark on the very segment that says so counts anew.
    end.arrives_marked(&seg(ACK | CWR).seq(4_001).ack(501).octets(1_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK | ECE).ack(5_001));
    assert_eq!(end.counters.ce_segments_in, 2);
}

#[test]
fn a_mark_means_nothing_where_ecn_was_not_agreed_upon() {
    let mut end = setup(Ecn::Passive).established();
    end.arrives_marked(&seg(ACK).seq(1).ack(1).octets(1_000))
        .verdict
        .unwrap();
    send!(end, seg(ACK).seq(1_001).ack(1).octets(1_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).ack(2_001));
    end.write_octets(1, 8_000);
    let before = end.tcb.status(&end.profile, end.now).cwnd;
    end.drain();
    send!(end, seg(ACK | ECE).seq(2_001).ack(1_001)).verdict.unwrap();
    assert!(end.tcb.status(&end.profile, end.now).cwnd >= before);
}

// proves: RFC 9293 SHLD-8, RFC 3168 §6.1.2 (reaction, once a window; CWR)
#[test]
fn an_echo_brings_the_window_down_once_and_the_peer_is_told() {
    for (kind, left) in [(CongestionKind::NewReno, 5_000), (CongestionKind::Cubic, 7_001)] {
        let mut end = setup(Ecn::On)
            .profile(|profile| profile.congestion = kind)
            .connecting();
        expect!(end, seg(SYN | ECE | CWR).seq(0));
        send!(end, syn_ack(ECE)).verdict.unwrap();
        expect!(end, seg(ACK).seq(1).ack(1));
        end.write_octets(1, 40_000);
        assert_eq!(end.drain().len(), 10);
        // Every ACK of that window echoes; the first counts.
        send!(end, seg(ACK | ECE).seq(1).ack(1_001)).verdict.unwrap();
        let status = end.tcb.status(&end.profile, end.now);
        assert_eq!((status.cwnd, status.ssthresh), (left, left), "{kind}");
        let mut sent = end.drain();
        for at in 2..=10u32 {
            send!(end, seg(ACK | ECE).seq(1).ack(at * 1_000 + 1))
                .verdict
                .unwrap();
            sent.extend(end.drain());
        }
        let status = end.tcb.status(&end.profile, end.now);
        assert!(status.cwnd >= left, "{kind}: {} not once", status.cwnd);
        assert_eq!(end.counters.ecn_reductions, 1, "{kind}");
        let told: Vec<bool> = sent.iter().map(|sent| sent.header.flags.contains(CWR)).collect();
        assert!(told[0] && told[1..].iter().all(|told| !told), "{kind}: {told:?}");
        assert!(sent.iter().all(|sent| !sent.retransmission));
        // The next window of data: a new echo counts again.
        send!(end, seg(ACK | ECE).seq(1).ack(11_001)).verdict.unwrap();
        assert_eq!(end.counters.ecn_reductions, 2, "{kind}");
    }
}

// proves: RFC 3168 §6.1.2 (CWR after a window that came down for loss)
#[test]
fn a_timeout_is_told_with_the_next_new_data() {
    let mut end = asked();
    end.write_octets(1, 30_000);
    end.drain();
    let _ = end.fire();
    let again = expect!(end, seg(ACK).seq(1).octets(1_000));
    assert!(again.retransmission && !again.ect);
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    let sent = end.drain();
    assert!(sent[0].header.flags.contains(CWR) && sent[0].ect, "{:?}", sent[0]);
    assert!(sent[1..].iter().all(|sent| !sent.header.flags.contains(CWR)));
}

#[test]
fn both_may_open_at_once_and_agree() {
    let mut end = setup(Ecn::On).connecting();
    expect!(end, seg(SYN | ECE | CWR).seq(0));
    send!(end, seg(SYN | ECE | CWR).seq(0).mss(1000)).verdict.unwrap();
    expect!(end, seg(SYN | ACK | ECE).seq(0).ack(1));
    send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    assert_eq!(end.state(), State::Established);
    end.write_octets(1, 1_000);
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).ect);
}

#[test]
fn it_is_asked_for_by_one_of_three_words() {
    for (word, ecn) in [("on", Ecn::On), ("off", Ecn::Off), ("passive", Ecn::Passive)] {
        assert_eq!(word.parse(), Ok(ecn));
    }
    let unknown = "yes".parse::<Ecn>().expect_err("none of them");
    assert!(unknown.to_string().contains("on, off, passive"), "{unknown}");
}

// proves: RFC 3168 §6.1.2 (the reaction is to a mark of what is outstanding)
#[test]
fn an_echo_with_nothing_outstanding_is_of_nothing() {
    let mut end = asked();
    send!(end, seg(ACK | ECE).seq(1).ack(1)).verdict.unwrap();
    assert_eq!(end.counters.ecn_reductions, 0);
    end.write_octets(1, 3_000);
    end.drain();
    send!(end, seg(ACK | ECE).seq(1).ack(1_001)).verdict.unwrap();
    assert_eq!(end.counters.ecn_reductions, 1);
}
