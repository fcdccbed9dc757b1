//! The closing side, exhaustively: every schedule of one and of two lost segments, whoever closes first or both at once, with
//! text queued or not, with the other direction still going on or not, over both families, with timestamps and without.
//!
//! Whatever is lost, every octet arrives, both ends see the end of file and an orderly end, the end that closed first waits two
//! segment lifetimes after the last FIN that it saw, and nobody sends a RST.

#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

mod sides;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use fourtuple_tcp::{Ending, Path, State};

use sides::{Family, Pair, Plan, Run};

const V4: Path = Path {
    receive_mss: 1460,
    send_mss_limit: 1460,
    default_mss: 536,
};
const V6: Path = Path {
    receive_mss: 1440,
    send_mss_limit: 1440,
    default_mss: 1220,
};
const FAMILIES: [Family; 2] = [("IPv4", V4), ("IPv6", V6)];

/// More than one segment, less than the initial window.
const TEXT: usize = 2_500;

/// The opening end is side 0, the listening one side 1.
const OPENER: [bool; 2] = [true, false];
const LISTENER: [bool; 2] = [false, true];
const BOTH: [bool; 2] = [true, true];

fn plans(closes_first: [bool; 2], at_once: bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for family in FAMILIES {
        for timestamps in [true, false] {
            for text in [[0, 0], [TEXT, 0], [0, TEXT], [TEXT, TEXT]] {
                for late in [0, TEXT] {
                    // Nobody is left to write when both close at once.
                    if late > 0 && closes_first == BOTH {
                        continue;
                    }
                    let plan = Plan {
                        family,
                        timestamps,
                        closes_first,
                        at_once,
                        text,
                        late,
                        lets_go: false,
                    };
                    plans.push(plan);
                    // Text for an application that let go would rightly be reset.
                    let nothing_comes = (0..2).all(|side| !closes_first[side] || text[1 - side] == 0);
                    // An open that is let go with nothing to say is forgotten.
                    let forgotten = at_once && closes_first[0] && text[0] == 0;
                    if nothing_comes && late == 0 && !forgotten {
                        plans.push(Plan {
                            lets_go: true,
                            ..plan
                        });
                    }
                }
            }
        }
    }
    plans
}

/// Runs a plan without loss, then with each one segment lost, then with each two. Which segments there are depends on what was
/// lost before: the second is any of those that were sent in the run that lost only the first.
fn every_loss(plan: &Plan, mut check: impl FnMut(&Run)) -> usize {
    let mut runs = 1;
    let clean = Pair::new(plan, &[]).run();
    assert_eq!(
        clean.retransmits, 0,
        "nothing is lost, nothing is sent again: {clean:#?}"
    );
    check(&clean);
    for first in 0..clean.sent {
        let one = Pair::new(plan, &[first]).run();
        check(&one);
        for second in first + 1..one.sent {
            check(&Pair::new(plan, &[first, second]).run());
            runs += 1;
        }
        runs += 1;
    }
    runs
}

/// What holds for every run. `paths` collects the ways that ends took through the states.
fn check(run: &Run, paths: &mut BTreeSet<Vec<State>>) {
    let plan = &run.plan;
    for (index, side) in run.sides.iter().enumerate() {
        let peer_wrote = plan.text[1 - index]
            + if plan.closes_first[1 - index] {
                0
            } else {
                plan.late
            };
        assert_eq!(side.read, peer_wrote, "side {index} reads all: {run:#?}");
        let sees_the_end = side.end_of_file || (plan.lets_go && plan.closes_first[index]);
        assert!(sees_the_end, "side {index} sees the end of file: {run:#?}");
        let expected = if plan.closes_first[index] {
            Ending::TimeWait
        } else {
            Ending::Closed
        };
        assert_eq!(
            side.endings,
            [expected],
            "side {index} ends once, in order: {run:#?}"
        );
        assert_eq!(side.resets, 0, "side {index} sends no RST: {run:#?}");
        if plan.closes_first[index] {
            let waited = side.over_at.since(side.waits_since);
            let two_lifetimes = 2 * sides::MSL;
            assert!(
                waited >= two_lifetimes && waited <= two_lifetimes + sides::TICK,
                "side {index} waited {waited:?}: {run:#?}"
            );
        }
        paths.insert(side.path.clone());
    }
}

fn every_loss_of(plans: &[Plan], expected: &[&[State]]) {
    let (mut paths, mut runs) = (BTreeSet::new(), 0);
    for plan in plans {
        runs += every_loss(plan, |run| check(run, &mut paths));
    }
    let taken: Vec<&[State]> = paths.iter().map(Vec::as_slice).collect();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(taken, expected, "these are the ways there are");
    assert!(runs > 20 * plans.len(), "{runs} runs of {} plans", plans.len());
}

use State::{CloseWait, Closed, Closing, FinWait1, FinWait2, LastAck, TimeWait};

const FIRST: &[State] = &[FinWait1, FinWait2, TimeWait];
/// The peer's FIN comes with the ACK of ours: FIN_WAIT_2 is passed through within one segment.
const FIRST_AT_ONE_STROKE: &[State] = &[FinWait1, TimeWait];
const SECOND: &[State] = &[CloseWait, LastAck, Closed];
const CROSSED: &[State] = &[FinWait1, Closing, TimeWait];

// proves: RFC 9293 §3.10.4, §3.10.7.4, §3.10.8, MUST-13, MAY-1
#[test]
fn the_opening_end_closes_first() {
    every_loss_of(&plans(OPENER, false), &[FIRST, FIRST_AT_ONE_STROKE, SECOND]);
}

// proves: RFC 9293 §3.10.4, §3.10.7.4, MUST-13, MAY-1
#[test]
fn the_listening_end_closes_first() {
    every_loss_of(&plans(LISTENER, false), &[FIRST, FIRST_AT_ONE_STROKE, SECOND]);
}

// proves: RFC 9293 §3.10.4, §3.10.7.4
#[test]
fn both_ends_close_at_once() {
    every_loss_of(&plans(BOTH, false), &[FIRST, FIRST_AT_ONE_STROKE, CROSSED]);
}

/// The segments of the handshake may be lost as well: a CLOSE is queued in SYN_SENT, or follows ESTABLISHED at once.
// proves: RFC 9293 §3.10.4
#[test]
fn the_opening_end_closes_before_it_is_open() {
    every_loss_of(&plans(OPENER, true), &[FIRST, FIRST_AT_ONE_STROKE, SECOND]);
}

#[test]
fn the_listening_end_closes_as_soon_as_it_is_open() {
    every_loss_of(&plans(LISTENER, true), &[FIRST, FIRST_AT_ONE_STROKE, SECOND]);
}
