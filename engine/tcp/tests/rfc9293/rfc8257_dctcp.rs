//! RFC 8257: DCTCP on a whole connection: the accurate echo of the receiver, the sender's answer to a share of marks.

use fourtuple_tcp::{CongestionKind, Ecn};
use fourtuple_wire::TcpFlags;

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

const ECE: TcpFlags = TcpFlags::ECE;
const CWR: TcpFlags = TcpFlags::CWR;

fn setup() -> Setup {
    Setup::default().profile(|profile| profile.congestion = CongestionKind::Dctcp)
}

fn agreed() -> End {
    let end = Setup {
        peer_syn: seg(SYN | ECE | CWR).mss(1000),
        ..setup()
    }
    .accepted();
    assert_eq!(end.profile.ecn, Ecn::Passive);
    end
}

/// The header of the answer that goes out before what is owed: its acknowledgment and whether it echoes.
fn answered(end: &End, arrival: &fourtuple_tcp::Arrival) -> Option<(u32, bool)> {
    let header = arrival.reply.as_ref()?;
    Some((header.ack.distance_from(end.irs), header.flags.contains(ECE)))
}

// proves: RFC 8257 §3.2 (an ACK at once when marks begin or end, with the old echo for what came before)
#[test]
fn each_change_of_marks_acknowledges_what_came_before_as_it_was() {
    let mut end = agreed();
    let text = |seq: u32| seg(ACK).seq(seq).ack(1).octets(1_000);
    // A lone segment waits for company …
    send!(end, text(1)).verdict.unwrap();
    expect_nothing!(end);
    // … and is acknowledged without an echo when the next is marked.
    let counted = |end: &End| (end.counters.segments_out, end.counters.pure_acks_out);
    assert_eq!(counted(&end), (0, 0));
    let arrival = end.arrives_marked(&text(1_001));
    assert_eq!(answered(&end, &arrival), Some((1_001, false)));
    assert_eq!(counted(&end), (1, 1));
    expect!(end, seg(ACK | ECE).ack(2_001));
    let arrival = end.arrives_marked(&text(2_001));
    assert_eq!(answered(&end, &arrival), None);
    let arrival = send!(end, text(3_001));
    assert_eq!(answered(&end, &arrival), Some((3_001, true)));
    expect!(end, seg(ACK).ack(4_001));
}

// proves: RFC 8257 §3.2 (marks of one turn are told apart though their ACKs would coalesce)
#[test]
fn within_a_burst_no_octet_is_acknowledged_with_anothers_echo() {
    let mut end = agreed();
    let marks = [false, false, true, true, false, true, false, false, false, true];
    let (mut echoed, mut told) = (Vec::new(), 1);
    for (at, marked) in marks.iter().enumerate() {
        let segment = seg(ACK).seq(at as u32 * 1_000 + 1).ack(1).octets(1_000);
        let arrival = if *marked {
            end.arrives_marked(&segment)
        } else {
            send!(end, segment)
        };
        if let Some((ack, ece)) = answered(&end, &arrival) {
            echoed.extend(std::iter::repeat_n(ece, ((ack - told) / 1_000) as usize));
            told = ack;
        }
    }
    for sent in end.drain() {
        let ack = sent.header.ack.distance_from(end.irs);
        let ece = sent.header.flags.contains(ECE);
        echoed.extend(std::iter::repeat_n(ece, ((ack - told) / 1_000) as usize));
        told = ack;
    }
    assert_eq!(echoed, marks);
}

// proves: RFC 8257 §3.3 (the sender: α decides what a mark costs)
#[test]
fn the_first_mark_halves_the_window_and_one_after_forty_clean_windows_hardly_counts() {
    for (clean_windows, least, most) in [(0, 0.45, 0.55), (10, 0.65, 0.90), (40, 0.93, 1.0)] {
        let mut end = setup().connecting();
        expect!(end, seg(SYN | ECE | CWR).seq(0));
        send!(end, seg(SYN | ACK | ECE).seq(0).ack(1).mss(1000))
            .verdict
            .unwrap();
        end.drain();
        let (mut written, mut acked) = (1usize, 1u32);
        for _ in 0..clean_windows {
            let room = end.tcb.send_room(&end.profile, &end.pools).min(60_000) / 1_000 * 1_000;
            end.write_octets(written, room);
            written += room;
            for _ in 0..end.drain().len() {
                acked += 1_000;
                send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
            }
        }
        let room = end.tcb.send_room(&end.profile, &end.pools).min(60_000) / 1_000 * 1_000;
        end.write_octets(written, room);
        end.drain();
        let before = end.tcb.status(&end.profile, end.now).cwnd;
        send!(end, seg(ACK | ECE).seq(1).ack(acked + 1_000))
            .verdict
            .unwrap();
        let after = end.tcb.status(&end.profile, end.now).cwnd;
        let kept = f64::from(after) / f64::from(before);
        assert!(
            (least..=most).contains(&kept),
            "after {clean_windows} windows: {before} became {after}"
        );
    }
}
