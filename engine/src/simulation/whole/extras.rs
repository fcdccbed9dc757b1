//! What a conversation has beyond its script, drawn from a stream of its own: TCP Fast Open, connections that change hands,
//! several endpoints that accept, tiny segments. With all of it left out a seed means what it meant before there was any.

use crate::listener::AcceptPolicy;

use super::draw::Draw;
use super::plan::HostPlan;
use super::script::{Conversation, Seat, Way};

/// What is beyond the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extras {
    /// Connections that the acceptor's listener may let in by their cookies at a time; 0: Fast Open is off.
    pub(super) fast_open: u32,
    /// The opener has the option in its SYN and, once it has a cookie, its first bytes.
    pub(super) opens_fast: bool,
    /// By side: how often a connection changes hands, and how much is read and written before each time.
    pub(super) hand_overs: [HandOvers; 2],
    /// By side: a handler looks at what has come before it takes it.
    pub(super) peeks: [bool; 2],
    /// All endpoints of the acceptor's host accept, not that of its seat alone.
    pub(super) all_accept: bool,
    /// Which of them gets the next.
    pub(super) policy: AcceptPolicy,
    /// Connections that each asks for ahead, where that is said.
    pub(super) credits: Option<u32>,
    /// An opener on an endpoint brings the conversation's options along.
    pub(super) with_options: bool,
}

/// How often a connection goes to another endpoint of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandOvers {
    pub(super) times: u32,
    /// Bytes read and written before each.
    pub(super) every: u64,
    /// A chunk stays behind in the application's hands.
    pub(super) holds: bool,
}

impl Extras {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        fast_open: 0,
        opens_fast: false,
        hand_overs: [HandOvers {
            times: 0,
            every: 0,
            holds: false,
        }; 2],
        peeks: [false; 2],
        all_accept: false,
        policy: AcceptPolicy::LeastLoaded,
        credits: None,
        with_options: false,
    };

    /// Draws what a conversation has, and gives it what goes with that.
    pub(super) fn draw(draw: &mut Draw, conversation: &mut Conversation, hosts: &[HostPlan]) {
        let mut hand_overs = |seat: Seat, total: u64| HandOvers {
            times: if hosts[seat.host].endpoints > 0 && draw.percent(25) {
                draw.size(1, 6) as u32
            } else {
                0
            },
            every: draw.below(total / 2 + 2),
            holds: draw.percent(30),
        };
        let [opener, acceptor] = conversation.seats;
        let totals = conversation.scripts.map(|script| script.total);
        let whole = totals[0] + totals[1];
        let hand_overs = [hand_overs(opener, whole), hand_overs(acceptor, whole)];
        let fast = draw.percent(25);
        conversation.extras = Self {
            fast_open: if fast { draw.one_of(&[8, 8, 64, 1, 0]) } else { 0 },
            opens_fast: fast,
            hand_overs,
            peeks: [draw.percent(20), draw.percent(20)],
            all_accept: draw.percent(30),
            policy: draw.one_of(&[
                AcceptPolicy::LeastLoaded,
                AcceptPolicy::RoundRobin,
                AcceptPolicy::Pinned,
            ]),
            credits: draw.percent(30).then(|| draw.one_of(&[1, 2, 64])),
            with_options: draw.percent(50),
        };
        if fast && matches!(opener.way, Way::Worker(_)) {
            // The first gets a cookie, others use it.
            conversation.rounds = conversation.rounds.max(draw.size(2, 8) as u32);
        }
        // Little is said in segments that are little but headers.
        if whole < 40_000 && draw.percent(15) {
            for profile in &mut conversation.profiles {
                profile.mss_clamp = draw.one_of(&[None, Some(88), Some(200), Some(536)]);
                if draw.percent(50) {
                    profile.receive_buffer = draw.one_of(&[2_500, 3_000, 5_000]);
                }
            }
        }
    }
}
