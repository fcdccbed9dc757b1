//! Options of who sends, named by a listener, by who opens, or on the connection itself: what each does is seen on the wire.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue};
use fourtuple_tcp::{CongestionKind, Pacing};
use fourtuple_wire::Instant;

use super::{Plan, World};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::options::ConnectionOption;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// Who names the option of the end that speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Nobody,
    Listener,
    Opener,
    Itself,
}

const SOMEBODY: [By; 3] = [By::Listener, By::Opener, By::Itself];

/// What is said, and on which way.
#[derive(Clone, Copy)]
struct Talk {
    /// Octets of each part.
    part: usize,
    parts: usize,
    apart: Duration,
    delay: Duration,
    /// Bits of frames a second that the way carries: acknowledgments then come one by one.
    rate: Option<u64>,
    /// Nothing of the listening end arrives behind the handshake.
    deaf: bool,
    /// The segment of text, counted from 0, that gets lost.
    lost: Option<usize>,
    span: Duration,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            part: 1,
            parts: 1,
            apart: Duration::ZERO,
            delay: Duration::from_millis(20),
            rate: None,
            deaf: false,
            lost: None,
            span: Duration::from_secs(1),
        }
    }
}

/// One end: it may open, and it may speak.
struct Party {
    opens: Option<ConnectOptions>,
    sets: Option<ConnectionOption>,
    speaks: Option<Talk>,
}

/// How much of it was said.
#[derive(Default)]
struct Said {
    parts: usize,
    of_part: usize,
}

impl Party {
    /// Goes on until there is no room, or the next part's time has not come.
    fn speak(&self, connection: &mut Connection<'_, MemQueue>, said: &mut Said) {
        let Some(talk) = self.speaks else { return };
        while said.parts < talk.parts {
            said.of_part += connection.send(&vec![7; talk.part - said.of_part]);
            if said.of_part < talk.part {
                return;
            }
            (said.parts, said.of_part) = (said.parts + 1, 0);
            if !talk.apart.is_zero() {
                return connection.set_timer(Some(talk.apart));
            }
        }
    }
}

impl Handler<MemQueue> for Party {
    type State = Said;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, said: &mut Said) {
        if let Some(option) = self.sets {
            connection.set(option).unwrap();
        }
        self.speak(connection, said);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut Said) {
        while connection.receive().is_some() {}
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, said: &mut Said) {
        self.speak(connection, said);
    }

    fn on_timer(&mut self, connection: &mut Connection<'_, MemQueue>, said: &mut Said) {
        self.speak(connection, said);
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Said>) {
        if let Some(options) = self.opens.take() {
            worker.connect("10.0.0.1:7".parse().unwrap(), &options).unwrap();
        }
    }
}

/// A segment as it left.
#[derive(Clone, Copy, Debug)]
struct Segment {
    at: Instant,
    seq: u32,
    ack: u32,
    flags: u8,
    len: u32,
}

impl Segment {
    /// Of a frame with IPv4 and TCP.
    fn of(frame: &[u8], at: Instant) -> Option<Self> {
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        (frame[12..14] == [8, 0] && frame[23] == 6).then(|| Self {
            at,
            seq: word(38),
            ack: word(42),
            flags: frame[47],
            len: (word(14) & 0xffff) - 20 - u32::from(frame[46] >> 4) * 4,
        })
    }

    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }
}

/// What the end said that speaks, and the other one.
fn heard(by: By, option: ConnectionOption, talk: Talk) -> [Vec<Segment>; 2] {
    let mut plan = Plan::default();
    plan.conditions.delay = talk.delay;
    plan.conditions.rate = talk.rate;
    plan.conditions.queue_limit = 1_000;
    let (speaks, listens) = match by {
        By::Opener => (End::B, End::A),
        By::Nobody | By::Listener | By::Itself => (End::A, End::B),
    };
    let party = |end: End| Party {
        opens: (end == End::B).then(|| match by {
            By::Opener => ConnectOptions::new().with(option),
            By::Nobody | By::Listener | By::Itself => ConnectOptions::new(),
        }),
        sets: (end == speaks && by == By::Itself).then_some(option),
        speaks: (end == speaks).then_some(talk),
    };
    let (mut server, mut client) = (Some(party(End::A)), Some(party(End::B)));
    let mut world = World::new(&plan, |_| server.take().unwrap(), |_| client.take().unwrap());
    let listen = match by {
        By::Listener => Listen::on(7).with(option),
        By::Nobody | By::Opener | By::Itself => Listen::on(7),
    };
    world.server.listen(0, &listen);
    // SYN and ACK, or SYN+ACK.
    let handshake = if listens == End::B { 2 } else { 1 };
    let logs = [speaks, listens].map(|end| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (into, clock) = (Arc::clone(&log), world.clock.clone());
        let mut texts = 0;
        world.wire.set_filter(end, move |frame| {
            let now = Instant::from_nanos(fourtuple_nic::Clock::now_ns(&clock));
            let Some(segment) = Segment::of(frame, now) else {
                return true;
            };
            let mut log = into.lock().unwrap();
            log.push(segment);
            texts += usize::from(segment.len > 0);
            let is_lost = end == speaks && segment.len > 0 && talk.lost == Some(texts - 1);
            let is_unheard = end == listens && talk.deaf && log.len() > handshake;
            !is_lost && !is_unheard
        });
        log
    });
    world.run_for(talk.span);
    logs.map(|log| log.lock().unwrap().clone())
}

/// Segments of text, each once.
fn texts(segments: &[Segment]) -> Vec<Segment> {
    let mut seen = BTreeSet::new();
    let text = segments
        .iter()
        .filter(|segment| segment.len > 0 && seen.insert(segment.seq));
    text.copied().collect()
}

/// Octets of text that left in the first `span` of it.
fn octets_within(segments: &[Segment], span: Duration) -> u32 {
    let texts = texts(segments);
    let first = texts[0].at;
    let within = texts.iter().filter(|text| text.at.since(first) < span);
    within.map(|text| text.len).sum()
}

// proves: RFC 9293 MUST-17
#[test]
fn without_nagle_each_small_part_leaves_at_once() {
    // All parts within a round trip.
    let talk = Talk {
        part: 10,
        parts: 5,
        apart: Duration::from_millis(4),
        ..Talk::default()
    };
    let segments = |by| texts(&heard(by, ConnectionOption::NoDelay(true), talk)[0]).len();
    assert_eq!(
        segments(By::Nobody),
        2,
        "the first, and the others when it is acknowledged"
    );
    for by in SOMEBODY {
        assert_eq!(segments(by), 5, "{by:?}");
    }
}

#[test]
fn a_user_timeout_ends_who_is_not_heard() {
    let talk = Talk {
        part: 1_000,
        deaf: true,
        span: Duration::from_secs(4),
        ..Talk::default()
    };
    let reset_after = |by| {
        let option = ConnectionOption::UserTimeout(Some(Duration::from_millis(700)));
        let [said, _] = heard(by, option, talk);
        let reset = said.iter().find(|segment| segment.flags & 4 != 0)?;
        Some(reset.at.since(texts(&said)[0].at))
    };
    assert_eq!(reset_after(By::Nobody), None, "two minutes, if nothing is said");
    for by in SOMEBODY {
        let after = reset_after(by).expect("a reset");
        let around = Duration::from_millis(700)..Duration::from_millis(750);
        assert!(around.contains(&after), "{by:?}: {after:?}");
    }
}

#[test]
fn no_more_leaves_in_a_second_than_the_pacing_rate_says() {
    let talk = Talk {
        part: 100_000,
        delay: Duration::from_millis(5),
        span: Duration::from_secs(2),
        ..Talk::default()
    };
    let half_a_second = |by| {
        let [said, _] = heard(by, ConnectionOption::MaxPacingRate(Some(100_000)), talk);
        let all: u32 = texts(&said).iter().map(|text| text.len).sum();
        assert_eq!(all, 100_000);
        octets_within(&said, Duration::from_millis(500))
    };
    assert_eq!(half_a_second(By::Nobody), 100_000);
    for by in SOMEBODY {
        let octets = half_a_second(by);
        assert!((45_000..53_000).contains(&octets), "{by:?}: {octets}");
    }
}

/// The first window, ten segments: how many of them leave within a millisecond.
fn burst(by: By, option: ConnectionOption) -> u32 {
    let talk = Talk {
        part: 14_480,
        ..Talk::default()
    };
    let [said, _] = heard(by, option, talk);
    octets_within(&said, Duration::from_millis(1)) / 1_448
}

#[test]
fn a_paced_window_does_not_leave_at_once() {
    assert_eq!(burst(By::Nobody, ConnectionOption::Pacing(Pacing::On)), 10);
    for by in SOMEBODY {
        let burst = burst(by, ConnectionOption::Pacing(Pacing::On));
        assert!((1..5).contains(&burst), "{by:?}: {burst}");
    }
}

/// The window behind a loss, in parts of a hundred of what was outstanding when it was found.
fn window_kept(by: By, kind: CongestionKind) -> u32 {
    let talk = Talk {
        part: 1_000_000,
        delay: Duration::from_millis(10),
        rate: Some(50_000_000),
        lost: Some(60),
        ..Talk::default()
    };
    let [said, answered] = heard(by, ConnectionOption::Congestion(kind), talk);
    let lost = texts(&said)[60];
    let again = said.iter().filter(|text| text.len > 0 && text.seq == lost.seq);
    let found = again.clone().nth(1).expect("it is sent again").at;
    let before = said.iter().filter(|text| text.len > 0 && text.at <= found);
    let sent = before.map(Segment::end).max().unwrap();
    let repaired = answered
        .iter()
        .find(|answer| answer.ack >= sent)
        .expect("it is repaired");
    let start = repaired.at + talk.delay;
    let round = |text: &&Segment| text.at >= start && text.at < start + 2 * talk.delay;
    let window: u32 = texts(&said).iter().filter(round).map(|text| text.len).sum();
    window * 100 / (sent - lost.seq)
}

#[test]
fn each_algorithm_of_congestion_control_does_as_it_does() {
    // RFC 9438 §4.6 takes three tenths, RFC 5681 §3.1 half.
    let cubic = window_kept(By::Nobody, CongestionKind::NewReno);
    assert!((60..85).contains(&cubic), "{cubic}");
    for by in SOMEBODY {
        let kept = window_kept(by, CongestionKind::NewReno);
        assert!((40..60).contains(&kept), "{by:?}: {kept}");
        // BBR sends at a rate.
        let burst = burst(by, ConnectionOption::Congestion(CongestionKind::Bbr));
        assert!((1..9).contains(&burst), "{by:?}: {burst}");
    }
    // RFC 8257 §3.1: DCTCP needs marks, and asks for them in its SYN.
    let asks = |kind| {
        let [said, _] = heard(By::Opener, ConnectionOption::Congestion(kind), Talk::default());
        said[0].flags
    };
    assert_eq!(
        (asks(CongestionKind::Cubic), asks(CongestionKind::Dctcp)),
        (0x02, 0xc2)
    );
}
