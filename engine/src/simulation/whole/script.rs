//! What the two applications of a connection do, drawn from the seed.
//!
//! A conversation is a four-tuple's two seats and what each does: how much it writes, how fast, how much of it before it has read
//! something, how it reads, and how it ends. With several rounds the opener opens again when a round is over.

use fourtuple_tcp::Profile;

use super::draw::Draw;
use super::extras::Extras;
use super::plan::{HostPlan, profile};
use super::{MS, SECOND};

/// Two applications that talk to each other.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) number: u16,
    /// The opener's place and the acceptor's.
    pub(super) seats: [Seat; 2],
    pub(super) ipv6: bool,
    pub(super) rounds: u32,
    /// The opener uses one port for all rounds, so that TIME_WAIT is met.
    pub(super) same_port: bool,
    pub(super) profiles: [Profile; 2],
    /// Options are such that a time limit may end it while things go wrong.
    pub(super) short_lives: bool,
    pub(super) starts_at: u64,
    /// When the acceptor's endpoint begins to accept.
    pub(super) accepts_at: u64,
    pub(super) backlog: u32,
    pub(super) scripts: [Script; 2],
    pub(super) extras: Extras,
}

/// Where an application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) host: usize,
    pub(super) way: Way,
}

/// How it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A handler; an opener's is on this worker, an acceptor's wherever the connection is.
    Worker(u16),
    /// On an endpoint.
    Endpoint(usize),
}

/// What one application does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    /// Bytes that it writes in all.
    pub(super) total: u64,
    /// Bytes that it writes beyond those that it has read, until it has read all; `u64::MAX`: as many as it likes.
    pub(super) ahead: u64,
    /// What it writes is what it read, passed on without a copy.
    pub(super) echoes: bool,
    /// Most bytes of one write, and the time between two.
    pub(super) write_most: usize,
    pub(super) write_pause: u64,
    pub(super) read_most: usize,
    pub(super) read_pause: u64,
    /// It reads no further than this before all is calm.
    pub(super) read_stop: u64,
    pub(super) end: End,
}

impl Conversation {
    /// An endpoint accepts its connections.
    pub(super) fn is_accepted_at(&self, here: Seat) -> bool {
        let seat = self.seats[1];
        let endpoints = |seat: Seat| matches!(seat.way, Way::Endpoint(_));
        seat == here || self.extras.all_accept && seat.host == here.host && endpoints(seat) && endpoints(here)
    }
}

/// How an application ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// When all is written: a FIN. At the end of file: closed.
    Shut,
    /// When all is written and all is read: closed, whatever the peer does.
    Close,
    /// At the end of file, when all is written: closed.
    Follow,
    /// Nothing more until all is calm.
    Hold,
    /// RST, once so many bytes were read and written.
    Abort(u64),
    /// Closed, once so many bytes were read and written, perhaps with some unread.
    Leave(u64),
    /// The handler panics then. On an endpoint the stream is forgotten, with every chunk that it lent, until all is calm.
    Forget(u64),
}

/// The TCP port at which a conversation's acceptor listens.
pub(super) fn port_of(number: u16) -> u16 {
    2_000 + number
}

/// The conversation of a port.
pub(super) fn number_of(port: u16) -> u16 {
    port.wrapping_sub(2_000)
}

pub(super) fn draw(
    draw: &mut Draw,
    number: u16,
    hosts: &[HostPlan],
    large: bool,
    calm_at: u64,
    msl: u64,
) -> Conversation {
    let leaf = draw.between(1, hosts.len() as u64 - 1) as usize;
    let [from, to] = if draw.percent(50) { [leaf, 0] } else { [0, leaf] };
    let seats = [seat(draw, from, hosts), seat(draw, to, hosts)];
    let short_lives = draw.percent(15);
    let most = if large { 2_000_000 } else { 60_000 };
    let totals = [volume(draw, most), volume(draw, most)];
    let mut scripts = [
        side(draw, totals[0], seats[0].way),
        side(draw, totals[1], seats[1].way),
    ];
    match draw.below(4) {
        // Requests and answers of the same size.
        0 => {
            let request = draw.size(1, 5_000).max(totals[0] / 60);
            scripts[0].ahead = request;
            scripts[1].ahead = 0;
            scripts[1].total = scripts[0].total;
        }
        1 => {
            scripts[1].echoes = true;
            scripts[1].ahead = 0;
            scripts[1].total = scripts[0].total;
        }
        _ => {}
    }
    let by_worker = matches!(seats[0].way, Way::Worker(_));
    let rounds = if by_worker && draw.percent(30) {
        draw.size(2, 12) as u32
    } else {
        1
    };
    Conversation {
        number,
        seats,
        ipv6: draw.percent(50),
        rounds,
        same_port: rounds > 1 && draw.percent(40),
        profiles: [profile(draw, msl, short_lives), profile(draw, msl, short_lives)],
        short_lives,
        starts_at: draw.below(calm_at / 2 + 1),
        accepts_at: if draw.percent(20) { draw.below(calm_at) } else { 0 },
        backlog: draw.one_of(&[128, 128, 1, 2]),
        scripts,
        extras: Extras::NONE,
    }
}

fn seat(draw: &mut Draw, host: usize, hosts: &[HostPlan]) -> Seat {
    let plan = &hosts[host];
    let way = if plan.endpoints > 0 && draw.percent(50) {
        Way::Endpoint(draw.below(plan.endpoints as u64) as usize)
    } else {
        Way::Worker(draw.below(u64::from(plan.workers)) as u16)
    };
    Seat { host, way }
}

fn volume(draw: &mut Draw, most: u64) -> u64 {
    match draw.below(5) {
        0 => 0,
        1 => draw.between(1, 100),
        _ => draw.size(100, most),
    }
}

fn side(draw: &mut Draw, total: u64, way: Way) -> Script {
    let pause = |draw: &mut Draw| if draw.percent(20) { draw.span_ns(1, 300) } else { 0 };
    let some = draw.below(total + 2);
    let end = match draw.below(24) {
        0..=8 => End::Shut,
        9..=12 => End::Close,
        13..=17 => End::Follow,
        18 | 19 => End::Hold,
        20 => End::Abort(some),
        21 => End::Leave(some),
        22 if matches!(way, Way::Endpoint(_)) || draw.percent(30) => End::Forget(some),
        _ => End::Shut,
    };
    Script {
        total,
        ahead: u64::MAX,
        echoes: false,
        write_most: draw.one_of(&[1 << 20, 65_536, 4_096, 1_460, 999, 100, 7]),
        write_pause: pause(draw),
        read_most: draw.one_of(&[usize::MAX, usize::MAX, 4_096, 600, 1]),
        read_pause: pause(draw),
        read_stop: if draw.percent(8) {
            draw.below(20_000)
        } else {
            u64::MAX
        },
        end,
    }
}

/// The longest time for which nothing may happen to a connection, once all is calm.
pub(super) const PATIENCE: u64 = 40 * SECOND;

/// Between two looks at something that can't be done yet.
pub(super) const RETRY: u64 = 50 * MS;

#[cfg(test)]
impl Conversation {
    /// One with nothing special, opened on the second host.
    pub(super) fn plain() -> Self {
        let seat = |host| Seat {
            host,
            way: Way::Worker(0),
        };
        let script = Script {
            total: 10,
            ahead: u64::MAX,
            echoes: false,
            write_most: 10,
            write_pause: 0,
            read_most: 10,
            read_pause: 0,
            read_stop: u64::MAX,
            end: End::Close,
        };
        Self {
            number: 0,
            seats: [seat(1), seat(0)],
            ipv6: false,
            rounds: 2,
            same_port: true,
            profiles: [Profile::default(), Profile::default()],
            short_lives: false,
            starts_at: 0,
            accepts_at: 0,
            backlog: 128,
            scripts: [script; 2],
            extras: Extras::NONE,
        }
    }
}
